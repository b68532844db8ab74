"""A flat prior's unit coordinates, and the way back, in torch; see `prior.Prior`."""

import numpy as np
import torch

from strainscope.prior import Prior
from strainscope.profile import Uniform


class UnitCoordinates:
    """Parameters and their unit coordinates [0, 1].

    Args:
        prior: Flat between bounds and constraints; none of its parameters is held.

    Attributes:
        number: Of parameters.

    Raises:
        ValueError: a prior that is not flat, or a parameter that is held.
    """

    def __init__(self, prior: Prior) -> None:
        for name, value in prior.held.items():
            raise ValueError(f"{name} is held at {value:g}; a network learns it, so it must be free.")
        for spec in prior.parameters:
            if not isinstance(spec.shape, Uniform):
                raise ValueError(f"{spec.name} is not spread evenly between its bounds.")
        self.number = len(prior.parameters)
        matrix, side = prior.rows
        lower, upper = prior.box
        self._order = prior.order
        # A constraint leaves a parameter what it leaves those that are not placed yet at their best.
        self._matrix, self._side = matrix.tolist(), side.tolist()
        self._best = np.where(matrix > 0, matrix * lower, matrix * upper).tolist()
        self._lower, self._upper = lower.tolist(), upper.tolist()

    def values(self, unit: torch.Tensor) -> torch.Tensor:
        """Values (n, parameter) of unit coordinates (n, parameter)."""
        placed = torch.zeros_like(unit)
        for i in self._order:
            low, high = self._room(i, placed)
            placed[:, i] = low + unit[:, i] * (high - low)
        return placed

    def unit(self, values: torch.Tensor) -> torch.Tensor:
        """Unit coordinates (n, parameter) of values; beyond [0, 1] where a bound is broken, 0.5 without room."""
        found = torch.empty_like(values)
        for i in self._order:
            low, high = self._room(i, values)
            room = high - low
            share = (values[:, i] - low) / torch.where(room > 0, room, 1.0)
            found[:, i] = torch.where(room > 0, share, 0.5)
        return found

    def _room(self, i: int, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What those before a parameter in the order leave it, both (n,)."""
        low = torch.full_like(values[:, 0], self._lower[i])
        high = torch.full_like(low, self._upper[i])
        before = self._order[: self._order.index(i)]
        for row, best, side in zip(self._matrix, self._best, self._side, strict=True):
            if row[i] == 0:
                continue
            left = torch.full_like(low, side)
            for j in range(len(row)):
                if j != i and row[j] != 0:
                    left = left - (row[j] * values[:, j] if j in before else best[j])
            limit = left / row[i]
            if row[i] > 0:
                high = torch.minimum(high, limit)
            else:
                low = torch.maximum(low, limit)
        return low, high
