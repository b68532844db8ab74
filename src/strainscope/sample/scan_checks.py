"""Whether a scan can be one of a sample's reflection: the axis named, a peak, the Bragg angle in it, wide enough."""

import numpy as np
from numpy.typing import NDArray

from strainscope.crystal import ARCSEC, Reflection, parse_wavelength
from strainscope.readers import RecordedScan
from strainscope.scan import AXES, SPAN_LIMITS, UNITS, Scan

Floats = NDArray[np.float64]

LEAST_DARWIN_WIDTHS = 3
# How far the Bragg angle may lie outside the scan: a diffractometer's zero is good to 0.1°.
LARGEST_MISALIGNMENT_ARCSEC = 360.0
# How far the zero of a relative axis may: it is the peak, or the Bragg angle a refraction beside it.
LARGEST_ZERO_ARCSEC = 60.0
# Angles are another axis's where the peak is as near to its place there as this [deg of incidence] ...
NEAR_DEG = 2.0
# ... and farther from it than this on the axis named, or the Bragg angle is not in the scan at all.
FAR_DEG = 5.0
# What the angles of a file may be: those of an axis, or absolute ones in arcsec.
_READINGS = (*((axis, 1.0) for axis in AXES), ("omega-deg", 1 / 3600), ("two-theta-deg", 1 / 3600))
# Fewer points than these above 0 are no curve.
LEAST_POINTS_ABOVE_0 = 10
# Of the largest intensity: the logarithms of scale and background are fitted, within bounds.
SMALLEST_PEAK = 1e-20
# Of a peak; what an inversion would trust takes ten times as many.
LEAST_PEAK_COUNTS = 10
# So many times as bright as the brighter of its neighbours, a point is alone.
LONE_RATIO = 10.0
LEAST_PEAK_RATIO = 2.0
LEAST_PEAK_SIGMA = 6.0
# Lists of emission lines differ by less; another anode, Kα2 or the mean of Kα by more.
WAVELENGTH_TOLERANCE = 1e-4


def check_axis(angle: Floats, intensity: Floats, *, axis: str, substrate: Reflection) -> None:
    """Raise if the columns of a file are evidently on another axis than the one named, or in another unit.

    What no axis explains is not refused here.

    Args:
        angle: The first column as it stands in the file, shape (point,).
        intensity: The second, shape (point,).
        axis: The one named.
        substrate: What reflects at the Bragg angle.

    Raises:
        ValueError: which axis the angles look like, and what to do.
    """
    if angle.size < 3:
        return
    order = np.argsort(angle, kind="stable")
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(intensity[order], 3), axis=1)
    low, high = float(angle.min()), float(angle.max())
    peak = float(angle[order][1:-1][smooth.argmax()]) + 0.0  # for -0
    own = _distance_deg(axis, low, peak, high, substrate)
    others = [(name, factor) for name, factor in _READINGS if (name, factor) != (axis, 1.0)]
    distances = [_distance_deg(name, f * low, f * peak, f * high, substrate) for name, f in others]
    nearest = min(distances)
    name, factor = others[distances.index(nearest)]
    if nearest <= min(NEAR_DEG, own) and (own > FAR_DEG or not _holds_bragg(axis, low, high, substrate)):
        remedy = (
            f"{name}: give --axis {name} (in a batch of several axes: a column `axis` of its --table)."
            if factor == 1
            else f"{name} in arcsec: divide them by 3600 and give --axis {name}."
        )
    elif low < 0 <= high and high - low <= SPAN_LIMITS["delta-theta-arcsec"][0]:
        remedy = (
            "angles relative to the peak in another unit: convert them to arcsec (degrees of θ times 3600, of 2θ "
            "times 1800) and give --axis delta-theta-arcsec."
        )
    else:
        return
    raise ValueError(
        f"the angles run from {low:g} to {high:g}, strongest at {peak:g}; on --axis {axis} the peak would be near "
        f"{_place(axis, substrate):.5g} {UNITS[axis]}. They look like {remedy}"
    )


def _place(axis: str, substrate: Reflection) -> float:
    """Where the Bragg angle is on an axis, in its unit."""
    if axis == "delta-theta-arcsec":
        return 0.0
    return float(np.degrees(substrate.incidence_angle if axis == "omega-deg" else 2 * substrate.bragg_angle))


def _distance_deg(axis: str, low: float, peak: float, high: float, substrate: Reflection) -> float:
    """How far a peak lies from where it would be on an axis [deg of incidence]; infinite where the angles are none.

    A relative axis has negative angles and 0, wherever its peak is; an absolute one has positive angles alone.
    """
    if axis == "delta-theta-arcsec":
        return 0.0 if low < 0 <= high and high - low > SPAN_LIMITS[axis][0] else np.inf
    distance = abs(peak - _place(axis, substrate)) / (1 if axis == "omega-deg" else 2)
    return distance if low > 0 and high < SPAN_LIMITS[axis][1] else np.inf


