"""The folder of a run: held against other trainings, of one plan only, and gone where nothing came of it."""

import hashlib
import json
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from strainscope.dataset.alone import alone
from strainscope.estimator.plan import TrainingPlan
from strainscope.training.board import BOARD
from strainscope.training.checkpoint import PLAN, replace_text
from strainscope.training.settings import FullPlan, full_plan

# In the file of the plan: what the files that it names hold.
_SOURCES = "sources"
# Keys of samples whose values are paths; what the files hold counts, and not where they lie.
_FILE_KEYS = ("cif", "path")
_SHOWN_DIFFERENCES = 3


@contextmanager
def held(folder: Path, plan: FullPlan, *, resume: bool) -> Iterator[None]:
    """Make the run's folder, or go on in it, and hold it; where no training came of it, it is left as it was.

    Raises:
        FileExistsError: it holds a run and `resume` is off, or something else.
        OSError: it cannot be made, or another process holds it.
        ValueError: it holds another plan's run.
    """
    if folder.is_file():
        raise FileExistsError(f"{folder}: is a file; name a folder.")
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        with alone(folder):
            # Of a process that was killed while it wrote.
            for place in folder.glob(".*.partial"):
                place.unlink()
            fresh = claim(folder, plan, resume=resume)
            try:
                yield
            except BaseException:
                if fresh and not _worth_keeping(folder):
                    _empty(folder)
                raise
    except BaseException:
        for place in made:
            # Refused where it holds anything.
            with suppress(OSError):
                place.rmdir()
        raise


def claim(folder: Path, plan: FullPlan, *, resume: bool) -> bool:
    """Put the plan into the run's folder, or check that what is there is of the same plan.

    Returns:
        Whether it was empty.

    Raises:
        FileExistsError: it holds a run and `resume` is off, or something else.
        OSError: it cannot be written, or a sample's file cannot be read.
        ValueError: it holds another plan's run.
    """
    place, own = folder / PLAN, plan.model_dump(mode="json")
    if not place.exists():
        if folder.exists() and any(folder.iterdir()):
            raise FileExistsError(f"{folder}: holds something else than a training; name another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        replace_text(place, json.dumps(own | {_SOURCES: sources(plan)}, sort_keys=True, indent=1))
        return True
    if not resume:
        raise FileExistsError(f"{folder}: holds a training; name another folder, or go on with --resume.")
    try:
        before, held_sources = _read(place)
    except ValueError:
        raise ValueError(f"{place}: is no plan of this version; name another folder.") from None
    changes = differences(_decisive(before, held_sources), _decisive(plan, sources(plan)))
    if changes:
        raise ValueError(
            f"{folder}: holds the training of another plan ({changes}); name another folder, or use its plan."
        )
    return False


def _read(place: Path) -> tuple[FullPlan, dict[str, Any]]:
    """The plan in a run's folder, with the defaults of keys that came later, and what its files held."""
    document = json.loads(place.read_text(encoding="utf-8"))
    known = document.pop(_SOURCES, None)
    plan = full_plan(TrainingPlan.model_validate(document))
    # Earlier runs did not say.
    return plan, sources(plan) if known is None else known


def sources(plan: FullPlan) -> dict[str, Any]:
    """What the plan's datasets and samples are, by key, as plain data."""
    found: dict[str, Any] = {}
    for i, data in enumerate(plan.plans):
        identity = data.identity()
        del identity["plan"]["sample"]
        found[f"data[{i}]"] = _with_contents(identity)
    for i, sample in enumerate(plan.lab.build() if plan.lab is not None else ()):
        found[f"lab.sample[{i}]"] = _with_contents(sample.settings())
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def _with_contents(value: Any) -> Any:  # noqa: ANN401
    """Plain data of samples and plans with checksums in place of files' paths, and without titles."""
    if isinstance(value, Mapping):
        return {
            key: _checksum(Path(own)) if key in _FILE_KEYS and isinstance(own, str) else _with_contents(own)
            for key, own in value.items()
            if key != "title"
        }
    return [_with_contents(own) for own in value] if isinstance(value, list | tuple) else value


def _checksum(path: Path) -> str:
    return f"file of checksum {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


def _decisive(plan: FullPlan, contents: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides a training: what the files hold in place of their names."""
    document = plan.model_dump(mode="json", exclude={"title": True, "data": True, "lab": {"sample"}})
    return document | dict(contents)


def _flat(value: Any, key: str = "") -> dict[str, Any]:  # noqa: ANN401
    """Values by keys such as lab.scans.counts."""
    if isinstance(value, Mapping) and value:
        inside = [_flat(own, f"{key}.{name}" if key else name) for name, own in value.items()]
        return {name: own for part in inside for name, own in part.items()}
    return {key: value}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs in plain data, by key, with both values, the first few of them; empty where nothing does."""
    old, new = _flat(before), _flat(now)
    found = [
        f"{key} = {_shown(old, key)}, now {_shown(new, key)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    more = len(found) - _SHOWN_DIFFERENCES
    return "; ".join(found[:_SHOWN_DIFFERENCES]) + (f", and {more} more" if more > 0 else "")


def _shown(values: Mapping[str, Any], key: str) -> str:
    text = "none" if values.get(key) is None else json.dumps(values[key], ensure_ascii=False)
    return textwrap.shorten(text, 80, placeholder=" …")


def _worth_keeping(folder: Path) -> bool:
    """Whether anything was simulated or trained."""
    files = (place for place in folder.rglob("*") if place.is_file())
    return any(place.name != PLAN and place.parent.name != BOARD for place in files)


def _empty(folder: Path) -> None:
    for place in folder.iterdir():
        if place.is_dir():
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink()
