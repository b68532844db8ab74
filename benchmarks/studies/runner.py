"""Trains and evaluates the variants of a study; what is there already is used, also by other studies."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.aliasing import write_coarse
from benchmarks.studies.table import MEAN, WEIGHTED_MEAN, Study, Variant
from strainscope import training
from strainscope.dataset.published import V2_ERRORS
from strainscope.estimator.ensemble import ensemble_of
from strainscope.estimator.load import load_estimator
from strainscope.estimator.losses import RECIPES
from strainscope.estimator.plan import TrainingPlan, checked_training
from strainscope.estimator.posterior import PosteriorEstimator
from strainscope.evaluation import LoadedTestSet, evaluate, evaluation_document

# Curves a second on two cores, roughly: they say how many epochs a budget has, and where checkpoints are.
RATES = {"posterior": 5_000, "v1": 250, "v2": 85, "v3": 20, "cnn2023": 1_700}
_CHECKPOINT_SECONDS = 60
# Time ends a training, never the number of curves; a look at fewer held-out curves is enough.
_BASE: Mapping[str, Any] = {"samples": 10**9, "validation": 1024}

Tell = Callable[[str], None]
Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all variants have in common.

    Attributes:
        folder: Where data, trainings and evaluations are kept.
        minutes: Of the budget.
        curves: Of each training set.
        seed: Of weights and order.
        base: Keys of every training plan.
        plans: Dataset plans to use in place of those that the studies name.
    """

    folder: Path
    minutes: float = 4.0
    curves: int = 200_000
    seed: int = 0
    base: Mapping[str, Any] = field(default_factory=lambda: _BASE)
    plans: Mapping[str, str] = field(default_factory=dict)


class PointNetwork:
    """What the point network of a posterior estimator gives, without the flow.

    Args:
        estimator: That has it.
    """

    def __init__(self, estimator: PosteriorEstimator) -> None:
        self._estimator = estimator
        self.names = estimator.names

    def point(self, curves: np.ndarray) -> np.ndarray:
        """Estimates of curves (n, angle), shape (n, parameter)."""
        network = self._estimator.network
        with torch.no_grad():
            free = network.point(network.context(torch.from_numpy(np.asarray(curves, dtype=np.float32))))
        return self._estimator.coordinates.from_free(free.numpy())


def results_of(
    study: Study, settings: Settings, test_set: LoadedTestSet, *, tell: Tell = print
) -> dict[str, Result]:
    """Figures of every variant of a study, by its key.

    Raises:
        OSError, ValueError: what a training, a dataset or an evaluation says.
    """
    return {key: _result(variant, settings, test_set, tell) for key, variant in study.variants.items()}


def plan_of(variant: Variant, settings: Settings, member: int = 0) -> TrainingPlan:
    """The training plan of a member of a variant."""
    minutes = settings.minutes * variant.share
    data = {"plan": settings.plans.get(variant.data, variant.data), "size": settings.curves}
    own = {"data": [data], "minutes": minutes, "seed": settings.seed + variant.seed + member}
    document = {**settings.base, **variant.changes, **own}
    model = document.get("model", "posterior")
    if model != "posterior":
        document.pop("network", None)
        # Before this the published rates cannot fall for the first time.
        epochs = RECIPES[model].plateau_patience + 2
        if 60 * minutes * RATES[model] < epochs * settings.curves:
            document["schedule"] = "cosine"
    return checked_training(document, source=variant.label)


def run_folder(plan: TrainingPlan, variant: Variant, settings: Settings) -> Path:
    """Where a training is: the same for the same plan, data and number of cores, whichever study asks."""
    what = json.dumps([plan.model_dump(mode="json"), variant.dl, torch.get_num_threads()], sort_keys=True)
    return settings.folder / "runs" / f"{plan.model}-{hashlib.sha256(what.encode()).hexdigest()[:16]}"


def data_folder(variant: Variant, settings: Settings) -> Path:
    """Where the datasets of a size are; those of coarse sublayers apart."""
    kind = "converged" if variant.dl is None else f"midpoint-{variant.dl}-A"
    return settings.folder / "data" / f"{settings.curves}-{kind}"


