"""How far residuals exceed the assumed noise, and how many points stand for each independent one."""

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.chance import left, squares_by_chance
from strainscope.inversion.problem import Problem
from strainscope.inversion.refine import Fit
from strainscope.inversion.target import robust

Floats = NDArray[np.float64]

# Excess over the assumed noise, in standard deviations of chance, from which it counts.
_BEYOND_CHANCE = 3.0


def noise_spread(problem: Problem, fit: Fit) -> Floats:
    """Factor at each point (point,) by which the scan that it is of is noisier than assumed, see `spread_of`.

    Args:
        problem: The scans prepared.
        fit: The best one.
    """
    squares = (robust(fit.residuals) if problem.model_error else fit.residuals) ** 2
    share = left(len(fit.residuals), len(problem.prior.free))
    parts = [problem.split(own) for own in (fit.residuals, squares, *squares_by_chance(problem, fit.model))]
    return np.concatenate(
        [
            np.full(len(residuals), spread_of(residuals, own.sum(), share * mean.sum(), share * variance.sum()))
            for residuals, own, mean, variance in zip(*parts, strict=True)
        ]
    )


def spread_of(residuals: Floats, squares: float, mean: float, variance: float) -> float:
    """Factor by which squares exceed what is expected of them, times the points for each independent one.

    Each of both is 1 within chance.

    Args:
        residuals: Of one scan, shape (point,).
        squares: Their sum as the likelihood takes it.
        mean: Of that sum by chance.
        variance: Of that sum by chance.
    """
    excess = squares / mean if squares > mean + _BEYOND_CHANCE * np.sqrt(variance) else 1.0
    alike = points_per_independent(residuals)
    bounded = np.clip(residuals - residuals.mean(), -3, 3)
    first = float(bounded[1:] @ bounded[:-1]) / max(float(bounded @ bounded), 1e-300)
    if first < _BEYOND_CHANCE / np.sqrt(len(bounded)):
        alike = 1.0
    return float(excess * alike)


def points_per_independent(residuals: Floats) -> float:
    """Measured points for each independent residual, 1 + 2 Σ autocorrelations, at least 1.

    The sum ends at the first autocorrelation that a white sequence of this length would show by chance.

    References:
        Bayley & Hammersley, J. R. Stat. Soc. Suppl. 8 (1946) 184, on the effective number of observations.
    """
    n = len(residuals)
    bounded = np.clip(residuals, -3, 3)
    centred = bounded - bounded.mean()
    power = float(centred @ centred)
    if power == 0:
        return 1.0
    total = 1.0
    for lag in range(1, n // 4):
        share = float(centred[:-lag] @ centred[lag:]) / power
        if share < 2 / np.sqrt(n):
            break
        total += 2 * share
    return total
