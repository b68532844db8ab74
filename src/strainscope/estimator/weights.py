"""Weights in a file that executes nothing: safetensors, with plan, prior and metrics as JSON inside."""

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from strainscope.estimator.shipped import ABOUT_KEY

FORMAT = 1


def save_weights(path: Path, tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]) -> None:
    """Write weights and what they are, all or nothing.

    Args:
        path: File to write; replaced if it is there.
        tensors: By name.
        about: Plain data: plan, coordinates, metrics.

    Raises:
        OSError: it cannot be written.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    own = {"format": FORMAT, "sha256": _digest(plain), "about_sha256": _text_digest(about)}
    text = json.dumps(own | dict(about), allow_nan=False)
    content = save(plain, metadata={ABOUT_KEY: text})
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        fresh.write_bytes(content)
        os.replace(fresh, path)
    except OSError as error:
        raise OSError(
            f"{path}: the weights could not be written ({error.strerror or error}); free space and write them again "
            "(a training: with --resume)."
        ) from None
    finally:
        fresh.unlink(missing_ok=True)


def load_weights(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Weights and what they are.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: truncated, altered, or not written by this program.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such weights file.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise ValueError(f"{path}: is no whole safetensors file ({error}); get or train it again.") from None
    try:
        about = json.loads(metadata[ABOUT_KEY])
        known, digest = about.pop("format"), about.pop("sha256")
    except (KeyError, ValueError):
        raise ValueError(f"{path}: holds weights, but not of a strainscope estimator.") from None
    if known != FORMAT:
        raise ValueError(f"{path}: its format is {known}; this version reads {FORMAT}. Train it again.")
    if digest != _digest(tensors):
        raise ValueError(f"{path}: its weights were altered (checksum differs); get or train it again.")
    # Files of the first versions have none.
    said = about.pop("about_sha256", None)
    if said is not None and said != _text_digest(about):
        raise ValueError(f"{path}: its description was altered (checksum differs); get or train it again.")
    return tensors, about


def _text_digest(about: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(about), sort_keys=True, allow_nan=False).encode()).hexdigest()


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(name.encode())
        total.update(tensors[name].contiguous().numpy().tobytes())
    return total.hexdigest()
