"""The posterior of a scan: weighted draws of every profile that explains it, and the odds between them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.barriers import connected
from strainscope.inversion.descent import descend
from strainscope.inversion.modes import nearest_fit
from strainscope.inversion.nested import Unfinished, nested_draws
from strainscope.inversion.pareto import effective_size, pareto_shape, trusted
from strainscope.inversion.refine import Fit, refine
from strainscope.inversion.sampling import Drawn, sample
from strainscope.inversion.settings import PosteriorSettings
from strainscope.inversion.spread import noise_spread
from strainscope.inversion.target import Target, log_density

Floats = NDArray[np.float64]

# Modes of less weight are none.
_LEAST_WEIGHT = 1e-3
# Others are told apart by the barriers between them: steps to their maxima, the gain at which they end, and how often a
# path is relaxed.
_STEPS, _GAIN, _RELAXED = 25, 0.02, 6
# A draw this much above all that was fitted, in log density, is fitted anew, with so many evaluations.
_HIGHER, _EVALUATIONS = 1.0, 30


@dataclass(frozen=True, kw_only=True, eq=False)
class ModePosterior:
    """The posterior around one solution.

    Attributes:
        fit: The best of it.
        starts: Refined starts that led there.
        z: Draws in the coordinates of `Target`, shape (draw, free).
        values: All parameters there, shape (draw, parameter).
        share: Weights of the draws, shape (draw,), sum 1; flattened where they could not be trusted, see `trusted`.
        weight: Of the mode among all.
        effective: Effective number of draws, before weights were flattened.
        pareto: Shape of the weights' tail, before they were flattened, see `pareto_shape`.
        odds: Effective number of draws of all modes together, and the shape of their weights' tail, by which the odds
            between modes can be trusted or not; weights of modes are flattened where they cannot.
        log_evidence: ln of the evidence of all modes together by the weighted draws, see `WeightedDraws`.
        nested_log_evidence: The same by nested sampling, whose draws these are then; None where it was not asked for.
        agreement: How the weighted draws compare with nested sampling's; None where it was not asked for.
        unfinished: Why nested sampling that was asked for came to nothing; empty if it did not.
        spread: Factor by which the noise exceeds the assumed one at each point, see `Target`.
    """

    fit: Fit
    starts: int
    z: Floats
    values: Floats
    share: Floats
    weight: float
    effective: float
    pareto: float
    odds: tuple[float, float] = (float("inf"), float("-inf"))
    log_evidence: float = float("nan")
    nested_log_evidence: float | None = None
    agreement: "Agreement | None" = None
    unfinished: str = ""
    spread: float | Floats = 1.0


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far weighted draws are from nested sampling's.

    Attributes:
        mean: Largest difference of the means of a coordinate, in the standard deviations of the heaviest mode.
        sd: Largest relative difference of its standard deviations [1].
        weight: Largest difference of the modes' weights [1].
    """

    mean: float
    sd: float
    weight: float


