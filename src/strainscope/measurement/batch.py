"""What a simulator hands to a training: scans on the network's grid, what the network is told, what it has to infer."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class LabBatch:
    """Simulated scans as a network reads them.

    Attributes:
        channels: log10 of the counts over those at the peak, its standard error, and 1 where measured, shape
            (scan, 3, point) in order of growing angle; see `gridding.GridAngles.channels`.
        told: What the network is told beside them, shape (scan, setting).
        told_names: Of its columns.
        values: What it has to infer, in the units of `LabSimulator.units`, shape (scan, target).
        names: Of its columns.
        maximum_strain: Largest strain of each profile [1], shape (scan,).
        disorder: Largest disorder of each, 1 - E (K where disorder is tied to strain) [1], shape (scan,).
        peak_counts: Counts a point at each scan's peak, as measured [1], shape (scan,).
    """

    channels: NDArray[np.float32]
    told: NDArray[np.float32]
    told_names: tuple[str, ...]
    values: Floats
    names: tuple[str, ...]
    maximum_strain: Floats
    disorder: Floats
    peak_counts: Floats

    def __len__(self) -> int:
        return len(self.values)

    def part(self, first: int, last: int) -> "LabBatch":
        """Scans first to last - 1."""
        parts: dict[str, Any] = {name: column[first:last] for name, column in _columns(self).items()}
        return replace(self, **parts)


def joined(batches: Sequence[LabBatch]) -> LabBatch:
    """Batches of one simulator, one after the other.

    Raises:
        ValueError: no batch.
    """
    if not batches:
        raise ValueError("no batches; give at least one.")
    columns = [_columns(batch) for batch in batches]
    parts: dict[str, Any] = {name: np.concatenate([c[name] for c in columns]) for name in columns[0]}
    return replace(batches[0], **parts)


def _columns(batch: LabBatch) -> dict[str, Any]:
    """Its arrays."""
    names = (field.name for field in fields(LabBatch))
    return {name: getattr(batch, name) for name in names if name not in ("names", "told_names")}
