"""Named parameters with bounds and constraints, and the coordinates in which they are free.

The unit coordinates t in [0, 1] place every parameter between the bounds that the constraints leave it, given
those before it: any t obeys every constraint. In them the prior is uniform. Their logits are unconstrained.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from strainscope.profile import Constraint, ParameterSpec
from strainscope.profile.shape import PriorShape

Floats = NDArray[np.float64]


class _Limit(NamedTuple):
    """A bound of a parameter from a constraint: the constant and factors times parameters placed before it."""

    above: bool
    constant: float
    terms: tuple[tuple[int, float], ...]


@dataclass(frozen=True, kw_only=True)
class Prior:
    """Spread between bounds, where the constraints hold; some parameters may be held at a value.

    Each parameter is spread by its own shape between what those placed before it leave.

    Attributes:
        parameters: All parameters; their bounds are the prior's.
        constraints: Linear inequalities between them.
        held: Values of those that are not fitted, by name.

    Raises:
        ValueError: a held name that does not exist, or bounds that the constraints leave empty.
    """

    parameters: tuple[ParameterSpec, ...]
    constraints: tuple[Constraint, ...] = ()
    held: Mapping[str, float]

    def __post_init__(self) -> None:
        unknown = [name for name in self.held if name not in self.names]
        if unknown:
            raise ValueError(f"held parameter {unknown[0]!r} is unknown; there are {', '.join(self.names)}.")
        self._check_each_constraint()
        lower, upper = self._bounds(np.full((1, len(self.names)), 0.5))
        empty = np.flatnonzero(lower[0] > upper[0])
        if empty.size:
            name = self.names[int(empty[0])]
            own = [str(c) for c in self.constraints if name in dict(c.terms)]
            others = {other for c in self.constraints for other, _ in c.terms if name in dict(c.terms)}
            ranges = ", ".join(self._range(other) for other in self.names if other in others)
            raise ValueError(
                f"{' and '.join(own)} leave no room together with {ranges}; widen or free one of them."
            )

    def _check_each_constraint(self) -> None:
        """Raise unless each constraint can hold by itself between the bounds and with the held values."""
        matrix, side = self.rows
        box = self.box
        least = np.where(matrix > 0, matrix * box[0], matrix * box[1]).sum(axis=1)
        for excess, constraint in zip(least - side, self.constraints, strict=True):
            if excess > 1e-9 * (1 + abs(constraint.upper)):
                ranges = ", ".join(self._range(name) for name, _ in constraint.terms)
                raise ValueError(
                    f"{constraint} cannot hold with {ranges}; widen, change or free one of them."
                )

    def _range(self, name: str) -> str:
        """What a parameter may be, with its unit."""
        spec = self.parameters[self.names.index(name)]
        unit = "" if spec.unit == "1" else f" {spec.unit}"
        if name in self.held:
            return f"{name} = {self.held[name]:g}{unit}"
        return f"{name} in {spec.lower:g} to {spec.upper:g}{unit}"

    def of_first(self, number: int) -> "Prior":
        """That of the first so many parameters alone.

        Raises:
            ValueError: a constraint ties them to later ones.
        """
        own = self.parameters[:number]
        names = {spec.name for spec in own}
        constraints = tuple(c for c in self.constraints if names.intersection(dict(c.terms)))
        for constraint in constraints:
            if not names.issuperset(dict(constraint.terms)):
                raise ValueError(f"{constraint} ties the first {number} of {len(self.names)} parameters to later ones.")
        held = {name: value for name, value in self.held.items() if name in names}
        return Prior(parameters=own, constraints=constraints, held=held)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all parameters, in order."""
        return tuple(spec.name for spec in self.parameters)

    @cached_property
    def free(self) -> NDArray[np.int64]:
        """Indices of the fitted parameters."""
        return np.array([i for i, name in enumerate(self.names) if name not in self.held], dtype=np.int64)

    @cached_property
    def order(self) -> list[int]:
        """Those that bound others from above come first (the negative terms of a constraint), then the rest."""
        first = {name for c in self.constraints for name, factor in c.terms if factor < 0}
        return sorted(range(len(self.names)), key=lambda i: (self.names[i] not in first, i))

    @cached_property
    def rows(self) -> tuple[Floats, Floats]:
        """The constraints as matrix and right-hand side: matrix @ values <= side."""
        matrix = np.zeros((len(self.constraints), len(self.names)))
        for row, constraint in zip(matrix, self.constraints, strict=True):
            for name, factor in constraint.terms:
                row[self.names.index(name)] = factor
        return matrix, np.array([c.upper for c in self.constraints])

    @cached_property
    def box(self) -> tuple[Floats, Floats]:
        """Bounds of each parameter by itself; both are the value where one is held."""
        lower = np.array([self.held.get(s.name, s.lower) for s in self.parameters], dtype=np.float64)
        upper = np.array([self.held.get(s.name, s.upper) for s in self.parameters], dtype=np.float64)
        return lower, upper

    def _bounds(self, unit: Floats) -> tuple[Floats, Floats]:
        """Bounds of each parameter given those placed before it, shape (*, parameter)."""
        return self._place(unit)[1:3]

    @cached_property
    def _alone(self) -> list[tuple[PriorShape, list[int]]]:
        """Free parameters that no constraint names, by the shape of their spread."""
        coupled = (self.rows[0] != 0).any(axis=0)
        found: dict[PriorShape, list[int]] = {}
        for i in self.free[~coupled[self.free]]:
            found.setdefault(self.parameters[i].shape, []).append(int(i))
        return list(found.items())

    @cached_property
    def _coupled(self) -> list[tuple[int, tuple[_Limit, ...]]]:
        """Free parameters that constraints name, in the order in which they are placed, and their limits."""
        matrix, side = self.rows
        lower, upper = self.box
        # Every parameter not yet placed enters with what leaves the others the most room.
        best = np.where(matrix > 0, matrix * lower, matrix * upper)
        found: list[tuple[int, tuple[_Limit, ...]]] = []
        placed: list[int] = []
        for i in self.order:
            if not matrix[:, i].any() or self.names[i] in self.held:
                continue
            limits = []
            for row, room, most in zip(matrix, best, side, strict=True):
                if row[i]:
                    known = [j for j in placed if row[j]]
                    rest = most - np.delete(room, [i, *known]).sum()
                    terms = tuple((j, float(-row[j] / row[i])) for j in known)
                    limits.append(_Limit(above=row[i] > 0, constant=float(rest / row[i]), terms=terms))
            found.append((i, tuple(limits)))
            placed.append(i)
        return found

    def _place(self, unit: Floats, slopes: Floats | None = None) -> tuple[Floats, Floats, Floats]:
        """Values and bounds (*, parameter).

        The derivatives of the values are added to slopes (*, parameter, parameter), zeros before, if those are given.
        """
        lower, upper = self.box
        values, low, high = (np.broadcast_to(own, unit.shape).copy() for own in (lower, lower, upper))
        for shape, own in self._alone:
            where = (unit[..., own], lower[own], upper[own])
            values[..., own] = shape.quantile(*where)
            if slopes is not None:
                slopes[..., own, own] = shape.slopes(*where)[0]
        for i, limits in self._coupled:
            ends = {True: high[..., i], False: low[..., i]}
            by_ends = {above: np.zeros(unit.shape) for above in ends} if slopes is not None else {}
            for limit in limits:
                end, bound = ends[limit.above], np.asarray(limit.constant)
                for j, factor in limit.terms:
                    bound = bound + factor * values[..., j]
                if slopes is not None:
                    nearer = bound < end if limit.above else bound > end
                    by_bound = sum((factor * slopes[..., j, :] for j, factor in limit.terms), np.zeros(unit.shape))
                    np.copyto(by_ends[limit.above], by_bound, where=nearer[..., None])
                (np.minimum if limit.above else np.maximum)(end, bound, out=end)
            shape, where = self.parameters[i].shape, (unit[..., i], low[..., i], high[..., i])
            values[..., i] = shape.quantile(*where)
            if slopes is not None:
                by_unit, of_low, of_high = shape.slopes(*where)
                slopes[..., i, :] = of_low[..., None] * by_ends[False] + of_high[..., None] * by_ends[True]
                slopes[..., i, i] = by_unit
        return values, low, high

    def from_unit(self, unit: Floats) -> Floats:
        """Values of all parameters, shape (*, parameter), from unit coordinates of the same shape."""
        return self._place(unit)[0]

    def to_unit(self, values: Floats) -> Floats:
        """Unit coordinates (*, parameter) of values; outside [0, 1] where a bound is broken, 0.5 where held."""
        lower, upper = self.box
        unit = np.full(values.shape, 0.5)
        for i in self.order:
            _, low, high = self._place(unit)
            unit[..., i] = self.parameters[i].shape.cumulative(values[..., i], low[..., i], high[..., i])
        return unit

    def rooms(self, unit: Floats) -> Floats:
        """Room that each parameter has between its bounds, given those placed before it; shape (*, parameter)."""
        _, low, high = self._place(unit)
        return high - low

    def unit_jacobian(self, unit: Floats) -> Floats:
        """Derivatives of the values in the unit coordinates (*, parameter), shape (*, parameter, parameter).

        Where two bounds swap they are those of one side.
        """
        slopes = np.zeros((*unit.shape, len(self.names)))
        self._place(unit, slopes)
        return slopes

    def sample(self, n: int, *, rng: np.random.Generator) -> Floats:
        """Draws from the prior, shape (n, parameter): uniform in the unit coordinates."""
        return self.from_unit(rng.random((n, len(self.names))))
