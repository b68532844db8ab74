"""Where residuals were asked for: what all that is learnt of a posterior is learnt from."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.surrogate import PolynomialSurrogate
from strainscope.inversion.target import Described, Features, log_density

Floats = NDArray[np.float64]

# Places far from the posterior keep the surrogate from having modes of its own there; how fast they lose in weight with
# their distance in log density. Their misfit must not spoil the fit where the posterior is.
_FALL = 4


class Simulated(Protocol):
    """What has residuals."""

    def residuals(self, z: Floats) -> Floats:
        """Residuals (n, point) at places (n, d)."""


class Known:
    """Where residuals were asked for, and what they are."""

    def __init__(self, target: Simulated, of: Features) -> None:
        self._target, self._of = target, of
        self._places: list[Floats] = []
        self._residuals: list[Floats] = []
        self._density: list[Floats] = []

    @property
    def number(self) -> int:
        """Of evaluations."""
        return sum(len(z) for z in self._places)

    def log_density(self) -> Floats:
        """The exact log density at all places."""
        return np.concatenate(self._density)

    def best(self) -> tuple[Floats, float]:
        """The place (d,) of highest density, and its log density."""
        density = self.log_density()
        highest = int(np.argmax(density))
        return np.concatenate(self._places)[highest], float(density[highest])

    def ask(self, z: Floats) -> Floats:
        """The exact log density (n,) at places (n, d)."""
        residuals = self._target.residuals(z)
        self._places.append(z)
        self._residuals.append(residuals)
        self._density.append(log_density(z, residuals))
        return self._density[-1]

    def surrogate(
        self, inside: NDArray[np.bool_], straight: Callable[[Described], Floats]
    ) -> PolynomialSurrogate:
        """One of straight coordinates, fitted to what is known of a part of the places; later ones are left out."""
        parts = (self._places, self._residuals, self._density)
        places, residuals, density = (np.concatenate(part)[: len(inside)][inside] for part in parts)
        weights = _counting(density, places.shape[1])
        return PolynomialSurrogate(Described(places, self._of), residuals, weights, straight)


def _counting(density: Floats, d: int) -> Floats:
    """How much places count in the fit: wholly where the posterior is, and the less the lower their density."""
    below = density.max() - density
    return np.asarray(1 / (1 + (below / (1.5 * d + 6)) ** _FALL))
