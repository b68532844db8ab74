"""Starts that rearrange a solution's strain over depth: what phases alone could tell is tried in every way.

How much of the crystal has which strain shapes a curve's envelope; in which order it lies shapes only the fringes. So a
search that ends with the wrong order has found much of what it looks for, and the right one lies far from it.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from strainscope.inversion.problem import Problem
from strainscope.inversion.ranking import Ranking
from strainscope.inversion.search import draw_starts, evolved
from strainscope.inversion.settings import SearchSettings
from strainscope.profile import DepthProfile

Floats = NDArray[np.float64]

# Shares of what is strained more than the surface that lie above the maximum, and strains of the surface as shares of
# the largest.
_ABOVE, _SURFACE = np.linspace(0.125, 1.0, 8), (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7)
# Solutions that are rearranged; profiles near each arrangement, and their standard deviation in unit coordinates.
_SOLUTIONS, _EACH, _APART = 2, 6, 0.03
# Depths at which a solution is looked at and at which an arrangement is fitted, how much deeper it may reach, levels of
# strain, draws that the fit's start is chosen from, and its evaluations.
_FINE, _DEPTHS, _DEEPER, _LEVELS, _POOL, _EVALUATIONS = 2000, 128, 1.15, 400, 2048, 10
# Where the profile ends, and how near to bounds a fit may come, in unit coordinates.
_STRAIN_TOLERANCE, _FACTOR_TOLERANCE, _INSIDE = 1e-4, 1e-2, 0.005


def rearranged_starts(
    problem: Problem,
    known: Floats,
    settings: SearchSettings,
    *,
    rng: np.random.Generator,
    progress: Callable[[float], None] = lambda share: None,
) -> Floats:
    """Distinct values of all parameters from which refinement starts, best first; shape (<= starts, parameter).

    Args:
        problem: The scan prepared.
        known: Solutions so far, best first, shape (solution, parameter); the first tells the instrument.
        settings: Population, generations, starts.
        rng: Source of randomness.
        progress: Called with the share done.
    """
    prior, experiment = problem.prior, problem.model.experiment
    n_profile = len(experiment.profile.parameters)
    moving = prior.free[prior.free < n_profile]
    pool = draw_starts(problem, _POOL, rng=rng)
    units = np.concatenate([_fitted(problem, own, pool) for own in known[:_SOLUTIONS]])
    units[:, n_profile:] = prior.to_unit(known[:1])[:, n_profile:]
    near = np.repeat(units, _EACH, axis=0)
    away = _APART * rng.standard_normal((len(near), len(moving)))
    away[::_EACH] = 0.0
    near[:, moving] = np.clip(near[:, moving] + away, _INSIDE, 1 - _INSIDE)
    ranking = Ranking(problem, known[0], diffuse=True)
    best = np.argsort(ranking(prior.from_unit(near)), kind="stable")[: settings.population]
    return evolved(problem, ranking, near[best], settings, settings.starts, rng=rng, progress=progress)


def _fitted(problem: Problem, solution: Floats, pool: Floats) -> Floats:
    """Unit coordinates (arrangement, parameter) of the profiles nearest to a solution's (parameter,) arrangements.

    Args:
        problem: The scan prepared.
        solution: Values of all parameters, shape (parameter,).
        pool: Draws (draw, parameter), the nearest of which a fit starts from.
    """
    prior, profile = problem.prior, problem.model.experiment.profile
    n_profile, n_strain = len(profile.parameters), len(profile.strain.parameters)
    free = prior.free[prior.free < n_profile]
    of_strain = free[free < n_strain]
    depth, strains, factors = arrangements(profile, solution[:n_profile])
    drawn = profile.strain.evaluate(np.broadcast_to(depth, (len(pool), len(depth))), pool[:, :n_strain])
    largest = max(float(np.abs(strains).max()), 1e-300)
    found = np.repeat(prior.to_unit(solution[None]), len(strains), axis=0)
    for unit, strain, factor in zip(found, strains, factors, strict=True):
        nearest = np.argmin(((drawn - strain) ** 2).sum(axis=1))
        unit[of_strain] = prior.to_unit(pool[nearest][None])[0, of_strain]

        def residuals(own: Floats, unit: Floats = unit, strain: Floats = strain, factor: Floats = factor) -> Floats:
            unit[free] = own
            here = profile.evaluate(depth[None], prior.from_unit(unit[None])[:, :n_profile])
            return np.concatenate([(here[0][0] - strain) / largest, here[1][0] - factor])

        def slopes(own: Floats, unit: Floats = unit) -> Floats:
            unit[free] = own
            by_unit = prior.unit_jacobian(unit[None])[0, :n_profile][:, free]
            by_values = profile.gradient(depth[None], prior.from_unit(unit[None])[:, :n_profile])
            return np.concatenate([by_values[0][0] / largest, by_values[1][0]]) @ by_unit

        begin = np.clip(unit[free], 2 * _INSIDE, 1 - 2 * _INSIDE)
        fit = least_squares(
            residuals, begin, jac=slopes, bounds=(_INSIDE, 1 - _INSIDE), max_nfev=_EVALUATIONS
        )
        unit[free] = fit.x
    return found


def arrangements(profile: DepthProfile, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Profiles with as much of the crystal at each strain, and with the E that goes with it, in other orders.

    The strain rises from the surface to its maximum and falls again; strain of the other sign than the largest is left
    out.

    Args:
        profile: Families of strain and E.
        values: Of the profile's parameters, shape (parameter,).

    Returns:
        Depths (z,) [Å], and strain and E [1] there, each (arrangement, z).
    """
    deep = float(
        profile.extent(values[None], strain_tolerance=_STRAIN_TOLERANCE, factor_tolerance=_FACTOR_TOLERANCE)[0]
    )
    strain, factor = (
        own[0] for own in profile.evaluate(np.linspace(0, deep, _FINE)[None], values[None])
    )
    sign = 1.0 if strain[np.argmax(np.abs(strain))] >= 0 else -1.0
    size = sign * strain
    level = np.linspace(0, size.max(), _LEVELS + 1)[:-1]
    # How much of the crystal is strained more, and its E where it is strained so much.
    thickness = deep * (size > level[:, None]).mean(axis=1)
    order = np.argsort(size)
    factor_there = np.array([own.mean() for own in np.array_split(factor[order], _LEVELS)])
    size_there = np.array([own.mean() for own in np.array_split(size[order], _LEVELS)])
    depth = np.linspace(0, _DEEPER * deep, _DEPTHS)
    strains = np.array(
        [_ordered(depth, level, thickness, above, share) for share in _SURFACE for above in _ABOVE]
    )
    return depth, sign * strains, np.interp(strains, size_there, factor_there)


def _ordered(depth: Floats, level: Floats, thickness: Floats, above: float, surface: float) -> Floats:
    """Sizes of the strain (z,) at depths (z,) if so much of what exceeds the surface's lies above the maximum.

    Args:
        depth: Shape (z,) [Å].
        level: Sizes of the strain, ascending, shape (level,).
        thickness: Of what is strained more, shape (level,) [Å].
        above: Share of it that lies above the maximum.
        surface: The surface's strain as a share of the largest.
    """
    top = above * np.interp(surface * level[-1], level, thickness)
    begins = np.maximum(top - above * thickness, 0.0)
    ends = begins + thickness
    rising = np.searchsorted(begins, depth, side="right") - 1
    falling = np.searchsorted(-ends, -depth, side="right") - 1
    reached = np.minimum(rising, falling)
    return np.where(reached >= 0, level[np.maximum(reached, 0)], 0.0)
