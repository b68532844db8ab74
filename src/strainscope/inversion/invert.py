"""The whole way from a scan to a result: search, refinement, modes, verdict."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from strainscope.crystal import ARCSEC
from strainscope.experiment import Experiment
from strainscope.inversion.arms import arms
from strainscope.inversion.chance import misfit_chance
from strainscope.inversion.describe import band_meaning, describe, evidence_of
from strainscope.inversion.entries import entries
from strainscope.inversion.joint import Companion, prepare_joint
from strainscope.inversion.levels import Levels
from strainscope.inversion.modes import MOST_MODES, gather
from strainscope.inversion.posterior import ModePosterior, posterior_of
from strainscope.inversion.problem import Measurement, Problem, prepare
from strainscope.inversion.proposal import Proposal, proposed_starts
from strainscope.inversion.rearrange import rearranged_starts
from strainscope.inversion.refine import Fit, refine_many
from strainscope.inversion.result import Mode, Reflection, Result
from strainscope.inversion.scan_doubts import doubts_of
from strainscope.inversion.search import find_starts
from strainscope.inversion.settings import PosteriorSettings, SearchSettings
from strainscope.inversion.solutions import (
    Descended,
    explains,
    missing_mass,
    refine_all,
    starts_of_weight,
    together,
)
from strainscope.inversion.splines import spline_experiment, spline_start
from strainscope.inversion.spoilt import missed, spoilt
from strainscope.inversion.target import Target
from strainscope.inversion.verdict import (
    FEWEST_STARTS,
    judge,
    judge_beside,
    judge_gold,
    judge_odds,
    judge_unfinished,
)
from strainscope.scan import Scan

Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]

# A search that ends with more than the noise is tried again, so many times in all, from so many times as many starts
# and, so many times the usual number, from rearrangements of the best found; one to whose best solution a single start
# led, where more than this share of starts would end elsewhere, or fewer than that share came to any solution of some
# weight, once.
_ATTEMPTS, _MORE_STARTS, _REARRANGED, _ELSEWHERE, _COME = 3, 4, 2, 0.05, 0.25
_DRAWS = PosteriorSettings()
# Draws that an estimator is asked for, and starts among them.
_PROPOSED, _PROPOSED_STARTS = 2048, 32
# Curves for the draws, at most, of a scan of which no fit is to be believed.
_BRIEF = 2000
# Ways into the posterior's bulk, at most.
_SPREAD = 12


def _silent(stage: str, share: float) -> None:
    """No progress is told."""


def invert(
    scan: Scan,
    experiment: Experiment,
    *,
    bounds: Mapping[str, tuple[float, float]],
    held: Mapping[str, float],
    start: Mapping[str, float],
    settings: SearchSettings,
    seed: int,
    sample_settings: Mapping[str, Any],
    draws: PosteriorSettings = _DRAWS,
    proposal: Proposal | None = None,
    progress: Progress | None = None,
    beside: Sequence[Companion] = (),
) -> Result:
    """Every distinct profile that explains the scan, without a guess.

    Args:
        scan: The measured curve.
        experiment: Sample and instrument.
        bounds: Ranges that replace the default ones, by parameter.
        held: Values of parameters that are not fitted.
        start: Starting values of instrument parameters where the scan does not suggest them.
        settings: How hard to search.
        seed: The same seed gives the same result.
        sample_settings: Plain data for the report.
        draws: How many draws of the posterior.
        proposal: What proposes starts in place of the search.
        progress: Called with a stage and the share of the whole that is done.
        beside: Further scans of the sample, at other reflections, that share the profile.

    Raises:
        ValueError: the scan does not fit the experiment (axis, range), or bounds leave no room.
    """
    began = time.perf_counter()
    tell = progress or _silent
    rng = np.random.default_rng(seed)
    found = explain(
        scan,
        experiment,
        bounds=bounds,
        held=held,
        start=start,
        settings=settings,
        rng=rng,
        draws=draws,
        proposal=proposal,
        progress=tell,
        beside=beside,
    )
    problem = found.problem
    tell("bands", 0.98)
    modes = describe(problem, found.modes, rng=rng)
    doubts = doubts_of(scan, problem.model.experiment, problem.features, problem.likelihood)
    chance = misfit_chance(problem, found.modes[0].fit)
    verdict = judge(problem.model.experiment, problem.features, scan, problem.likelihood, modes, doubts, chance)
    verdict = judge_odds(verdict, len(modes), *found.modes[0].odds)
    verdict = judge_beside(verdict, problem.measurements[1:], modes)
    gold = found.modes[0].agreement
    verdict = judge_gold(verdict, gold.mean, gold.sd, gold.weight) if gold else verdict
    verdict = judge_unfinished(verdict, found.modes[0].unfinished)
    tell("done", 1.0)
    return Result(
        scan=scan,
        modes=modes,
        verdict=verdict,
        sample=dict(sample_settings),
        likelihood=problem.likelihood.description,
        band_meaning=band_meaning(found.modes[0]),
        evidence=evidence_of(problem, found.modes[0]),
        substrate_angle=_substrate_angle(problem.measurements[0], modes[0]),
        seed=seed,
        version=version("strainscope"),
        wall_s=time.perf_counter() - began,
        counters={
            "draws": found.draws,
            "starts": found.starts,
            "refinement_evaluations": found.evaluations,
        },
        beside=tuple(
            Reflection(
                label=own.label,
                scan=own.scan,
                substrate_angle=_substrate_angle(own, modes[0]),
                likelihood=own.likelihood.description,
            )
            for own in problem.measurements[1:]
        ),
    )


def _substrate_angle(own: Measurement, best: Mode) -> float:
    """Kinematic Bragg position of the substrate on a scan's axis, offset included."""
    stack = own.model.experiment.stack
    offset = best.parameter("offset_arcsec" + (f"_{own.label}" if own.label else "")).value
    angle = own.scan.angle_from_theta(
        np.array([stack.incidence_angle + ARCSEC * offset]),
        bragg_angle=stack.bragg_angle,
        asymmetry=stack.asymmetry,
    )
    return float(angle[0])


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """What explains a scan.

    Attributes:
        problem: The scan prepared.
        modes: Posterior around each distinct solution, that of most weight first.
        draws: Profiles drawn of the prior or by an estimator, and ranked.
        starts: Profiles that were refined.
        evaluations: Simulated curves of the refinement.
    """

    problem: Problem
    modes: tuple[ModePosterior, ...]
    draws: int
    starts: int
    evaluations: int


