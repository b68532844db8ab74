"""A search that needs no guess: draws from the prior, ranked against the scan, the best evolved, distinct ones kept.

What the curve shows narrows the draws: the strained region's end bounds the largest strain. Everything else
comes from the prior's whole range.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from strainscope.crystal import ARCSEC
from strainscope.experiment import Experiment, layer_peaks
from strainscope.inversion.evolution import evolve
from strainscope.inversion.problem import Problem
from strainscope.inversion.ranking import Ranking
from strainscope.inversion.refine import refine_many
from strainscope.inversion.settings import SearchSettings
from strainscope.prior import Prior
from strainscope.profile import CubicBSpline, DoubleGaussian

Floats = NDArray[np.float64]

# The largest strain lies below where the strained region ends: the resolution and the fringes reach farther.
LARGEST_STRAIN_SHARE = (0.5, 1.05)
# Draws simulated between two signs of progress.
_DRAWS_AT_ONCE = 1024
# Draws that are refined briefly to learn the instrument's parameters.
_FIRST_FITS = 4


def find_starts(
    problem: Problem,
    settings: SearchSettings,
    *,
    rng: np.random.Generator,
    progress: Callable[[float], None] = lambda share: None,
) -> Floats:
    """Distinct values of all parameters from which refinement starts, best first; shape (<= starts, parameter).

    Args:
        problem: The scan prepared.
        settings: Draws, population, generations, starts.
        rng: Source of randomness.
        progress: Called with the share done.
    """
    prior, experiment = problem.prior, problem.model.experiment
    ranking = Ranking(problem, problem.base)
    values = draw_starts(problem, settings.draws, rng=rng)
    work = settings.draws + settings.generations * settings.population
    blocks = []
    for first in range(0, len(values), _DRAWS_AT_ONCE):
        blocks.append(ranking(values[first : first + _DRAWS_AT_ONCE]))
        progress(min(first + _DRAWS_AT_ONCE, len(values)) / work)
    scores = np.concatenate(blocks)
    best = np.argsort(scores, kind="stable")[: settings.population]
    n_profile = len(experiment.profile.parameters)
    unit = np.clip(prior.to_unit(values[best]), 0.0, 1.0)
    early = np.empty((0, len(prior.names)))
    if (prior.free >= n_profile).any():
        # The instrument is known from the first fits, even where their profile is wrong; misfits mean more then.
        candidates = distinct(experiment, values[best], scores[best], _FIRST_FITS)
        starts = np.clip(prior.to_unit(candidates), 0.01, 0.99)
        fits = list(
            refine_many(problem.coarse, starts, most_evaluations=settings.first_evaluations, tolerance=1e-3)
        )
        early = np.array([fit.values for fit in fits])
        calibrated = min(fits, key=lambda fit: fit.cost)
        ranking = Ranking(problem, calibrated.values, diffuse=True)
        unit[:, n_profile:] = calibrated.unit[n_profile:]
    found = evolved_starts(
        problem,
        ranking,
        unit,
        generations=settings.generations,
        most=max(settings.starts - len(early), 1),
        rng=rng,
        progress=lambda share: progress((settings.draws + share * (work - settings.draws)) / work),
    )
    return np.concatenate([found, early])


def evolved_starts(
    problem: Problem,
    ranking: Ranking,
    unit: Floats,
    *,
    generations: int,
    most: int,
    rng: np.random.Generator,
    progress: Callable[[float], None] = lambda share: None,
) -> Floats:
    """Distinct values of all parameters after profiles have evolved, best first; shape (<= most, parameter).

    Args:
        problem: The scan prepared.
        ranking: What the profiles evolve by.
        unit: Unit coordinates of the members, shape (member, parameter).
        generations: Of the evolution.
        most: How many are wanted.
        rng: Source of randomness.
        progress: Called with the share done.
    """
    prior, experiment = problem.prior, problem.model.experiment
    moving = prior.free[prior.free < len(experiment.profile.parameters)]

    def placed(coordinates: Floats) -> Floats:
        everything = unit.copy()
        everything[:, moving] = coordinates
        return prior.from_unit(everything)

    coordinates, scores = evolve(
        lambda coordinates: ranking(placed(coordinates)),
        unit[:, moving],
        ranking(prior.from_unit(unit)),
        generations if len(moving) else 0,
        rng=rng,
        progress=progress,
    )
    return distinct(experiment, placed(coordinates), scores, most)


def strain_limits(problem: Problem) -> tuple[float | None, float | None]:
    """Signed strain of the surface layer at the low-angle and the high-angle end of the strained region.

    None where the scan does not show that end.
    """
    experiment, features = problem.model.experiment, problem.features
    stack = experiment.stack
    exit_sine = np.sin(stack.bragg_angle + stack.asymmetry)
    per_radian = np.cos(stack.bragg_angle) / (np.cos(stack.asymmetry) * exit_sine)
    offset = problem.base[experiment.slices["scale"]][0]
    unstrained = offset + layer_peaks(stack)[0][0]
    low, high = (
        None if end is None else float(-(end - unstrained) * ARCSEC * per_radian)
        for end in (features.low_shoulder_arcsec, features.high_shoulder_arcsec)
    )
    return low, high


def draw_starts(problem: Problem, n: int, *, rng: np.random.Generator) -> Floats:
    """Parameter values drawn for the profile, the others those of the problem's base; shape (n, parameter).

    Free profile parameters fill the unit cube evenly (Sobol points). B-spline weights are drawn as shapes:
    the weights of double Gaussians and of disorder tied to them, over the drawn depth. Then the strain is
    scaled so that its largest value is a share of what the curve shows.

    Args:
        problem: The scan prepared.
        n: Number of draws.
        rng: Source of randomness.
    """
    experiment, prior, base = problem.model.experiment, problem.prior, problem.base
    n_profile = len(experiment.profile.parameters)
    cube = qmc.Sobol(n_profile, rng=rng).random_base2(int(np.ceil(np.log2(n))))[:n]
    unit = np.broadcast_to(prior.to_unit(base), (n, len(base))).copy()
    unit[:, :n_profile] = cube
    values = prior.from_unit(unit)
    if isinstance(experiment.profile.strain, CubicBSpline):
        _shape_splines(experiment, prior, values, rng)
    _scale_strain(problem, values, rng)
    held = [i for i, name in enumerate(prior.names) if name in prior.held]
    values[:, held] = base[held]
    return values


def _shape_splines(experiment: Experiment, prior: Prior, values: Floats, rng: np.random.Generator) -> None:
    """Replace free spline weights by those of smooth shapes: a double Gaussian, and E tied to it."""
    family = experiment.profile.strain
    assert isinstance(family, CubicBSpline)
    n, number = len(values), family.number
    depth = values[:, :1]
    bump = DoubleGaussian()
    lower = np.array([1e-3, 2e-4, 0.2, 0.0, 2e-4, 0.1, -1.0])
    upper = np.array([1e-2, 1e-2, 1.0, 0.9, 1e-2, 1.0, 0.0])
    shape = rng.uniform(lower, upper, (n, 7))
    shape[:, 1] = np.minimum(shape[:, 1], shape[:, 0])
    shape[:, 3] = np.minimum(shape[:, 3], 0.98 * shape[:, 2])
    shape[:, [2, 3, 5, 6]] *= depth
    # The k-th basis function from the surface is centred (k - 2)/n of the depth down.
    centres = np.clip((np.arange(number) - 1) / number, 0.0, 1.0) * depth
    strain = bump.evaluate(centres, shape)
    values[:, 1 : number + 1] = strain * rng.choice(
        [1.0, -1.0] if _both_signs(experiment, prior) else [1.0], (n, 1)
    )
    disorder = experiment.profile.disorder
    start = number + 1
    if isinstance(disorder, CubicBSpline):
        share = np.abs(strain) / np.abs(strain).max(axis=1, keepdims=True)
        k, power = rng.uniform(0, 0.9, (n, 1)), np.exp(rng.uniform(np.log(0.5), np.log(4), (n, 1)))
        follows = disorder.number == number
        if not follows:
            places = np.clip((np.arange(disorder.number) - 1) / disorder.number, 0, 1)
            own = np.clip((np.arange(number) - 1) / number, 0, 1)
            share = np.array([np.interp(places, own, row) for row in share])
        values[:, start] = values[:, 0]
        values[:, start + 1 : start + 1 + disorder.number] = 1 - k * share**power


def _both_signs(experiment: Experiment, prior: Prior) -> bool:
    names = experiment.profile.strain.amplitude_names
    return all(prior.parameters[prior.names.index(name)].lower < 0 for name in names)


def _scale_strain(problem: Problem, values: Floats, rng: np.random.Generator) -> None:
    """Scale each draw's strain to a share of the largest that the curve shows, within the bounds."""
    experiment, prior = problem.model.experiment, problem.prior
    low, high = strain_limits(problem)
    family = experiment.profile.strain
    columns = np.array([prior.names.index(name) for name in family.amplitude_names], dtype=np.int64)
    n_strain = len(family.parameters)
    largest, depth = family.maximum(values[:, :n_strain])
    sign = np.where(family.evaluate(depth[:, None], values[:, :n_strain])[:, 0] < 0, -1.0, 1.0)
    # How far the curve lets the strain reach either way; infinite where the scan does not show the end.
    expansion = np.inf if low is None else max(low, 0.0)
    contraction = np.inf if high is None else max(-high, 0.0)
    if _both_signs(experiment, prior):
        # The curve says which sign prevails where its two sides differ by much.
        prevailing = float(expansion > 2 * contraction) - float(contraction > 2 * expansion)
        turn = sign * prevailing < 0
        values[np.ix_(turn, columns)] *= -1
        sign = np.where(turn, -sign, sign)
    reach = np.where(sign > 0, expansion, contraction)
    share = rng.uniform(*LARGEST_STRAIN_SHARE, len(values))
    known = (reach > 0) & np.isfinite(reach) & (largest > 0)
    factor = np.where(known, share * np.where(known, reach, 1.0) / np.maximum(largest, 1e-12), 1.0)
    lower = np.array([prior.parameters[i].lower for i in columns])
    upper = np.array([prior.parameters[i].upper for i in columns])
    values[:, columns] = np.clip(values[:, columns] * factor[:, None], lower, upper)
    # Scaling and clipping may break a constraint by little: pull back onto it.
    values[:] = prior.from_unit(np.clip(prior.to_unit(values), 0.0, 1.0))


def distinct(experiment: Experiment, values: Floats, scores: Floats, n: int, *, gap: float = 0.03) -> Floats:
    """The best draws whose strain profiles differ, shape (<= n, parameter).

    Two are alike where their strains over depth differ by less than `gap` of the maximum in the mean.
    """
    family = experiment.profile.strain
    n_strain = len(family.parameters)
    order = np.argsort(scores)[: max(40 * n, 400)]
    depth = np.linspace(0, float(np.quantile(family.extent(values[order, :n_strain], 1e-4), 0.9)), 64)
    profiles = family.evaluate(np.broadcast_to(depth, (len(order), 64)), values[order, :n_strain])
    chosen: list[int] = []
    for i in range(len(order)):
        size = np.abs(profiles[i]).max()
        if all(np.abs(profiles[i] - profiles[j]).mean() > gap * size for j in chosen):
            chosen.append(i)
        if len(chosen) == n:
            break
    return values[order[chosen]]
