"""Logs for TensorBoard, where its package is installed."""

from collections.abc import Mapping
from pathlib import Path

BOARD = "tensorboard"


class Board:
    """Writes figures of a run for TensorBoard; does nothing without the package.

    Args:
        folder: Of the run.
        seen: Curves seen where it goes on: what an interrupted run wrote after them is taken back.
    """

    def __init__(self, folder: Path, *, seen: int) -> None:
        self._writer = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._writer = SummaryWriter(str(folder / BOARD), purge_step=seen + 1)

    def write(self, seen: int, figures: Mapping[str, float]) -> None:
        """Figures after some number of curves."""
        if self._writer is not None:
            for name, value in figures.items():
                self._writer.add_scalar(name, value, seen)
            self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()
