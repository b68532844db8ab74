"""What a training reads: its datasets, made first where missing, as whole batches from any position on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from strainscope.dataset.generate import generate
from strainscope.dataset.place import below
from strainscope.dataset.reader import ShuffledReader
from strainscope.dataset.simulate import Curves, Simulator
from strainscope.evaluation import excluded
from strainscope.sample.messages import at_key
from strainscope.training.held_out import held_out_values
from strainscope.training.settings import FullPlan

Floats = NDArray[np.float64]
Batch = tuple[Curves, Floats]
Admits = Callable[[Floats], NDArray[np.bool_]]

STANDARDISED_BY = 20_000
"""Curves that inputs are standardised by."""


class Batches(Protocol):
    """Batches of rows and values without end, from any place on."""

    epoch_size: int

    def __iter__(self) -> Iterator[Batch] | Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Rows (batch, row) and values (batch, parameter), from where it is; tensors lie on the device that trains."""

    def state(self) -> dict[str, Any]:
        """Where it is, for a checkpoint."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""


def readers_of(plan: FullPlan, folder: Path | str, tell: Callable[[str, int, int], None]) -> list[ShuffledReader]:
    """Readers of the plan's datasets, which are made or finished first."""
    readers = []
    for i, own in enumerate(plan.plans):
        name = _name(plan, i)
        with at_key(f"data[{i}]"):
            generate(own, below(folder, name), resume=True, progress=partial(tell, name))
        readers.append(_reader(plan, i, folder))
    return readers


def _name(plan: FullPlan, i: int) -> str:
    """Of a dataset in the folder of them all."""
    return f"{i}-{Path(plan.data[i].plan).stem}.zarr"


def _reader(plan: FullPlan, i: int, folder: Path | str) -> ShuffledReader:
    """Of a dataset that is there."""
    path = below(folder, _name(plan, i))
    return ShuffledReader(path, batch=plan.batch, seed=plan.seed + i, start=plan.window)


def some_curves(readers: Sequence[ShuffledReader], window: int) -> torch.Tensor:
    """Curves (n, angle) of every dataset, the window's points left out, that inputs are standardised by."""
    share = STANDARDISED_BY // len(readers) + 1
    parts = [reader.dataset.curves(0, min(share, reader.dataset.size)) for reader in readers]
    curves = np.concatenate(parts)
    return torch.from_numpy(np.ascontiguousarray(curves[:, : curves.shape[1] - window]))


class DatasetSource:
    """The datasets of a plan.

    Args:
        plan: What to train.

    Raises:
        ValueError: a batch larger than one of them, or no curves left to hold out.
    """

    def __init__(self, plan: FullPlan) -> None:
        first = plan.plans[0]
        for i, data in enumerate(plan.plans):
            if plan.batch > data.size:
                raise ValueError(
                    f"batch = {plan.batch:,}; data[{i}] holds {data.size:,} curves. Use a smaller batch, or raise "
                    f"data[{i}].size."
                )
        self._plan = plan
        self._held_out = held_out_values(plan)
        self._readers: list[ShuffledReader] = []
        self.names = first.names
        self.bounds: Mapping[str, tuple[float, float]] = plan.bounds()
        self.constraints = first.sample_settings.experiment().constraints
        self.points = first.angles.number - plan.window
        self.told = 0

    def make(self, folder: Path | str, tell: Callable[[str, int, int], None]) -> None:
        """Simulate what is missing of the datasets in a folder, or in a part of a bucket."""
        self._readers = readers_of(self._plan, folder, tell)

    def open(self, folder: Path | str) -> None:
        """Use the datasets in a folder, or in a part of a bucket, that another process made and may still look at."""
        self._readers = [_reader(self._plan, i, folder) for i in range(len(self._plan.plans))]

    def examples(self) -> torch.Tensor:
        """Some curves of every dataset."""
        return some_curves(self._readers, self._plan.window)

    def batches(self, admits: Admits, *, device: torch.device, rank: int = 0, size: int = 1) -> Batches:
        """Batches of the datasets; all processes read the same and take turns by the row."""
        del device  # they come from the disk
        return Stream(self._readers, self._plan, self.names, admits, rank=rank, size=size)

    def held_out(self) -> tuple[NDArray[np.float32], Floats]:
        """Curves of the first dataset's plan that are in no dataset and in no frozen test set."""
        return self._simulated(self._held_out), self._held_out

    def fresh(self, number: int) -> tuple[NDArray[np.float32], Floats]:
        """Curves of the first dataset's plan behind those that are held out."""
        kept = self._plan.validation
        values = held_out_values(self._plan.model_copy(update={"validation": kept + number}))[kept:]
        return self._simulated(values), values

    def _simulated(self, values: Floats) -> NDArray[np.float32]:
        curves = Simulator(self._plan.plans[0]).simulate(values)
        return np.ascontiguousarray(curves[:, : curves.shape[1] - self._plan.window])

    def about(self) -> dict[str, Any]:
        """Angles, window and sample."""
        first = self._plan.plans[0]
        return {
            "angle_arcsec": first.angle_arcsec.tolist(),
            "window": self._plan.window,
            "sample": first.sample_settings.settings(),
            "plans": [data.model_dump(mode="json") for data in self._plan.plans],
        }


