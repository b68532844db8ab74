"""What a training on scans of laboratories reads: simulated as it goes, each sample measured several times anew."""

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from strainscope.estimator.plan import LabData
from strainscope.evaluation import LAB_SEED, rows_of
from strainscope.measurement import BLOCK, Components, LabBatch, LabMixture, joined
from strainscope.sample.messages import at_key
from strainscope.training.data import Admits, Batch
from strainscope.training.device_data import DeviceLabStream, device_stream
from strainscope.training.settings import FullPlan

Floats = NDArray[np.float64]

_log = logging.getLogger(__name__)

# Samples whose reflection is in memory together, in blocks: 0.6 GB.
ROUND = 256
# How often each is measured. Reflection costs twice as much as a measurement.
REPEATS = 8
# Batches that are measured ahead.
_AHEAD = 4
# Scans that inputs are standardised by; those that are held out follow, and fresh ones, then, from a block that the
# longest plan leaves room for, those of the training.
_STANDARDISED_BY, _HELD_OUT, _FIRST = 8192, 16_384, 1024


@contextmanager
def one_thread() -> Iterator[ThreadPoolExecutor]:
    """A thread whose work that has not begun is dropped in the end."""
    pool = ThreadPoolExecutor(1)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class LabSource:
    """Scans of a plan's samples, simulated while they are needed.

    Args:
        plan: What to train.
        lab: Samples and settings.

    Attributes:
        scans: The samples' simulators, on the processor.

    Raises:
        ValueError: the seed of the frozen test set, or a sample or batch of no use.
    """

    def __init__(self, plan: FullPlan, lab: LabData) -> None:
        _check_batch(plan.batch)
        # Members of an ensemble count up from the plan's seed.
        if plan.seed <= LAB_SEED < plan.seed + plan.ensemble:
            raise ValueError(
                f"seed = {plan.seed}, ensemble = {plan.ensemble}: {LAB_SEED} is that of the test set lab; use another."
            )
        self._plan = plan
        self._samples = lab.build()
        with at_key("lab"):
            self.scans = LabMixture(self._samples, lab.scans, seed=plan.seed)
        self.names, self.bounds = self.scans.names, self.scans.bounds
        self.constraints = self.scans.constraints
        self._first = self.scans.simulators[0]
        self.points = self._first.network.grid.number
        self.told = len(self._first.told_names)

    def make(self, folder: Path | str, tell: Callable[[str, int, int], None]) -> None:
        """Nothing is kept on the disk."""

    def open(self, folder: Path | str) -> None:
        """Nothing is kept on the disk."""

    def examples(self) -> torch.Tensor:
        """Scans of the first blocks, which come before those that are held out."""
        return torch.from_numpy(rows_of(self.scans.scans(0, _STANDARDISED_BY)))

    def batches(
        self, admits: Admits, *, device: torch.device, rank: int = 0, size: int = 1
    ) -> "LabStream | DeviceLabStream":
        """Scans without end; all values are admitted. Several processes simulate rounds in turn.

        A GPU simulates them itself, if the samples are such that it can.
        """
        batch, seed = self._plan.batch // size, self._plan.seed
        if device.type == "cuda":
            epoch = ROUND * BLOCK * REPEATS * size
            try:
                return device_stream(self.scans, device, batch=batch, seed=seed, epoch=epoch, rank=rank)
            except ValueError as lacking:
                _log.warning("the processors simulate the scans, not the GPU: %s", lacking)
        return LabStream(self.scans, batch=batch, seed=seed, first=_FIRST, rank=rank, size=size)

    def held_out(self) -> tuple[NDArray[np.float32], Floats]:
        """Scans of blocks between those of the examples and of the training, the few beyond the prior left out."""
        batch = self.scans.scans(_HELD_OUT, _HELD_OUT + self._plan.validation)
        return _within_bounds(batch, self.bounds)

    def fresh(self, number: int) -> tuple[NDArray[np.float32], Floats]:
        """Scans of the blocks between those that are held out and those of the training."""
        first = _HELD_OUT + self._plan.validation
        return _within_bounds(self.scans.scans(first, first + number), self.bounds)

    def about(self) -> dict[str, Any]:
        """The grid in lattice units, and the sample."""
        grid = self._first.network.grid
        return {
            "angle_arcsec": self._first.network.centre.tolist(),
            "grid": {"first_e": grid.first_e, "step_e": grid.step_e, "number": grid.number},
            "told": list(self._first.told_names),
            "window": 0,
            "sample": self._samples[0].settings(),
            "other_samples": [sample.settings() for sample in self._samples[1:]],
        }


