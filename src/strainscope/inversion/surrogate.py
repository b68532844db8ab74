r"""A stand-in for the posterior that costs nothing to walk through: residuals as quadratic polynomials.

The log-density is exact up to what a second-order expansion of the residuals leaves out, not of the density itself: a
curved valley stays curved. What is left out, importance weights put right.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Warp = Callable[[Floats], tuple[Floats, Floats]]

# Of the trace of the normal equations, added to their diagonal.
_RIDGE = 1e-6
# Squared distance from the mean, in standard deviations and over the dimension, beyond which the polynomial is not
# believed, as it may turn back to small residuals there: the density falls as a normal one's, whatever it says.
_TRUSTED = 20.0
# Of a walk: leaps of one trajectory, each this long in standard deviations at first.
_LEAPS, _LEAP = 10, 0.2
# Stages while the chains settle, trajectories of each, and those between two draws of a chain.
_SETTLING, _STAGE, _BETWEEN = 4, 8, 5
# Shares of trajectories taken between which the length of the leaps stays.
_TAKEN = (0.65, 0.9)


class QuadraticSurrogate:
    r"""Density exp(-½ Σ r² - ½ |z|²) with residuals r(z) that are quadratic polynomials.

    Args:
        places: Coordinates z in which the prior is standard normal, shape (n, d).
        residuals: Exact ones there, shape (n, point).
        weights: How much each place counts in the fit, shape (n,).
        warp: From places to what the polynomials are of, coordinate by coordinate, and its slopes, both (n, d).
    """

    def __init__(self, places: Floats, residuals: Floats, weights: Floats, warp: Warp) -> None:
        share = weights / weights.sum()
        self._warp = warp
        warped = warp(places)[0]
        self._mean = share @ warped
        centred = warped - self._mean
        covariance = (share[:, None] * centred).T @ centred
        d = places.shape[1]
        self._spread = np.linalg.cholesky(covariance + 1e-9 * np.trace(covariance) / d * np.eye(d))
        self._inverse = np.linalg.inv(self._spread)
        self._pairs = np.triu_indices(d)
        features = self._features(self._whitened(warped))
        root = np.sqrt(share)[:, None]
        left = root * features
        normal = left.T @ left
        normal += _RIDGE * np.trace(normal) / len(normal) * np.eye(len(normal))
        polynomials = np.linalg.solve(normal, left.T @ (root * residuals))
        # All that the sum of squares needs of them.
        self._form = polynomials @ polynomials.T

    def log_density(self, z: Floats) -> tuple[Floats, Floats]:
        """Log density (n,), not normalised, and its gradient (n, d), of places (n, d)."""
        warped, steepness = self._warp(z)
        y = self._whitened(warped)
        features = self._features(y)
        slopes = features @ self._form
        d = y.shape[1]
        gradient = -slopes[:, 1 : d + 1]
        pairs = np.zeros((len(y), d, d))
        pairs[:, self._pairs[0], self._pairs[1]] = -slopes[:, d + 1 :]
        gradient += np.einsum("nij,nj->ni", pairs + pairs.transpose(0, 2, 1), y)
        beyond = np.maximum((y**2).sum(axis=1) / d - _TRUSTED, 0.0)
        gradient -= (2 * beyond * (2 + beyond) / (1 + beyond) ** 2)[:, None] * y
        density = -0.5 * (features * slopes).sum(axis=1) - 0.5 * (z**2).sum(axis=1)
        density -= d * beyond**2 / (1 + beyond)
        return density, gradient @ self._inverse * steepness - z

    def walk(
        self, start: Floats, number: int, *, rng: np.random.Generator, temperature: float = 1.0
    ) -> tuple[Floats, Floats]:
        """Draws by Hamiltonian Monte Carlo, many chains side by side.

        While they settle, their own spread sets the scales of the leaps, and how many are taken the length.

        Args:
            start: One place for each chain, shape (chain, d).
            number: Draws.
            rng: Source of randomness.
            temperature: The log density is divided by it: above 1 the walk reaches farther than the density.

        Returns:
            Draws (number, d), and the log density there, divided.

        References:
            Neal, Handbook of Markov Chain Monte Carlo (2011), chapter 5
        """
        chains = _Chains(self, start, rng, temperature)
        found: list[tuple[Floats, Floats]] = []
        # A trajectory that flies off to where numbers end is not taken.
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(_SETTLING):
                chains.scale()
                for _ in range(_STAGE):
                    chains.adapt(chains.trajectory())
            chains.scale()
            while len(found) * len(start) < number:
                for _ in range(_BETWEEN):
                    chains.trajectory()
                found.append((chains.z, chains.density))
        places, densities = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return places[:number], densities[:number]

    def _whitened(self, warped: Floats) -> Floats:
        return np.asarray((warped - self._mean) @ self._inverse.T)

    def _features(self, y: Floats) -> Floats:
        """1, each coordinate, each product of two, shape (n, feature)."""
        products = y[:, self._pairs[0]] * y[:, self._pairs[1]]
        return np.concatenate([np.ones((len(y), 1)), y, products], axis=1)


class _Chains:
    """Where the chains of a walk are."""

    def __init__(
        self, surrogate: QuadraticSurrogate, start: Floats, rng: np.random.Generator, temperature: float
    ) -> None:
        self._surrogate, self._rng, self._temperature = surrogate, rng, temperature
        self.z = start
        self.density, self._gradient = self._log_density(start)
        self._leap = _LEAP
        self.scale()

    def _log_density(self, z: Floats) -> tuple[Floats, Floats]:
        density, gradient = self._surrogate.log_density(z)
        return density / self._temperature, gradient / self._temperature

    def scale(self) -> None:
        """Leaps as wide as the chains lie apart in each direction."""
        covariance = np.cov(self.z, rowvar=False)
        d = len(covariance)
        self._spread = np.linalg.cholesky(covariance + 1e-9 * np.trace(covariance) / d * np.eye(d))

    def adapt(self, taken: float) -> None:
        """Longer or shorter leaps, by the share of trajectories that was taken."""
        self._leap *= 0.6 if taken < _TAKEN[0] else 1.15 if taken > _TAKEN[1] else 1.0
        self._leap = min(self._leap, 2 * _LEAP)

    def trajectory(self) -> float:
        """One of each chain; the share that was taken."""
        momentum = self._rng.standard_normal(self.z.shape)
        leap = self._leap * self._rng.uniform(0.7, 1.2)
        place, slope = self.z, self._gradient
        push = momentum + 0.5 * leap * (slope @ self._spread)
        for i in range(_LEAPS):
            place = place + leap * (push @ self._spread.T)
            reached, slope = self._log_density(place)
            push = push + (leap if i < _LEAPS - 1 else 0.5 * leap) * (slope @ self._spread)
        gain = reached - self.density - 0.5 * ((push**2).sum(axis=1) - (momentum**2).sum(axis=1))
        taken = np.log(self._rng.random(len(self.z))) < gain
        self.z = np.where(taken[:, None], place, self.z)
        self._gradient = np.where(taken[:, None], slope, self._gradient)
        self.density = np.where(taken, reached, self.density)
        return float(taken.mean())
