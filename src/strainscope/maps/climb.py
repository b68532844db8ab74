"""Maxima of many pixels' posteriors at once.

From each place two kinds of steps are tried: along the curve on which residuals that are linear in strain and E over
depth fall evenly (`Centres`), and straight ones, damped more or less (Levenberg and Marquardt's).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.centres import Centres
from strainscope.inversion.target import LinearFeatures, Target
from strainscope.inversion.warp import FARTHEST
from strainscope.maps.pixels import Pixels

Floats = NDArray[np.float64]
Whole = NDArray[np.intp]

# Shares of the way along the curve; damping of straight steps at first, factors that are tried at once, and how it
# changes; beyond the last a climb has come to nothing.
_SHARES = np.array([1.0])
_FIRST, _TRIED = 1e-2, np.array([0.1, 10.0])
_LOSS, _LEAST, _MOST = 100.0, 1e-6, 1e7
# Places stay this far inside of where numbers end.
_INSIDE = 0.9 * FARTHEST
# A step ends a climb that would gain less than this in -2 ln p: the place is then right to a fifth of a
# standard deviation before the step, and to far less after it.
CLOSE = 0.05
# So near to what it promised a step has kept it.
_KEPT = 0.3
# Where no more than this is promised a climb has come to its end, whether the step keeps it or not.
_LITTLE = 1.0
# The same where less than `_KEPT` is gained of this.
_CREEPING = 6.0
# Places that are worked on together.
_TOGETHER = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Summits:
    """Where climbs ended.

    Attributes:
        z: Places, shape (climb, d).
        misfit: -2 ln p there, shape (climb,).
        ended: Whether the climb came to its end, shape (climb,).
        jacobians: That were computed, of all climbs together.
    """

    z: Floats
    misfit: Floats
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
    if not number:
        return Summits(z=z, misfit=np.empty(0), ended=np.empty(0, dtype=np.bool_), jacobians=0)
    of = Target(pixels.problem).features(np.median(z, axis=0))
    misfit = pixels.misfit(z, rows)
    damping = np.full(number, _FIRST)
    ended = np.zeros(number, dtype=np.bool_)
    going, jacobians = np.arange(number), 0
    for _ in range(steps):
        newton, gain, tried = _steps(pixels, of, z[going], rows[going], damping[going])
        jacobians += len(going)
        near = gain < close
        z[going[near]] = newton[near]
        ended[going[near]] = True
        going, tried = going[~near], tried[~near]
        if not len(going):
            break
        reached = pixels.misfit(tried.reshape(-1, d), np.repeat(rows[going], tried.shape[1]))
        reached = reached.reshape(len(going), -1)
        reached = np.where(np.isfinite(reached), reached, np.inf)
        best = np.argmin(reached, axis=1)
        lower = reached[np.arange(len(going)), best]
        fallen = misfit[going] - lower
        better = fallen > 0
        moved = going[better]
        z[moved], misfit[moved] = tried[np.arange(len(going)), best][better], lower[better]
        # Curved steps say nothing of the damping.
        straight = np.argmin(reached[:, len(_SHARES) :], axis=1)
        factor = np.where(better, _TRIED[straight], _LOSS)
        damping[going] = np.maximum(damping[going] * factor, _LEAST)
        # A step that gained what it promised has come to where nothing is left to gain; in curved valleys the last bit
        # is not worth the way.
        promised = gain[~near]
        arrived = (better & (np.abs(promised - fallen) < _KEPT)) | (promised < _LITTLE)
        arrived |= better & (fallen < _KEPT) & (promised < _CREEPING)
        ended[going[arrived]] = True
        going = going[(damping[going] <= _MOST) & ~arrived]
        if not len(going):
            break
    return Summits(z=z, misfit=pixels.misfit(z, rows), ended=ended, jacobians=jacobians)


def _steps(
    pixels: Pixels, of: LinearFeatures, z: Floats, rows: Whole, damping: Floats
) -> tuple[Floats, Floats, Floats]:
    """Where Gauss-Newton steps lead (n, d), their gain in -2 ln p (n,), and places worth trying (n, step, d)."""
    d, parts = z.shape[1], []
    for first in range(0, len(z), _TOGETHER):
        part = slice(first, first + _TOGETHER)
        centres = Centres(pixels.target(rows[part]), of, z[part])
        slope = np.einsum("kji,kj->ki", centres.triangle, centres.start)
        square = np.einsum("kji,kjl->kil", centres.triangle, centres.triangle)
        diagonal = np.einsum("nkk->nk", square)
        extra = (damping[part, None] * _TRIED)[..., None] * diagonal[:, None]
        matrices = square[:, None] + extra[..., None] * np.eye(d)
        straight = z[part][:, None] - np.linalg.solve(matrices, slope[:, None, :, None])[..., 0]
        newton = z[part] - np.linalg.solve(centres.triangle, centres.start[..., None])[..., 0]
        tried = np.concatenate([centres.downhill(_SHARES), straight], axis=1)
        parts.append((newton, (centres.start**2).sum(axis=1), tried))
    newton, gain, tried = (np.concatenate(column) for column in zip(*parts, strict=True))
    return np.clip(newton, -_INSIDE, _INSIDE), gain, np.clip(tried, -_INSIDE, _INSIDE)
