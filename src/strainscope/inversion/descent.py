"""Descents of the posterior's misfit from many starts at once, along paths on which residuals fall evenly.

From each place two kinds of steps are tried: along the curve on which residuals that are linear in strain and E over
depth fall evenly (`Centres`), and straight ones, damped more or less (Levenberg and Marquardt's). The exact misfit
decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.centres import Centres
from strainscope.inversion.target import Target
from strainscope.inversion.warp import FARTHEST

Floats = NDArray[np.float64]

# Shares of the way along the curve.
_SHARES = np.array([0.15, 0.4, 0.7, 1.0])
# Damping of straight steps, in units of the curvature that the prior adds.
_DAMPINGS = 10.0 ** np.arange(-1.0, 6.0)[:, None, None]
# Steps stay this far inside of where numbers end.
INSIDE = 0.9 * FARTHEST
# This much above the best, in sums of squares, a descent is not near it.
_FAR = 60.0

Alike = Callable[[Floats, Floats], Sequence[tuple[int, list[int]]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Descents:
    """Where descents ended.

    Attributes:
        z: Places, shape (start, d).
        misfit: There, shape (start,).
        leader: For each start that which it came together with, itself if with none better, shape (start,).
    """

    z: Floats
    misfit: Floats
    leader: NDArray[np.int64]

    def ends(self, behind: NDArray[np.int64]) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """Places, misfits and starts behind them of those that came together with no better one.

        Args:
            behind: Starts that each of these starts stood for, shape (start,).
        """
        lead = np.unique(self.leader)
        together = np.bincount(self.leader, weights=behind, minlength=len(self.z))
        return self.z[lead], self.misfit[lead], together[lead].astype(np.int64)


def descend(
    target: Target,
    starts: Floats,
    *,
    steps: int,
    tolerance: float,
    alike: Alike,
    progress: Callable[[float], None] = lambda share: None,
) -> Descents:
    """Places of lower misfit, one for each start.

    A descent ends when it comes together with a better one, and when it lies so far above the best that its last gain
    in each step left would not bring it near.

    Args:
        target: The posterior.
        starts: Shape (start, d).
        steps: At most.
        tolerance: A descent ends when a step gains less than this in the misfit, the sum of squares of scan and prior.
        alike: Tells which places are one: the best of each kind, and all of it.
        progress: Called with the share done.
    """
    z = np.clip(starts, -INSIDE, INSIDE)
    features = target.features(z[0])
    misfit = target.misfit(z)
    leader, going = np.arange(len(z)), np.arange(len(z))
    for step in range(steps):
        tried = steps_from(Centres(target, features, z[going]))
        places = np.concatenate(tried)
        reached = target.misfit(places)
        ends = np.cumsum([len(own) for own in tried])[:-1]
        best = np.array([np.argmin(own) for own in np.split(reached, ends)])
        found = np.array([own[k] for own, k in zip(tried, best, strict=True)])
        value = np.array([own[k] for own, k in zip(np.split(reached, ends), best, strict=True)])
        gain = misfit[going] - value
        better = going[gain > 0]
        z[better], misfit[better] = found[gain > 0], value[gain > 0]
        hopeful = misfit[going] - (steps - 1 - step) * gain < misfit.min() + _FAR
        going = going[(gain > tolerance) & hopeful]
        progress((step + 1) / steps)
        if not len(going):
            break
        for lead, members in alike(z[going], misfit[going]):
            leader[going[members]] = going[lead]
        going = going[leader[going] == going]
    # Who came together with one that later came together with another.
    while (leader[leader] != leader).any():
        leader = leader[leader]
    return Descents(z=z, misfit=misfit, leader=leader)


def steps_from(centres: Centres) -> list[Floats]:
    """Places worth trying from each of some centres, shape (n, d) each."""
    number = len(centres.place)
    curved = centres.downhill(_SHARES)
    straight = centres.place[:, None] + straight_steps(centres.start, centres.triangle)
    return [
        np.clip(np.concatenate([curved[k], straight[k]]), -INSIDE, INSIDE) for k in range(number)
    ]


def straight_steps(residuals: Floats, jacobian: Floats) -> Floats:
    """Steps (n, damping, d) down from residuals (n, point) with derivatives (n, point, d), damped more and more."""
    square = np.einsum("kpi,kpj->kij", jacobian, jacobian)[:, None]
    slope = np.einsum("kpi,kp->ki", jacobian, residuals)[:, None, :, None]
    damped = square + _DAMPINGS * np.eye(jacobian.shape[2])
    return -np.asarray(np.linalg.solve(damped, slope)[..., 0])
