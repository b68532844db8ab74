"""What a curve shows without any model: its peak, its floor, and how far the strained region reaches."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Features:
    """Read off from a scan; positions in arcsec on the angle of incidence, zero where the scan has it.

    Attributes:
        peak_arcsec: Position of the strongest feature (of its half-maximum range).
        peak_intensity: Its intensity.
        peak_fwhm_arcsec: Its full width at half maximum.
        floor: Intensity where nothing is diffracted, estimated from the weakest points.
        low_edge_arcsec: Where the signal rises from the floor at the low-angle end; None if the scan starts
            within the signal.
        high_edge_arcsec: The same at the high-angle end.
        low_shoulder_arcsec: Where the strained region's own level sets in at the low-angle end (a thirtieth of
            what is bright outside the peak): with little background the signal itself goes on much farther.
        high_shoulder_arcsec: The same at the high-angle end.
    """

    peak_arcsec: float
    peak_intensity: float
    peak_fwhm_arcsec: float
    floor: float
    low_edge_arcsec: float | None
    high_edge_arcsec: float | None
    low_shoulder_arcsec: float | None
    high_shoulder_arcsec: float | None


def read_features(position: Floats, intensity: Floats, counts_per_unit: float) -> Features:
    """Features of a scan.

    Args:
        position: Angle of incidence [arcsec], ascending, shape (point,).
        intensity: Shape (point,).
        counts_per_unit: Counts for one unit of intensity: tells noise from signal.
    """
    window = max(3, min(9, len(intensity) // 60) | 1)
    smooth = median_filter(intensity, size=window, mode="nearest")
    top = int(np.argmax(smooth))
    above = smooth >= 0.5 * smooth[top]
    left, right = top, top
    while left > 0 and above[left - 1]:
        left -= 1
    while right < len(smooth) - 1 and above[right + 1]:
        right += 1
    step = float(np.median(np.diff(position)))
    floor = float(np.quantile(smooth, 0.02))
    # Well above the floor and its noise (three standard deviations of a point).
    noise = np.sqrt(floor * counts_per_unit + 1) / counts_per_unit
    signal = smooth > 1.6 * floor + 3 * noise / np.sqrt(window)
    outside = np.abs(position - 0.5 * (position[left] + position[right])) > 2 * (
        position[right] - position[left]
    )
    level = float(np.quantile(smooth[outside], 0.85)) if outside.sum() > 10 else 0.0
    bright = signal & (smooth > level / 30)
    return Features(
        peak_arcsec=float(0.5 * (position[left] + position[right])),
        peak_intensity=float(smooth[top]),
        peak_fwhm_arcsec=float(max(position[right] - position[left], step) + step),
        floor=floor,
        low_edge_arcsec=_edge(position, signal),
        high_edge_arcsec=_edge(position[::-1], signal[::-1]),
        low_shoulder_arcsec=_edge(position, bright),
        high_shoulder_arcsec=_edge(position[::-1], bright[::-1]),
    )


def _edge(position: Floats, signal: NDArray[np.bool_]) -> float | None:
    """First position from which the signal stays (three of four points); None if it is there from the start."""
    width = 4
    if len(signal) <= 2 * width or signal[:width].sum() >= 3:
        return None
    run = np.convolve(signal, np.ones(width), mode="valid")
    found = np.flatnonzero(run >= 3)
    return float(position[found[0]]) if found.size else None
