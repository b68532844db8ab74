"""Uniform distributions over boxes cut by linear constraints: from the unit cube, volume-true, exactly."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.polynomial import polynomial as poly
from numpy.typing import NDArray

from strainscope.dataset.grid import linked
from strainscope.profile import Constraint

Floats = NDArray[np.float64]
Range = tuple[float, float]

_HALVINGS = 60


class Star:
    """Parameters of which one, the centre, is tied to each of the others, and these to nothing else.

    Given the centre, every leaf is uniform between bounds that are the greatest and the least of linear functions of
    the centre. The centre's density is the product of their lengths: a polynomial between breakpoints.

    Args:
        names: The centre first.
        ranges: Lower and upper bound of each.
        constraints: Each with the centre and one leaf, or with one parameter alone.

    Raises:
        ValueError: the constraints leave no room.
    """

    def __init__(
        self, names: Sequence[str], ranges: Mapping[str, Range], constraints: Sequence[Constraint]
    ) -> None:
        self.names = tuple(names)
        centre = self.names[0]
        self.low, self.high = ranges[centre]
        self._lower = {name: [(ranges[name][0], 0.0)] for name in self.names[1:]}
        self._upper = {name: [(ranges[name][1], 0.0)] for name in self.names[1:]}
        for constraint in constraints:
            factors = dict(constraint.terms)
            on_centre = factors.pop(centre, 0.0)
            if not factors:
                limit = constraint.upper / on_centre
                self.low, self.high = (
                    (self.low, min(self.high, limit)) if on_centre > 0 else (max(self.low, limit), self.high)
                )
                continue
            ((leaf, factor),) = factors.items()
            line = (constraint.upper / factor, -on_centre / factor)
            (self._upper if factor > 0 else self._lower)[leaf].append(line)
        if not self.volume > 0:
            raise ValueError(f"the ranges of {', '.join(self.names)} and the constraints leave no room.")

    @cached_property
    def _edges(self) -> Floats:
        """Breakpoints of the centre's density."""
        found = [self.low, self.high]
        for leaf in self.names[1:]:
            lines = self._lower[leaf] + self._upper[leaf]
            for i, (a, b) in enumerate(lines):
                for c, d in lines[i + 1 :]:
                    if b != d:
                        found.append((c - a) / (b - d))
        edges = np.unique(np.clip(found, self.low, max(self.low, self.high)))
        return np.asarray(edges, dtype=np.float64)

    def _bounds(self, leaf: str, centre: Floats) -> tuple[Floats, Floats]:
        lower = np.max([a + b * centre for a, b in self._lower[leaf]], axis=0)
        upper = np.min([a + b * centre for a, b in self._upper[leaf]], axis=0)
        return lower, upper

    @cached_property
    def _pieces(self) -> list[Floats]:
        """Integral of the centre's density from each breakpoint on, as polynomials in the distance from it."""
        pieces = []
        for start, stop in zip(self._edges[:-1], self._edges[1:], strict=True):
            density = np.ones(1)
            places = start + (stop - start) * np.array([0.25, 0.75])
            for leaf in self.names[1:]:
                lower, upper = self._bounds(leaf, places)
                one, other = np.maximum(upper - lower, 0.0)
                slope = (other - one) / (places[1] - places[0])
                density = poly.polymul(density, [one - slope * (places[0] - start), slope])
            pieces.append(np.asarray(poly.polyint(density), dtype=np.float64))
        return pieces

    @cached_property
    def _cumulated(self) -> Floats:
        sizes = [
            max(float(poly.polyval(width, piece)), 0.0)
            for width, piece in zip(np.diff(self._edges), self._pieces, strict=True)
        ]
        return np.concatenate([[0.0], np.cumsum(sizes)])

    @property
    def volume(self) -> float:
        """Of the set that bounds and constraints leave."""
        return float(self._cumulated[-1])

    def from_unit(self, unit: Floats) -> Floats:
        """Values (n, parameter), uniform over the set, from a cube (n, parameter) uniform in (0, 1)."""
        goal = unit[:, 0] * self.volume
        piece = np.clip(np.searchsorted(self._cumulated, goal, side="right") - 1, 0, len(self._pieces) - 1)
        goal = goal - self._cumulated[piece]
        width = np.diff(self._edges)[piece]
        longest = max(len(p) for p in self._pieces)
        coefficients = np.array([np.pad(p, (0, longest - len(p))) for p in self._pieces]).T[:, piece]
        # The integral grows with the distance: halving cannot fail, whatever its shape.
        low, high = np.zeros_like(width), width.copy()
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            below = poly.polyval(middle, coefficients, tensor=False) < goal
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        result = np.empty_like(unit)
        result[:, 0] = centre = self._edges[piece] + 0.5 * (low + high)
        for i, leaf in enumerate(self.names[1:], start=1):
            lower, upper = self._bounds(leaf, centre)
            result[:, i] = lower + unit[:, i] * (upper - lower)
        return result


def stars(
    ranges: Mapping[str, Range], constraints: Sequence[Constraint], fixed: Mapping[str, float]
) -> tuple[Star, ...]:
    """The independent groups of parameters, each a `Star`.

    Args:
        ranges: Bounds of the parameters that vary.
        constraints: Linear inequalities; parameters without a range are taken from `fixed`.
        fixed: Values of the others.

    Raises:
        ValueError: constraints that leave no room or do not share one parameter.
    """
    own = []
    for constraint in constraints:
        free = tuple((name, factor) for name, factor in constraint.terms if name in ranges)
        held = sum(factor * fixed[name] for name, factor in constraint.terms if name not in ranges)
        if free:
            own.append(Constraint(terms=free, upper=constraint.upper - held))
    result = []
    for group in linked([tuple(name for name, _ in c.terms) for c in own], list(ranges)):
        mine = [c for c in own if c.terms[0][0] in group]
        pairs = [c for c in mine if len(c.terms) > 1]
        centres = [name for name in group if all(name in dict(c.terms) for c in pairs)]
        if not centres or any(len(c.terms) > 2 for c in pairs):
            raise ValueError(
                f"continuous sampling of {', '.join(group)} needs constraints of two parameters that all share one; "
                "use a grid (start, stop, step) instead."
            )
        centre = centres[0]
        result.append(Star([centre, *(name for name in group if name != centre)], ranges, mine))
    return tuple(result)
