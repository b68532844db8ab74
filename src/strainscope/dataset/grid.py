"""Decimal grids under linear constraints: every valid combination, by index, exactly."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from strainscope.profile import Constraint

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Combinations of parameters that constraints tie together are listed; their product with the others is not.
LARGEST_COMPONENT = 20_000_000


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Values start, start + step, … stop of one parameter, as decimals."""

    name: str
    start: Decimal
    stop: Decimal
    step: Decimal

    def __post_init__(self) -> None:
        if not self.step > 0:
            raise ValueError(f"{self.name}: step = {self.step}; it must be > 0.")
        if self.start > self.stop:
            raise ValueError(f"{self.name}: start = {self.start} lies above stop = {self.stop}; swap them.")
        steps = (self.stop - self.start) / self.step
        if steps != steps.to_integral_value():
            raise ValueError(
                f"{self.name}: stop = {self.stop} is not start = {self.start} plus a whole number of steps of "
                f"{self.step}; choose another stop or step."
            )

    def __len__(self) -> int:
        return int((self.stop - self.start) / self.step) + 1

    @property
    def decimals(self) -> list[Decimal]:
        """The values exactly."""
        return [self.start + i * self.step for i in range(len(self))]

    @property
    def values(self) -> Floats:
        """The values, each the float64 nearest to its decimal."""
        return np.array([float(value) for value in self.decimals])

    @property
    def fused(self) -> Floats:
        """The values as one fused multiply-add of the rounded start and step gives them."""
        start, step = Fraction(float(self.start)), Fraction(float(self.step))
        return np.array([float(start + i * step) for i in range(len(self))])


@dataclass(frozen=True, kw_only=True, eq=False)
class Component:
    """Parameters that constraints tie together.

    Attributes:
        axes: Their grids.
        rows: Valid combinations as indices into the grids, shape (combination, axis), in lexicographic order.
    """

    axes: tuple[Axis, ...]
    rows: Integers


def components(
    axes: Sequence[Axis],
    constraints: Sequence[Constraint],
    fixed: Mapping[str, float],
    *,
    rounding: Literal["exact", "report"] = "exact",
) -> tuple[Component, ...]:
    """Groups of parameters with their valid combinations; a combination of groups is valid if each part is.

    Args:
        axes: Grids of the parameters that vary.
        constraints: Inequalities, inclusive; parameters without a grid are taken from `fixed`.
        fixed: Values of parameters that do not vary.
        rounding: "exact": constraints compare decimals. "report": they compare float64 sums of values built with
            fused multiply-add, as an earlier program did, which loses combinations on the boundary.

    Raises:
        ValueError: a group too large to list, or without any valid combination.
    """
    names = [axis.name for axis in axes]
    result = []
    for group in linked([tuple(n for n, _ in c.terms if n in names) for c in constraints], names):
        own = tuple(axis for axis in axes if axis.name in group)
        total = math.prod(len(axis) for axis in own)
        if total > LARGEST_COMPONENT:
            raise ValueError(
                f"the grids of {', '.join(group)}, which constraints tie together, have {total:,} combinations; at "
                f"most {LARGEST_COMPONENT:,} can be listed. Use larger steps, or continuous ranges (low, high)."
            )
        rows = np.indices([len(axis) for axis in own]).reshape(len(own), -1).T
        for constraint in constraints:
            if any(name in group for name, _ in constraint.terms):
                holds = _holds_in_floats if rounding == "report" else _holds
                rows = rows[holds(constraint, own, rows, fixed)]
        if not len(rows):
            raise ValueError(
                f"no combination of {', '.join(group)} obeys {'; '.join(map(str, constraints))}; change the grids."
            )
        result.append(Component(axes=own, rows=rows))
    return tuple(result)


def linked(groups: Sequence[tuple[str, ...]], names: Sequence[str]) -> list[tuple[str, ...]]:
    """Names gathered with all those that a chain of groups ties them to, in order of first appearance."""
    leader = {name: name for name in names}
    for group in groups:
        for other in group[1:]:
            old, new = leader[other], leader[group[0]]
            leader = {name: new if lead == old else lead for name, lead in leader.items()}
    gathered: dict[str, list[str]] = {}
    for name in names:
        gathered.setdefault(leader[name], []).append(name)
    return [tuple(group) for group in gathered.values()]


def _holds(
    constraint: Constraint, axes: tuple[Axis, ...], rows: Integers, fixed: Mapping[str, float]
) -> NDArray[np.bool_]:
    """Whether the constraint holds for each row, in integers of the smallest decimal unit involved."""
    columns = {axis.name: i for i, axis in enumerate(axes)}
    side = Decimal(repr(constraint.upper))
    terms: list[tuple[int, list[Decimal]]] = []
    for name, factor in constraint.terms:
        weight = Decimal(repr(factor))
        if name in columns:
            terms.append((columns[name], [weight * value for value in axes[columns[name]].decimals]))
        else:
            side -= weight * Decimal(repr(fixed[name]))
    numbers = [side, *(value for _, values in terms for value in values)]
    unit = Decimal(1).scaleb(min(int(value.as_tuple().exponent) for value in numbers))
    total = np.zeros(len(rows), dtype=np.int64)
    for column, values in terms:
        total += np.array([int(value / unit) for value in values], dtype=np.int64)[rows[:, column]]
    return np.asarray(total <= int(side / unit))


