"""Descents of the posterior's misfit from many starts at once, along paths on which residuals fall evenly.

From each place two kinds of steps are tried: along the curve on which residuals that are linear in strain and E over
depth fall evenly (`Centres`), and straight ones, damped more or less (Levenberg and Marquardt's). The exact misfit
decides.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.centres import Centres
from strainscope.inversion.target import Target, log_density
from strainscope.inversion.warp import FARTHEST

Floats = NDArray[np.float64]

# Shares of the way along the curve.
_SHARES = np.array([0.15, 0.4, 0.7, 1.0])
# Damping of straight steps, in units of the curvature that the prior adds.
_DAMPINGS = 10.0 ** np.arange(-1.0, 6.0)
# Steps stay this far inside of where numbers end.
_INSIDE = 0.9 * FARTHEST


def descend(
    target: Target,
    starts: Floats,
    *,
    steps: int,
    tolerance: float,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[Floats, Floats]:
    """Places of lower misfit, one for each start.

    Args:
        target: The posterior.
        starts: Shape (start, d).
        steps: At most.
        tolerance: A descent ends when a step gains less than this in the misfit, the sum of squares of scan and prior.
        progress: Called with the share done.

    Returns:
        Places (start, d) and their misfits (start,).
    """
    z = np.clip(starts, -_INSIDE, _INSIDE)
    features = target.features(z[0])
    misfit = -2 * log_density(z, target.residuals(z))
    going = np.arange(len(z))
    for step in range(steps):
        tried = _steps(Centres(target, features, z[going]))
        places = np.concatenate(tried)
        reached = -2 * log_density(places, target.residuals(places))
        reached = np.where(np.isfinite(reached), reached, np.inf)
        ends = np.cumsum([len(own) for own in tried])[:-1]
        best = np.array([np.argmin(own) for own in np.split(reached, ends)])
        found = np.array([own[k] for own, k in zip(tried, best, strict=True)])
        value = np.array([own[k] for own, k in zip(np.split(reached, ends), best, strict=True)])
        gain = misfit[going] - value
        better = going[gain > 0]
        z[better], misfit[better] = found[gain > 0], value[gain > 0]
        going = going[gain > tolerance]
        progress((step + 1) / steps)
        if not len(going):
            break
    return z, misfit


def _steps(centres: Centres) -> list[Floats]:
    """Places worth trying from each of some centres, shape (n, d) each."""
    number, d = centres.place.shape
    centre = np.repeat(np.arange(number), len(_SHARES))
    goal = (1 - _SHARES)[:, None] * centres.start[:, None]
    curved, found = centres.solve(centre, goal.reshape(-1, d))
    slope = np.einsum("kji,kj->ki", centres.triangle, centres.start)
    square = np.einsum("kji,kjl->kil", centres.triangle, centres.triangle)
    damped = square[:, None] + _DAMPINGS[:, None, None] * np.eye(d)
    straight = centres.place[:, None] - np.linalg.solve(damped, slope[:, None, :, None])[..., 0]
    return [
        np.clip(np.concatenate([curved[found & (centre == k)], straight[k]]), -_INSIDE, _INSIDE)
        for k in range(number)
    ]
