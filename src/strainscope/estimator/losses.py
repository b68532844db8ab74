"""Losses that the published networks were trained with, by name, and their optimisers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import torch
from torch import nn

from strainscope.dataset.published import V2_ERRORS
from strainscope.estimator.inputs import TargetScale
from strainscope.profile import Constraint

LossName = Literal["smooth_l1", "weighted_smooth_l1", "mse"]
LOSSES: tuple[str, ...] = get_args(LossName)
"""Smooth L1 with penalties, the same with the report's weights, and the mean square, without penalties."""

PENALTY_SHARE = 0.1
"""Weight of the penalties beside the smooth L1."""

# Scaled parameters are float32 numbers of order 1: what D01 = Dmax1 may miss by after scaling.
_ROUNDING = 1e-6

_MILLION = 1_000_000


def report_weights(names: Sequence[str]) -> torch.Tensor:
    """The report's weights of parameters, shape (parameter,), with a mean of one: other terms keep their share.

    Raises:
        ValueError: a parameter without a weight.
    """
    unknown = [name for name in names if name not in V2_ERRORS]
    if unknown:
        raise ValueError(
            f"the report has no weight for {', '.join(unknown)}; train without weights (smooth_l1, loss: default)."
        )
    weights = torch.tensor([V2_ERRORS[name] for name in names])
    return weights / weights.mean()


class ConstraintPenalty(nn.Module):
    r"""How far predictions break the constraints, in scaled units, on average over a batch.

    .. math:: P = \Big\langle \sum_c \max\Big(0, \frac{\sum_i f_{ci} (l_i + w_i s_i) - u_c}{\max_i |f_{ci}| w_i}
              \Big)\Big\rangle

    for constraints Σ f x <= u and parameters x = l + w s; zero exactly where all hold (rounding of 1e-6 aside).

    Args:
        constraints: Of the profile family; those without a predicted parameter do not count.
        scale: Of the predictions.
        held: Values of parameters that are not predicted because they are known.

    Raises:
        ValueError: a constraint between predicted parameters and others that are not held.
    """

    matrix: torch.Tensor
    side: torch.Tensor

    def __init__(
        self,
        constraints: Sequence[Constraint],
        scale: TargetScale,
        held: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        lower = dict(held) | dict(zip(scale.names, scale.lower, strict=True))
        rows, sides = [], []
        for constraint in constraints:
            terms = dict(constraint.terms)
            if not set(terms) & set(scale.names):
                continue
            missing = [name for name in terms if name not in lower]
            if missing:
                raise ValueError(
                    f"the constraint {constraint} needs {', '.join(missing)}, neither predicted nor held."
                )
            row = [
                terms.get(name, 0.0) * width for name, width in zip(scale.names, scale.widths, strict=True)
            ]
            largest = max(map(abs, row))
            offset = sum(factor * lower[name] for name, factor in terms.items())
            rows.append([entry / largest for entry in row])
            sides.append((constraint.upper - offset) / largest)
        self.register_buffer("matrix", torch.tensor(rows).reshape(len(rows), len(scale.names)))
        self.register_buffer("side", torch.tensor(sides))

    def forward(self, scaled: torch.Tensor) -> torch.Tensor:
        """The mean penalty of scaled parameters, shape (batch, parameter)."""
        excess = scaled @ self.matrix.T - self.side
        return torch.where(excess > _ROUNDING, excess, 0.0).sum(dim=-1).mean()


class Loss(nn.Module):
    """A loss by name, of scaled parameters.

    Args:
        name: One of `LOSSES`.
        constraints: Of the profile family; `mse` takes no notice of them.
        scale: Of the parameters.
        held: Values of parameters that are not predicted because they are known.

    Raises:
        ValueError: no loss of that name, a parameter without a weight, or a constraint that cannot be told.
    """

    weights: torch.Tensor

    def __init__(
        self,
        name: str,
        *,
        constraints: Sequence[Constraint],
        scale: TargetScale,
        held: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        if name not in LOSSES:
            raise ValueError(f"loss = {name!r}; it must be one of {', '.join(LOSSES)}.")
        self.name = name
        weighted = name == "weighted_smooth_l1"
        self.register_buffer(
            "weights", report_weights(scale.names) if weighted else torch.ones(len(scale.names))
        )
        self.penalty = ConstraintPenalty(() if name == "mse" else constraints, scale, held)

    def forward(self, predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss, a scalar, of predicted and true scaled parameters, both (batch, parameter)."""
        if predicted.shape != target.shape:
            raise ValueError(f"predicted has shape {tuple(predicted.shape)}, target {tuple(target.shape)}.")
        if self.name == "mse":
            return nn.functional.mse_loss(predicted, target)
        misfit = nn.functional.smooth_l1_loss(predicted, target, reduction="none")
        penalty: torch.Tensor = self.penalty(predicted)
        return (self.weights * misfit).mean() + PENALTY_SHARE * penalty


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a published network was trained.

    Attributes:
        loss: Name of its loss.
        optimiser: Name of its optimiser.
        learning_rate: At the start.
        weight_decay: Of AdamW.
        batch: Curves in a batch.
        batch_at_a_million: The same for datasets of a million curves and more.
        plateau_factor: By which the learning rate falls when the validation loss stands still.
        plateau_patience: Epochs without an improvement that are waited for.
    """

    loss: LossName
    optimiser: Literal["adamw", "rmsprop"]
    learning_rate: float
    weight_decay: float
    batch: int
    batch_at_a_million: int
    plateau_factor: float
    plateau_patience: int

    def batch_for(self, size: int) -> int:
        """Curves in a batch for a dataset of a size."""
        return self.batch_at_a_million if size >= _MILLION else self.batch

    def build_optimiser(self, weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of the given weights; those that are not trained are left out."""
        trained = [weight for weight in weights if weight.requires_grad]
        if self.optimiser == "adamw":
            return torch.optim.AdamW(trained, lr=self.learning_rate, weight_decay=self.weight_decay)
        # Smoothing and least denominator as in Keras, which the paper used; torch's own are 0.99 and 1e-8.
        return torch.optim.RMSprop(
            trained, lr=self.learning_rate, alpha=0.9, eps=1e-7, weight_decay=self.weight_decay
        )

    def build_schedule(self, optimiser: torch.optim.Optimizer) -> torch.optim.lr_scheduler.ReduceLROnPlateau:
        """Its learning rate: step it with the validation loss once an epoch."""
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser, factor=self.plateau_factor, patience=self.plateau_patience
        )


_PROTOTYPE = Recipe(
    loss="smooth_l1",
    optimiser="adamw",
    learning_rate=1.5e-3,
    weight_decay=5e-4,
    batch=128,
    batch_at_a_million=256,
    plateau_factor=0.5,
    plateau_patience=5,
)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "v1": _PROTOTYPE,
        "v2": _PROTOTYPE,
        "v3": _PROTOTYPE,
        "cnn2023": Recipe(
            loss="mse",
            optimiser="rmsprop",
            learning_rate=1e-3,
            weight_decay=0.0,
            batch=4096,
            batch_at_a_million=4096,
            plateau_factor=0.1,
            plateau_patience=10,
        ),
    }
)
"""Recipes of the networks in `strainscope.estimator.baselines.BASELINES`, by the same names."""
