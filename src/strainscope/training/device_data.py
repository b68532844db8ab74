"""Scans of laboratories simulated on the device that trains: no batch passes through the processor's memory."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from strainscope.diffraction.device import require_gpu
from strainscope.measurement import LabMixture
from strainscope.measurement.on_device import DeviceSimulator

# Points of scans that are simulated together, which take a GB of the GPU's memory, and scans at most.
_POINTS, _TOGETHER = 2**23, 2048


class DeviceLabStream:
    """Batches of scans, without end, each of new samples; the rare scan beyond the estimator's prior is left out.

    Which scans a batch holds depends on the samples, the seed, the rank, its size and number, and the kind of device
    alone, up to the order in which the device sums.

    Args:
        scans: Samples and settings.
        device: Where scans are simulated and stay.
        batch: Scans in a batch.
        seed: Of everything that is drawn.
        epoch: Scans after which schedules by epochs take stock, of all processes.
        rank: Of the process, from 0.

    Raises:
        ValueError: samples or settings that `DeviceSimulator` does not know.
    """

    def __init__(
        self, scans: LabMixture, device: torch.device, *, batch: int, seed: int, epoch: int, rank: int = 0
    ) -> None:
        self._simulators = [DeviceSimulator(own, device) for own in scans.simulators]
        bounds = np.array(list(scans.bounds.values())).T
        self._ratios = torch.as_tensor(np.array(scans.ratios), dtype=torch.float64, device=device)
        first = scans.simulators[0]
        longest = (first.network.edge[-1] - first.network.edge[0]) / first.settings.step_arcsec[0]
        self._together = max(1, min(_TOGETHER, int(_POINTS / longest)))
        self._low, self._high = torch.as_tensor(bounds, dtype=torch.float64, device=device)
        self._generator = torch.Generator(device)
        self._batch, self._seed, self._rank = batch, seed, rank
        self._read = 0
        self.epoch_size = epoch

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Rows and values, from where it is."""
        while True:
            source = np.random.SeedSequence(self._seed, spawn_key=(self._rank, self._read))
            self._generator.manual_seed(int(source.generate_state(1, np.uint64)[0] >> np.uint64(1)))
            self._read += 1
            yield self._made()

    def _made(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The samples share a batch evenly."""
        parts = []
        for i, simulator in enumerate(self._simulators):
            left = len(range(i, self._batch, len(self._simulators)))
            while left:
                number = min(left, self._together)
                rows, values = simulator.scans(number, self._generator)
                parts.append((rows, values * self._ratios[i]))
                left -= number
        rows, values = (torch.cat(own) for own in zip(*parts, strict=True))
        inside = ((values >= self._low) & (values <= self._high)).all(dim=1)
        return rows[inside], values[inside]

    def state(self) -> dict[str, Any]:
        """Where the stream is."""
        return {"read": self._read}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        self._read = state["read"]


def device_stream(
    scans: LabMixture, device: torch.device, *, batch: int, seed: int, epoch: int, rank: int
) -> DeviceLabStream:
    """Batches of scans from a GPU; see `DeviceLabStream`.

    Raises:
        ValueError: numba-cuda is missing, or samples or settings that the GPU does not simulate.
    """
    require_gpu()
    return DeviceLabStream(scans, device, batch=batch, seed=seed, epoch=epoch, rank=rank)
