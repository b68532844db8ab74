"""Descents from many starts to every distinct solution."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.chance import left, squares_by_chance
from strainscope.inversion.descent import Alike, descend
from strainscope.inversion.levels import Levels
from strainscope.inversion.modes import alike, gather
from strainscope.inversion.problem import Problem
from strainscope.inversion.refine import Fit, refine_many
from strainscope.inversion.settings import SearchSettings
from strainscope.inversion.spread import noise_spread
from strainscope.inversion.target import Target

Floats = NDArray[np.float64]

# Descents that go on after the coarse ones: so many at most, by how much they differ, as shares of what tells modes
# apart, and how much worse than the best they may be, as a factor and in sums of squares.
_MOST_SURVIVORS, _DIFFERENT, _WORST_RATIO, _WORST = 12, 0.25, 3.0, 60.0
# Coarse descents that go on after their first steps, at most.
_HALFWAY = 14
# Solutions this much worse than the best, in sums of squares by the noise that is seen, may have some weight.
_SOME_WEIGHT = 10.0
# Gains at which descents end.
_COARSE_GAIN, _GAIN = 0.5, 0.02
# Evaluations that turn the maximum of a posterior's density into that of the likelihood.
_POLISH = 12
# More than the noise is so many standard deviations of chance. Where the model is granted an error, chance is no
# measure, but a reduced chi-square of so much is.
_BEYOND_CHANCE, _MISFIT = 6.0, 3.0
# Ends of descents this much worse than the best, likewise, are no part of the posterior.
_NO_PART = 40.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Descended:
    """What descents from many starts came to.

    Attributes:
        fits: One for each kind of profile, and the starts behind it, best first.
        peaks: Ends of all that may be part of the posterior, in the coordinates of `Target`, shape (end, d).
        misfits: Of scan and prior there, shape (end,).
        spread: By which the noise exceeds the assumed one, at most.
        evaluations: Simulated curves.
    """

    fits: list[tuple[Fit, int]]
    peaks: Floats
    misfits: Floats
    spread: float
    evaluations: int


def refine_all(
    levels: Levels,
    starts: Floats,
    settings: SearchSettings,
    progress: Callable[[float], None] = lambda share: None,
    *,
    wide: int = 1,
) -> Descended:
    """Descents from every start: a coarse round for all, then each distinct survivor to the end.

    The coarse round grants the model a larger error, which widens the basins, and simulates more coarsely. The error
    then falls step by step to what it is: at many counts valleys are too narrow to come down in at once.

    Args:
        levels: The posterior from coarse to exact.
        starts: Values of all parameters, shape (start, parameter).
        settings: Steps of both rounds.
        progress: Called with the share done.
        wide: How many times as many descents as usual may go on after each round.
    """
    problem, coarse, target = levels.problem, levels.coarse, levels.exact
    experiment = problem.model.experiment
    known = levels.evaluations
    inside = problem.prior.from_unit(np.clip(problem.prior.to_unit(starts), 0.01, 0.99))

    def one(of: Target) -> Alike:
        return lambda z, misfit: alike(experiment, of.values(z), misfit, share=_DIFFERENT)

    places, behind = coarse.place(inside), np.ones(len(inside), dtype=np.int64)

    def partly(before: float, part: float) -> Callable[[float], None]:
        return lambda share: progress(before + part * share)

    rounds = ((len(places), settings.coarse_steps, 0.0), (wide * _HALFWAY, 2 * settings.coarse_steps, 0.2))
    for number, steps, before in rounds:
        round_ = descend(
            coarse,
            places[:number],
            steps=steps,
            tolerance=_COARSE_GAIN,
            alike=one(coarse),
            progress=partly(before, 0.2),
        )
        places, misfits, behind = round_.ends(behind[:number])
        order = np.argsort(misfits, kind="stable")
        places, misfits, behind = places[order], misfits[order], behind[order]
    kinds = alike(experiment, coarse.values(places), misfits, share=_DIFFERENT)
    worst = _WORST_RATIO * misfits.min() + _WORST
    kinds = [kind for kind in kinds if misfits[kind[0]] <= worst][: wide * _MOST_SURVIVORS]
    places = places[[lead for lead, _ in kinds]]
    behind = np.array([behind[kind].sum() for _, kind in kinds])
    for k, own in enumerate(levels.falling):
        last = own is target
        round_ = descend(
            own,
            places,
            steps=settings.steps if last else settings.coarse_steps,
            tolerance=_GAIN if last else _COARSE_GAIN,
            alike=one(own),
            progress=partly(0.4 + 0.5 * k / len(levels.falling), 0.5 / len(levels.falling)),
        )
        places, misfits, behind = round_.ends(behind)
    z = places
    kinds = alike(experiment, target.values(z), misfits)
    kinds = [kind for kind in kinds if misfits[kind[0]] <= _WORST_RATIO * misfits.min() + _WORST]
    units = np.clip(problem.prior.to_unit(target.values(z[[lead for lead, _ in kinds]])), 1e-3, 1 - 1e-3)
    fits = list(refine_many(problem, units, most_evaluations=_POLISH, tolerance=settings.tolerance))
    progress(1.0)
    starts_behind = [int(behind[kind].sum()) for _, kind in kinds]
    solutions = gather(experiment, list(zip(fits, starts_behind, strict=True)))
    spread = float(noise_spread(problem, solutions[0][0]).max())
    part = misfits <= misfits.min() + _NO_PART * spread
    return Descended(
        fits=solutions,
        peaks=z[part],
        misfits=misfits[part],
        spread=spread,
        evaluations=levels.evaluations - known + sum(fit.evaluations for fit in fits),
    )


def together(target: Target, found: Sequence[Descended]) -> Descended:
    """Several searches as one: kinds of profiles with the starts of all, best first, and the distinct ends."""
    experiment = target.problem.model.experiment
    peaks = np.concatenate([own.peaks for own in found])
    misfits = np.concatenate([own.misfits for own in found])
    kinds = alike(experiment, target.values(peaks), misfits, share=_DIFFERENT)
    solutions = gather(experiment, [fit for own in found for fit in own.fits])
    spread = float(noise_spread(target.problem, solutions[0][0]).max())
    leads = [lead for lead, _ in kinds if misfits[lead] <= misfits.min() + _NO_PART * spread]
    return Descended(
        fits=solutions,
        peaks=peaks[leads],
        misfits=misfits[leads],
        spread=spread,
        evaluations=sum(own.evaluations for own in found),
    )


def missing_mass(found: Descended) -> float:
    """Share of further starts that would end at a solution unknown as yet, of those that end at one of some weight.

    It is taken to be that of the starts that ended alone. Starts are chosen to differ, so that it is rather too large.

    References:
        Good, Biometrika 40 (1953) 237 (after Turing)
    """
    starts = starts_of_weight(found)
    return float((starts == 1).sum() / starts.sum())


def starts_of_weight(found: Descended) -> NDArray[np.int64]:
    """Starts that ended at each solution of some weight, shape (solution,)."""
    most = found.fits[0][0].cost + _SOME_WEIGHT * found.spread
    return np.array([starts for fit, starts in found.fits if fit.cost <= most])


def explains(problem: Problem, found: Descended) -> bool:
    """Whether the best fit leaves no more than the noise, or little more than that and the model error."""
    best = found.fits[0][0]
    share = left(len(best.residuals), len(problem.prior.free))
    mean, variance = (share * own.sum() for own in squares_by_chance(problem, best.model))
    return bool(best.chi2 < (_MISFIT * mean if problem.model_error else mean + _BEYOND_CHANCE * np.sqrt(variance)))
