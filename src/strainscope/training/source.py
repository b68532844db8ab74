"""Where a training's batches come from: stored datasets, or a simulator of laboratories' scans."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from strainscope.profile import Constraint
from strainscope.training.data import Admits, Batches

Floats = NDArray[np.float64]


class Source(Protocol):
    """Rows of numbers (curves, or scans with what is told of them), and the parameters behind each.

    Attributes:
        names: Parameters, in the order of the columns.
        bounds: Smallest and largest value of each.
        constraints: Between them.
        points: Of a curve, or of the grid of scans.
        told: Numbers that are told of each scan; 0 for curves.
    """

    names: tuple[str, ...]
    bounds: Mapping[str, tuple[float, float]]
    constraints: tuple[Constraint, ...]
    points: int
    told: int

    def make(self, folder: Path | str, tell: Callable[[str, int, int], None]) -> None:
        """Make what is missing of the data."""

    def open(self, folder: Path | str) -> None:
        """Use data that another process made."""

    def examples(self) -> torch.Tensor:
        """Some rows (n, row) that inputs are standardised by."""

    def batches(self, admits: Admits, *, device: torch.device, rank: int = 0, size: int = 1) -> Batches:
        """Batches of rows whose values are admitted; of `size` processes, the part of the one of that rank.

        Where the source simulates them on the device that trains they stay there.
        """

    def held_out(self) -> tuple[NDArray[np.float32], Floats]:
        """Rows and values that no batch holds."""

    def fresh(self, number: int) -> tuple[NDArray[np.float32], Floats]:
        """So many more rows and values that no batch holds, nor `held_out`."""

    def about(self) -> dict[str, Any]:
        """What an estimator's file says of the data, as plain data."""
