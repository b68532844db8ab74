"""One shard, simulated and written by one process of several."""

from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from strainscope.dataset.plan import Plan
from strainscope.dataset.simulate import BLOCK, Simulator
from strainscope.dataset.store import DatasetWriter, Layout
from strainscope.diffraction.engine import use_threads


class ShardMaker:
    """Makes shards of a dataset; the process that has one simulates on one thread from then on.

    Args:
        document: The plan as JSON.
        device: "cpu" or "cuda": what simulates the curves.
        path: Of the store, or its address.
    """

    def __init__(self, document: str, device: str, path: str) -> None:
        use_threads(1)
        threadpool_limits(1)
        plan = Plan.model_validate_json(document)
        self.writer = DatasetWriter(path, Layout(plan=plan, device=device))
        self.simulator = Simulator(plan)

    def make(self, shard: int, *, stopped: Callable[[], bool] = lambda: False) -> None:
        """Simulate a shard and write it; nothing is written where it is stopped."""
        first, last = self.writer.layout.span(shard)
        curves = []
        for block in range(first // BLOCK, -(-last // BLOCK)):
            if stopped():
                return
            curves.append(self.simulator.curves(block))
        self.writer.write(shard, self.simulator.plan.draws.values(first, last), np.concatenate(curves))