def posterior_of(
    exact: Target,
    found: Sequence[tuple[Fit, int]],
    peaks: Floats,
    settings: PosteriorSettings,
    *,
    rng: np.random.Generator,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[ModePosterior, ...]:
    """The posterior around distinct fits, the mode of most weight first.

    Args:
        exact: The posterior but for the noise's excess over the assumed one.
        found: Fits and the starts behind each, best first.
        peaks: Maxima of the posterior's density as far as they are known, in the coordinates of `Target`, shape (n, d).
        settings: How many draws.
        rng: Source of randomness.
        progress: Called with the share done.
    """
    problem = exact.problem
    spread = noise_spread(problem, found[0][0])
    target = Target(problem, spread=spread, tables_of=exact)
    experiment, fits = problem.model.experiment, [fit for fit, _ in found]

    def region_of(z: Floats) -> NDArray[np.int64]:
        return nearest_fit(experiment, fits, target.values(z))

    drawn = sample(
        target,
        peaks,
        region_of,
        regions=len(fits),
        wanted=settings.effective,
        most=settings.evaluations,
        rng=rng,
        progress=progress,
    )
    log_evidence, nested, unfinished, weighted = drawn.draws.log_evidence, None, "", None
    if settings.nested:
        try:
            weighted, drawn = drawn, _nested(target, drawn, region_of, settings, seed=int(rng.integers(2**31)))
            nested = drawn.draws.log_evidence
        except Unfinished as error:
            unfinished = str(error)
    share = np.exp(trusted(drawn.draws.log_weight))
    odds = drawn.draws.effective, pareto_shape(drawn.draws.log_weight)
    leads = modes_among(target, drawn, share, peaks, region_of(peaks))
    mode = leads[drawn.region]
    weights = {int(k): float(share[mode == k].sum()) for k in np.unique(mode)}
    agreement = agreement_of(weighted, drawn, leads) if weighted else None
    heavy = sorted((k for k in weights if weights[k] >= _LEAST_WEIGHT), key=lambda k: -weights[k])
    total = sum(weights[k] for k in heavy)
    return tuple(
        replace(
            _mode(
                target,
                [own for own, lead in zip(found, leads, strict=True) if lead == k],
                drawn,
                mode == k,
                weights[k] / total,
            ),
            odds=odds,
            log_evidence=log_evidence,
            nested_log_evidence=nested,
            agreement=agreement,
            unfinished=unfinished,
        )
        for k in heavy
    )


def agreement_of(weighted: Drawn, nested: Drawn, leads: NDArray[np.int64]) -> Agreement:
    """How weighted draws compare with nested sampling's, mode by mode.

    Args:
        weighted: Draws by weight, as they are told: flattened where they could not be trusted.
        nested: Those that check them.
        leads: For each region the one that leads its mode, shape (region,).
    """
    modes = np.unique(leads)
    shares = [np.exp(trusted(own.draws.log_weight)) for own in (weighted, nested)]
    places = [leads[own.region] for own in (weighted, nested)]
    weights = [
        np.array([share[place == k].sum() for k in modes]) for share, place in zip(shares, places, strict=True)
    ]
    heaviest = modes[np.argmax(weights[1])]
    moments = []
    for own, share, place in zip((weighted, nested), shares, places, strict=True):
        inside = place == heaviest
        z, part = own.draws.z[inside], share[inside] / max(float(share[inside].sum()), 1e-300)
        mean = part @ z
        moments.append((mean, np.sqrt(part @ (z - mean) ** 2)))
    (mean, sd), (right, right_sd) = moments
    return Agreement(
        mean=float(np.abs((mean - right) / right_sd).max()),
        sd=float(np.abs(sd / right_sd - 1).max()),
        weight=float(np.abs(weights[0] - weights[1]).max()),
    )


def modes_among(
    target: Target, drawn: Drawn, share: Floats, peaks: Floats, peak_region: NDArray[np.int64]
) -> NDArray[np.int64]:
    """For each region the one that leads its mode, shape (region,).

    Regions that may be modes are one if the density hardly falls between their maxima; lighter ones go with the
    heaviest of their group.

    Args:
        target: The posterior.
        drawn: Its draws.
        share: Their weights, shape (draw,).
        peaks: Maxima that are known, shape (n, d).
        peak_region: Their regions, shape (n,).
    """
    weight = np.bincount(drawn.region, weights=share, minlength=len(drawn.group))
    heavy = np.flatnonzero(weight >= _LEAST_WEIGHT)
    if len(heavy) < 2:
        return drawn.group
    places, region = np.concatenate([drawn.draws.z, peaks]), np.concatenate([drawn.region, peak_region])
    density = np.concatenate([drawn.log_density, -0.5 * target.misfit(peaks)])
    highest = [np.argmax(np.where(region == k, density, -np.inf)) for k in heavy]
    ends = descend(target, places[highest], steps=_STEPS, tolerance=_GAIN, alike=lambda z, misfit: [])
    leads = drawn.group.copy()
    leads[heavy] = heavy[connected(target, ends.z, relaxed=_RELAXED)]
    for k in np.setdiff1d(np.arange(len(leads)), heavy):
        beside = heavy[drawn.group[heavy] == drawn.group[k]]
        if len(beside):
            leads[k] = leads[beside[np.argmax(weight[beside])]]
    return leads


def _nested(
    target: Target,
    drawn: Drawn,
    region_of: Callable[[Floats], NDArray[np.int64]],
    settings: PosteriorSettings,
    *,
    seed: int,
) -> Drawn:
    """The same posterior by nested sampling, which starts from where the draws lie."""
    group = drawn.group[drawn.region]
    around = [
        replace(drawn.draws, z=drawn.draws.z[group == k], log_weight=drawn.draws.log_weight[group == k])
        for k in np.unique(group)
    ]
    draws = nested_draws(target, around, live=settings.nested, wanted=4.0 * settings.effective, seed=seed)
    residuals = [target.residuals(part) for part in np.array_split(draws.z, max(len(draws.z) // 1000, 1))]
    return Drawn(
        draws=draws,
        log_density=log_density(draws.z, np.concatenate(residuals)),
        region=region_of(draws.z),
        group=drawn.group,
    )


def _mode(
    target: Target,
    found: Sequence[tuple[Fit, int]],
    drawn: Drawn,
    inside: NDArray[np.bool_],
    weight: float,
) -> ModePosterior:
    """One mode: the draws inside, and the best of its fits."""
    z, log_weight = drawn.draws.z[inside], drawn.draws.log_weight[inside]
    return ModePosterior(
        fit=_best(target, found, z[np.argmax(drawn.log_density[inside])]),
        starts=sum(starts for _, starts in found),
        z=z,
        values=target.values(z),
        share=np.exp(trusted(log_weight)),
        weight=weight,
        effective=effective_size(log_weight),
        pareto=pareto_shape(log_weight),
        spread=target.spread,
    )


def _best(target: Target, found: Sequence[tuple[Fit, int]], z: Floats) -> Fit:
    """The best fit of a mode, or one from its highest draw (d,) if that lies above."""
    best = min((fit for fit, _ in found), key=lambda fit: fit.cost)
    highest, known = (
        float((target.residuals(place) ** 2).sum()) for place in (z[None], target.place(best.values[None]))
    )
    if known <= highest + 2 * _HIGHER:
        return best
    problem = target.problem
    unit = problem.prior.to_unit(target.values(z[None]))[0]
    again = refine(problem, unit, most_evaluations=_EVALUATIONS)
    return min(best, again, key=lambda fit: fit.cost)
