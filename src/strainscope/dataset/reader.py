"""Shuffled batches for training: every sample once an epoch, in an order that depends on seed and epoch alone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from strainscope.dataset.simulate import BLOCK, Curves
from strainscope.dataset.store import Dataset

Floats = NDArray[np.float64]


class ShuffledReader:
    """Batches of curves and parameters in random order.

    Blocks are read in random order, a pool of them is mixed, batches are taken from the mixture. A sample's
    neighbours in a batch thus come from `pool_blocks` places all over the dataset, and the samples of a plan are
    themselves in random order.

    Args:
        path: Of a complete dataset, or its address.
        batch: Samples in a batch; the last one of an epoch may be smaller.
        seed: Of the order.
        start: Samples of a curve that are left out at its large-angle end (the window of a network's input).
        pool_blocks: Blocks of 1024 samples that are mixed.

    Raises:
        OSError, ValueError: see `Dataset`.
    """

    def __init__(
        self, path: Path | str, *, batch: int, seed: int, start: int = 0, pool_blocks: int = 16
    ) -> None:
        self.dataset = Dataset(path)
        points = len(self.dataset.angle_arcsec)
        for name, value, most in (("batch", batch, self.dataset.size), ("pool_blocks", pool_blocks, 10_000)):
            if not 1 <= value <= most:
                raise ValueError(f"{name} = {value}; it must lie in 1 to {most}.")
        if seed < 0:
            raise ValueError(f"seed = {seed}; it must be >= 0.")
        if not 0 <= start < points:
            raise ValueError(f"start = {start}; it must lie in 0 to {points - 1}, the curves' points.")
        self._batch, self._seed, self._points, self._pool = batch, seed, points - start, pool_blocks
        # Small beside the curves (56 bytes a sample for seven parameters), and stored in larger pieces than these.
        self._values = np.concatenate(list(self.dataset.parameter_blocks()))

    def epoch(self, number: int) -> Iterator[tuple[Curves, Floats]]:
        """Batches of one epoch: curves (batch, angle) and parameters (batch, parameter)."""
        rng = np.random.default_rng([self._seed, number])
        order = rng.permutation(-(-self.dataset.size // BLOCK))
        pools = [order[i : i + self._pool] for i in range(0, len(order), self._pool)]
        left: tuple[Curves, Floats] | None = None
        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(self._mixed, pools[0], rng.spawn(1)[0])
            for i in range(len(pools)):
                curves, values = coming.result()
                if i + 1 < len(pools):
                    coming = ahead.submit(self._mixed, pools[i + 1], rng.spawn(1)[0])
                if left is not None:
                    curves, values = np.concatenate([left[0], curves]), np.concatenate([left[1], values])
                whole = len(curves) // self._batch * self._batch
                for first in range(0, whole, self._batch):
                    yield curves[first : first + self._batch], values[first : first + self._batch]
                left = curves[whole:], values[whole:]
        if left is not None and len(left[0]):
            yield left

    def _mixed(self, blocks: NDArray[np.int64], rng: np.random.Generator) -> tuple[Curves, Floats]:
        """Some blocks, their samples in random order."""
        spans = [(b * BLOCK, min((b + 1) * BLOCK, self.dataset.size)) for b in blocks.tolist()]
        sizes = [last - first for first, last in spans]
        place = rng.permutation(sum(sizes))
        curves = np.empty((len(place), self._points), dtype=np.float32)
        values = np.empty((len(place), len(self.dataset.names)))
        done = 0
        for (first, last), size in zip(spans, sizes, strict=True):
            where = place[done : done + size]
            # The large-angle end is the last of a curve's points.
            curves[where] = self.dataset.curves(first, last)[:, : self._points]
            values[where] = self._values[first:last]
            done += size
        return curves, values
