"""What a training on laboratories' scans reads: simulated as it goes, samples measured several times, each time anew."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strainscope.estimator.lattice import lattice_of
from strainscope.measurement import BLOCK, Components, LabBatch, LabSettings, LabSimulator
from strainscope.sample import Sample

Floats = NDArray[np.float64]
Batch = tuple[NDArray[np.float32], Floats]

# Samples whose reflection is in memory together, in blocks: 0.6 GB.
ROUND = 256
# How often each is measured. Reflection costs twice as much as a measurement.
REPEATS = 8
# Batches that are measured ahead.
_AHEAD = 4


def lab_simulator(sample: Sample, settings: LabSettings, *, seed: int) -> LabSimulator:
    """The simulator of a sample's scans, told of its reflection as the networks are."""
    lattice = lattice_of(sample.experiment().stack).settings
    return LabSimulator(sample, settings, lattice=lattice, seed=seed)


def rows_of(batch: LabBatch) -> NDArray[np.float32]:
    """Scans as the rows that `estimator.features.ScanFeatures` reads, shape (scan, row)."""
    return np.concatenate([batch.channels.reshape(len(batch), -1), batch.told], axis=1)


class LabStream:
    """Whole batches of scans, without end.

    A round of samples is reflected, then measured `REPEATS` times over, with other instruments and noise each time and
    in another order; then the next round follows. Which scans a batch holds depends on simulator, seed and its number
    alone.

    Args:
        simulator: Of the scans.
        batch: Scans in a batch, a multiple of the simulator's block.
        seed: Of the order.
        first: Block that the first round begins with.

    Raises:
        ValueError: a batch of no use.
    """

    def __init__(self, simulator: LabSimulator, *, batch: int, seed: int, first: int = 0) -> None:
        if batch % BLOCK or not BLOCK <= batch <= ROUND * BLOCK:
            raise ValueError(
                f"batch = {batch}; for simulated scans it must be a multiple of {BLOCK}, at most {ROUND * BLOCK}."
            )
        self._simulator, self._batch, self._seed, self._first = simulator, batch, seed, first
        self._read = 0
        self.epoch_size = ROUND * BLOCK * REPEATS

    def __iter__(self) -> Iterator[Batch]:
        """Batches from where the stream is."""
        each = self._batch // BLOCK
        a_pass = ROUND // each
        number, inside = divmod(self._read, a_pass * REPEATS)
        with ThreadPoolExecutor(1) as reflecting, ThreadPoolExecutor(1) as measuring:
            coming = self._reflect(number, reflecting)
            while True:
                components, coming = coming, self._reflect(number + 1, reflecting)
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
                number, inside = number + 1, 0

    def _order(self, number: int, repeat: int) -> NDArray[np.int64]:
        whole = ROUND // (self._batch // BLOCK) * (self._batch // BLOCK)
        return np.random.default_rng([self._seed, number, repeat]).permutation(ROUND)[:whole]

    def _reflect(self, number: int, pool: ThreadPoolExecutor) -> list[Future[Components]]:
        start = self._first + number * ROUND

        def reflect(block: int) -> Components:
            return self._simulator.reflect(self._simulator.profiles(block))

        return [pool.submit(reflect, start + i) for i in range(ROUND)]

    def _measure(
        self, components: list[Future[Components]], number: int, repeat: int, blocks: NDArray[np.int64]
    ) -> Batch:
        start = self._first + number * ROUND
        made = [
            self._simulator.block(start + i, repeat=repeat, components=components[i].result())
            for i in blocks.tolist()
        ]
        return np.concatenate([rows_of(b) for b in made]), np.concatenate([b.values for b in made])

    def state(self) -> dict[str, Any]:
        """Where the stream is."""
        return {"read": self._read}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        self._read = state["read"]
