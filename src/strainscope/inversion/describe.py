"""What is reported of a posterior: parameters, bands over depth, derived quantities, of each mode."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from strainscope.experiment import Experiment
from strainscope.inversion.derived import derived_quantities
from strainscope.inversion.likelihood import rms_log10
from strainscope.inversion.posterior import ModePosterior
from strainscope.inversion.problem import Problem
from strainscope.inversion.result import DepthBands, Evidence, FittedParameter, Mode, ScanFit
from strainscope.profile import DepthProfile, ParameterSpec
from strainscope.profile.shape import LogUniform, Uniform

Floats = NDArray[np.float64]

BAND_DRAWS = 1000
# What a curve leaves of the prior's variance, in coordinates in which that is 1, if it determines a parameter.
_DETERMINED = 0.5
# Draws of the prior that the posterior is compared with over depth, at so many depths; standard deviations of strain
# and of E below which the prior itself leaves nothing open.
_PRIOR_DRAWS, _DEPTHS, _LEAST_SD = 512, 201, (1e-6, 1e-4)
# A parameter lies on a bound where so much of the posterior is within such a share of the prior from it.
_LEANING, _AT_BOUND = 0.2, 0.01
# So near to it, in shares of the prior, a fit has ended there. What is farther from the bound itself, in shares of the
# range, is held by a constraint, or lies in the tail of a prior that has a peak.
_ENDED, _NEAR_BOUND = 1e-3, 0.03
_LOW, _MIDDLE, _HIGH = 0.05, 0.5, 0.95
BAND_MEANING = (
    "Draws of the posterior around each mode, weighted by the exact likelihood; residuals that exceed the assumed "
    "noise, or that are alike in neighbouring points (fewer independent points than measured ones), widen it. Bands "
    "are the 16-84 % and 2.5-97.5 % ranges of the drawn profiles of one mode; the modes' weights are their shares of "
    "the posterior."
)
NESTED_MEANING = (
    "Draws of the posterior by nested sampling (nautilus), {effective:.0f} effective ones, ln of the evidence "
    "{nested:.2f}, {drawn:.2f} by the weighted draws that it checks; residuals that exceed the assumed noise, or that "
    "are alike in neighbouring points, widen it. Bands are the 16-84 % and 2.5-97.5 % ranges of the drawn profiles of "
    "one mode; the modes' weights are their shares of the posterior."
)


def band_meaning(found: ModePosterior) -> str:
    """How bands were made, in words, from any mode of what was found."""
    if found.nested_log_evidence is None:
        return BAND_MEANING
    return NESTED_MEANING.format(
        nested=found.nested_log_evidence, drawn=found.log_evidence, effective=found.odds[0]
    )


def evidence_of(problem: Problem, found: ModePosterior) -> Evidence:
    """The integral over the posterior, from any mode of what was found."""
    spread = np.broadcast_to(found.spread, len(found.fit.residuals))
    return Evidence(
        log_evidence=found.log_evidence,
        nested_log_evidence=found.nested_log_evidence,
        effective_draws=found.odds[0],
        pareto_k=found.odds[1],
        noise_factors=tuple(float(own[0]) for own in problem.split(spread)),
    )


def describe(
    problem: Problem, posterior: Sequence[ModePosterior], *, rng: np.random.Generator
) -> tuple[Mode, ...]:
    """Modes with their parameters, bands and weights."""
    experiment = problem.model.experiment
    deepest = max(_extent(experiment, mode.fit.values) for mode in posterior)
    depth = np.linspace(0, 1.1 * deepest, 401)
    before = problem.prior.sample(_PRIOR_DRAWS, rng=np.random.default_rng(0))
    return tuple(_mode(problem, mode, depth, before, rng) for mode in posterior)


def _extent(experiment: Experiment, values: Floats) -> float:
    family = experiment.profile.strain
    return float(family.extent(values[None, : len(family.parameters)], 1e-4)[0])


def _mode(
    problem: Problem, own: ModePosterior, depth: Floats, before: Floats, rng: np.random.Generator
) -> Mode:
    profile, fit, free = problem.model.experiment.profile, own.fit, problem.prior.free
    n_profile = len(profile.parameters)
    draws = own.values[_evenly(own.share, BAND_DRAWS, rng)]
    drawn = draws[:, :n_profile]
    both = np.concatenate([fit.values[None, :n_profile], drawn])
    strain, factor = profile.evaluate(np.broadcast_to(depth, (len(both), len(depth))), both)
    derived = derived_quantities(
        profile, both[0], drawn, expansion_ratio=problem.model.experiment.expansion_ratio
    )
    degrees = max(len(fit.residuals) - len(free), 1)
    scans, by_counting = [], 0.0
    for measured, plain, fitted, residuals in zip(
        problem.measurements,
        problem.granting(0.0).measurements,
        problem.split(fit.model),
        problem.split(fit.residuals),
        strict=True,
    ):
        left = max(len(fitted) * degrees / len(fit.residuals), 1.0)
        counting = float((plain.likelihood.residuals(fitted)[0] ** 2).sum())
        by_counting += counting
        scans.append(
            ScanFit(
                fitted=fitted,
                chi2=float(residuals @ residuals),
                reduced_chi2=float(residuals @ residuals) / left,
                rms_log10=rms_log10(measured.likelihood.intensity, fitted),
                counting_chi2=counting / left,
            )
        )
    return Mode(
        parameters=_parameters(problem, own),
        covariance=np.atleast_2d(np.cov(own.values[:, free], rowvar=False, aweights=own.share, ddof=0)),
        draws=draws[:, free],
        fitted_names=tuple(problem.prior.names[i] for i in free),
        chi2=fit.chi2,
        reduced_chi2=fit.chi2 / degrees,
        rms_log10=rms_log10(
            np.concatenate([measured.likelihood.intensity for measured in problem.measurements]), fit.model
        ),
        weight=own.weight,
        starts=own.starts,
        effective_draws=own.effective,
        pareto_k=own.pareto,
        fitted=scans[0].fitted,
        scans=tuple(scans),
        counting_chi2=by_counting / degrees,
        bands=DepthBands(
            depth=depth,
            strain=strain[0],
            strain_68=_band(strain, 0.16),
            strain_95=_band(strain, 0.025),
            debye_waller=factor[0],
            debye_waller_68=_band(factor, 0.16),
            debye_waller_95=_band(factor, 0.025),
        ),
        maximum_strain=(derived[0].value, derived[1].value),
        derived=derived,
        known_to=_known_to(profile, before[:, :n_profile], drawn),
    )


def _known_to(profile: DepthProfile, before: Floats, drawn: Floats) -> float | None:
    """Depth [Å] below which the posterior's draws (draw, parameter) differ as the prior's do; None if there is none."""
    family = profile.strain
    deepest = float(np.quantile(family.extent(before[:, : len(family.parameters)], 1e-4), 0.9))
    depth = np.linspace(0, deepest, _DEPTHS)
    sd = [
        [part.std(axis=0) for part in profile.evaluate(np.broadcast_to(depth, (len(own), len(depth))), own)]
        for own in (before, drawn)
    ]
    open_before, known = np.zeros(len(depth), dtype=np.bool_), np.zeros(len(depth), dtype=np.bool_)
    for prior_sd, own_sd, least in zip(*sd, _LEAST_SD, strict=True):
        varies = prior_sd > least
        open_before |= varies
        known |= varies & (own_sd**2 < _DETERMINED * prior_sd**2)
    if not open_before.any():
        return None
    last = int(np.flatnonzero(open_before)[-1])
    if not known.any():
        return 0.0
    reached = int(np.flatnonzero(known)[-1])
    return None if reached >= last else float(depth[reached])


def _evenly(share: Floats, number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Which draws make so many of equal weight (systematic resampling)."""
    places = (rng.random() + np.arange(number)) / number
    return np.minimum(np.searchsorted(np.cumsum(share), places), len(share) - 1)


