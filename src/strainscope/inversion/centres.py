r"""Proposals around places of the posterior: t-distributions in coordinates in which its curved valleys are straight.

Residuals F(z) of scan and prior together, with those of the scan linear in strain and E over depth (`Features`) and
exact to first order at a place c, define

.. math:: g(z) = Q^T F(z), \qquad F'(c) = Q R

Draws are the z that solve g(z) = v for random v; their density is that of v times \|det g'(z)\|. Where F is linear and
v standard normal this is the posterior itself.

References:
    Bardsley, Solonen, Haario & Laine, SIAM J. Sci. Comput. 36 (2014) A1895, doi:10.1137/140964023
    (randomize-then-optimize)
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from strainscope.diffraction.engine import worker_count
from strainscope.inversion.target import Features
from strainscope.inversion.warp import FARTHEST

Floats = NDArray[np.float64]

# Tails that are heavier than a normal distribution's.
_FREEDOM = 4
# Newton's method: iterations, times that a step may be shortened and by what, and the farthest it goes at once.
_ITERATIONS, _SHORTER, _SHORTENED, _FARTHEST_STEP = 10, 3, 0.35, 1.0
_SOLVED = 1e-6
# A goal is approached by way of this share of it: the solution that is found is the one connected to the place.
_HALFWAY = 0.5
# Share of a centre's draws that are plainly t-distributed: where the profile's edges are steep the others err.
_PLAIN = 0.25


class Linearisable(Protocol):
    """A density whose residuals can be expanded."""

    def linearised(self, z: Floats) -> tuple[Floats, Floats]:
        """Residuals of scan and prior (point + d,) at a place (d,), and their derivatives."""

    def jacobian_by_features(self, z: Floats, features: Features) -> Floats:
        """Derivatives (point, feature) of the scan's residuals by features at a place (d,), not quite exact."""


