"""Training of the published networks, each with its own input, loss, optimiser and schedule."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from strainscope.estimator.baselines import baseline_network
from strainscope.estimator.inputs import TargetScale
from strainscope.estimator.losses import RECIPES, Loss, LossName, Recipe
from strainscope.estimator.regression import RegressionEstimator, regression_input
from strainscope.evaluation.metrics import error_ranges
from strainscope.training.schedule import CosineSchedule, PlateauSchedule, Schedule
from strainscope.training.settings import FullPlan
from strainscope.training.task import VALIDATION_LOSS, Floats, Savable, errors_percent

_VALIDATED_AT_ONCE = 256
# The penalised loss is smooth L1, as the prototype's; for scaled errors below one it is half the square.
_LOSSES: Mapping[str, LossName] = {"weighted": "weighted_smooth_l1", "penalised": "smooth_l1"}


class BaselineTask:
    """A published network of a plan.

    Args:
        plan: What to train.

    Raises:
        ValueError: too few points for it, or a weighted loss and a parameter that the report gives no weight.
    """

    def __init__(self, plan: FullPlan) -> None:
        self._plan = plan
        data = plan.plans[0]
        self._ranges = error_ranges(plan.bounds(), data.sample_settings.settings())
        self._grid_points = data.angles.number
        self.scale = TargetScale.of(data.names, self._ranges)
        self._recipe: Recipe = replace(
            RECIPES[plan.model], learning_rate=plan.learning_rate, weight_decay=plan.weight_decay
        )
        self._loss = Loss(
            _LOSSES.get(plan.loss, self._recipe.loss),
            constraints=data.sample_settings.experiment().constraints,
            scale=self.scale,
            held=data.held,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters, in the order of the columns."""
        return self.scale.names

    def build(self) -> nn.Module:
        """The network with fresh weights, from torch's global generator."""
        points = self._grid_points - self._plan.window
        return baseline_network(self._plan.model, points=points, parameters=len(self.names))

    def prepare(self, network: nn.Module, curves: torch.Tensor) -> None:
        """Nothing: each curve is scaled by itself."""

    def optimiser(self, network: nn.Module, device: torch.device) -> torch.optim.Optimizer:
        """The published one."""
        return self._recipe.build_optimiser(network.parameters())

    def schedule(self, optimiser: torch.optim.Optimizer) -> Schedule:
        """The published one, unless the plan asks for half a cosine."""
        if self._plan.schedule == "cosine":
            return CosineSchedule(optimiser, self._plan)
        return PlateauSchedule(optimiser, self._recipe)

    def target(self, values: Floats | torch.Tensor) -> torch.Tensor:
        """Parameters (n, parameter) scaled by their ranges."""
        return self.scale.scaled(torch.as_tensor(values)).float()

    def loss(
        self, network: nn.Module, curves: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The plan's loss, twice."""
        loss: torch.Tensor = self._loss.to(curves.device)(network(regression_input(curves)).float(), target)
        return loss, loss.detach()

    def worst(self, network: nn.Module, curves: torch.Tensor, target: torch.Tensor) -> int:
        """Which curve's parameters are missed by most."""
        with torch.no_grad():
            gap = (network(regression_input(curves)).float() - target).square().sum(dim=1)
        return int(torch.where(torch.isfinite(gap), gap, torch.inf).argmax())

    def figures(
        self, network: nn.Module, curves: NDArray[np.float32], values: Floats, device: torch.device
    ) -> dict[str, float]:
        """Mean loss, and errors in % of the parameters' ranges."""
        target = self.target(values)
        found = []
        with torch.no_grad():
            for first in range(0, len(values), _VALIDATED_AT_ONCE):
                block = torch.from_numpy(curves[first : first + _VALIDATED_AT_ONCE]).to(device)
                found.append(network(regression_input(block)).float().cpu())
        scaled = torch.cat(found)
        loss = float(self._loss.cpu()(scaled, target))
        estimate = self.scale.values(scaled.double()).numpy()
        return {VALIDATION_LOSS: loss} | errors_percent(self.names, estimate, values, self._ranges)

    def estimator(self, network: nn.Module, about: Mapping[str, Any]) -> Savable:
        """The network as an estimator of parameters, without posteriors."""
        return RegressionEstimator(
            network,
            model=self._plan.model,
            scale=self.scale,
            points=self._grid_points,
            window=self._plan.window,
            about=about,
        )