def _band(rows: Floats, tail: float) -> Floats:
    """Limits that leave the tail out on either side, widened to hold the best profile (the first row)."""
    limits = np.quantile(rows[1:], [tail, 1 - tail], axis=0)
    return np.stack([np.minimum(limits[0], rows[0]), np.maximum(limits[1], rows[0])])


def _parameters(problem: Problem, own: ModePosterior) -> tuple[FittedParameter, ...]:
    prior, fit = problem.prior, own.fit
    mean = own.share @ own.values
    sd = np.sqrt(own.share @ (own.values - mean) ** 2)
    quantiles = np.quantile(
        own.values, [_LOW, _MIDDLE, _HIGH], axis=0, weights=own.share, method="inverted_cdf"
    )
    spread = own.share @ (own.z - own.share @ own.z) ** 2
    determined = dict(zip(prior.free.tolist(), (spread < _DETERMINED).tolist(), strict=True))
    unit = ndtr(own.z)
    columns = dict(zip(prior.free.tolist(), unit.T, strict=True))
    result = []
    for i, spec in enumerate(prior.parameters):
        free = i in determined
        low, middle, high = quantiles[:, i].tolist()
        result.append(
            FittedParameter(
                name=spec.name,
                unit=spec.unit,
                value=float(fit.values[i]),
                sd=float(sd[i]) if free else None,
                mean=float(mean[i]) if free else None,
                median=middle if free else None,
                interval_90=(low, high) if free else None,
                lower=spec.lower,
                upper=spec.upper,
                determined=determined.get(i, True),
                bound=_bound(spec, own, i, columns[i]) if free else "",
                description=spec.description,
            )
        )
    return tuple(result)


def _bound(spec: ParameterSpec, own: ModePosterior, i: int, unit: Floats) -> str:
    """The bound that a parameter is on, see `FittedParameter`.

    Args:
        spec: The parameter.
        own: The mode.
        i: Which of its parameters.
        unit: Unit coordinates of the draws, shape (draw,).
    """
    # In unit coordinates a constraint that holds the parameter is a bound like any other.
    sides = []
    for side, inside, best in (("lower", unit, own.fit.unit[i]), ("upper", 1 - unit, 1 - own.fit.unit[i])):
        next_to = inside < _AT_BOUND
        leaning = float(own.share @ next_to)
        if best < _ENDED or leaning > _LEANING:
            drawn = own.share[next_to] @ own.values[next_to, i] / max(leaning, 1e-300)
            value = own.fit.values[i] if best < _ENDED else drawn
            sides.append((leaning, side, float(value)))
    if not sides:
        return ""
    _, side, value = max(sides)
    away = abs(value - getattr(spec, side)) / (spec.upper - spec.lower)
    if away < _NEAR_BOUND:
        return side
    # The tail of a prior that has a peak is no bound.
    return "constraint" if isinstance(spec.shape, Uniform | LogUniform) else ""
