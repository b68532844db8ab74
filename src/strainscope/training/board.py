"""Logs for TensorBoard, where its package is installed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from strainscope.training.checkpoint import GO_ON, LOST

BOARD = "tensorboard"


class Board:
    """Writes figures of a run for TensorBoard; does nothing without the package.

    Args:
        folder: Of the run.
        seen: Curves seen where it goes on: what an interrupted run wrote after them is taken back.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, folder: Path, *, seen: int) -> None:
        self._writer, self._folder = None, folder / BOARD
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        with self._explained():
            self._writer = SummaryWriter(str(self._folder), purge_step=seen + 1)

    def write(self, seen: int, figures: Mapping[str, float]) -> None:
        """Figures after some number of curves.

        Raises:
            OSError: they cannot be written.
        """
        if self._writer is not None:
            with self._explained():
                for name, value in figures.items():
                    self._writer.add_scalar(name, value, seen)
                self._writer.flush()

    def close(self) -> None:
        """Finish the file; what cannot be written of it any more is left out."""
        if self._writer is not None:
            # Every look was flushed: the rest is nothing to stop for, nor to hide why the training stopped.
            with suppress(OSError):
                self._writer.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(
                f"{self._folder}: TensorBoard's log could not be written ({error.strerror or error}); {LOST}. {GO_ON}"
            ) from None
