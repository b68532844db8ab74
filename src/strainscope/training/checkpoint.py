"""Files of a run: its checkpoint, which is written whole or not at all, and its log."""

import io
import json
import os
import pickle
import uuid
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

CHECKPOINT, LOG, PLAN = "checkpoint.pt", "log.jsonl", "plan.json"

GO_ON = "Free space, or mend what else is wrong with the disk, and go on with --resume."
LOST = "what was trained since the last checkpoint is lost"


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state, all or nothing.

    Raises:
        OSError: it cannot be written; the one before is kept.
    """
    # In memory first: torch does not say why a file cannot be written.
    content = io.BytesIO()
    torch.save(dict(state), content)
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        fresh.write_bytes(content.getbuffer())
        os.replace(fresh, path)
    except OSError as error:
        kept = "; the one before is kept" if path.exists() else ""
        raise OSError(
            f"{path}: the checkpoint could not be written ({error.strerror or error}){kept}. {GO_ON}"
        ) from None
    finally:
        fresh.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A state, its tensors on the processor, as not every device has float64; loading executes nothing.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not whole, or was altered.
    """
    try:
        # Torch writes checksums, and does not look at them.
        with zipfile.ZipFile(path) as file:
            altered = file.testzip()
        if altered is not None:
            raise ValueError(f"the checksum of {altered} differs")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise OSError(
            f"{path}: the checkpoint could not be read ({error.strerror or error}). {GO_ON}"
        ) from None
    # Torch says in many ways that a file is none of its own.
    except (
        zipfile.BadZipFile,
        zlib.error,
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
    replace_text(path, "".join(kept))


def replace_text(path: Path, text: str) -> None:
    """Write a text file, all or nothing.

    Raises:
        OSError: it cannot be written; the one before is kept.
    """
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
