"""Whether a scan can be one of a sample's reflection: a peak in it, the Bragg angle in it, wide enough."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from strainscope.crystal import ARCSEC, Reflection
from strainscope.scan import UNITS, Scan

LEAST_DARWIN_WIDTHS = 3
# How far the Bragg angle may lie outside the scan: a diffractometer's zero is good to 0.1°.
LARGEST_MISALIGNMENT_ARCSEC = 360.0
# How far the zero of a relative axis may: it is the peak, or the Bragg angle a refraction beside it.
LARGEST_ZERO_ARCSEC = 60.0
LEAST_PEAK_COUNTS = 10
LEAST_PEAK_RATIO = 2.0
LEAST_PEAK_SIGMA = 6.0


def check_scan(scan: Scan, substrate: Reflection) -> None:
    """Raise unless the scan has a peak, has the substrate's Bragg angle in it, and is wide enough.

    Raises:
        ValueError: what is wrong, and which axis would be right if one is.
    """
    low, high = relative_incidence(scan, substrate)[[0, -1]].tolist()
    width = substrate.darwin_width() / ARCSEC
    _check_peak(scan)
    if high - low < LEAST_DARWIN_WIDTHS * width:
        raise ValueError(
            f"the scan spans {high - low:.3g} arcsec of incidence; it must span at "
            f"least {LEAST_DARWIN_WIDTHS} Darwin widths, {LEAST_DARWIN_WIDTHS * width:.3g} arcsec. "
            "Check --axis."
        )
    relative = scan.axis == "delta-theta-arcsec"
    room = LARGEST_ZERO_ARCSEC if relative else LARGEST_MISALIGNMENT_ARCSEC
    if low <= room and high >= -room:
        return
    unit = UNITS[scan.axis]
    runs = f"the scan runs from {scan.angle[0]:g} to {scan.angle[-1]:g} {unit}"
    if relative:
        raise ValueError(
            f"{runs}; 0, the substrate's peak, must lie in it. Scan over the peak, or check --axis."
        )
    bragg = f"the Bragg angle is {np.degrees(substrate.bragg_angle):.4g}°"
    expected = scan.angle_from_theta(
        np.array([substrate.incidence_angle]),
        bragg_angle=substrate.bragg_angle,
        asymmetry=substrate.asymmetry,
    )
    axis = _fitting_axis(scan, substrate)
    raise ValueError(
        f"{bragg}, at {expected[0]:.5g} {unit} on --axis {scan.axis}, but {runs}: "
        + (f"is it --axis {axis}?" if axis else "is it this reflection and wavelength?")
    )


def relative_incidence(scan: Scan, substrate: Reflection) -> NDArray[np.float64]:
    """Angles of incidence minus the substrate's Bragg position [arcsec], shape (angle,)."""
    theta = scan.theta(bragg_angle=substrate.bragg_angle, asymmetry=substrate.asymmetry)
    return np.asarray((theta - substrate.incidence_angle) / ARCSEC)


def _check_peak(scan: Scan) -> None:
    """Raise unless something stands out of the scan's noise and floor, away from its ends."""
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(scan.intensity, 3), axis=1)
    top, middle, low = float(smooth.max()), float(np.median(smooth)), float(np.quantile(smooth, 0.1))
    scatter = 1.05 * float(np.median(np.abs(np.diff(scan.intensity))))  # a standard deviation, robustly
    few = scan.intensity_kind == "counts" and top < LEAST_PEAK_COUNTS
    if few or top < LEAST_PEAK_RATIO * low or top < middle + LEAST_PEAK_SIGMA * scatter:
        raise ValueError(
            f"no peak in the scan: its largest intensity is {top:g}, half of its points are "
            f"above {middle:g}. Check the columns, or scan over the Bragg peak."
        )
    at = int(smooth.argmax())
    if at == 0 or at == smooth.size - 1:
        raise ValueError(
            f"the scan is strongest at its end, {scan.angle[at + 1]:g} {UNITS[scan.axis]}, so "
            "its peak lies outside. Scan over the Bragg peak."
        )


def _fitting_axis(scan: Scan, substrate: Reflection) -> str | None:
    """The axis on which the scan would hold the Bragg angle."""
    for axis in ("omega-deg", "two-theta-deg"):
        with suppress(ValueError):
            position = relative_incidence(replace(scan, axis=axis), substrate)
            if position[0] <= 0 <= position[-1]:
                return axis
    return None