def _result(variant: Variant, settings: Settings, test_set: LoadedTestSet, tell: Tell) -> Result:
    """Figures of a variant, trained and evaluated unless that is done."""
    plans = [plan_of(variant, settings, member) for member in range(variant.members)]
    folders = [run_folder(plan, variant, settings) for plan in plans]
    for plan, folder in zip(plans, folders, strict=True):
        _train(plan, folder, variant, settings, tell)
    evaluation = _evaluation(variant, folders, settings, test_set, tell)
    members = [load_estimator(folder / training.WEIGHTS).about for folder in folders]
    errors = evaluation["mae_percent_of_range"]
    seen = sum(about["seen"] for about in members)
    return {
        "label": variant.label,
        "plan": _described(plans[0], variant),
        "schedule": "own" if plans[0].model != "posterior" and plans[0].schedule == "default" else "cosine",
        "budget_minutes": settings.minutes * variant.share * variant.members,
        "training_minutes": sum(about["training_seconds"] for about in members) / 60,
        "core_minutes": sum(about["core_seconds"] for about in members) / 60,
        "curves_seen": seen,
        "epochs": seen / len(members) / settings.curves,
        "mae_percent_of_range": errors,
        **means(errors),
        "evaluation": evaluation,
    }


def _described(plan: TrainingPlan, variant: Variant) -> dict[str, Any]:
    """What was trained, as plain data, without the places of files on this machine."""
    document = plan.model_dump(mode="json")
    data = [{**own, "plan": Path(own["plan"]).stem} for own in document["data"]]
    return {"dl_A": variant.dl, "members": variant.members, **document, "data": data}


def means(errors: Mapping[str, float]) -> dict[str, float]:
    """Mean of the errors, and their mean weighted by the errors of v2."""
    weights = [V2_ERRORS.get(name, 0.0) for name in errors]
    values = list(errors.values())
    weighted = float(np.average(values, weights=weights)) if any(weights) else float("nan")
    return {MEAN: float(np.mean(values)), WEIGHTED_MEAN: weighted}


def _train(plan: TrainingPlan, folder: Path, variant: Variant, settings: Settings, tell: Tell) -> None:
    """Train, or go on with a training, unless it is done."""
    if (folder / training.WEIGHTS).exists():
        tell(f"{variant.label}: trained already ({folder.name})")
        return
    data = data_folder(variant, settings)
    if variant.dl is not None:
        # Where a training looks for its first dataset.
        store = data / f"0-{Path(plan.data[0].plan).stem}.zarr"
        made = write_coarse(plan.plans[0], store, variant.dl)
        tell(f"{variant.label}: {made:,} curves of sublayers of {variant.dl} Å simulated")
    tell(f"{variant.label}: training for {plan.minutes:.3g} minutes ({folder.name})")
    training.train(
        plan,
        folder,
        resume=True,
        data_folder=data,
        checkpoint_every=_CHECKPOINT_SECONDS * RATES[plan.model],
        tell=lambda progress: tell(f"  {progress.seen:,} curves, {progress.curves_per_second:,.0f}/s"),
    )


def _evaluation(
    variant: Variant, folders: list[Path], settings: Settings, test_set: LoadedTestSet, tell: Tell
) -> dict[str, Any]:
    """The document of an evaluation, from where it is kept, or made."""
    frozen = test_set.frozen
    what = json.dumps([[f.name for f in folders], variant.estimate, frozen.sha256, len(test_set)])
    digest = hashlib.sha256(what.encode()).hexdigest()[:16]
    place = settings.folder / "evaluations" / f"{frozen.name}-{digest}.json"
    if place.exists():
        return dict(json.loads(place.read_text(encoding="utf-8")))
    tell(f"{variant.label}: evaluating on {len(test_set):,} curves of {frozen.name}")
    members = [load_estimator(folder / training.WEIGHTS) for folder in folders]
    estimator: Any = members[0] if len(members) == 1 else ensemble_of(members, members[0].about)
    if variant.estimate == "point network":
        estimator = PointNetwork(estimator)
    document = evaluation_document(evaluate(estimator, test_set, name=folders[0].name))
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_suffix(".partial")
    partial.write_text(json.dumps(document), encoding="utf-8")
    os.replace(partial, place)
    return document
