"""The test set `own`: fresh curves, or scans, of the very plan that an estimator was trained on."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from strainscope.dataset.plan import Plan
from strainscope.dataset.simulate import Simulator
from strainscope.estimator.plan import TrainingPlan, checked_training
from strainscope.evaluation.exclusion import in_datasets
from strainscope.evaluation.lab_set import scan_set
from strainscope.evaluation.rows import rounded
from strainscope.evaluation.test_sets import (
    DIGITS,
    SIZE,
    Curves,
    Floats,
    FrozenTestSet,
    curve_set,
    frozen_set,
    frozen_set_names,
    parameters_sha256,
)
from strainscope.sample.messages import hint, sentence

OWN = "own"
OWN_SEED = 518_204_377
"""Of the set `own`, or the first after it that the training did not use."""

_TITLE = "Fresh {} of the plan that the estimator was trained on"
# Candidates for each curve of a grid that is wanted, before it is given up.
_MOST_CANDIDATES = 64


def set_for(name: str, about: Mapping[str, Any]) -> FrozenTestSet:
    """The test set of a name, for an estimator with that description.

    Raises:
        OSError, ValueError: there is none, or see `own_set`.
    """
    if name == OWN:
        return own_set(about)
    known = (*frozen_set_names(), OWN)
    if name not in known:
        raise ValueError(sentence(f"test set = {name!r}{hint(name, known)}"))
    return frozen_set(name)


def own_set(about: Mapping[str, Any]) -> FrozenTestSet:
    """Curves as in the training of an estimator, drawn with a seed that it never used.

    Args:
        about: What the estimator's file says of it.

    Raises:
        OSError: a plan or sample of the training is no longer where it was.
        ValueError: the file names no plan, or the plan or its sample has changed since, or leaves no fresh curves.
    """
    if "plan" not in about:
        raise ValueError("the estimator does not say what it was trained on; choose a test set by name.")
    plan = checked_training(about["plan"], source="the estimator's plan")
    seeds = {member["plan"]["seed"] for member in about.get("members", (about,))}
    seed = next(s for s in itertools.count(OWN_SEED) if s not in seeds | {d.seed for d in plan.plans})
    return _scans(plan, about, seed) if plan.lab is not None else _curves(plan, about, seed)


def _scans(plan: TrainingPlan, about: Mapping[str, Any], seed: int) -> FrozenTestSet:
    assert plan.lab is not None
    samples = plan.lab.build()
    if len(samples) > 1:
        raise ValueError(
            f"the estimator knows {len(samples)} samples; the set own has scans of one. Choose a test set by name."
        )
    _check_same("sample", about.get("sample", {}).get("fit"), samples[0].settings().get("fit"))
    return scan_set(
        OWN,
        samples[0],
        plan.lab.scans,
        seed=seed,
        title=_TITLE.format("scans"),
        origin=f"{SIZE:,} simulated scans of the sample of the training, seed {seed}",
    )


def _curves(plan: TrainingPlan, about: Mapping[str, Any], seed: int) -> FrozenTestSet:
    plans = plan.plans
    _check_same("data", about.get("plans"), [data.model_dump(mode="json") for data in plans])
    # Of each dataset the share that it had in the training, in random order, so that any part is alike.
    sizes = np.cumsum([data.size for data in plans])
    places = np.random.default_rng(seed).random(SIZE) * sizes[-1]
    which = np.searchsorted(sizes, places, side="right")
    values = np.empty((SIZE, len(plans[0].names)))
    for i, data in enumerate(plans):
        values[which == i] = _fresh(i, data, plans, seed, int((which == i).sum()))
    simulators: dict[int, Simulator] = {}

    def simulate(parameters: Floats, first: int, last: int) -> Curves:
        own, rows = which[first:last], parameters[first:last]
        curves = np.empty((len(rows), plans[0].angles.number), dtype=np.float32)
        for i in np.unique(own).tolist():
            simulator = simulators.setdefault(i, Simulator(plans[i]))
            curves[own == i] = simulator.simulate(rows[own == i])
        return curves

    return curve_set(
        OWN,
        plans[0],
        title=_TITLE.format("curves"),
        origin=f"{SIZE:,} samples of the plans of the training in its shares, seed {seed}, in none of its datasets",
        bounds=plan.bounds(),
        sha256=parameters_sha256(rounded(values, DIGITS)),
        draw=lambda: values,
        simulate=simulate,
        identity={
            "sample": plans[0].sample_settings.settings(),
            "plans": [data.model_dump(mode="json") for data in plans],
            "seed": seed,
        },
    )


def _fresh(i: int, data: Plan, plans: tuple[Plan, ...], seed: int, number: int) -> Floats:
    """So many rows of a plan that no dataset of the training holds."""
    draws = data.with_options(seed=seed, size=number or 1).draws
    found = np.empty((0, len(data.names)))
    first, most = 0, _MOST_CANDIDATES * number
    reach = data.grid_reach()
    most = most if reach is None else min(most, reach)
    while len(found) < number and first < most:
        values = draws.values(first, min(first + number, most))
        found = np.concatenate([found, values[~in_datasets(values, plans)]])
        first += number
    if len(found) < number:
        raise ValueError(
            f"data[{i}] leaves {len(found):,} curves that the training did not use; the set own needs {number:,}. "
            "Choose a test set by name, or train with a smaller data size or finer grid steps."
        )
    return found[:number]


def _check_same(what: str, then: object, now: object) -> None:
    if then is not None and then != now:
        raise ValueError(
            f"{what} of the estimator's plan differ from what it was trained on: a file has changed since. Put the "
            "former one back, or train again."
        )
