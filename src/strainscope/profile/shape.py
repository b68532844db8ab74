"""How a parameter's prior is spread between its bounds."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]

# Nearer to the upper end a falling distribution's quantile has no slope in numbers.
_LEAST_LEFT = 1e-16


class PriorShape(Protocol):
    """A distribution between two bounds; all arrays broadcast."""

    def quantile(self, unit: Floats, low: Floats, high: Floats) -> Floats:
        """The value below which lies a share `unit` [0, 1]."""

    def cumulative(self, value: Floats, low: Floats, high: Floats) -> Floats:
        """The share that lies below a value: the inverse of `quantile`, also a little outside the bounds."""

    def slopes(self, unit: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
        """Derivatives of `quantile` by its three arguments."""


@dataclass(frozen=True)
class Uniform:
    """The same density everywhere."""

    def quantile(self, unit: Floats, low: Floats, high: Floats) -> Floats:
        """low + unit (high - low)."""
        return np.asarray(low + unit * (high - low))

    def cumulative(self, value: Floats, low: Floats, high: Floats) -> Floats:
        """(value - low)/(high - low); 0.5 where there is no room."""
        room = np.asarray(high - low)
        return np.where(room > 0, (value - low) / np.where(room > 0, room, 1.0), 0.5)

    def slopes(self, unit: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
        """Those of low + unit (high - low)."""
        return np.asarray(high - low), 1 - unit, unit


@dataclass(frozen=True)
class LogUniform:
    """Density as 1/(value + shift): the same for every factor, of quantities of which only the order is known.

    Attributes:
        shift: Below it values count as alike; 0 needs a lower bound above 0.
    """

    shift: float = 0.0

    def quantile(self, unit: Floats, low: Floats, high: Floats) -> Floats:
        """(low + shift) ((high + shift)/(low + shift))^unit - shift."""
        start = low + self.shift
        return np.asarray(start * ((high + self.shift) / start) ** unit - self.shift)

    def cumulative(self, value: Floats, low: Floats, high: Floats) -> Floats:
        """Logarithms of the distances' ratios; 0.5 where there is no room."""
        start = low + self.shift
        room = np.log((high + self.shift) / start)
        beyond = np.log(np.maximum(value + self.shift, 1e-300) / start)
        return np.where(room > 0, beyond / np.where(room > 0, room, 1.0), 0.5)

    def slopes(self, unit: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
        """With v the value plus the shift: v ln(end/start), (1 - unit) v/start, unit v/end."""
        start, end = low + self.shift, high + self.shift
        shifted = start * (end / start) ** unit
        return shifted * np.log(end / start), (1 - unit) * shifted / start, unit * shifted / end


@dataclass(frozen=True)
class Falling:
    """Density as (high - value)^(power - 1): most of it near the lower bound. The beta distribution (1, power)."""

    power: float

    def quantile(self, unit: Floats, low: Floats, high: Floats) -> Floats:
        """high - (high - low) (1 - unit)^(1/power)."""
        return np.asarray(high - (high - low) * np.maximum(1 - unit, 0.0) ** (1 / self.power))

    def cumulative(self, value: Floats, low: Floats, high: Floats) -> Floats:
        """1 - ((high - value)/(high - low))^power; 0.5 where there is no room."""
        room = np.asarray(high - low)
        share = np.maximum((high - value) / np.where(room > 0, room, 1.0), 0.0)
        return np.where(room > 0, 1 - share**self.power, 0.5)

    def slopes(self, unit: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
        """With q = 1 - unit: (high - low) q^(1/power - 1)/power, q^(1/power), 1 - q^(1/power)."""
        left = np.maximum(1 - unit, _LEAST_LEFT)
        root = left ** (1 / self.power)
        return np.asarray((high - low) * root / (self.power * left)), root, 1 - root


@dataclass(frozen=True)
class Normal:
    """A normal distribution, cut off at the bounds: what an earlier measurement found.

    Attributes:
        mean: In the parameter's unit, between the bounds.
        sd: Standard deviation before it is cut off, > 0.
    """

    mean: float
    sd: float

    def quantile(self, unit: Floats, low: Floats, high: Floats) -> Floats:
        """mean + sd times the normal quantile of the share that lies between the bounds."""
        first, last = self._shares(low, high)
        # Where the share is all but 0 or 1 the quantile runs away.
        value = self.mean + self.sd * ndtri(np.clip(first + unit * (last - first), 1e-300, 1 - 1e-16))
        return np.asarray(np.clip(value, low, high))

    def cumulative(self, value: Floats, low: Floats, high: Floats) -> Floats:
        """The share of what lies between the bounds; 0.5 where there is no room."""
        first, last = self._shares(low, high)
        room = np.asarray(last - first)
        share = ndtr((value - self.mean) / self.sd) - first
        return np.where(room > 0, share / np.where(room > 0, room, 1.0), 0.5)

    def slopes(self, unit: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
        """Densities of the normal distribution at the bounds over that at the value."""
        first, last = self._shares(low, high)
        value, start, end = (
            np.exp(-0.5 * ((x - self.mean) / self.sd) ** 2) for x in (self.quantile(unit, low, high), low, high)
        )
        value = np.maximum(value, 1e-300)
        by_unit = (last - first) * self.sd * np.sqrt(2 * np.pi) / value
        return by_unit, (1 - unit) * start / value, unit * end / value

    def _shares(self, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """Shares of the whole distribution below the bounds."""
        first, last = (np.asarray(ndtr((end - self.mean) / self.sd)) for end in (low, high))
        return first, last


UNIFORM = Uniform()
