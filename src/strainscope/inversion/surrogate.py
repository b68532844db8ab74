r"""A stand-in for the posterior that costs nothing to walk through: residuals as polynomials.

The log-density is exact up to what the expansion of the residuals leaves out, not of the density itself: a curved
valley stays curved. What is left out, importance weights put right.
"""

from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.warp import Warp

Floats = NDArray[np.float64]

# Directions in which polynomials are of higher order.
_WIDE = 4
# Of the trace of the normal equations, added to their diagonal.
_RIDGE = 1e-6
# Squared distance from the mean, in standard deviations and over the dimension, beyond which the polynomial is not
# believed, as it may turn back to small residuals there: the density falls as a normal one's, whatever it says.
_TRUSTED = 20.0
# Of a walk: leaps of one trajectory, each this long in standard deviations at first.
_LEAPS, _LEAP = 8, 0.25
# Stages while the chains settle, trajectories of each, and those between two draws of a chain.
_SETTLING, _STAGE, _BETWEEN = 3, 6, 3
# Shares of trajectories taken between which the length of the leaps stays.
_TAKEN = (0.65, 0.9)


class PolynomialSurrogate:
    r"""Density exp(-½ Σ r² - ½ |z|²) with residuals r(z) that are polynomials.

    They are quadratic, and of third and fourth order in those few directions that the residuals leave widest.

    Args:
        places: Coordinates z in which the prior is standard normal, shape (n, d).
        residuals: Exact ones there, shape (n, point).
        weights: How much each place counts in the fit, shape (n,).
        warp: From places to what the polynomials are of.
    """

    def __init__(self, places: Floats, residuals: Floats, weights: Floats, warp: Warp) -> None:
        share = weights / weights.sum()
        self._warp = warp
        warped = warp(places)
        self._mean = share @ warped
        centred = warped - self._mean
        covariance = (share[:, None] * centred).T @ centred
        d = places.shape[1]
        self._spread = np.linalg.cholesky(covariance + 1e-9 * np.trace(covariance) / d * np.eye(d))
        wide = _widest(
            covariance, np.sqrt(np.var(warp(np.random.default_rng(0).standard_normal((1000, d))), axis=0))
        )
        self._wide = self._spread.T @ wide / np.sqrt(np.einsum("iw,ij,jw->w", wide, covariance, wide))
        self._powers = _higher_powers(wide.shape[1])
        self._inverse = np.linalg.inv(self._spread)
        self._pairs = np.triu_indices(d)
        self._first, self._second = np.eye(d)[self._pairs[0]], np.eye(d)[self._pairs[1]]
        features = self._features(self._whitened(warped))[0]
        root = np.sqrt(share)[:, None]
        left = root * features
        normal = left.T @ left
        normal += _RIDGE * np.trace(normal) / len(normal) * np.eye(len(normal))
        polynomials = np.linalg.solve(normal, left.T @ (root * residuals))
        # All that the sum of squares needs of them.
        self._form = polynomials @ polynomials.T

    def log_density(self, z: Floats) -> tuple[Floats, Floats]:
        """Log density (n,), not normalised, and its gradient (n, d), of places (n, d)."""
        y = self._whitened(self._warp(z))
        features, powers = self._features(y)
        slopes = features @ self._form
        d = y.shape[1]
        gradient = -slopes[:, 1 : d + 1]
        first = d + 1 + len(self._pairs[0])
        pairs = slopes[:, d + 1 : first]
        gradient -= (y[:, self._pairs[0]] * pairs) @ self._second + (
            y[:, self._pairs[1]] * pairs
        ) @ self._first
        gradient -= self._higher_slopes(powers, slopes[:, first:]) @ self._wide.T
        beyond = np.maximum((y**2).sum(axis=1) / d - _TRUSTED, 0.0)
        gradient -= (2 * beyond * (2 + beyond) / (1 + beyond) ** 2)[:, None] * y
        density = -0.5 * (features * slopes).sum(axis=1) - 0.5 * (z**2).sum(axis=1)
        density -= d * beyond**2 / (1 + beyond)
        return density, self._warp.pulled(z, gradient @ self._inverse) - z

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

    def _features(self, y: Floats) -> tuple[Floats, list[Floats]]:
        """1, each coordinate, each product of two, higher powers of some, (n, feature); and the latter's factors."""
        products = y[:, self._pairs[0]] * y[:, self._pairs[1]]
        powers = [_raised(own) for own in (y @ self._wide).T]
        higher = np.ones((len(y), len(self._powers)))
        for power, exponents in zip(powers, self._powers.T, strict=True):
            higher *= power[:, exponents]
        return np.concatenate([np.ones((len(y), 1)), y, products, higher], axis=1), powers

    def _higher_slopes(self, powers: list[Floats], factors: Floats) -> Floats:
        """Derivatives of Σ factor × higher power by the wide directions, (n, direction)."""
        result = np.empty((len(factors), len(powers)))
        for k, own in enumerate(self._powers.T):
            # A power of zero has no slope; what stands for the one below does not matter.
            slopes = factors * own * powers[k][:, np.maximum(own - 1, 0)]
            for j, exponents in enumerate(self._powers.T):
                if j != k:
                    slopes *= powers[j][:, exponents]
            result[:, k] = slopes.sum(axis=1)
        return result


def _widest(covariance: Floats, scale: Floats) -> Floats:
    """The directions that the residuals leave widest in shares of the prior's widths, shape (d, direction)."""
    values, vectors = np.linalg.eigh(covariance / scale / scale[:, None])
    widest = np.argsort(values)[::-1][:_WIDE]
    return np.asarray(vectors[:, widest] / scale[:, None])


def _higher_powers(number: int) -> NDArray[np.int64]:
    """Exponents of every product of three and of four out of so many coordinates, (product, coordinate)."""
    products = [
        product for order in (3, 4) for product in combinations_with_replacement(range(number), order)
    ]
    return np.array([[product.count(k) for k in range(number)] for product in products])


def _raised(t: Floats) -> Floats:
    """Powers 0 to 4 of numbers (n,), shape (n, power)."""
    return np.vander(t, 5, increasing=True)


class _Chains:
    """Where the chains of a walk are."""

    def __init__(
        self, surrogate: PolynomialSurrogate, start: Floats, rng: np.random.Generator, temperature: float
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
