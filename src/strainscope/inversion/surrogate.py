r"""A stand-in for the posterior that costs nothing to walk through: residuals as polynomials.

The log-density is exact up to what the expansion of the residuals leaves out, not of the density itself: a curved
valley stays curved. What is left out, importance weights put right.
"""

from collections.abc import Callable
from itertools import combinations_with_replacement
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.curved import Curved
from strainscope.inversion.target import Described

Floats = NDArray[np.float64]

# Directions in which polynomials are of higher order, and so many where there are so many places for each coefficient.
_WIDE, _MORE_WIDE, _EACH = 4, 6, 12
# Of the trace of the normal equations, added to their diagonal.
_RIDGE = 1e-6
# Squared distance from the mean, in standard deviations and over the dimension, beyond which the polynomial is not
# believed, as it may turn back to small residuals there: the density falls as a normal one's, whatever it says.
_TRUSTED = 20.0
# Steps of a walk while the chains settle, and between two draws of a chain; how long they are, by turns, in straight
# coordinates and, each after one of these, by the curvature at hand, which is looked at so often while chains settle.
_SETTLING, _BETWEEN, _LOOKED = 120, 10, 2
_STEPS, _LOCAL_STEPS = (0.1, 0.3, 0.6, 0.2, 1.0), (0.6, 0.3)
# Widest sd of such steps before that, so that they do not leave valleys that bend; half a difference for derivatives.
_WIDEST, _HALF = 0.1, 1e-4
# Squared distance that walks reach: the first for each dimension, and the second. What begins beyond begins at this
# share of it.
_REACH, _INSIDE = (3.0, 12.0), 0.98


def within(log_density: Floats, e: Floats) -> Floats:
    """Log densities (n,), nothing far out in straight coordinates (n, d), where polynomials may be low again."""
    return np.where((e**2).sum(axis=1) < _reach(e.shape[1]), log_density, -np.inf)


def _reach(d: int) -> float:
    """The squared distance that walks reach in so many dimensions."""
    return _REACH[0] * d + _REACH[1]


class Walk(NamedTuple):
    """Draws by random walks.

    Attributes:
        places: Shape (n, d).
        log_density: There, divided by the temperature, shape (n,).
        taken: Share of the steps in straight coordinates that were taken once the chains had settled.
    """

    places: Floats
    log_density: Floats
    taken: float


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
        number = _WIDE if len(places.z) < _EACH * _coefficients(d, _MORE_WIDE) else _MORE_WIDE
        wide = _widest(covariance, np.std(straight(of_prior), axis=0), number)
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
    ) -> "Walk":
        """Draws by random walks, many chains side by side, by turns in two kinds of steps.

        One goes to √(1 - β²) e + β ξ with normal ξ in coordinates e that are straight along the valleys, which a
        standard normal distribution of e would always allow; it is taken as the density departs from that, hardly ever
        where the coordinates were learnt from few draws. The other is normal, by the curvature where the chain was when
        it had settled.

        Args:
            start: One place for each chain, shape (chain, d).
            number: Draws.
            along: Gives the straight coordinates.
            rng: Source of randomness.
            temperature: The log density is divided by it: above 1 the walk reaches farther than the density.

        References:
            Cotter, Roberts, Stuart & White, Stat. Sci. 28 (2013) 424, doi:10.1214/13-STS421 (the step)
        """

        def at(z: Floats, e: Floats) -> Floats:
            return within(self.log_density(Described(z, self._of)) / temperature, e)

        e, found, kept = along.straight(start)[0], [], []
        # Draws may lie beyond.
        farthest = _INSIDE * _reach(e.shape[1]) / np.maximum((e**2).sum(axis=1), 1e-300)
        e *= np.sqrt(np.minimum(1.0, farthest))[:, None]
        # Where numbers end no step is taken.
        with np.errstate(over="ignore", invalid="ignore"):
            z, volume = along.bent_with_volume(e)
            density = at(z, e)
            for step in range(_SETTLING + _BETWEEN * -(-number // len(start))):
                if step < _SETTLING and step % (_SETTLING // _LOOKED) == 0:
                    local = np.sqrt(temperature) * self._local_spread(z)
                noise, turn = rng.standard_normal(e.shape), step // 2
                if step % 2:
                    size = _LOCAL_STEPS[turn % len(_LOCAL_STEPS)]
                    z_there = z + size * (local @ noise[..., None])[..., 0]
                    e_there, volume_there = along.straight(z_there)
                    density_there = at(z_there, e_there)
                    gain = density_there - density
                else:
                    beta = _STEPS[turn % len(_STEPS)]
                    e_there = np.sqrt(1 - beta**2) * e + beta * noise
                    z_there, volume_there = along.bent_with_volume(e_there)
                    density_there = at(z_there, e_there)
                    of_normal = 0.5 * ((e_there**2).sum(axis=1) - (e**2).sum(axis=1))
                    gain = density_there + volume_there - density - volume + of_normal
                taken = np.log(rng.random(len(e))) < gain
                if step >= _SETTLING and not step % 2:
                    kept.append(taken.mean())
                for own, there in ((e, e_there), (z, z_there), (density, density_there), (volume, volume_there)):
                    own[taken] = there[taken]
                if step >= _SETTLING and (step - _SETTLING) % _BETWEEN == _BETWEEN - 1:
                    found.append((z.copy(), density.copy()))
        places, densities = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return Walk(places=places[:number], log_density=densities[:number], taken=float(np.mean(kept)))

    def _local_spread(self, z: Floats) -> Floats:
        """Roots (n, d, d) of covariances by the curvature at places (n, d), none wider than is bent."""
        n, d = z.shape
        ends = (z[:, None, None] + _HALF * np.array([1, -1])[:, None, None] * np.eye(d)).reshape(-1, d)
        values = self._features(self._whitened(self._straight(Described(ends, self._of))))
        above, below = np.swapaxes(values.reshape(n, 2, d, -1), 0, 1)
        slopes = (above - below) / (2 * _HALF)
        curvature = slopes @ self._form @ np.swapaxes(slopes, 1, 2) + np.eye(d) / _WIDEST**2
        return np.swapaxes(np.linalg.inv(np.linalg.cholesky(curvature)), 1, 2)

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


def _coefficients(d: int, wide: int) -> int:
    """Of a polynomial of d coordinates that is of fourth order in so many."""
    return comb(d + 2, 2) + comb(wide + 4, 4) - comb(wide + 2, 2)


def _widest(covariance: Floats, scale: Floats, number: int) -> Floats:
    """The directions that the residuals leave widest in shares of the prior's widths, shape (d, direction)."""
    values, vectors = np.linalg.eigh(covariance / scale / scale[:, None])
    widest = np.argsort(values)[::-1][:number]
    return np.asarray(vectors[:, widest] / scale[:, None])


def _higher_powers(number: int) -> NDArray[np.int64]:
    """Exponents of every product of three and of four out of so many coordinates, (product, coordinate)."""
    products = [
        product for order in (3, 4) for product in combinations_with_replacement(range(number), order)
    ]
    return np.array([[product.count(k) for k in range(number)] for product in products])