class Centres:
    """Places with the same features, and the straightening around each; as a proposal, all have the same share.

    Its mass may be below 1: goals without a solution are dropped, and so is what lies beyond `FARTHEST`.

    Args:
        target: The density.
        of: Features that residuals are linear in.
        places: Shape (centre, d).

    Attributes:
        place: Shape (centre, d).
        start: g there, shape (centre, d).
        triangle: R, shape (centre, d, d).
        log_density_there: ln of the posterior's density at the places, not normalised, shape (centre,).
    """

    def __init__(self, target: Linearisable, of: Features, places: Floats) -> None:
        self._of, self.place = of, places
        with ThreadPoolExecutor(worker_count()) as pool:
            parts = list(pool.map(lambda place: _expansion(target, of, place), places))
        self.start, self._matrix, self.triangle, self.log_density_there = (
            np.array(column) for column in zip(*parts, strict=True)
        )
        # g is this plus the matrix times the features and z.
        self._constant = self.start - np.einsum("kdf,kf->kd", self._matrix, _both(of, places))
        # Beyond a fold, where the determinant has another sign, solutions are not connected to the place.
        self._side = np.sign(np.einsum("kii->ki", self.triangle)).prod(axis=1)

    def solve(self, centre: NDArray[np.int64], goal: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Places (n, d) where some centres' (n,) straightened coordinates are as wanted (n, d); which were found."""
        z = self.place[centre].copy()
        found = np.ones(len(z), dtype=np.bool_)
        for share in (_HALFWAY, 1.0):
            wanted = (1 - share) * self.start[centre] + share * goal
            found &= self._approach(centre, z, wanted) < _SOLVED
        side = np.linalg.slogdet(self._matrix[centre] @ _both_slopes(self._of, z))[0]
        return z, found & (side == self._side[centre])

    def _straight(self, centre: NDArray[np.int64], z: Floats) -> Floats:
        both = self._matrix[centre] @ _both(self._of, z)[..., None]
        return np.asarray(self._constant[centre] + both[..., 0])

    def _approach(self, centre: NDArray[np.int64], z: Floats, wanted: Floats) -> Floats:
        """Move places (n, d) by damped Newton steps; the squares (n,) of what is left."""
        left = wanted - self._straight(centre, z)
        size = (left**2).sum(axis=1)
        going = np.arange(len(z))
        for _ in range(_ITERATIONS):
            slopes = self._matrix[centre[going]] @ _both_slopes(self._of, z[going])
            step = np.linalg.solve(slopes, left[going][..., None])[..., 0]
            longest = np.abs(step).max(axis=1, keepdims=True)
            step *= np.minimum(1.0, _FARTHEST_STEP / np.maximum(longest, 1e-300))
            waiting = np.arange(len(going))
            for _ in range(_SHORTER):
                own = going[waiting]
                tried = z[own] + step[waiting]
                rest = wanted[own] - self._straight(centre[own], tried)
                square = (rest**2).sum(axis=1)
                better = square < size[own]
                moved = own[better]
                z[moved], left[moved], size[moved] = tried[better], rest[better], square[better]
                waiting = waiting[~better]
                step[waiting] *= _SHORTENED
                if not len(waiting):
                    break
            stuck = np.zeros(len(going), dtype=np.bool_)
            stuck[waiting] = True
            going = going[~stuck & (size[going] > 1e-4 * _SOLVED)]
            if not len(going):
                break
        return np.asarray(size)

    def draw(self, each: int, *, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Places (n, d) with so many goals for each centre at most, and the centre behind each, shape (n,)."""
        plain = round(_PLAIN * each)
        number, d = self.place.shape
        goal = _heavy_tailed(number * each, d, rng).reshape(number, each, d)
        apart = np.swapaxes(goal[:, :plain] - self.start[:, None], 1, 2)
        straight = self.place[:, None] + np.swapaxes(np.linalg.solve(self.triangle, apart), 1, 2)
        centre = np.repeat(np.arange(number), each - plain)
        curved, solved = self.solve(centre, goal[:, plain:].reshape(-1, d))
        z = np.concatenate([straight.reshape(-1, d), curved[solved]])
        origin = np.concatenate([np.repeat(np.arange(number), plain), centre[solved]])
        near = np.abs(z).max(axis=1) < FARTHEST
        return z[near], origin[near]

    def log_density(self, z: Floats) -> Floats:
        """ln of its density at places (n, d)."""
        both, slopes = _both(self._of, z), _both_slopes(self._of, z)
        parts = []
        for k, place in enumerate(self.place):
            side, steep = np.linalg.slogdet(self._matrix[k] @ slopes)
            curved = _log_heavy_tailed(self._constant[k] + both @ self._matrix[k].T) + steep
            parts.append(np.where(side == self._side[k], curved + np.log(1 - _PLAIN), -np.inf))
            steep = np.log(np.abs(np.diag(self.triangle[k]))).sum()
            straight = self.start[k] + (z - place) @ self.triangle[k].T
            parts.append(_log_heavy_tailed(straight) + steep + np.log(_PLAIN))
        return np.asarray(logsumexp(np.stack(parts), axis=0) - np.log(len(self.place)))


def _expansion(target: Linearisable, of: Features, place: Floats) -> tuple[Floats, Floats, Floats, float]:
    """g at a place (d,), its derivatives by features and coordinates (d, feature + d), R, and the log density."""
    by_features = target.jacobian_by_features(place, of)
    residuals, jacobian = target.linearised(place)
    q, r = np.linalg.qr(jacobian)
    scan = len(residuals) - len(place)
    # What steep profiles change between the depths is put right to first order.
    missing = jacobian[:scan] - by_features @ of.slopes(place[None])[0]
    matrix = np.concatenate([q[:scan].T @ by_features, q[:scan].T @ missing + q[scan:].T], axis=1)
    return q.T @ residuals, matrix, r, -0.5 * float(residuals @ residuals)


def _both(of: Features, z: Floats) -> Floats:
    return np.concatenate([of(z), z], axis=1)


def _both_slopes(of: Features, z: Floats) -> Floats:
    unit = np.broadcast_to(np.eye(z.shape[1]), (*z.shape, z.shape[1]))
    return np.concatenate([of.slopes(z), unit], axis=1)


def _heavy_tailed(number: int, d: int, rng: np.random.Generator) -> Floats:
    """Draws (number, d) of a t-distribution of unit scale."""
    wide = np.sqrt(_FREEDOM / rng.chisquare(_FREEDOM, (number, 1)))
    return np.asarray(rng.standard_normal((number, d)) * wide)


def _log_heavy_tailed(v: Floats) -> Floats:
    """ln of its density at v (n, d)."""
    d = v.shape[1]
    norm = gammaln((_FREEDOM + d) / 2) - gammaln(_FREEDOM / 2) - 0.5 * d * np.log(_FREEDOM * np.pi)
    return np.asarray(norm - 0.5 * (_FREEDOM + d) * np.log1p((v**2).sum(axis=1) / _FREEDOM))