def explain(
    scan: Scan,
    experiment: Experiment,
    *,
    bounds: Mapping[str, tuple[float, float]],
    held: Mapping[str, float],
    start: Mapping[str, float],
    settings: SearchSettings,
    rng: np.random.Generator,
    draws: PosteriorSettings = _DRAWS,
    proposal: Proposal | None = None,
    progress: Progress = _silent,
    beside: Sequence[Companion] = (),
) -> Explanation:
    """The posterior draws behind what `invert` says, with its arguments and errors, and a source of randomness."""
    if beside and settings.splines:
        raise ValueError("splines refine one scan; leave --splines out, or invert one reflection.")
    tell = _onward(progress)
    # The linear algebra's own threads would only get in the way of those that simulate.
    with threadpool_limits(limits=1):
        tell("reading the curve", 0.0)
        problem = prepare(
            scan, experiment, bounds=bounds, held=held, start=start, model_error=settings.model_error
        )
        problem = prepare_joint(problem, beside, model_error=settings.model_error)
        levels = Levels(problem)
        found = _searched(levels, scan, settings, proposal, rng=rng, progress=tell)
        if found.hopeless:
            draws = replace(draws, evaluations=min(draws.evaluations, _BRIEF))
        fits, peaks = found.descended.fits, found.descended.peaks
        if settings.splines:
            tell("free-form refinement", 0.77)
            problem, fits = _free_form(scan, problem, fits, bounds, held, start, settings)
            exact = Target(problem)
            peaks = np.array([exact.climb(exact.place(fit.values[None])[0]) for fit, _ in fits])
        else:
            tell("refining", 0.77)
            exact = levels.exact
            peaks = np.concatenate([peaks, entries(levels, found.spread, peaks), arms(levels, peaks)])

        def drawing(share: float) -> None:
            # Nested sampling follows, and does not know how far it is.
            tell("nested sampling" if draws.nested and share >= 1 else "drawing", 0.8 + 0.18 * share)

        modes = posterior_of(
            exact,
            gather(problem.model.experiment, fits)[:MOST_MODES],
            peaks,
            draws,
            rng=rng,
            progress=drawing,
        )
    return Explanation(
        problem=problem,
        modes=modes,
        draws=found.draws,
        starts=found.starts,
        evaluations=found.descended.evaluations,
    )


def _onward(progress: Progress) -> Progress:
    """Progress that does not go back where a search is tried again."""
    shown = [0.0]

    def tell(stage: str, share: float) -> None:
        shown[0] = max(shown[0], share)
        progress(stage, shown[0])

    return tell


@dataclass(frozen=True, kw_only=True, eq=False)
class _Searched:
    """What all searches came to: ends of descents, profiles spread as the posterior may be, and what it took.

    Attributes:
        hopeless: Whether the scan is spoilt, so that neither more searches nor many draws would be of use.
    """

    descended: Descended
    spread: Floats
    draws: int
    starts: int
    hopeless: bool


