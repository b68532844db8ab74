"""How many counts make one unit of a scan's intensity, estimated from the scatter of its points."""

from decimal import Decimal
from functools import cache
from math import ceil, comb, floor, log

import numpy as np
from numpy.typing import NDArray

from strainscope.scan.scan import FloatArray, Scan

DIFFERENCE_ORDER = 6
DIFFERENCE = np.array([(-1.0) ** k * comb(DIFFERENCE_ORDER, k) for k in range(DIFFERENCE_ORDER + 1)])
CLIP = 3.0  # standard deviations; beyond it, a difference is taken to show a peak rather than noise
CLIPPED_VARIANCE = 0.9733369246625415  # of a unit normal deviate within ± CLIP
MEDIAN_CHI2 = 0.45493642311957283  # of chi squared, one degree of freedom
LAGS = 14
# Of fewer differences the correlation is too uncertain: one unsmoothed scan in thirty would be misjudged.
SMOOTHING_POINTS = 200
SMOOTHING_EVIDENCE = 60.0
SMOOTHING_RATIO = 3.0
SMALLEST_INTENSITY = 1e-280  # fractions of smaller ones lose digits
MOST_COUNTS_IN_SMALLEST = 2000
QUANTUM_LOG_CHANCE = -10.0
QUANTUM_AGREEMENT = 2.0
MOST_PEAK_COUNTS = 1e12


def estimate_counts_per_unit(scan: Scan) -> float:
    r"""Counts per unit of intensity, from the scatter of neighbouring points.

    Counts :math:`N` behind an intensity :math:`y = N / f` give :math:`\operatorname{var} y = \bar y / f`.
    Sixth differences :math:`d` of neighbours remove a smooth curve, also a steep peak of some six points and
    more across its half width, so

    .. math:: 1/f = \langle d_i^2 / \textstyle\sum_k c_k^2 y_{i+k} \rangle, \qquad c_k = (-1)^k \binom{6}{k},

    a mean clipped at three standard deviations, which drops what the differences leave of sharper peaks. Then

    - smoothing shows in the correlation of the differences: moving averages, Gaussian, binomial and
      Savitzky-Golay filters are told from it and their gain on :math:`d` is divided out, so that :math:`f` is
      that of the counts before smoothing;
    - where the small intensities are multiples of one unit (each a count), that gives :math:`f` exactly,
      provided that it cannot be chance or rounding and the scatter agrees within a factor of two.

    Limits: about ± 15 % (one standard deviation) at 200 points where no unit is found. A constant added or
    subtracted by hand, a second intensity scale, dead time and noise of other origin bias it; smoothing by
    other filters, or in a scan too short to tell it (fewer than some 300 points), makes it too large by up to
    the inverse of the filter's gain. Points must be about equally spaced.

    Args:
        scan: The measured curve; its `intensity_kind` and `sigma` are not used.

    Returns:
        Counts per unit of intensity [1], > 0.

    Raises:
        ValueError: neighbouring points show no counting noise (a calculated curve, or one smoothed heavily).
    """
    # Scaled to a largest value of 1, so that squares neither over- nor underflow.
    unit = float(scan.intensity.max())
    scatter, gain = _scatter(scan.intensity / unit)
    if scatter * MOST_PEAK_COUNTS < gain:
        raise ValueError(
            "neighbouring intensities scatter too little for counting noise, so the counts per unit cannot "
            "be estimated. State them, or give the standard deviations as a third column."
        )
    from_scatter = 1 / (scatter * unit)
    quantum = _quantum(scan.intensity)
    if quantum is not None:
        agreement = quantum * from_scatter
        # Scatter as of so many counts: they are. Less, and no known filter: smoothed by an unknown one, which
        # leaves the unit the better guess. More: the unit is that of an analogue-to-digital converter.
        if 1 / QUANTUM_AGREEMENT < agreement and (agreement < QUANTUM_AGREEMENT or gain == 1.0):
            return 1 / quantum
    return gain * from_scatter


def _scatter(intensity: FloatArray) -> tuple[float, float]:
    """Variance over mean of the intensities, as their differences show it, and the smoothing's gain on it."""
    difference = np.convolve(intensity, DIFFERENCE, "valid")
    expected = np.convolve(intensity, DIFFERENCE**2, "valid")
    # Equal neighbours (a floor set by hand, a row of zeros) say nothing about noise.
    windows = np.lib.stride_tricks.sliding_window_view(intensity, DIFFERENCE_ORDER + 1)
    usable = windows.max(axis=1) > windows.min(axis=1)
    deviate = np.zeros_like(difference)
    deviate[usable] = difference[usable] / np.sqrt(expected[usable])
    if not usable.any():
        return 0.0, 1.0
    variance = float(np.median(deviate[usable] ** 2)) / MEDIAN_CHI2
    for _ in range(30):
        kept = usable & (deviate**2 <= CLIP**2 * variance)
        variance = float(np.mean(deviate[kept] ** 2)) / CLIPPED_VARIANCE if kept.any() else 0.0
    if variance == 0.0:
        return 0.0, 1.0
    return variance, _smoothing_gain(np.where(kept, deviate, 0.0), kept)


