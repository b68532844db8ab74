"""Measured scans on the network's grid, by the definitions that simulated ones go by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strainscope.crystal import ARCSEC
from strainscope.diffraction import Stack
from strainscope.inversion.features import read_features
from strainscope.inversion.likelihood import counts_per_unit as counts_per_unit_of
from strainscope.measurement.gridding import Channels, GridAngles, told_of
from strainscope.scan import Scan

Floats = NDArray[np.float64]

# A curve without scatter (calculated or smoothed) counts as so well measured at its peak.
_NOISELESS_PEAK = 1e9


@dataclass(frozen=True, kw_only=True, eq=False)
class GriddedScan:
    """A measured scan as a network reads it.

    Attributes:
        channels: Shape (3, point).
        told: As `told_of` gives it, shape (4,).
        peak_counts: Counts a point at the peak [1].
        counts_per_unit: Counts for one unit of the scan's intensity [1].
        zero_arcsec: Where the grid's zero lies [arcsec], as angle of incidence from the substrate's Bragg position; an
            offset on the grid plus this is the offset of the scan itself.
    """

    channels: Channels
    told: Floats
    peak_counts: float
    counts_per_unit: float
    zero_arcsec: float


def grid_scan(
    scan: Scan,
    grid: GridAngles,
    stack: Stack,
    *,
    counts_per_unit: float | None = None,
    zero_arcsec: float | None = None,
) -> GriddedScan:
    """A measured scan on a network's grid.

    Args:
        scan: The scan.
        grid: The network's grid at the stack's reflection.
        stack: Sets the scan's angle of incidence.
        counts_per_unit: Counts for one unit of intensity; by default what the scan's sigma, counts or scatter tell, and
            1e9 counts at the peak where nothing scatters.
        zero_arcsec: The substrate's peak on the angle of incidence [arcsec]; by default the middle of the half-maximum
            range of the strongest feature. Give it where a strained layer is stronger than the substrate.

    Raises:
        ValueError: counts_per_unit not above 0, or a scan that misses the grid.
    """
    known = counts_per_unit if counts_per_unit is not None else counts_per_unit_of(scan)
    per_unit = _NOISELESS_PEAK / float(scan.intensity.max()) if known is None else float(known)
    if not 0 < per_unit < np.inf:
        raise ValueError(f"counts_per_unit = {per_unit:g}; it must be > 0 and finite.")
    theta = scan.theta(bragg_angle=stack.bragg_angle, asymmetry=stack.asymmetry)
    position = (theta - stack.incidence_angle) / ARCSEC
    zero = (
        read_features(position, scan.intensity, per_unit).peak_arcsec if zero_arcsec is None else zero_arcsec
    )
    channels, peak = grid.to_grid(position - zero, per_unit * scan.intensity)
    steps = np.diff(position)
    ratio = float(np.median(steps[steps > 0])) / grid.peak_step
    return GriddedScan(
        channels=channels,
        told=told_of(channels[None], ratio, peak)[0],
        peak_counts=peak,
        counts_per_unit=per_unit,
        zero_arcsec=float(zero),
    )