def _searched(
    levels: Levels,
    scan: Scan,
    settings: SearchSettings,
    proposal: Proposal | None,
    *,
    rng: np.random.Generator,
    progress: Progress,
) -> _Searched:
    """Searches until one explains the scan, and what does is no chance find; one where none would be believed."""
    drawn = chosen = 0
    found: list[Descended] = []
    explained, hopeless = False, False
    worthless, suspect = spoilt(levels.problem)
    for _ in range(_ATTEMPTS):
        tried = _starts(levels, scan, settings, proposal, found, rng=rng, progress=progress)
        drawn, chosen = drawn + tried.drawn, chosen + len(tried.starts)
        found.append(
            refine_all(
                levels,
                tried.starts,
                settings,
                lambda share: progress("refining", 0.52 + 0.25 * share),
                wide=_MORE_STARTS if found else 1,
            )
        )
        done = found[0] if len(found) == 1 else together(levels.exact, found)
        repeated, explained = explained, explains(levels.problem, done)
        known = done.fits[0][1] >= FEWEST_STARTS and missing_mass(done) <= _ELSEWHERE
        known = known and starts_of_weight(done).sum() >= _COME * chosen
        hopeless = worthless or (suspect and not explained and missed(levels.problem, done.fits[0][0]))
        if hopeless or (explained and (repeated or known)):
            break
    return _Searched(
        descended=done, spread=tried.spread[:_SPREAD], draws=drawn, starts=chosen, hopeless=hopeless
    )


class _Starts(NamedTuple):
    """Values of all parameters from which a search descends, (start, parameter).

    Attributes:
        starts: Those.
        spread: Some spread as the posterior may be, shape (n, parameter).
        drawn: Profiles that they were chosen from.
    """

    starts: Floats
    spread: Floats
    drawn: int


def _starts(
    levels: Levels,
    scan: Scan,
    settings: SearchSettings,
    proposal: Proposal | None,
    found: Sequence[Descended],
    *,
    rng: np.random.Generator,
    progress: Progress,
) -> _Starts:
    """Starts of the next search: an estimator's or draws, more of them and rearrangements if something was found."""
    problem, more = levels.problem, _MORE_STARTS if found else 1

    def searching(share: float) -> None:
        progress("searching", 0.02 + 0.5 * share)

    if proposal is None or len(found) == _ATTEMPTS - 1:
        wanted = replace(settings, starts=more * settings.starts)
        starts = spread = find_starts(problem, wanted, rng=rng, progress=searching)
        drawn = settings.draws
    else:
        progress("asking the estimator", 0.02)
        starts, spread = proposed_starts(
            levels, scan, proposal, draws=_PROPOSED, starts=more * _PROPOSED_STARTS, spread=_SPREAD, rng=rng
        )
        drawn = _PROPOSED
    if found:
        wanted = replace(settings, starts=_REARRANGED * settings.starts)
        best = min(found, key=lambda own: own.fits[0][0].cost)
        known = np.array([fit.values for fit, _ in best.fits])
        starts = np.concatenate([starts, rearranged_starts(problem, known, wanted, rng=rng, progress=searching)])
    return _Starts(starts, spread, drawn)


def _free_form(
    scan: Scan,
    problem: Problem,
    fits: list[tuple[Fit, int]],
    bounds: Mapping[str, tuple[float, float]],
    held: Mapping[str, float],
    start: Mapping[str, float],
    settings: SearchSettings,
) -> tuple[Problem, list[tuple[Fit, int]]]:
    """The modes found so far, refined with B-splines for strain and E."""
    found = gather(problem.model.experiment, fits)[:MOST_MODES]
    experiment = spline_experiment(problem.model.experiment, settings.splines)
    known = {spec.name for spec in experiment.parameters}
    best = dict(zip(problem.prior.names, found[0][0].values, strict=True))
    free = prepare(
        scan,
        experiment,
        bounds={name: pair for name, pair in bounds.items() if name in known},
        held={name: value for name, value in held.items() if name in known},
        start={name: value for name, value in {**best, **start}.items() if name in known},
        model_error=settings.model_error,
    )
    starts = np.array([spline_start(problem.model.experiment, fit.values, free.prior) for fit, _ in found])
    units = np.clip(free.prior.to_unit(starts), 0.01, 0.99)
    refined = refine_many(free, units, most_evaluations=settings.evaluations, tolerance=settings.tolerance)
    return free, [(fit, count) for fit, (_, count) in zip(refined, found, strict=True)]
