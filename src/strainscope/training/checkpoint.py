"""Files of a run: its plan, its checkpoint, which is written whole or not at all, and its log."""

import json
import os
import pickle
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from strainscope.estimator.plan import TrainingPlan
from strainscope.training.settings import FullPlan, full_plan

WEIGHTS, CHECKPOINT, LOG, PLAN = "estimator.safetensors", "checkpoint.pt", "log.jsonl", "plan.json"

GO_ON = "Free space, or mend what else is wrong with the disk, and go on with --resume."
LOST = "what was trained since the last checkpoint is lost"


def claim(folder: Path, plan: FullPlan, *, resume: bool) -> None:
    """Make the run's folder, or check that what is there is of the same plan.

    Raises:
        FileExistsError: it holds a run and `resume` is off, or something else.
        ValueError: it holds another plan's run.
    """
    place = folder / PLAN
    if place.exists():
        if not resume:
            raise FileExistsError(f"{folder}: holds a training; name another folder, or go on with --resume.")
        if _document(place) != plan.model_dump(mode="json"):
            raise ValueError(
                f"{folder}: holds the training of another plan; name another folder, or use its plan."
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder}: holds something else than a training; name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    _replace(place, json.dumps(plan.model_dump(mode="json"), sort_keys=True, indent=1))


def _document(place: Path) -> dict[str, Any] | None:
    """The plan in a run's folder, with the defaults of keys that came later; None if it is none."""
    try:
        return full_plan(TrainingPlan.model_validate(json.loads(place.read_text()))).model_dump(mode="json")
    except (ValidationError, ValueError):
        return None


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state, all or nothing.

    Raises:
        OSError: it cannot be written; the one before is kept.
    """
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        torch.save(dict(state), fresh)
        os.replace(fresh, path)
    except (OSError, RuntimeError) as error:
        raise OSError(
            f"{path}: the checkpoint could not be written ({error}); the one before is kept. {GO_ON}"
        ) from None
    finally:
        fresh.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A state, its tensors on the processor, as not every device has float64; loading executes nothing.

    Raises:
        ValueError: it is not whole.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    # Torch says in many ways that a file is none of its own.
    except (
        RuntimeError,
        EOFError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        pickle.UnpicklingError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{path}: is no whole checkpoint ({reason}); delete it and resume, which begins anew."
        ) from None
    if not isinstance(state, dict):
        raise ValueError(f"{path}: is no checkpoint of a training; delete it and resume, which begins anew.")
    return state


def append_log(path: Path, row: Mapping[str, float]) -> None:
    """One more line in the log.

    Raises:
        OSError: it cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(row)) + "\n")
    except OSError as error:
        raise OSError(
            f"{path}: the log could not be written ({error.strerror or error}); {LOST}. {GO_ON}"
        ) from None


def cut_log(path: Path, seen: int) -> None:
    """Leave out lines after some number of curves: a training that goes on from there writes them again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:  # the last line of a training that was killed
            continue
        if row["seen"] <= seen:
            kept.append(line + "\n")
    _replace(path, "".join(kept))


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.partial")
    try:
        fresh.write_text(text, encoding="utf-8")
        os.replace(fresh, path)
    except OSError as error:
        raise OSError(
            f"{path}: could not be written ({error.strerror or error}); nothing is lost. {GO_ON}"
        ) from None
    finally:
        fresh.unlink(missing_ok=True)
