"""The integral of a density that can be drawn from, from its draws and those of a distribution like it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from strainscope.inversion.curved import Curved

Floats = NDArray[np.float64]

_ITERATIONS = 100
_CLOSE = 1e-6


def log_normaliser(
    log_density: Callable[[Floats], Floats], draws: Floats, values: Floats, *, rng: np.random.Generator
) -> float:
    """ln of the integral of a density, by bridge sampling.

    A distribution that bends with them learns from half of the draws; the other half, and as many of its own, are the
    two ends of the bridge.

    Args:
        log_density: Gives the log density (n,) of places (n, d).
        draws: Of the density, shape (n, d).
        values: Its logarithm there, shape (n,).
        rng: Source of randomness.

    Returns:
        The logarithm; infinite where both ends do not meet, so that it cannot be told.

    References:
        Meng & Wong, Statistica Sinica 6 (1996) 831
    """
    learnt, ours, known = draws[::2], draws[1::2], values[1::2]
    other = Curved.around(learnt, np.full(len(learnt), 1 / len(learnt)))
    theirs = other.place(rng.standard_normal(ours.shape))
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
        if not np.isfinite(found):
            return float("inf")
        if abs(found - before) < _CLOSE:
            break
    return found