class Stream:
    """Whole batches, epoch after epoch; the datasets take turns by their sizes.

    Args:
        readers: Of the datasets.
        plan: Gives batch, seed and curriculum.
        names: Of the parameters.
        admits: Says which rows of parameters (n, parameter) may be used now; asked once a batch that is read.
        rank: First row of each batch that is given.
        size: The others follow in steps of so many.
    """

    def __init__(
        self,
        readers: Sequence[ShuffledReader],
        plan: FullPlan,
        names: Sequence[str],
        admits: Admits,
        *,
        rank: int = 0,
        size: int = 1,
    ) -> None:
        self._rank, self._size = rank, size
        self._readers, self._plan, self._names, self._admits = readers, plan, names, admits
        self._sizes = [-(-reader.dataset.size // plan.batch) for reader in readers]
        self._read = 0
        self._left: Batch | None = None
        self.epoch_size = sum(reader.dataset.size for reader in readers)
        # The frozen sets are made when first asked for, which is no time of the training.
        excluded(readers[0].dataset.plan.draws.values(0, 1), names)

    def __iter__(self) -> Iterator[Batch]:
        """Batches from where the stream is.

        Raises:
            ValueError: a whole epoch without a row that may be used.
        """
        batch, idle = self._plan.batch, 0
        for curves, values in self._parts():
            self._read += 1
            # Frozen test sets are never trained on, whatever the plan.
            fresh = ~excluded(values, self._names) & self._admits(values)
            idle = 0 if fresh.any() else idle + 1
            if idle > sum(self._sizes):
                raise ValueError(
                    "no curve of the data may be used: all are in frozen test sets, or beyond the curriculum's "
                    "limit. Raise curriculum.start, or train on other data."
                )
            curves, values = curves[fresh], values[fresh]
            if self._left is not None:
                curves = np.concatenate([self._left[0], curves])
                values = np.concatenate([self._left[1], values])
            # No more than one: what is left over is always less than a batch.
            whole = len(values) >= batch
            self._left = (curves[batch:], values[batch:]) if whole else (curves, values)
            if whole:
                yield curves[self._rank : batch : self._size], values[self._rank : batch : self._size]

    def _parts(self) -> Iterator[Batch]:
        """What the readers give, from the first part that has not been read."""
        epoch, inside = divmod(self._read, sum(self._sizes))
        every = np.repeat(np.arange(len(self._sizes)), self._sizes)
        while True:
            turns = np.random.default_rng([self._plan.seed, epoch]).permutation(every)
            sources = [reader.epoch(epoch) for reader in self._readers]
            for position, turn in enumerate(turns.tolist()):
                part = next(sources[turn])
                if position >= inside:
                    yield part
            epoch, inside = epoch + 1, 0

    def state(self) -> dict[str, Any]:
        """Where the stream is, and the rows that are left over."""
        left = None if self._left is None else tuple(torch.from_numpy(part.copy()) for part in self._left)
        return {"read": self._read, "left": left}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        self._read, left = state["read"], state["left"]
        self._left = None if left is None else (left[0].cpu().numpy(), left[1].cpu().numpy())


class Curriculum:
    """Which curves may be used when: low strain first, where the plan asks for it.

    Args:
        plan: Gives quantity, share and start.
        names: Of the parameters.
    """

    def __init__(self, plan: FullPlan, names: Sequence[str]) -> None:
        self._settings = plan.curriculum
        if plan.curriculum is not None:
            self._column = list(names).index(plan.curriculum.quantity)
            self._low, self._high = plan.bounds()[plan.curriculum.quantity]

    def limit(self, share: float) -> float | None:
        """Largest value of the quantity at some share of the training; None where all may be used."""
        settings = self._settings
        if settings is None or share >= settings.share:
            return None
        reach = settings.start + (1 - settings.start) * share / settings.share
        return self._low + reach * (self._high - self._low)

    def admits(self, values: Floats, share: float) -> NDArray[np.bool_]:
        """Which rows of parameters (n, parameter) may be used, shape (n,)."""
        limit = self.limit(share)
        if limit is None:
            return np.ones(len(values), dtype=np.bool_)
        # Values on a grid may lie on the limit but for rounding.
        return np.asarray(values[:, self._column] <= limit + 1e-9 * (self._high - self._low))
