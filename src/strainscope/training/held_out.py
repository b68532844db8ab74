"""Which curves a training on datasets is watched by: none of its own, and none of a frozen test set."""

import itertools

import numpy as np
from numpy.typing import NDArray

from strainscope.dataset.draw import Draws
from strainscope.evaluation import excluded
from strainscope.evaluation.exclusion import in_datasets
from strainscope.training.settings import FullPlan

Floats = NDArray[np.float64]

# Of held-out curves: the plan's own seed is added.
VALIDATION_SEED = 7_000_000
# Candidates of another seed for each curve that is wanted, before it is given up.
_MOST_CANDIDATES = 64


def held_out_values(plan: FullPlan) -> Floats:
    """Parameters (validation, parameter) of the first plan that no dataset and no frozen test set holds.

    A plan that draws from a grid without replacement goes on behind its dataset. Where it has too few left, and for
    all other plans, another seed gives them, and what the datasets hold is left out.

    Raises:
        ValueError: there are too few.
    """
    first = plan.plans[0]
    used = {data.seed for data in plan.plans}
    seed = next(s for s in itertools.count(VALIDATION_SEED + plan.seed) if s not in used)
    found = np.empty((0, len(first.names)))
    reach = first.grid_reach()
    if reach is not None:
        found = _unused(plan, first.draws, first.size, reach)
    if len(found) < plan.validation:
        most = _MOST_CANDIDATES * plan.validation
        found = _unused(
            plan, first.with_options(seed=seed).draws, 0, most if reach is None else min(most, reach)
        )
    if len(found) < plan.validation:
        raise ValueError(
            f"validation = {plan.validation:,}; data[0] leaves {len(found):,} curves that no training uses. Use fewer, "
            "a smaller data[0].size, or smaller grid steps."
        )
    return found


def _unused(plan: FullPlan, draws: Draws, first: int, end: int) -> Floats:
    """At most `validation` rows of samples first to end - 1, without those that are in use."""
    found, number = np.empty((0, len(draws.names))), plan.validation
    while first < end and len(found) < plan.validation:
        values = draws.values(first, min(first + number, end))
        found = np.concatenate([found, values[~_in_use(plan, draws, values)]])
        first, number = first + number, 2 * number
    return found[: plan.validation]


def _in_use(plan: FullPlan, draws: Draws, values: Floats) -> NDArray[np.bool_]:
    """Which rows drawn are also in a dataset or a frozen test set."""
    return excluded(values, plan.plans[0].names) | in_datasets(values, plan.plans, drawn_by=draws)
