r"""A stand-in for the posterior that costs nothing to walk through: residuals as polynomials.

The log-density is exact up to what the expansion of the residuals leaves out, not of the density itself: a curved
valley stays curved. What is left out, importance weights put right.
"""

from collections.abc import Callable
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.curved import Curved
from strainscope.inversion.target import Described

Floats = NDArray[np.float64]

# Directions in which polynomials are of higher order.
_WIDE = 4
# Of the trace of the normal equations, added to their diagonal.
_RIDGE = 1e-6
# Squared distance from the mean, in standard deviations and over the dimension, beyond which the polynomial is not
# believed, as it may turn back to small residuals there: the density falls as a normal one's, whatever it says.
_TRUSTED = 20.0
# Steps of a walk while the chains settle, and between two draws of a chain; how long they are, by turns.
_SETTLING, _BETWEEN = 120, 10
_STEPS = (0.1, 0.3, 0.6, 0.2, 1.0)
# Squared distance that walks reach: the first for each dimension, and the second. What begins beyond begins at this
# share of it.
_REACH, _INSIDE = (3.0, 12.0), 0.98


def within(log_density: Floats, e: Floats) -> Floats:
    """Log densities (n,), nothing far out in straight coordinates (n, d), where polynomials may be low again."""
    return np.where((e**2).sum(axis=1) < _reach(e.shape[1]), log_density, -np.inf)


def _reach(d: int) -> float:
    """The squared distance that walks reach in so many dimensions."""
    return _REACH[0] * d + _REACH[1]


class PolynomialSurrogate:
    r"""Density exp(-½ Σ r² - ½ |z|²) with residuals r(z) that are polynomials.

    They are quadratic, and of third and fourth order in those few directions that the residuals leave widest.

    Args:
        places: Coordinates z in which the prior is standard normal, shape (n, d).
        residuals: Exact ones there, shape (n, point).
        weights: How much each place counts in the fit, shape (n,).
        straight: From places (n, d) to what the polynomials are of, (n, d).
    """

    def __init__(
        self, places: Described, residuals: Floats, weights: Floats, straight: Callable[[Described], Floats]
    ) -> None:
        share = weights / weights.sum()
        self._of, self._straight = places.of, straight
        warped = straight(places)
        self._mean = share @ warped
        centred = warped - self._mean
        covariance = (share[:, None] * centred).T @ centred
        d = places.z.shape[1]
        self._spread = np.linalg.cholesky(covariance + 1e-9 * np.trace(covariance) / d * np.eye(d))
        of_prior = Described(np.random.default_rng(0).standard_normal((1000, d)), self._of)
        wide = _widest(covariance, np.std(straight(of_prior), axis=0))
        self._wide = self._spread.T @ wide / np.sqrt(np.einsum("iw,ij,jw->w", wide, covariance, wide))
        self._powers = _higher_powers(wide.shape[1])
        self._inverse = np.linalg.inv(self._spread)
        self._pairs = np.triu_indices(d)
        features = self._features(self._whitened(warped))
        root = np.sqrt(share)[:, None]
        left = root * features
        normal = left.T @ left
        # Powers differ in size by orders of magnitude: each has its own ridge.
        normal += _RIDGE * np.diag(np.diag(normal))
        polynomials = np.linalg.solve(normal, left.T @ (root * residuals))
        # All that the sum of squares needs of them.
        self._form = polynomials @ polynomials.T

    def log_density(self, places: Described) -> Floats:
        """Log density (n,), not normalised, of places (n, d)."""
        y = self._whitened(self._straight(places))
        features = self._features(y)
        d = y.shape[1]
        beyond = np.maximum((y**2).sum(axis=1) / d - _TRUSTED, 0.0)
        density = -0.5 * (features * (features @ self._form)).sum(axis=1) - 0.5 * (places.z**2).sum(axis=1)
        return np.asarray(density - d * beyond**2 / (1 + beyond))

    def walk(
        self,
        start: Floats,
        number: int,
        *,
        along: Curved,
        rng: np.random.Generator,
        temperature: float = 1.0,
    ) -> tuple[Floats, Floats]:
        """Draws by random walks, many chains side by side, in coordinates that are straight along the valleys.

        A step goes to √(1 - β²) e + β ξ with normal ξ, which a standard normal distribution of e would always allow; it
        is taken as the density departs from that.

        Args:
            start: One place for each chain, shape (chain, d).
            number: Draws.
            along: Gives the straight coordinates.
            rng: Source of randomness.
            temperature: The log density is divided by it: above 1 the walk reaches farther than the density.

        Returns:
            Draws (number, d), and the log density there, divided.

        References:
            Cotter, Roberts, Stuart & White, Stat. Sci. 28 (2013) 424, doi:10.1214/13-STS421 (the step)
        """

        def at(e: Floats) -> tuple[Floats, Floats, Floats]:
            z, volume = along.bent_with_volume(e)
            density = within(self.log_density(Described(z, self._of)) / temperature, e)
            return z, density, density + volume + 0.5 * (e**2).sum(axis=1)

        e, found = along.straight(start)[0], []
        # Draws may lie beyond.
        farthest = _INSIDE * _reach(e.shape[1]) / np.maximum((e**2).sum(axis=1), 1e-300)
        e *= np.sqrt(np.minimum(1.0, farthest))[:, None]
        # Where numbers end no step is taken.
        with np.errstate(over="ignore", invalid="ignore"):
            z, density, level = at(e)
            for step in range(_SETTLING + _BETWEEN * -(-number // len(start))):
                beta = _STEPS[step % len(_STEPS)]
                there = np.sqrt(1 - beta**2) * e + beta * rng.standard_normal(e.shape)
                z_there, density_there, level_there = at(there)
                taken = np.log(rng.random(len(e))) < level_there - level
                e[taken], z[taken] = there[taken], z_there[taken]
                density[taken], level[taken] = density_there[taken], level_there[taken]
                if step >= _SETTLING and (step - _SETTLING) % _BETWEEN == _BETWEEN - 1:
                    found.append((z.copy(), density.copy()))
        places, densities = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return places[:number], densities[:number]

    def _whitened(self, warped: Floats) -> Floats:
        return np.asarray((warped - self._mean) @ self._inverse.T)

    def _features(self, y: Floats) -> Floats:
        """1, each coordinate, each product of two, higher powers of some, shape (n, feature)."""
        products = y[:, self._pairs[0]] * y[:, self._pairs[1]]
        powers = [np.vander(own, 5, increasing=True) for own in (y @ self._wide).T]
        higher = np.ones((len(y), len(self._powers)))
        for power, exponents in zip(powers, self._powers.T, strict=True):
            higher *= power[:, exponents]
        return np.concatenate([np.ones((len(y), 1)), y, products, higher], axis=1)


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
