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
from strainscope.inversion.search import draw_starts, evolved_starts
from strainscope.inversion.settings import SearchSettings
from strainscope.profile import DepthProfile

Floats = NDArray[np.float64]

# Arrangements: shares of what is strained more than the surface that lie above the maximum, and the surface's strain as
# shares of the largest, closer where it is weak, as it often is.
_ABOVE, _SURFACE = np.linspace(0.125, 1.0, 8), (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7)
# Solutions that are rearranged; profiles near each arrangement, and their standard deviation in unit coordinates.
_SOLUTIONS, _EACH, _APART = 2, 6, 0.03
# Depths at which a solution is taken apart, and at which an arrangement is fitted, beyond the solution's end, too.
_FINE, _DEPTHS, _DEEPER = 2000, 128, 1.15
# Shares of the largest strain that count as none, and departures of E from 1.
_UNSTRAINED, _UNDAMAGED = 5e-3, 1e-2
# Draws, of which the nearest is a fit's start, its evaluations, and how near to bounds it may come in unit coordinates.
_POOL, _EVALUATIONS, _INSIDE = 2048, 10, 0.005


def rearranged_starts(
    problem: Problem,
    known: Floats,
    settings: SearchSettings,
    *,
    rng: np.random.Generator,
    progress: Callable[[float], None] = lambda share: None,
) -> Floats:
    """Distinct values of all parameters from which refinement starts, best first; shape (<= starts, parameter).

    There are none where no parameter of the strain is free, or the solutions have no strain.

    Args:
        problem: The scan prepared.
        known: Solutions so far, best first, shape (solution, parameter); the first tells the instrument.
        settings: Population, generations, starts.
        rng: Source of randomness.
        progress: Called with the share done.
    """
    prior, profile = problem.prior, problem.model.experiment.profile
    n_profile, n_strain = len(profile.parameters), len(profile.strain.parameters)
    moving = prior.free[prior.free < n_profile]
    strained = known[profile.strain.maximum(known[:, :n_strain])[0] > 0][:_SOLUTIONS]
    if not (moving < n_strain).any() or not len(strained):
        return known[:0]
    pool = draw_starts(problem, _POOL, rng=rng)
    units = np.concatenate([_rearranged(problem, own, pool) for own in strained])
    units[:, n_profile:] = prior.to_unit(known[:1])[:, n_profile:]
    near = np.repeat(units, _EACH, axis=0)
    away = _APART * rng.standard_normal((len(near), len(moving)))
    away[::_EACH] = 0.0
    near[:, moving] = np.clip(near[:, moving] + away, _INSIDE, 1 - _INSIDE)
    ranking = Ranking(problem, known[0], diffuse=True)
    best = np.argsort(ranking(prior.from_unit(near)), kind="stable")[: settings.population]
    return evolved_starts(
        problem,
        ranking,
        near[best],
        generations=settings.generations,
        most=settings.starts,
        rng=rng,
        progress=progress,
    )


def _rearranged(problem: Problem, solution: Floats, pool: Floats) -> Floats:
    """Unit coordinates (arrangement, parameter) of the family's profiles nearest to arrangements of a solution.

    Args:
        problem: The scan prepared.
        solution: Values of all parameters, shape (parameter,).
        pool: Draws of all parameters, of which a fit starts from the strain that is nearest, shape (draw, parameter).
    """
    prior, profile = problem.prior, problem.model.experiment.profile
    n_profile, n_strain = len(profile.parameters), len(profile.strain.parameters)
    of_strain = prior.free[prior.free < n_strain]
    depth, strains, factors = arrangements(profile, solution[:n_profile])
    drawn = profile.strain.evaluate(np.broadcast_to(depth, (len(pool), len(depth))), pool[:, :n_strain])
    found = []
    for strain, factor in zip(strains, factors, strict=True):
        start = prior.to_unit(solution)
        nearest = pool[np.argmin(((drawn - strain) ** 2).sum(axis=1))]
        start[of_strain] = prior.to_unit(nearest)[of_strain]
        found.append(_nearest(problem, start, depth, strain, factor))
    return np.array(found)