def _holds_in_floats(
    constraint: Constraint, axes: tuple[Axis, ...], rows: Integers, fixed: Mapping[str, float]
) -> NDArray[np.bool_]:
    columns = {axis.name: i for i, axis in enumerate(axes)}
    positive, negative = np.zeros(len(rows)), np.zeros(len(rows))
    for name, factor in constraint.terms:
        value = axes[columns[name]].fused[rows[:, columns[name]]] if name in columns else fixed[name]
        positive, negative = (
            (positive + factor * value, negative) if factor > 0 else (positive, negative - factor * value)
        )
    return np.asarray(positive <= constraint.upper + negative)


class GridSpace:
    """Valid combinations of a grid, divided into strata; any of them by index.

    Args:
        components: From `components`.
        labels: For parameters that are stratified: the stratum's number of each grid value.
        rounding: Which float64 stands for a grid value, see `components`.
    """

    def __init__(
        self,
        components: Sequence[Component],
        labels: Mapping[str, Integers],
        *,
        rounding: Literal["exact", "report"] = "exact",
    ) -> None:
        self.components = tuple(components)
        self.names = tuple(axis.name for part in self.components for axis in part.axes)
        self._values = [
            [axis.fused if rounding == "report" else axis.values for axis in part.axes] for part in components
        ]
        self._rows: list[Integers] = []
        self._first: list[Integers] = []
        self._number: list[Integers] = []
        self._label: list[Integers] = []
        self._labels = dict(labels)
        for part in self.components:
            keys = [
                labels[axis.name][part.rows[:, i]] for i, axis in enumerate(part.axes) if axis.name in labels
            ]
            key = np.stack(keys, axis=1) if keys else np.zeros((len(part.rows), 1), dtype=np.int64)
            kinds, label, number = np.unique(key, axis=0, return_inverse=True, return_counts=True)
            order = np.argsort(label.ravel(), kind="stable")
            self._rows.append(part.rows[order])
            self._first.append(np.cumsum(number) - number)
            self._number.append(number)
            self._label.append(kinds)
        self._shape = tuple(len(number) for number in self._number)

    @property
    def count(self) -> int:
        """Number of valid combinations."""
        return math.prod(len(part.rows) for part in self.components)

    @property
    def sizes(self) -> Integers:
        """Combinations in each stratum, shape (stratum,)."""
        total = np.ones(1, dtype=np.int64)
        for number in self._number:
            total = (total[:, None] * number).ravel()
        return total

    def stratum_name(self, stratum: int) -> str:
        """The values that a stratum has, such as "L1 = 500, L2 = 500 to 1000"."""
        parts = np.unravel_index(stratum, self._shape)
        words = []
        for part, kinds, i in zip(self.components, self._label, parts, strict=True):
            stratified = [axis for axis in part.axes if axis.name in self._labels]
            for axis, label in zip(stratified, kinds[i], strict=False):
                own = axis.values[self._labels[axis.name] == label]
                words.append(f"{axis.name} = {own[0]:g}" + (f" to {own[-1]:g}" if len(own) > 1 else ""))
        return ", ".join(words)

    def values(self, stratum: Integers, index: Integers) -> Floats:
        """Parameter values of combinations, given stratum and index within it, shape (n, parameter)."""
        result = np.empty((len(stratum), len(self.names)))
        parts = np.unravel_index(stratum, self._shape)
        column = len(self.names)
        rest = index
        for i in reversed(range(len(self.components))):
            number = self._number[i][parts[i]]
            row = self._rows[i][self._first[i][parts[i]] + rest % number]
            rest = rest // number
            width = row.shape[1]
            for k in range(width):
                result[:, column - width + k] = self._values[i][k][row[:, k]]
            column -= width
        return result

    def shares(self, name: str) -> tuple[Floats, Floats]:
        """A parameter's values, and their share within each stratum, shape (stratum, value)."""
        for i, part in enumerate(self.components):
            names = [axis.name for axis in part.axes]
            if name in names:
                k = names.index(name)
                values = self._values[i][k]
                own = np.stack(
                    [
                        np.bincount(self._rows[i][first : first + number, k], minlength=len(values)) / number
                        for first, number in zip(self._first[i], self._number[i], strict=True)
                    ]
                )
                where = np.unravel_index(np.arange(int(np.prod(self._shape))), self._shape)[i]
                return values, own[where]
        raise KeyError(name)

    def pairs(self, one: str, other: str) -> NDArray[np.bool_]:
        """Whether a valid combination has each pair of values, shape (value of one, value of other)."""
        where = {
            axis.name: (i, k) for i, part in enumerate(self.components) for k, axis in enumerate(part.axes)
        }
        (i, k), (j, m) = where[one], where[other]
        lengths = [len(self._values[a][b]) for a, b in ((i, k), (j, m))]
        seen = np.zeros(lengths, dtype=np.bool_)
        if i == j:
            seen[self._rows[i][:, k], self._rows[i][:, m]] = True
            return seen
        first, second = np.unique(self._rows[i][:, k]), np.unique(self._rows[j][:, m])
        for a, b in product(first, second):
            seen[a, b] = True
        return seen
