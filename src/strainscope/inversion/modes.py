"""Distinct solutions: which fits are one, and which of them a profile lies nearest to."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from strainscope.experiment import Experiment
from strainscope.inversion.refine import Fit

Floats = NDArray[np.float64]

# Two fits are one solution when, in the mean over depth, their strains differ by less than this share of the
# maximum and their static Debye-Waller factors by less than the second.
SAME_PROFILE, SAME_FACTOR = 0.04, 0.1
# Solutions whose cost exceeds the best by more than this factor explain the scan no more.
WORST_COST_RATIO = 1.5
MOST_MODES = 12
_DEPTHS = 128


def gather(
    experiment: Experiment, fits: list[tuple[Fit, int]]
) -> list[tuple[Fit, int]]:
    """Distinct fits, best first, with the number of starts that each stands for.

    Args:
        experiment: Families.
        fits: Fits and the number of starts behind each.
    """
    modes = alike(
        experiment, np.array([fit.values for fit, _ in fits]), np.array([fit.cost for fit, _ in fits])
    )
    best = fits[modes[0][0]][0].cost
    return [
        (fits[lead][0], sum(fits[i][1] for i in members))
        for lead, members in modes
        if fits[lead][0].cost <= WORST_COST_RATIO * best
    ]


def alike(
    experiment: Experiment, values: Floats, costs: Floats, *, share: float = 1.0
) -> list[tuple[int, list[int]]]:
    """Which of some profiles are one: the best of each kind, and all of it, the kind of lowest cost first.

    Args:
        experiment: Families.
        values: Of all parameters, shape (profile, parameter).
        costs: Shape (profile,).
        share: Of the differences that are usually allowed.
    """
    strains, factors = _profiles(experiment, values)
    kinds: list[tuple[int, list[int]]] = []
    for i in np.argsort(costs, kind="stable"):
        for lead, members in kinds:
            room = share * SAME_PROFILE * np.abs(strains[lead]).max()
            same_strain = np.abs(strains[i] - strains[lead]).mean() <= room
            if same_strain and np.abs(factors[i] - factors[lead]).mean() <= share * SAME_FACTOR:
                members.append(int(i))
                break
        else:
            kinds.append((int(i), [int(i)]))
    return kinds


def nearest_fit(experiment: Experiment, fits: Sequence[Fit], values: Floats) -> NDArray[np.int64]:
    """Which of some fits each profile lies nearest to, from values of all parameters (draw, parameter).

    Distances are those by which `gather` tells profiles apart, in shares of what it allows: of strain, by the largest
    strain of all fits.
    """
    if len(fits) == 1:
        return np.zeros(len(values), dtype=np.int64)
    n = len(fits)
    strain, factor = _profiles(experiment, np.concatenate([np.array([fit.values for fit in fits]), values]))
    room = max(SAME_PROFILE * np.abs(strain[:n]).max(), 1e-300)
    apart = [
        np.abs(strain[n:] - strain[k]).mean(axis=1) / room
        + np.abs(factor[n:] - factor[k]).mean(axis=1) / SAME_FACTOR
        for k in range(n)
    ]
    return np.asarray(np.argmin(apart, axis=0))


def _profiles(experiment: Experiment, values: Floats) -> tuple[Floats, Floats]:
    """Strains and E of fits on common depths, (fit, depth) each, down to the median of their extents."""
    family = experiment.profile.strain
    own = values[:, experiment.slices["profile"]]
    deepest = float(np.median(family.extent(own[:, : len(family.parameters)], 2e-4)))
    depth = np.broadcast_to(np.linspace(0, deepest, _DEPTHS), (len(own), _DEPTHS))
    return experiment.profile.evaluate(depth, own)