def _within_bounds(batch: LabBatch, bounds: Mapping[str, tuple[float, float]]) -> Batch:
    """Rows and values of the scans that the estimator's prior holds: offset and scale follow from what a scan shows.

    One in half a million lies beyond, where weak strain and the substrate make one broad peak.
    """
    low, high = np.array(list(bounds.values())).T
    inside = ((batch.values >= low) & (batch.values <= high)).all(axis=1)
    return rows_of(batch)[inside], batch.values[inside]


def _check_batch(batch: int) -> None:
    if batch % BLOCK or not BLOCK <= batch <= ROUND * BLOCK:
        raise ValueError(
            f"batch = {batch}; for simulated scans it must be a multiple of {BLOCK}, at most {ROUND * BLOCK}."
        )


class LabStream:
    """Batches of scans, without end; the rare scan beyond the estimator's prior is left out, and not replaced.

    A round of samples is reflected, then measured `REPEATS` times over, with other instruments and noise each time and
    in another order; then the next round follows. Which scans a batch holds depends on scans, seed and its number
    alone.

    Args:
        scans: Gives them by blocks.
        batch: Scans in a batch, a multiple of the simulator's block.
        seed: Of the order.
        first: Block that the first round begins with.
        rank: The first round that is given.
        size: The others follow in steps of so many.

    Raises:
        ValueError: a batch of no use.
    """

    def __init__(
        self, scans: LabMixture, *, batch: int, seed: int, first: int = 0, rank: int = 0, size: int = 1
    ) -> None:
        _check_batch(batch)
        self._scans, self._batch, self._seed, self._first = scans, batch, seed, first
        self._rank, self._size = rank, size
        self._read = 0
        self.epoch_size = ROUND * BLOCK * REPEATS * size

    def __iter__(self) -> Iterator[Batch]:
        """Batches from where the stream is."""
        each = self._batch // BLOCK
        a_pass = ROUND // each
        done, inside = divmod(self._read, a_pass * REPEATS)
        number = self._rank + done * self._size
        with one_thread() as reflecting, one_thread() as measuring:
            coming = self._reflect(number, reflecting)
            while True:
                components, coming = coming, self._reflect(number + self._size, reflecting)
                turns = [
                    (repeat, blocks)
                    for repeat in range(REPEATS)
                    for blocks in self._order(number, repeat).reshape(a_pass, each)
                ][inside:]
                ahead = [measuring.submit(self._measure, components, number, *t) for t in turns[:_AHEAD]]
                for i in range(len(turns)):
                    if i + _AHEAD < len(turns):
                        ahead.append(measuring.submit(self._measure, components, number, *turns[i + _AHEAD]))
                    self._read += 1
                    yield ahead.pop(0).result()
                number, inside = number + self._size, 0

    def _order(self, number: int, repeat: int) -> NDArray[np.int64]:
        whole = ROUND // (self._batch // BLOCK) * (self._batch // BLOCK)
        return np.random.default_rng([self._seed, number, repeat]).permutation(ROUND)[:whole]

    def _reflect(self, number: int, pool: ThreadPoolExecutor) -> list[Future[Components]]:
        start = self._first + number * ROUND
        return [pool.submit(self._scans.reflect, start + i) for i in range(ROUND)]

    def _measure(
        self, components: list[Future[Components]], number: int, repeat: int, blocks: NDArray[np.int64]
    ) -> Batch:
        start = self._first + number * ROUND
        made = [
            self._scans.block(start + i, repeat=repeat, components=components[i].result())
            for i in blocks.tolist()
        ]
        return _within_bounds(joined(made), self._scans.bounds)

    def state(self) -> dict[str, Any]:
        """Where the stream is."""
        return {"read": self._read}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        self._read = state["read"]
