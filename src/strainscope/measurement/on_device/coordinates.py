"""A flat prior's unit coordinates, and the way back, in torch; see `prior.Prior`."""

import torch

from strainscope.prior import Prior
from strainscope.profile import Uniform


class UnitCoordinates:
    """Parameters and their unit coordinates [0, 1].

    Args:
        prior: Flat between bounds and constraints; none of its parameters is held.
        device: Where tensors lie.

    Raises:
        ValueError: a prior that is not flat, or a parameter that is held.
    """

    def __init__(self, prior: Prior, device: torch.device) -> None:
        uneven = [spec.name for spec in prior.parameters if not isinstance(spec.shape, Uniform)]
        if uneven or prior.held:
            name = (*uneven, *prior.held)[0]
            raise ValueError(f"{name} is not spread evenly between its bounds.")
        matrix, side = prior.rows
        lower, upper = prior.box
        self._order = prior.order
        # A constraint leaves a parameter what it leaves those that are not placed yet at their best.
        self._matrix, self._side = matrix.tolist(), side.tolist()
        self._best = [
            [min(m * low, m * high) for m, low, high in zip(row, lower, upper, strict=True)]
            for row in self._matrix
        ]
        self._lower, self._upper = lower.tolist(), upper.tolist()
        self.lower = torch.tensor(lower, dtype=torch.float64, device=device)
        self.upper = torch.tensor(upper, dtype=torch.float64, device=device)

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
