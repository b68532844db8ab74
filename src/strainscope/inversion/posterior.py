"""The posterior of a scan: weighted draws of every profile that explains it, and the odds between them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from strainscope.inversion.mixture import WeightedDraws
from strainscope.inversion.modes import nearest_fit
from strainscope.inversion.pareto import pareto_shape
from strainscope.inversion.problem import Problem
from strainscope.inversion.refine import Fit
from strainscope.inversion.sampling import sample_around
from strainscope.inversion.settings import PosteriorSettings
from strainscope.inversion.spread import noise_spread
from strainscope.inversion.target import Peak, Target

Floats = NDArray[np.float64]

# Modes of less weight by their curvature are not drawn from: their bands follow from it, and they hardly count.
_LEAST_WEIGHT = 1e-3
_ROUGH_DRAWS = 1000
# Others get draws in proportion to it, but at least so many of those that the whole posterior is worth.
_LEAST_EFFORT = 0.5
# Two modes are one where so much of the weight that is drawn around one lies nearer to the other.
_SHARED = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class ModePosterior:
    """The posterior around one solution.

    Attributes:
        fit: The best of it.
        starts: Refined starts that led there.
        z: Draws in the coordinates of `Target`, shape (draw, free).
        values: All parameters there, shape (draw, parameter).
        share: Weights of the draws, shape (draw,), sum 1.
        weight: Of the mode among all.
        effective: Effective number of draws.
        pareto: Shape of the weights' tail, see `pareto_shape`.
        exact: False where the draws follow from the curvature alone.
    """

    fit: Fit
    starts: int
    z: Floats
    values: Floats
    share: Floats
    weight: float
    effective: float
    pareto: float
    exact: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class _Drawn:
    """Draws around a fit, and which of the fits each lies nearest to."""

    draws: WeightedDraws
    values: Floats
    nearest: NDArray[np.int64]

    def share_of(self, modes: Sequence[int]) -> float:
        """Weight of the draws that lie nearest to some fits."""
        return float(np.exp(self.draws.log_weight[np.isin(self.nearest, modes)]).sum())


def posterior_of(
    problem: Problem,
    found: Sequence[tuple[Fit, int]],
    settings: PosteriorSettings,
    *,
    rng: np.random.Generator,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[ModePosterior, ...]:
    """The posterior around distinct fits, those of the lowest cost first.

    Args:
        problem: The scan prepared.
        found: Fits and the starts behind each, best first.
        settings: How many draws.
        rng: Source of randomness.
        progress: Called with the share done.
    """
    target = Target(problem, spread=noise_spread(found[0][0], len(problem.prior.free)))
    peaks = [target.peak(fit) for fit, _ in found]
    rough = np.array([peak.log_mass for peak in peaks])
    heavy = [k for k, mass in enumerate(rough) if mass >= logsumexp(rough) + np.log(_LEAST_WEIGHT)]
    fits = [fit for fit, _ in found]
    drawn: dict[int, _Drawn] = {}
    for i, k in enumerate(sorted(heavy, key=lambda k: -rough[k])):
        # What the draws around another fit reach needs none of its own.
        if not any(own.share_of([k]) > _SHARED for own in drawn.values()):
            share = max(float(np.exp(rough[k] - logsumexp(rough))), _LEAST_EFFORT)
            drawn[k] = _draw(target, fits, k, peaks[k], _worth(settings, share), rng)
        progress((i + 1) / len(heavy))
    groups = _groups(heavy, drawn)
    logs = {group[0]: _log_evidence(group, drawn) for group in groups}
    light = [k for k in range(len(found)) if k not in heavy]
    total = logsumexp([*logs.values(), *(rough[k] for k in light)])
    result = [_mode(found, group, drawn, float(np.exp(logs[group[0]] - total))) for group in groups] + [
        _rough(target, found[k], peaks[k], float(np.exp(rough[k] - total)), rng) for k in light
    ]
    return tuple(sorted(result, key=lambda mode: mode.fit.cost))


def _draw(
    target: Target,
    fits: Sequence[Fit],
    k: int,
    peak: Peak,
    settings: PosteriorSettings,
    rng: np.random.Generator,
) -> _Drawn:
    draws = sample_around(
        target, peak.z, peak.covariance, wanted=settings.effective, most=settings.evaluations, rng=rng
    )
    values = target.values(draws.z)
    nearest = nearest_fit(target.problem.model.experiment, fits, values)
    return _Drawn(draws=draws, values=values, nearest=nearest)


def _worth(settings: PosteriorSettings, share: float) -> PosteriorSettings:
    """As much effort as a mode of this share of the posterior is worth."""
    return PosteriorSettings(
        effective=math.ceil(share * settings.effective), evaluations=math.ceil(share * settings.evaluations)
    )


def _groups(fits: Sequence[int], drawn: dict[int, _Drawn]) -> list[list[int]]:
    """Fits whose posteriors run into one another, each group with its best first."""

    def reaches(k: int, j: int) -> bool:
        return k in drawn and drawn[k].share_of([j]) > _SHARED

    groups: list[list[int]] = []
    for k in fits:
        joined = [group for group in groups if any(reaches(k, j) or reaches(j, k) for j in group)]
        groups = [group for group in groups if group not in joined]
        groups.append(sorted([k, *(j for group in joined for j in group)]))
    return sorted(groups)


def _fullest(group: Sequence[int], drawn: dict[int, _Drawn]) -> int:
    """The fit of a group around which most effective draws lie within the group."""
    return max(
        (k for k in group if k in drawn), key=lambda k: drawn[k].draws.effective * drawn[k].share_of(group)
    )


def _log_evidence(group: Sequence[int], drawn: dict[int, _Drawn]) -> float:
    own = drawn[_fullest(group, drawn)]
    return own.draws.log_evidence + float(np.log(max(own.share_of(group), 1e-300)))


def _mode(
    found: Sequence[tuple[Fit, int]], group: Sequence[int], drawn: dict[int, _Drawn], weight: float
) -> ModePosterior:
    own = drawn[_fullest(group, drawn)]
    inside = np.isin(own.nearest, group)
    log_weight = own.draws.log_weight[inside]
    share = np.exp(log_weight - logsumexp(log_weight))
    return ModePosterior(
        fit=found[group[0]][0],
        starts=sum(found[k][1] for k in group),
        z=own.draws.z[inside],
        values=own.values[inside],
        share=share,
        weight=weight,
        effective=float(1 / (share**2).sum()),
        pareto=pareto_shape(log_weight),
        exact=True,
    )


def _rough(
    target: Target,
    found: tuple[Fit, int],
    peak: Peak,
    weight: float,
    rng: np.random.Generator,
) -> ModePosterior:
    """A mode of little weight, with draws of its curvature."""
    z = rng.multivariate_normal(peak.z, peak.covariance, _ROUGH_DRAWS, method="eigh")
    return ModePosterior(
        fit=found[0],
        starts=found[1],
        z=z,
        values=target.values(z),
        share=np.full(len(z), 1 / len(z)),
        weight=weight,
        effective=float(len(z)),
        pareto=float("-inf"),
        exact=False,
    )
