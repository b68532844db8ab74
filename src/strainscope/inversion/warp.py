"""Coordinates in which residuals are more nearly polynomials than in those of the posterior."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]

# Farther out than this the prior has one part in 10^15.
FARTHEST = 8.0
# Places at which intensities are known.
GRID: Floats = np.linspace(-FARTHEST, FARTHEST, 801)
# Inside the ends of a coordinate, in units of its range, is where places are taken back to.
_EDGE = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Warp:
    """Unit coordinates of places z, but intensities where a parameter is one.

    An intensity may be multiplied by its visible strength, which depends on one other coordinate: then how much of it a
    curve allows does not.

    Attributes:
        intensities: By coordinate, the intensity as a function of its place, ascending; up to `FARTHEST`.
        strengths: By coordinate of an intensity, the other one and ln of the strength as a function of its place.
    """

    intensities: Mapping[int, CubicSpline] = field(default_factory=dict)
    strengths: Mapping[int, tuple[int, CubicSpline]] = field(default_factory=dict)

    def __call__(self, z: Floats) -> Floats:
        """Warped coordinates (n, d) of places (n, d)."""
        inside = np.clip(z, -FARTHEST, FARTHEST)
        warped = ndtr(z)
        for column, values in self.intensities.items():
            warped[:, column] = values(inside[:, column])
        for column, (other, logs) in self.strengths.items():
            warped[:, column] *= np.exp(logs(inside[:, other]))
        return warped

    def jacobian(self, z: Floats) -> Floats:
        """Derivatives (n, d, d) of the warped coordinates by the places (n, d)."""
        inside = np.clip(z, -FARTHEST, FARTHEST)
        n, d = z.shape
        result = np.zeros((n, d, d))
        own = np.arange(d)
        result[:, own, own] = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
        for column, values in self.intensities.items():
            result[:, column, column] = _slope(values, z[:, column])
        for column, (other, logs) in self.strengths.items():
            strength = np.exp(logs(inside[:, other]))
            result[:, column, column] *= strength
            value = self.intensities[column](inside[:, column])
            result[:, column, other] += value * strength * _slope(logs, z[:, other])
        return result

    def pulled(self, z: Floats, gradient: Floats) -> Floats:
        """The gradient by z of what has a gradient (n, d) by the warped coordinates."""
        inside = np.clip(z, -FARTHEST, FARTHEST)
        result = gradient * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
        for column, own in self.intensities.items():
            result[:, column] = gradient[:, column] * _slope(own, z[:, column])
            if column in self.strengths:
                other, logs = self.strengths[column]
                strength = np.exp(logs(inside[:, other]))
                result[:, column] *= strength
                slope = own(inside[:, column]) * strength * _slope(logs, z[:, other])
                result[:, other] += gradient[:, column] * slope
        return np.asarray(result)

    def back(self, warped: Floats) -> Floats:
        """Places (n, d) of warped coordinates (n, d); those beyond an end are reflected there."""
        z = np.empty_like(warped)
        plain = [i for i in range(warped.shape[1]) if i not in self.intensities]
        z[:, plain] = ndtri(_reflected(warped[:, plain], 0.0, 1.0))
        for column, values in self.intensities.items():
            own = warped[:, column].copy()
            if column in self.strengths:
                other, logs = self.strengths[column]
                own /= np.exp(logs(z[:, other]))
            known = values(GRID)
            z[:, column] = np.interp(_reflected(own, known[0], known[-1]), known, GRID)
        return z


def _slope(curve: CubicSpline, z: Floats) -> Floats:
    """Derivative (n,) of a curve that goes on as it ends."""
    return np.where(np.abs(z) < FARTHEST, curve(np.clip(z, -FARTHEST, FARTHEST), 1), 0.0)


def _reflected(values: Floats, low: Floats | float, high: Floats | float) -> Floats:
    """Values folded into a range, and a little inside it."""
    share = np.abs((values - low) / (high - low)) % 2.0
    share = np.clip(np.where(share > 1, 2 - share, share), _EDGE, 1 - _EDGE)
    return np.asarray(low + share * (high - low))
