"""Curves simulated as a training goes: each for its batch, none stored."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from strainscope.dataset.on_device import DeviceCurves
from strainscope.dataset.simulate import Simulator
from strainscope.diffraction.device import require_gpu
from strainscope.evaluation import excluded
from strainscope.training.data import STANDARDISED_BY, Admits, DatasetSource
from strainscope.training.lab_data import one_thread
from strainscope.training.settings import FullPlan

Floats = NDArray[np.float64]
Simulate = Callable[[Floats], torch.Tensor]

_log = logging.getLogger(__name__)

# Batches that are simulated ahead.
_AHEAD = 4


class FreshSource(DatasetSource):
    """The curves of a plan's datasets, without the datasets.

    Args:
        plan: What to train.

    Raises:
        ValueError: a batch larger than one of them, fewer whole batches than the training takes, or no curves left to
            hold out.
    """

    def __init__(self, plan: FullPlan) -> None:
        super().__init__(plan)
        whole = sum(own.size // plan.batch * plan.batch for own in plan.plans)
        if whole < plan.samples:
            raise ValueError(
                f"fresh: samples = {plan.samples:,}, of data that are {whole:,} in whole batches of {plan.batch:,}; "
                "raise data[].size"
            )

    def make(self, folder: Path | str, tell: Callable[[str, int, int], None]) -> None:
        """Nothing is kept on the disk."""

    def open(self, folder: Path | str) -> None:
        """Nothing is kept on the disk."""

    def examples(self) -> torch.Tensor:
        """The first curves of every plan."""
        plans = self._plan.plans
        share = STANDARDISED_BY // len(plans) + 1
        parts = [Simulator(own).simulate(own.draws.values(0, min(share, own.size))) for own in plans]
        return torch.from_numpy(np.concatenate(parts)[:, : self.points])

    def batches(self, admits: Admits, *, device: torch.device, rank: int = 0, size: int = 1) -> "FreshStream":
        """Batches of new curves; a CUDA card simulates them itself, if the plans are such that it can."""
        del admits  # there is no curriculum
        simulate = [self._simulating(k, device) for k in range(len(self._plan.plans))]
        return FreshStream(self._plan, simulate, points=self.points, rank=rank, size=size)

    def _simulating(self, k: int, device: torch.device) -> Simulate:
        """What makes curves (n, angle) of values (n, parameter) of one plan."""
        simulator = Simulator(self._plan.plans[k])
        if device.type == "cuda":
            try:
                require_gpu()
                return DeviceCurves(simulator, device).simulate
            except ValueError as lacking:
                _log.warning("the processors simulate the curves, not the GPU: %s", lacking)
        return lambda values: torch.from_numpy(simulator.simulate(values))


class FreshStream:
    """Batches of curves, until the plans' samples are used up; then they come again.

    The plans take turns by their sizes; a batch is of one of them, and holds its next samples in random order. Those of
    frozen test sets are left out, and not replaced; a batch that is not half full without them is left out.

    Args:
        plan: Gives plans, batch, window and seed.
        simulate: For each plan, what makes curves of values.
        points: Of a curve that are read.
        rank: First row of each batch that is given.
        size: The others follow in steps of so many.
    """

    def __init__(
        self, plan: FullPlan, simulate: list[Simulate], *, points: int, rank: int = 0, size: int = 1
    ) -> None:
        self._plan, self._simulate, self._points = plan, simulate, points
        self._rank, self._size = rank, size
        kinds = np.repeat(np.arange(len(plan.plans)), [own.size // plan.batch for own in plan.plans])
        self._turns = np.random.default_rng(plan.seed).permutation(kinds)
        # Which of its plan's batches each is.
        self._places = np.empty_like(kinds)
        for k in range(len(plan.plans)):
            own = self._turns == k
            self._places[own] = np.arange(own.sum())
        self._read = 0
        self.epoch_size = plan.batch * len(self._turns)
        # The frozen sets are made when first asked for, which is no time of the training.
        excluded(plan.plans[0].draws.values(0, 1), plan.plans[0].names)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Curves and values, from where it is."""
        with one_thread() as pool:
            number = self._read
            ahead = [pool.submit(self._batch, number + i) for i in range(_AHEAD)]
            while True:
                ahead.append(pool.submit(self._batch, number + len(ahead)))
                self._read = number = number + 1
                made = ahead.pop(0).result()
                if made is not None:
                    yield made

    def _batch(self, number: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """A batch by its number, this process's part of it; None if too little is left of it."""
        turn = number % len(self._turns)
        k, first = int(self._turns[turn]), self._plan.batch * int(self._places[turn])
        values = self._plan.plans[k].draws.values(first, first + self._plan.batch)
        values = values[~excluded(values, self._plan.plans[k].names)]
        if len(values) < self._plan.batch / 2:
            return None
        # Strata take turns in a plan's samples: each process is to have some of all.
        order = np.random.default_rng([self._plan.seed, number]).permutation(len(values))
        values = values[order[self._rank :: self._size]]
        curves = self._simulate[k](values)[:, : self._points]
        return curves, torch.as_tensor(values, device=curves.device)

    def state(self) -> dict[str, Any]:
        """Where the stream is."""
        return {"read": self._read}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        self._read = state["read"]
