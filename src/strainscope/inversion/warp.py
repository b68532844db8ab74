"""Coordinates in which residuals are more nearly polynomials than in those of the posterior."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import ndtr

Floats = NDArray[np.float64]

# Farther out than this the prior has one part in 10^15.
FARTHEST = 8.0
# Places at which intensities are known.
GRID: Floats = np.linspace(-FARTHEST, FARTHEST, 801)


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


def _slope(curve: CubicSpline, z: Floats) -> Floats:
    """Derivative (n,) of a curve that goes on as it ends."""
    return np.where(np.abs(z) < FARTHEST, curve(np.clip(z, -FARTHEST, FARTHEST), 1), 0.0)
