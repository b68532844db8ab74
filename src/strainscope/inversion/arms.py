"""Ways into the arms of a posterior: one coordinate is held far out, all others descend.

What a curve hardly shows leaves long arms that no maximum tells of: a Gaussian beyond the surface may have any width,
and diffuse scattering of short correlation lengths stands for background.
"""

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.descent import INSIDE, straight_steps
from strainscope.inversion.entries import bulk_edge
from strainscope.inversion.levels import Levels
from strainscope.inversion.target import Target

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Where coordinates are held, in sd of the prior, unless the best place lies that near.
_HELD, _NEAR = (-1.6, 1.6), 0.7
# Shares of the background that stay, and correlation lengths of the diffuse scattering that stands for the rest; at
# which amplitudes it is tried.
_BACKGROUNDS, _LENGTHS, _AMPLITUDES = (0.1, 0.5), (-2.4, -1.6, -0.8), np.linspace(-3, 3, 25)
# Steps at first, of which so many ways go on; further ones; and at each smaller model error.
_FIRST, _MOST, _FURTHER, _STEPS = 3, 24, 5, 4


def arms(levels: Levels, peaks: Floats) -> Floats:
    """Places (n, d) just inside the bulk of the posterior far from the best one, in the coordinates of `Target`.

    The model error falls step by step as in `refine_all`; what does not get in is dropped.

    Args:
        levels: The posterior from coarse to exact.
        peaks: Maxima that are known, shape (peak, d).
    """
    best = peaks[np.argmin(levels.exact.misfit(peaks))]
    coarse = levels.coarse
    z, free = _held(coarse, best)
    enough = bulk_edge(coarse, peaks)
    misfit = _descend(coarse, z, free, enough, _FIRST)
    hopeful = np.argsort(misfit, kind="stable")[:_MOST]
    z, free = z[hopeful], free[hopeful]
    misfit = _descend(coarse, z, free, enough, _FURTHER)
    z, free = z[misfit <= enough], free[misfit <= enough]
    for target in levels.falling:
        if not len(z):
            break
        enough = bulk_edge(target, peaks)
        inside = _descend(target, z, free, enough, _STEPS) <= enough
        z, free = z[inside], free[inside]
    return z


def _held(target: Target, best: Floats) -> tuple[Floats, Mask]:
    """Places (n, d) to descend from, and which of their coordinates are free to move."""
    d = len(best)
    places = np.tile(best, (len(_HELD), d, 1))
    for value, own in zip(_HELD, places, strict=True):
        np.fill_diagonal(own, value)
    away = np.abs(best - np.array(_HELD)[:, None]) > _NEAR
    free = np.broadcast_to(~np.eye(d, dtype=np.bool_), places.shape)
    z, held = [places[away]], [free[away]]
    for diffuse in target.diffuse():
        z.append(_scattered(target, best, *diffuse))
        held.append(np.ones(z[-1].shape, dtype=np.bool_))
        held[-1][:, diffuse[1:]] = False
    return np.clip(np.concatenate(z), -INSIDE, INSIDE), np.concatenate(held)


def _scattered(target: Target, best: Floats, amplitude: int, length: int, background: int) -> Floats:
    """Places (n, d) where diffuse scattering of short correlation lengths stands for a part of the background."""
    found = []
    for share in _BACKGROUNDS:
        less = target.values(best[None])
        less[0, target.problem.prior.free[background]] += np.log10(share)
        for own in _LENGTHS:
            tried = np.tile(best, (len(_AMPLITUDES), 1))
            tried[:, background] = target.place(less)[0, background]
            tried[:, length], tried[:, amplitude] = own, _AMPLITUDES
            found.append(tried[np.argmin(target.misfit(tried))])
    return np.array(found)


def _descend(target: Target, z: Floats, free: Mask, enough: float, steps: int) -> Floats:
    """Move places (n, d) by damped steps (Levenberg and Marquardt's) until they are low enough; their misfits (n,)."""
    misfit = target.misfit(z)
    for _ in range(steps):
        going = np.flatnonzero(misfit > enough)
        if not len(going):
            break
        residuals, jacobian = target.linearised(z[going])
        step = straight_steps(residuals, jacobian * free[going, None])
        tried = np.clip(z[going, None] + step, -INSIDE, INSIDE)
        reached = target.misfit(tried.reshape(-1, z.shape[1])).reshape(tried.shape[:2])
        lowest = reached.argmin(axis=1)
        tried, reached = (own[np.arange(len(going)), lowest] for own in (tried, reached))
        better = reached < misfit[going]
        z[going[better]], misfit[going[better]] = tried[better], reached[better]
    return misfit
