"""The integral of a density that can be drawn from, from its draws and those of a distribution like it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from strainscope.inversion.heavy_tailed import HeavyTailed

Floats = NDArray[np.float64]

# Heavier tails than a normal distribution's: what is integrated may have them.
_FREEDOM = 8
_ITERATIONS = 100
_CLOSE = 1e-6


def log_normaliser(
    log_density: Callable[[Floats], Floats], draws: Floats, values: Floats, *, rng: np.random.Generator
) -> float:
    """ln of the integral of a density, by bridge sampling.

    A t-distribution takes mean and covariance from half of the draws; the other half, and as many of its own, are the
    two ends of the bridge.

    Args:
        log_density: Gives the log density (n,) of places (n, d).
        draws: Of the density, shape (n, d).
        values: Its logarithm there, shape (n,).
        rng: Source of randomness.

    References:
        Meng & Wong, Statistica Sinica 6 (1996) 831
    """
    learnt, ours, known = draws[::2], draws[1::2], values[1::2]
    scale = (_FREEDOM - 2) / _FREEDOM * np.atleast_2d(np.cov(learnt, rowvar=False))
    other = HeavyTailed(mean=learnt.mean(axis=0), scale=scale, freedom=_FREEDOM)
    theirs = other.draw(len(ours), rng=rng)
    mine = known - other.log_density(ours)
    its = log_density(theirs) - other.log_density(theirs)
    its = np.where(np.isfinite(its), its, -np.inf)
    # Both ends have as many draws, so that their shares cancel.
    found = float(np.median(mine))
    for _ in range(_ITERATIONS):
        before = found
        above = logsumexp(its - np.logaddexp(its, before))
        below = logsumexp(-np.logaddexp(mine, before))
        found = float(above - below)
        if abs(found - before) < _CLOSE:
            break
    return found