def _holds_bragg(axis: str, low: float, high: float, substrate: Reflection) -> bool:
    """Whether an absolute axis has the Bragg angle in it, but for a zero error; a relative one is not asked."""
    room = LARGEST_MISALIGNMENT_ARCSEC / 3600 * (1 if axis == "omega-deg" else 2)
    return low - room <= _place(axis, substrate) <= high + room


def check_scan(scan: Scan, substrate: Reflection) -> None:
    """Raise unless the scan is on its axis, has a peak and the substrate's Bragg angle in it, and is wide enough.

    Raises:
        ValueError: what is wrong, and which axis would be right if one is.
    """
    check_axis(scan.angle, scan.intensity, axis=scan.axis, substrate=substrate)
    low, high = relative_incidence(scan, substrate)[[0, -1]].tolist()
    width = substrate.darwin_width() / ARCSEC
    check_peak(scan)
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
    raise ValueError(
        f"the Bragg angle is {np.degrees(substrate.bragg_angle):.4g}°, at {_place(scan.axis, substrate):.5g} {unit} on "
        f"--axis {scan.axis}, but {runs}: is it this reflection and wavelength?"
    )


def check_wavelength(recorded: RecordedScan, wavelength: float | str) -> None:
    """Raise if a scan was measured at another wavelength than a sample's.

    The mean of Kα counts as the wavelength, too, as many instruments name it where one line is used.

    Raises:
        ValueError: both wavelengths, and what to do.
    """
    wanted = parse_wavelength(wavelength)
    known = [own for own in (recorded.wavelength_A, *(recorded.lines_A.get(n) for n in ("Ka1", "Ka"))) if own]
    if not known or any(abs(own / wanted - 1) <= WAVELENGTH_TOLERANCE for own in known):
        return
    anode = f" ({recorded.anode})" if recorded.anode else ""
    raise ValueError(
        f"it was measured at {known[0]:.6g} Å{anode}, but the sample's wavelength is {wanted:.6g} Å; they must agree "
        f"within {100 * WAVELENGTH_TOLERANCE:g} %. Correct `wavelength` in the sample file, or export the scan as text "
        "where the instrument's setting was wrong."
    )


def relative_incidence(scan: Scan, substrate: Reflection) -> NDArray[np.float64]:
    """Angles of incidence minus the substrate's Bragg position [arcsec], shape (angle,)."""
    theta = scan.theta(bragg_angle=substrate.bragg_angle, asymmetry=substrate.asymmetry)
    return np.asarray((theta - substrate.incidence_angle) / ARCSEC)


def check_peak(scan: Scan) -> None:
    """Raise unless something stands out of the scan's noise and floor, away from its ends.

    Raises:
        ValueError: what is there instead of a peak.
    """
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(scan.intensity, 3), axis=1)
    top, middle, low = float(smooth.max()), float(np.median(smooth)), float(np.quantile(smooth, 0.1))
    scatter = 1.05 * float(np.median(np.abs(np.diff(scan.intensity))))  # a standard deviation, robustly
    if scan.intensity.max() < SMALLEST_PEAK:
        raise ValueError(
            f"the largest intensity is {scan.intensity.max():g}; it must be at least {SMALLEST_PEAK:g}. Multiply "
            "the intensities by a constant."
        )
    above = int(np.count_nonzero(scan.intensity))
    if above < LEAST_POINTS_ABOVE_0:
        raise ValueError(
            f"only {above} of its {scan.intensity.size} points {'is' if above == 1 else 'are'} above 0; a curve needs "
            f"at least {LEAST_POINTS_ABOVE_0}: measure longer, or with smaller steps over the Bragg peak."
        )
    few = scan.intensity_kind == "counts" and top < LEAST_PEAK_COUNTS
    if few or top < LEAST_PEAK_RATIO * low or top < middle + LEAST_PEAK_SIGMA * scatter:
        brightest = int(scan.intensity.argmax())
        shown = f"{scan.intensity[brightest]:g}"
        if scan.intensity[brightest] > LONE_RATIO * top:
            raise ValueError(
                f"no peak in the scan: one point alone is bright, {shown} at {scan.shown(scan.angle[brightest])}, "
                f"beside others of at most {top:g}. Remove it, or measure with smaller steps."
            )
        if few:
            raise ValueError(
                f"too few counts to say anything: {shown} at the strongest point; at least 100 are needed: measure "
                "longer."
            )
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
