"""What can be trained, seen by the loop: a network, the loss of a batch, figures to watch, the estimator in the end."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from strainscope.training.schedule import Schedule

Floats = NDArray[np.float64]

VALIDATION_LOSS = "validation_loss"
"""Name of the figure that schedules and early stopping look at."""


class Savable(Protocol):
    """An estimator with weights."""

    def save(self, path: Path) -> None:
        """Write them."""


class Objective(nn.Module):
    """A network and its loss as one module, so that a batch passes through both at one precision.

    Args:
        network: What is trained.
        loss: Gives, from network, curves (batch, angle) and targets (batch, parameter), the loss to minimise and the
            one to show.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Callable[[nn.Module, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    ) -> None:
        super().__init__()
        self.network, self._loss = network, loss

    def forward(self, curves: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss to minimise and the one to show, both scalars."""
        return self._loss(self.network, curves, target)


class Task(Protocol):
    """What is trained."""

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters, in the order of the columns."""

    def build(self) -> nn.Module:
        """The network with fresh weights, from torch's global generator."""

    def prepare(self, network: nn.Module, curves: torch.Tensor) -> None:
        """Take from some curves (n, angle) what the network's input needs."""

    def optimiser(self, network: nn.Module, device: torch.device) -> torch.optim.Optimizer:
        """The optimiser of its weights."""

    def schedule(self, optimiser: torch.optim.Optimizer) -> Schedule:
        """The learning rate's."""

    def target(self, values: Floats | torch.Tensor) -> torch.Tensor:
        """What the network is to learn of parameters (n, parameter): float32, same shape.

        Tensors come from a source that leaves out what lies beyond the bounds; they stay on their device.
        """

    def loss(
        self, network: nn.Module, curves: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss to minimise and the one to show, both scalars, of curves (batch, angle)."""

    def worst(self, network: nn.Module, curves: torch.Tensor, target: torch.Tensor) -> int:
        """Which curve of a batch has no finite loss, or else the largest one."""

    def figures(
        self, network: nn.Module, curves: NDArray[np.float32], values: Floats, device: torch.device
    ) -> dict[str, float]:
        """`validation_loss`, and the mean absolute error of each parameter in % of its range."""

    def estimator(self, network: nn.Module, about: Mapping[str, Any]) -> Savable:
        """The network as an estimator; `about` is plain data on its training."""


def errors_percent(
    names: tuple[str, ...], found: Floats, truth: Floats, bounds: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """Mean absolute error of each parameter in % of its range, from values (n, parameter)."""
    gap = np.abs(found - truth).mean(axis=0)
    return {
        name: float(100 * error / (bounds[name][1] - bounds[name][0]))
        for name, error in zip(names, gap, strict=True)
    }
