"""What counting leaves by chance where the model is right: squares of residuals, point by point and in all."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, poisson

from strainscope.inversion.problem import Problem
from strainscope.inversion.refine import Fit

Floats = NDArray[np.float64]

# Expected counts at which moments are tabulated; beyond the last they are those of normal noise to a part in a
# thousand. Counts that any of them leads to, at most.
_EXPECTED, _MOST_COUNTS = np.geomspace(1e-3, 200, 160), 400


def squares_by_chance(problem: Problem, model: Floats) -> tuple[Floats, Floats]:
    """Mean and variance (point,) of the squares of residuals that counting leaves around the right model.

    Without a model error these are Poisson's deviances: of few counts they are larger in the mean than those of a
    normal distribution (1.16 at 1.5 counts), of less than half a count smaller. With a model error 1 and 2 stand for
    them.

    Args:
        problem: The scans prepared.
        model: Expected intensities of all scans, shape (point,).
    """
    if problem.model_error:
        return np.ones(len(model)), np.full(len(model), 2.0)
    parts = zip(problem.measurements, problem.split(model), strict=True)
    return deviance_moments(np.concatenate([own.likelihood.counts(part) for own, part in parts]))


def misfit_chance(problem: Problem, fit: Fit) -> float:
    """Chance [1] that counting, and the error granted to the model, leave as large a sum of squares as a fit.

    The sum is taken for a multiple of a chi-square variable, of the mean and variance that its points have.
    """
    mean, variance = (
        part.sum() * left(len(fit.residuals), len(problem.prior.free))
        for part in squares_by_chance(problem, fit.model)
    )
    return float(chi2.sf(2 * mean * fit.chi2 / variance, 2 * mean**2 / variance))


def left(points: int, free: int) -> float:
    """Share of the squares at so many points that fitting so many parameters leaves."""
    return max(points - free, 1) / points


def deviance_moments(expected: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of Poisson's deviance where so many counts are expected, shape (*,) as given.

    References:
        McCullagh & Nelder, Generalized Linear Models (1989), on the deviance of few counts
    """
    mean, variance = _tabulated()
    where, grid = np.log(np.maximum(expected, _EXPECTED[0])), np.log(_EXPECTED)
    return np.interp(where, grid, mean, right=1.0), np.interp(where, grid, variance, right=2.0)


@cache
def _tabulated() -> tuple[Floats, Floats]:
    """Mean and variance at the expected counts of the table."""
    counts = np.arange(_MOST_COUNTS + 1)
    chance = poisson.pmf(counts, _EXPECTED[:, None])
    logs = counts * np.log(np.maximum(counts, 1) / _EXPECTED[:, None])
    deviance = 2 * (logs - (counts - _EXPECTED[:, None]))
    mean = (chance * deviance).sum(axis=1)
    return mean, (chance * deviance**2).sum(axis=1) - mean**2
