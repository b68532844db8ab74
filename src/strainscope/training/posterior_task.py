"""Training of the posterior estimator: density of the parameters, and a point estimate beside it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from strainscope.estimator.coordinates import INNERMOST, LOGIT_SD, Coordinates, coordinates_of
from strainscope.estimator.losses import report_weights
from strainscope.estimator.posterior import Architecture, PosteriorEstimator, PosteriorNetwork
from strainscope.evaluation.metrics import error_ranges
from strainscope.measurement.on_device import UnitCoordinates
from strainscope.training.schedule import CosineSchedule, Schedule
from strainscope.training.settings import FullPlan
from strainscope.training.source import Source
from strainscope.training.task import VALIDATION_LOSS, Floats, Savable, errors_percent

_VALIDATED_AT_ONCE = 1024
_TO_UNIT: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "probit": torch.special.ndtr,
    "logit": lambda free: torch.sigmoid(LOGIT_SD * free),
}
_FROM_UNIT: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "probit": torch.special.ndtri,
    "logit": lambda unit: torch.logit(unit) / LOGIT_SD,
}


class PosteriorTask:
    """The posterior estimator of a plan.

    Args:
        plan: What to train.
        source: Of rows and values.

    Raises:
        ValueError: a weighted loss, and a parameter that the report gives no weight.
    """

    def __init__(self, plan: FullPlan, source: Source) -> None:
        self._plan, self._source = plan, source
        self.coordinates: Coordinates = coordinates_of(
            source.names, source.bounds, source.constraints, plan.coordinates
        )
        self._ranges = error_ranges(source.bounds, source.about()["sample"])
        self._points, self._told = source.points, source.told
        self._unit = UnitCoordinates(self.coordinates.prior)
        weighted = plan.loss == "weighted"
        self._weights = report_weights(source.names) if weighted else None

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters, in the order of the columns."""
        return self.coordinates.names

    def build(self) -> nn.Module:
        """The network with fresh weights, from torch's global generator."""
        sizes = Architecture(**self._plan.network.model_dump())
        return PosteriorNetwork(self._points, self._told, len(self.names), sizes)

    def prepare(self, network: nn.Module, curves: torch.Tensor) -> None:
        """Standardise the input by curves (n, angle)."""
        assert isinstance(network, PosteriorNetwork)
        with torch.no_grad():
            network.standardise(curves)

    def optimiser(self, network: nn.Module, device: torch.device) -> torch.optim.Optimizer:
        """AdamW of its weights."""
        return torch.optim.AdamW(
            network.parameters(),
            lr=self._plan.learning_rate,
            weight_decay=self._plan.weight_decay,
            # One pass over the weights: a fifth of a step's time otherwise.
            fused=device.type in ("cpu", "cuda"),
        )

    def schedule(self, optimiser: torch.optim.Optimizer) -> Schedule:
        """Half a cosine."""
        return CosineSchedule(optimiser, self._plan)

    def target(self, values: Floats | torch.Tensor) -> torch.Tensor:
        """Free coordinates of parameters (n, parameter); tensors lie within the bounds already."""
        if not isinstance(values, torch.Tensor):
            return torch.from_numpy(self.coordinates.to_free(values).astype(np.float32))
        unit = self._unit.unit(values).clamp(INNERMOST, 1 - INNERMOST)
        return _FROM_UNIT[self.coordinates.scale](unit).float()

    def loss(
        self, network: nn.Module, curves: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Negative log density and the point's loss together; the former alone to show."""
        assert isinstance(network, PosteriorNetwork)
        weights = None if self._weights is None else self._weights.to(curves.device)
        density, point = network.losses(curves, target, _TO_UNIT[self.coordinates.scale], weights)
        return density + self._plan.point_weight * point, density.detach()

    def worst(self, network: nn.Module, curves: torch.Tensor, target: torch.Tensor) -> int:
        """Which curve has no finite density, or the least one."""
        assert isinstance(network, PosteriorNetwork)
        with torch.no_grad():
            density = network.flow(network.context(curves).float()).log_prob(target)
        return int(torch.where(torch.isfinite(density), density, -torch.inf).argmin())

    def figures(
        self, network: nn.Module, curves: NDArray[np.float32], values: Floats, device: torch.device
    ) -> dict[str, float]:
        """Mean negative log density, and errors of the point estimate in % of the ranges."""
        assert isinstance(network, PosteriorNetwork)
        free = self.target(values)
        found, density = [], []
        with torch.no_grad():
            for first in range(0, len(free), _VALIDATED_AT_ONCE):
                part = slice(first, first + _VALIDATED_AT_ONCE)
                context = network.context(torch.from_numpy(curves[part]).to(device)).float()
                own = free[part].to(device)
                density.append(-network.flow(context).log_prob(own).mean().item())
                found.append(network.point(context).cpu().numpy())
        estimate = self.coordinates.from_free(np.concatenate(found))
        errors = errors_percent(self.names, estimate, values, self._ranges)
        return {VALIDATION_LOSS: float(np.mean(density))} | errors

    def estimator(self, network: nn.Module, about: Mapping[str, Any]) -> Savable:
        """The network as a posterior estimator, its widths made right where the plan says so."""
        assert isinstance(network, PosteriorNetwork)
        estimator = PosteriorEstimator(network.cpu(), self.coordinates, dict(about))
        if self._plan.recalibrate:
            estimator.recalibrate(*self._source.fresh(self._plan.recalibrate))
        return estimator
