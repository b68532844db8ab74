"""Learning rates: half a cosine over the whole training, or less whenever the validation loss stands still."""

import math
from typing import Any, Protocol

import torch

from strainscope.estimator.losses import Recipe
from strainscope.training.settings import FullPlan


class Schedule(Protocol):
    """Sets the learning rate of an optimiser."""

    each_epoch: bool
    """Whether it wants the validation loss after each epoch."""

    def before_step(self, *, share: float, seen: int) -> None:
        """Called before each step with the share of the training that is done, and the curves seen."""

    def after_epoch(self, validation_loss: float) -> None:
        """Called after each epoch."""

    def state(self) -> dict[str, Any]:
        """What it needs to go on."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""


class CosineSchedule:
    """The rate rises in a line over the first `warm_up` curves, and falls as half a cosine to the end.

    Up to `annealed_at` curves it falls as if the training ended there; then it goes on as one cosine over all.
    """

    each_epoch = False

    def __init__(self, optimiser: torch.optim.Optimizer, plan: FullPlan) -> None:
        self._optimiser, self._plan = optimiser, plan

    def before_step(self, *, share: float, seen: int) -> None:
        """Set the rate."""
        warm = min(1.0, (seen + self._plan.batch) / max(self._plan.warm_up, 1))
        if self._plan.annealed_at is not None and seen < self._plan.annealed_at:
            share = max(share, seen / self._plan.annealed_at)
        factor = warm * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
        for group in self._optimiser.param_groups:
            group["lr"] = self._plan.learning_rate * factor

    def after_epoch(self, validation_loss: float) -> None:
        """Epochs do not matter."""

    def state(self) -> dict[str, Any]:
        """Nothing: the rate follows from the curves seen."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to go back to."""


class PlateauSchedule:
    """The rate falls by a factor when the validation loss has not fallen for some epochs."""

    each_epoch = True

    def __init__(self, optimiser: torch.optim.Optimizer, recipe: Recipe) -> None:
        self._plateau = recipe.build_schedule(optimiser)

    def before_step(self, *, share: float, seen: int) -> None:
        """The rate stays."""

    def after_epoch(self, validation_loss: float) -> None:
        """Lower the rate where patience is over."""
        self._plateau.step(validation_loss)

    def state(self) -> dict[str, Any]:
        """Best loss so far and epochs waited."""
        return self._plateau.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        self._plateau.load_state_dict(state)