def _nearest(problem: Problem, start: Floats, depth: Floats, strain: Floats, factor: Floats) -> Floats:
    """Unit coordinates (parameter,) of the profile with the least squares of strain, over its largest, and E together.

    Args:
        problem: The scan prepared.
        start: Unit coordinates to begin at, shape (parameter,); what is no free parameter of the profile stays.
        depth: Where profiles are compared, shape (z,) [Å].
        strain: That to come near to, shape (z,) [1].
        factor: Likewise the static Debye-Waller factor E, shape (z,) [1].
    """
    prior, profile = problem.prior, problem.model.experiment.profile
    n_profile, largest = len(profile.parameters), np.abs(strain).max()
    free = prior.free[prior.free < n_profile]

    def unit(own: Floats) -> Floats:
        everything = start[None].copy()
        everything[0, free] = own
        return everything

    def residuals(own: Floats) -> Floats:
        here = profile.evaluate(depth[None], prior.from_unit(unit(own))[:, :n_profile])
        return np.concatenate([(here[0][0] - strain) / largest, here[1][0] - factor])

    def slopes(own: Floats) -> Floats:
        by_unit = prior.unit_jacobian(unit(own))[0, :n_profile][:, free]
        by_values = profile.gradient(depth[None], prior.from_unit(unit(own))[:, :n_profile])
        return np.concatenate([by_values[0][0] / largest, by_values[1][0]]) @ by_unit

    begin = np.clip(start[free], 2 * _INSIDE, 1 - 2 * _INSIDE)
    fit = least_squares(
        residuals, begin, jac=slopes, bounds=(_INSIDE, 1 - _INSIDE), max_nfev=_EVALUATIONS
    )
    return np.asarray(unit(fit.x)[0])


def arrangements(profile: DepthProfile, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Profiles with as much of the crystal at each strain, and with the E that goes with it, in other orders.

    The strain rises from the surface to its maximum and falls again; strain of the other sign than the largest is left
    out. Below what is strained E stays as it is.

    Args:
        profile: Families of strain and E.
        values: Of the profile's parameters, shape (parameter,); not without strain.

    Returns:
        Depths (z,) [Å], and strain and E [1] there, each (arrangement, z).
    """
    least = _UNSTRAINED * float(profile.strain.maximum(values[None, : len(profile.strain.parameters)])[0][0])
    deep = float(profile.extent(values[None], strain_tolerance=least, factor_tolerance=_UNDAMAGED)[0])
    z = np.linspace(0, deep, _FINE)
    strain, factor = (own[0] for own in profile.evaluate(z[None], values[None]))
    sign = np.sign(strain[np.argmax(np.abs(strain))])
    magnitude = sign * strain
    order = np.argsort(magnitude, kind="stable")
    order = order[magnitude[order] > least]
    level, there = magnitude[order], factor[order]
    # How much of the crystal is strained more than each level.
    thickness = deep * np.arange(len(order) - 1, -1, -1) / _FINE
    depth = np.linspace(0, _DEEPER * deep, _DEPTHS)
    strains = np.array(
        [_ordered(depth, level, thickness, above, share) for share in _SURFACE for above in _ABOVE]
    )
    below = depth > thickness[0]
    return depth, sign * strains, np.where(below, np.interp(depth, z, factor), np.interp(strains, level, there))


def _ordered(depth: Floats, level: Floats, thickness: Floats, above: float, surface: float) -> Floats:
    """Magnitudes of the strain (z,) if so much of what exceeds the surface's lies above the maximum.

    Args:
        depth: Shape (z,) [Å].
        level: Magnitudes of the strain, ascending, shape (level,) [1].
        thickness: Of what is strained more, shape (level,) [Å].
        above: Share of it that lies above the maximum [1].
        surface: The surface's strain as a share of the largest [1].
    """
    top = above * np.interp(surface * level[-1], level, thickness)
    begins = np.maximum(top - above * thickness, 0.0)
    ends = begins + thickness
    rising = np.searchsorted(begins, depth, side="right") - 1
    falling = np.searchsorted(-ends, -depth, side="right") - 1
    reached = np.minimum(rising, falling)
    return np.where(reached >= 0, level[np.maximum(reached, 0)], 0.0)