def _smoothing_gain(deviate: FloatArray, kept: NDArray[np.bool_]) -> float:
    """Variance of smoothed over unsmoothed noise, both after differencing; 1 when not smoothed."""
    if kept.sum() < SMOOTHING_POINTS:
        return 1.0
    power = np.sum(deviate**2) / kept.sum()
    pairs = np.array([np.sum(kept[lag:] & kept[:-lag]) for lag in range(1, LAGS + 1)])
    products = np.array([np.sum(deviate[lag:] * deviate[:-lag]) for lag in range(1, LAGS + 1)])
    correlation = products / np.maximum(pairs, 1) / power
    candidates = _smoothing_candidates()
    misfit = [float(np.sum((correlation - candidate) ** 2)) for _, candidate in candidates]
    best = int(np.argmin(misfit))
    # The first candidate is no smoothing; it stands unless another explains the correlation far better.
    if misfit[0] * kept.sum() < SMOOTHING_EVIDENCE or misfit[0] < SMOOTHING_RATIO * misfit[best]:
        return 1.0
    return candidates[best][0]


@cache
def _smoothing_candidates() -> list[tuple[float, FloatArray]]:
    """Gain and correlation at lags 1 to LAGS of differenced noise for each filter, no filter first."""
    offset = np.arange(-8, 9)
    filters = [np.ones(1), np.array([0.25, 0.5, 0.25])]
    filters += [np.full(width, 1 / width) for width in (2, 3, 4, 5, 6, 7, 9, 11)]
    for width in (0.6, 0.7, 0.85, 1.0, 1.2, 1.5):
        gaussian = np.exp(-0.5 * (offset / width) ** 2)
        filters.append(gaussian / gaussian.sum())
    for points in (5, 7, 9, 11):
        powers = np.vander(np.arange(points) - points // 2, 3, increasing=True)
        filters.append(np.linalg.pinv(powers)[0])  # Savitzky-Golay, quadratic
    candidates = []
    for weights in filters:
        response = np.convolve(weights, DIFFERENCE)
        covariance = np.correlate(response, response, "full")[response.size - 1 :]
        covariance = np.pad(covariance, (0, LAGS + 1))[: LAGS + 1]
        gain = float(covariance[0] / np.sum(DIFFERENCE**2))
        candidates.append((1.0 if weights.size == 1 else gain, covariance[1:] / covariance[0]))
    return candidates


def _quantum(intensity: FloatArray) -> float | None:
    """Largest unit of which the intensities are multiples within their rounding, if that cannot be chance.

    The smallest intensity is taken as 1, 2, 3 ... units in turn. The next larger ones then have to lie at
    multiples, within what their printed digits leave open, and narrow the unit. The chance of each hit is the
    width of what would have passed over the unit; a unit equal to the last printed digit passes always and
    proves nothing. A miss ends the row without undoing it: corrections for dead time bend the larger ones.
    """
    values = np.unique(intensity[intensity > SMALLEST_INTENSITY])
    if values.size < 2:
        return None
    rows = list(zip(values.tolist(), _rounding(values).tolist(), strict=True))
    smallest, smallest_leeway = rows[0]
    for parts in range(1, MOST_COUNTS_IN_SMALLEST + 1):
        low, high = (smallest - smallest_leeway) / parts, (smallest + smallest_leeway) / parts
        log_chance = log(MOST_COUNTS_IN_SMALLEST)
        for value, leeway in rows[1:]:
            multiple = ceil((value - leeway) / high)
            # None fits, or several do, as the unit is not known well enough this far out.
            if low > high or multiple != floor((value + leeway) / low):
                break
            # Half at best: were the true unit half of this one, every second value would hit.
            log_chance += min(0.0, max(-log(2), log((2 * leeway + multiple * (high - low)) / low)))
            low, high = max(low, (value - leeway) / multiple), min(high, (value + leeway) / multiple)
        if log_chance < QUANTUM_LOG_CHANCE:
            return float((low + high) / 2)
    return None


def _rounding(values: FloatArray) -> FloatArray:
    """Half of the last digit to which each value is likely to have been printed, shape of `values`."""
    printed = [Decimal(repr(value)).normalize().as_tuple() for value in values.tolist()]
    decimals = max(0, *(-int(number.exponent) for number in printed))
    digits = max(len(number.digits) for number in printed)
    last_digit = np.maximum(10.0**-decimals, 10.0 ** (np.floor(np.log10(values)) + 1 - digits))
    # A little more than half, for values at the edge; and a few float64 roundings, for calculated ones.
    return np.asarray(0.51 * last_digit + 1e-14 * values)
