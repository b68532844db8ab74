"""How a map is inverted, and the tiles that it is cut into."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from strainscope.maps.stack import Stack
from strainscope.sample import Sample, load_sample, with_instrument

# Pixels of a tile at most, down and across.
TILE_ROWS, TILE_COLUMNS = 10, 50
DRAWS = 8192
_HASHED_AT_ONCE = 1 << 24


@dataclass(frozen=True, kw_only=True)
class MapJob:
    """How a map is inverted; plain data, so that another process can be told.

    Attributes:
        sample: A preset's name, or a sample file.
        instrument: File of a calibrated instrument, or None.
        model_error: Relative error [1] granted to the model; None for the sample's.
        draws: Simulated curves behind the first guesses.
        seed: Of these.
    """

    sample: str
    instrument: str | None = None
    model_error: float | None = None
    draws: int = DRAWS
    seed: int = 0

    def described(self, stack: Stack) -> Sample:
        """The sample with these settings and the stack's axis and intensities.

        Raises:
            OSError: a file cannot be read.
            ValueError: something that is not allowed, or a sample of several reflections.
        """
        described = load_sample(self.sample)
        if self.instrument is not None:
            described = with_instrument(described, self.instrument)
        several = described.by_reflection()
        if len(several) > 1:
            names = ", ".join(own.label for own in several)
            raise ValueError(
                f"{self.sample}: has several reflections, {names}; a map is of one. Give a sample file of one."
            )
        return described.with_options(
            axis=stack.axis, intensity=stack.intensity_kind, model_error=self.model_error
        )

    def about(self, stack: Stack, sample: Sample) -> dict[str, Any]:
        """All that decides a result, plain data by name."""
        found: dict[str, Any] = asdict(self) | {
            "sample": [sample.settings(), _hash_of(self.sample)],
            "instrument": _hash_of(self.instrument),
            "stack": file_hash(stack.path),
            "dataset": [stack.dataset, stack.errors, stack.axis, stack.intensity_kind],
            "version": metadata.version("strainscope"),
        }
        plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
        return plain


def _hash_of(file: str | None) -> str | None:
    """Of a file's content; None where there is none."""
    return file_hash(Path(file)) if file is not None and Path(file).is_file() else None


def file_hash(path: Path) -> str:
    """SHA-256 of a file, however large."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_HASHED_AT_ONCE):
            found.update(part)
    return found.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A part of a map that is inverted at one go.

    Attributes:
        number: From 0.
        y, x: First row and column, and those after the last.
    """

    number: int
    y: tuple[int, int]
    x: tuple[int, int]

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.number:06d}.npz"


def tiles_of(shape: tuple[int, int]) -> list[Tile]:
    """A map (y, x) cut into tiles of nearly the same size, row by row."""
    cuts = [
        np.round(np.linspace(0, length, -(-length // most) + 1)).astype(int)
        for length, most in zip(shape, (TILE_ROWS, TILE_COLUMNS), strict=True)
    ]
    found: list[Tile] = []
    blank = Tile(number=0, y=(0, 0), x=(0, 0))
    for first, last in zip(cuts[0][:-1], cuts[0][1:], strict=True):
        for left, right in zip(cuts[1][:-1], cuts[1][1:], strict=True):
            found.append(
                replace(
                    blank, number=len(found), y=(int(first), int(last)), x=(int(left), int(right))
                )
            )
    return found
