"""Which maxima of a posterior are one: those between which a path leads along which the density hardly falls."""

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.target import Target

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

LOW = 4.0
"""Barrier, in the sum of squares of scan and prior, up to which two maxima are one: the density falls to exp(-2)."""

# Places along a path, and the damping of their steps in units of the curvature that the prior adds.
_PLACES, _DAMPINGS = 13, 10.0 ** np.arange(-1.0, 5.0)


def connected(target: Target, maxima: Floats, *, relaxed: int) -> Labels:
    """For each maximum (n, d) the first one that it is one with, through others or at once.

    Args:
        target: The posterior.
        maxima: Shape (n, d).
        relaxed: How often a path is relaxed, at most.
    """
    label = np.arange(len(maxima))
    apart = np.linalg.norm(maxima[:, None] - maxima, axis=2)
    first, second = np.triu_indices(len(maxima), 1)
    order = np.argsort(apart[first, second], kind="stable")
    for i, j in zip(first[order], second[order], strict=True):
        if label[i] != label[j] and barrier(target, maxima[i], maxima[j], relaxed=relaxed) < LOW:
            label[label == max(label[i], label[j])] = min(label[i], label[j])
    return label


def barrier(target: Target, first: Floats, second: Floats, *, relaxed: int) -> float:
    """How far the misfit rises above the worse end on the best path between two places (d,) that was found.

    Places along the path fall across it, by damped Gauss-Newton steps, and are spread evenly again. Below `LOW` it is
    looked for no further.

    Args:
        target: The posterior.
        first: One end.
        second: The other.
        relaxed: How often the path is relaxed, at most.

    References:
        E, Ren & Vanden-Eijnden, Phys. Rev. B 66 (2002) 052301 (string method)
    """
    path = first + np.linspace(0, 1, _PLACES)[:, None] * (second - first)
    lowest = np.inf
    for round_ in range(relaxed + 1):
        misfit = target.misfit(path)
        lowest = min(lowest, float(misfit.max() - max(misfit[0], misfit[-1])))
        if lowest < LOW or round_ == relaxed:
            break
        path = _spread_evenly(_fallen(target, path, misfit))
    return lowest


def _fallen(target: Target, path: Floats, misfit: Floats) -> Floats:
    """All but the ends a step across the path (place, d) down."""
    inner = np.arange(1, len(path) - 1)
    residual, slopes = target.linearised(path[inner])
    steps = []
    for k in inner:
        along = path[k + 1] - path[k - 1]
        across = np.linalg.svd(along[None])[2][1:].T
        residuals, jacobian = residual[k - 1], slopes[k - 1]
        reduced = jacobian @ across
        square, slope = reduced.T @ reduced, reduced.T @ residuals
        damped = square + _DAMPINGS[:, None, None] * np.eye(len(square))
        straight = np.linalg.solve(damped, np.tile(slope, (len(_DAMPINGS), 1))[..., None])[..., 0]
        steps.append(path[k] - straight @ across.T)
    tried = np.concatenate(steps)
    reached = target.misfit(tried).reshape(len(inner), -1)
    best = reached.argmin(axis=1)
    moved = path.copy()
    for row, k in enumerate(inner):
        if reached[row, best[row]] < misfit[k]:
            moved[k] = steps[row][best[row]]
    return moved


def _spread_evenly(path: Floats) -> Floats:
    """As many places, the same distance apart along the path (place, d)."""
    length = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1)))
    even = np.linspace(0, length[-1], len(path))
    return np.stack([np.interp(even, length, column) for column in path.T], axis=1)
