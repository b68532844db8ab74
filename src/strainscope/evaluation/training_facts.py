"""What an estimator's file says of its training: plan, seeds, curves, time."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Training:
    """How an estimator was made; None where its file does not say.

    Attributes:
        title: Of the training plan; empty if it has none.
        model: What was trained.
        data: Names of the dataset plans, or of the samples whose scans were simulated.
        seeds: Of weights and order, one a network.
        curves_seen: By all networks together, each as often as it came.
        hours: Of training, by the clock.
        core_hours: Time of all cores.
    """

    title: str
    model: str
    data: tuple[str, ...]
    seeds: tuple[int, ...]
    curves_seen: int | None
    hours: float | None
    core_hours: float | None


def training_of(about: Mapping[str, Any]) -> Training | None:
    """What a file says; those of an ensemble's members are added up."""
    members = about.get("members", (about,))
    plans = [member["plan"] for member in members if "plan" in member]
    if not plans:
        return None
    first, lab = plans[0], plans[0].get("lab")
    names = [entry["plan"] for entry in first.get("data", ())] if lab is None else lab["sample"]
    names = [names] if isinstance(names, str) else names

    def total(key: str) -> float | None:
        known = [member[key] for member in members if member.get(key) is not None]
        return sum(known) if len(known) == len(members) else None

    seen, seconds, core_seconds = total("seen"), total("training_seconds"), total("core_seconds")
    return Training(
        title=first.get("title", ""),
        model=first.get("model", ""),
        data=tuple(Path(name).stem for name in names),
        seeds=tuple(plan.get("seed", 0) for plan in plans),
        curves_seen=None if seen is None else int(seen),
        hours=None if seconds is None else seconds / _HOUR,
        core_hours=None if core_seconds is None else core_seconds / _HOUR,
    )
