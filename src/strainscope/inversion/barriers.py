"""Which maxima of a posterior are one: those between which a path leads along which the density hardly falls."""

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.descent import INSIDE, straight_steps
from strainscope.inversion.target import Target

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

LOW = 4.0
"""Barrier, in the sum of squares of scan and prior, up to which two maxima are one: the density falls to exp(-2)."""

_PLACES = 13


def connected(target: Target, maxima: Floats, *, relaxed: int) -> Labels:
    """For each maximum (n, d) the first one that it is one with, through others or at once.

    Paths are looked for between neighbours: maxima of which no third one lies nearer to both (a graph that holds the
    shortest tree through all).

    Args:
        target: The posterior.
        maxima: Shape (n, d).
        relaxed: How often a path is relaxed, at most.

    References:
        Toussaint, Pattern Recognition 12 (1980) 261 (relative neighbourhood graph)
    """
    label = np.arange(len(maxima))
    apart = np.linalg.norm(maxima[:, None] - maxima, axis=2)
    between = np.maximum(apart[:, None], apart[None]) < apart[:, :, None]
    first, second = np.nonzero(np.triu(~between.any(axis=2), 1))
    order = np.argsort(apart[first, second], kind="stable")
    for i, j in zip(first[order], second[order], strict=True):
        if label[i] != label[j] and barrier(target, maxima[i], maxima[j], relaxed=relaxed) < LOW:
            label[label == max(label[i], label[j])] = min(label[i], label[j])
    return label


def barrier(target: Target, first: Floats, second: Floats, *, relaxed: int) -> float:
    """How far the misfit rises above the worse end on the best path between two places (d,) that was found.

    Places along the path fall across it, by damped Gauss-Newton steps, and are spread evenly again. It is looked for no
    further below `LOW`, nor where it would not come there at its last pace.

    Args:
        target: The posterior.
        first: One end.
        second: The other.
        relaxed: How often the path is relaxed, at most.

    References:
        E, Ren & Vanden-Eijnden, Phys. Rev. B 66 (2002) 052301 (string method)
    """
    path = first + np.linspace(0, 1, _PLACES)[:, None] * (second - first)
    lowest = before = np.inf
    for left in range(relaxed, -1, -1):
        misfit = target.misfit(path)
        height = float(misfit.max() - max(misfit[0], misfit[-1]))
        lowest = min(lowest, height)
        hopeless = np.isfinite(before) and height * min(height / before, 1.0) ** left > LOW
        if lowest < LOW or hopeless or not left:
            break
        path, before = _spread_evenly(_fallen(target, path, misfit)), height
    return lowest


def _fallen(target: Target, path: Floats, misfit: Floats) -> Floats:
    """All but the ends a step across the path (place, d) down."""
    inner = np.arange(1, len(path) - 1)
    residual, slopes = target.linearised(path[inner])
    across = np.linalg.svd((path[2:] - path[:-2])[:, None])[2][:, 1:]
    steps = straight_steps(residual, slopes @ np.swapaxes(across, 1, 2)) @ across
    tried = np.clip(path[inner, None] + steps, -INSIDE, INSIDE)
    reached = target.misfit(tried.reshape(-1, path.shape[1])).reshape(tried.shape[:2])
    best = reached.argmin(axis=1)
    lower = reached.min(axis=1) < misfit[inner]
    moved = path.copy()
    moved[inner[lower]] = tried[lower, best[lower]]
    return moved


def _spread_evenly(path: Floats) -> Floats:
    """As many places, the same distance apart along the path (place, d)."""
    length = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1)))
    even = np.linspace(0, length[-1], len(path))
    return np.stack([np.interp(even, length, column) for column in path.T], axis=1)
