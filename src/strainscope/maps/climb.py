"""Maxima of many pixels' posteriors at once, by damped Gauss-Newton steps (Levenberg-Marquardt)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.warp import FARTHEST
from strainscope.maps.pixels import Pixels

Floats = NDArray[np.float64]
Whole = NDArray[np.intp]

# Damping at first, factors that are tried at once, and how it changes; beyond the last a climb has come to nothing.
_FIRST, _TRIED = 1e-2, np.array([0.0, 0.1, 1.0, 10.0])
_LOSS, _LEAST, _MOST = 100.0, 1e-6, 1e7
# Places stay this far inside of where numbers end.
_INSIDE = 0.9 * FARTHEST
# A step ends a climb that would gain less than this in -2 ln p: the place is then right to a fifth of a
# standard deviation before the step, and to far less after it.
CLOSE = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Summits:
    """Where climbs ended.

    Attributes:
        z: Places, shape (climb, d).
        misfit: -2 ln p there, shape (climb,).
        square: Half its second derivative, as Gauss and Newton take it, shape (climb, d, d).
        ended: Whether the climb came to its end, shape (climb,).
        jacobians: That were computed, of all climbs together.
    """

    z: Floats
    misfit: Floats
    square: Floats
    ended: NDArray[np.bool_]
    jacobians: int


def climb(pixels: Pixels, start: Floats, rows: Whole, *, steps: int, close: float = CLOSE) -> Summits:
    """Maxima of the posterior uphill of places; the exact density decides about every step.

    Args:
        pixels: Whose posteriors.
        start: Places, shape (climb, d).
        rows: Which pixel each is of, shape (climb,).
        steps: At most.
        close: Gain in -2 ln p that is left to the last step.

    References:
        Moré, Lecture Notes in Mathematics 630 (1978) 105, doi:10.1007/BFb0067700
    """
    number, d = start.shape
    z = np.clip(start, -_INSIDE, _INSIDE)
    misfit = pixels.misfit(z, rows)
    square = np.broadcast_to(np.eye(d), (number, d, d)).copy()
    damping = np.full(number, _FIRST)
    ended = np.zeros(number, dtype=np.bool_)
    going, jacobians = np.arange(number), 0
    for _ in range(steps):
        around = pixels.curvature(z[going], rows[going])
        jacobians += len(going)
        square[going] = around.square
        newton = np.linalg.solve(around.square, around.slope[..., None])[..., 0]
        near = (newton * around.slope).sum(axis=1) < close
        z[going[near]] = np.clip(z[going[near]] - newton[near], -_INSIDE, _INSIDE)
        ended[going[near]] = True
        going, kept = going[~near], ~near
        if not len(going):
            break
        diagonal = np.einsum("nkk->nk", around.square[kept])
        extra = (damping[going, None] * _TRIED)[..., None] * diagonal[:, None]
        matrices = around.square[kept][:, None] + extra[..., None] * np.eye(d)
        strides = np.linalg.solve(matrices, around.slope[kept][:, None, :, None])[..., 0]
        tried = np.clip(z[going][:, None] - strides, -_INSIDE, _INSIDE)
        reached = pixels.misfit(tried.reshape(-1, d), np.repeat(rows[going], len(_TRIED)))
        reached = reached.reshape(len(going), -1)
        reached = np.where(np.isfinite(reached), reached, np.inf)
        best = np.argmin(reached, axis=1)
        lower = reached[np.arange(len(going)), best]
        better = lower < misfit[going]
        moved = going[better]
        z[moved], misfit[moved] = tried[np.arange(len(going)), best][better], lower[better]
        factor = np.where(better, np.maximum(_TRIED[best], 0.1), _LOSS)
        damping[going] = np.maximum(damping[going] * factor, _LEAST)
        going = going[damping[going] <= _MOST]
        if not len(going):
            break
    misfit = pixels.misfit(z, rows)
    return Summits(z=z, misfit=misfit, square=square, ended=ended, jacobians=jacobians)
