r"""Proposals around places of the posterior: t-distributions in coordinates in which its curved valleys are straight.

Residuals F(z) of scan and prior together, with those of the scan linear in strain and E over depth
(`LinearFeatures`) and exact to first order at a place c, define

.. math:: g(z) = Q^T F(z), \qquad F'(c) = Q R

Draws are the z that solve g(z) = v for random v; their density is that of v times \|det g'(z)\|. Where F is linear and
v standard normal this is the posterior itself.

References:
    Bardsley, Solonen, Haario & Laine, SIAM J. Sci. Comput. 36 (2014) A1895, doi:10.1137/140964023
    (randomize-then-optimize)
"""

from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from strainscope.diffraction.engine import side_by_side
from strainscope.inversion.determinants import log_determinants
from strainscope.inversion.heavy_tailed import log_density_of_unit_scale
from strainscope.inversion.target import Described, LinearFeatures
from strainscope.inversion.warp import FARTHEST

Floats = NDArray[np.float64]

# Tails that are heavier than a normal distribution's.
_FREEDOM = 4
# Newton's method: iterations, times that a step may be shortened and by what, and the farthest it goes at once.
_ITERATIONS, _SHORTER, _SHORTENED, _FARTHEST_STEP = 30, 5, 0.35, 1.0
# Where that fails goals are followed along a straight way: iterations, the squared distance at which a place on the way
# is reached and the fall of it in an iteration without which it is not, how much farther the next one lies if it is and
# how much nearer if not, and the least share of the way.
_FOLLOWED, _REACHED, _FALLING, _FARTHER, _NEARER, _LEAST_SHARE = 150, 3.0, 0.9, 2.0, 0.25, 1 / 256
# Iterations to each place on the way downhill, which need not be hit.
_ON_THE_WAY = 3
_SOLVED = 1e-6
# Share of a centre's draws that are plainly t-distributed: where the profile's edges are steep the others err.
_PLAIN = 0.25


class Linearisable(Protocol):
    """A density whose residuals can be expanded."""

    def linearised(self, z: Floats) -> tuple[Floats, Floats]:
        """Residuals of scan and prior (n, point + d) at places (n, d), and their derivatives."""

    def by_features(self, z: Floats, features: LinearFeatures, weights: Floats) -> Floats:
        """Derivatives (n, k, feature) of sums of the scan's residuals with weights (n, k, point), not quite exact."""


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

    def __init__(self, target: Linearisable, of: LinearFeatures, places: Floats) -> None:
        self._of, self.place = of, places
        residuals, jacobian = target.linearised(places)
        self.log_density_there = -0.5 * (residuals**2).sum(axis=1)
        q, self.triangle = np.linalg.qr(jacobian)
        q = np.swapaxes(q, 1, 2)
        self.start = (q @ residuals[..., None])[..., 0]
        by_features = target.by_features(places, of, q[..., : residuals.shape[1] - places.shape[1]])
        # What steep profiles change between the depths is put right to first order.
        self._matrix = np.concatenate([by_features, self.triangle - by_features @ of.slopes(places)], axis=2)
        # g is this plus the matrix times the features and z.
        self._constant = self.start - (self._matrix @ Described(places, of).both[..., None])[..., 0]
        # Beyond a fold, where the determinant has another sign, solutions are not connected to the place.
        self._side = np.sign(np.einsum("kii->ki", self.triangle)).prod(axis=1)

    def solve(self, centre: NDArray[np.int64], goal: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Places (n, d) where some centres' (n,) straightened coordinates are as wanted (n, d); which were found."""
        z = self.place[centre].copy()
        found = self._approach(centre, z, goal, iterations=_ITERATIONS) < _SOLVED
        # The density counts every solution that is connected to the place, also those that one leap misses.
        missed = np.flatnonzero(~found)
        z[missed], found[missed] = self._follow(centre[missed], goal[missed])
        side = np.linalg.slogdet(self._slopes(centre, self._of.slopes(z)))[0]
        return z, found & (side == self._side[centre])

    def downhill(self, shares: Floats) -> Floats:
        """Places (centre, share, d) about where g has fallen by shares (share,) of itself, ascending."""
        centre, z = np.arange(len(self.place)), self.place.copy()
        found = []
        for share in shares:
            self._approach(centre, z, (1 - share) * self.start, iterations=_ON_THE_WAY)
            found.append(z.copy())
        return np.stack(found, axis=1)

    def _slopes(self, centre: NDArray[np.int64], of_features: Floats) -> Floats:
        """Derivatives (n, d, d) of some centres' g where the features have these (n, feature, d)."""
        matrix, split = self._matrix[centre], of_features.shape[1]
        return np.asarray(matrix[..., :split] @ of_features + matrix[..., split:])

    def plain(self, centre: NDArray[np.int64], goals: Floats) -> Floats:
        """Places (n, goal, d) where some centres' (n,) coordinates would be as wanted if all were linear.

        Args:
            centre: Shape (n,).
            goals: The same for all, shape (goal, d), or each one's own, shape (n, goal, d).
        """
        apart = np.swapaxes(goals - self.start[centre][:, None], 1, 2)
        return self.place[centre][:, None] + np.swapaxes(np.linalg.solve(self.triangle[centre], apart), 1, 2)

    def steep(self, centre: NDArray[np.int64], z: Floats) -> Floats:
        """ln |det g'| (n,) of some centres' (n,) straightened coordinates at places (n, d)."""
        return np.asarray(np.linalg.slogdet(self._slopes(centre, self._of.slopes(z)))[1])

    def straight(self, places: Described) -> Floats:
        """The first centre's straightened coordinates (n, d) of places (n, d)."""
        return np.asarray(self._constant[0] + places.both @ self._matrix[0].T)

    def _straight(self, centre: NDArray[np.int64], z: Floats) -> Floats:
        both = self._matrix[centre] @ Described(z, self._of).both[..., None]
        return np.asarray(self._constant[centre] + both[..., 0])

    def _approach(
        self, centre: NDArray[np.int64], z: Floats, wanted: Floats, *, iterations: int
    ) -> Floats:
        """Move places (n, d) by damped Newton steps; the squares (n,) of what is left."""
        left = wanted - self._straight(centre, z)
        size = (left**2).sum(axis=1)
        going, share = np.arange(len(z)), np.ones(len(z))
        for _ in range(iterations):
            step = self._newton_step(centre[going], z[going], left[going])
            # Where shorter steps were needed they will be again.
            share[going] = np.minimum(share[going] / _SHORTENED, 1.0)
            waiting = np.arange(len(going))
            for _ in range(_SHORTER):
                own = going[waiting]
                tried = z[own] + share[own, None] * step[waiting]
                rest = wanted[own] - self._straight(centre[own], tried)
                square = (rest**2).sum(axis=1)
                better = square < size[own]
                moved = own[better]
                z[moved], left[moved], size[moved] = tried[better], rest[better], square[better]
                waiting = waiting[~better]
                share[going[waiting]] *= _SHORTENED
                if not len(waiting):
                    break
            stuck = np.zeros(len(going), dtype=np.bool_)
            stuck[waiting] = True
            going = going[~stuck & (size[going] > 1e-4 * _SOLVED)]
            if not len(going):
                break
        return np.asarray(size)

    def _follow(self, centre: NDArray[np.int64], goal: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Places (n, d) to which straightened coordinates lead that go straight to a goal (n, d); which got there.

        Newton's steps lead from place to place on the way; these lie nearer to each other where they fail.
        """
        n, way = len(goal), goal - self.start[centre]
        z, straight = self.place[centre].copy(), self.start[centre].copy()
        last_z, last_straight = z.copy(), straight.copy()
        done, ahead, going = np.zeros(n), np.ones(n), np.arange(n)
        for _ in range(_FOLLOWED):
            if not len(going):
                break
            own, end = centre[going], np.minimum(done[going] + ahead[going], 1.0)
            aim = self.start[own] + end[:, None] * way[going]
            left = aim - straight[going]
            tried = z[going] + self._newton_step(own, z[going], left)
            there = self._straight(own, tried)
            square = ((aim - there) ** 2).sum(axis=1)
            reached = square < np.where(end < 1, _REACHED, _SOLVED)
            kept = reached | (square < _FALLING * (left**2).sum(axis=1))
            z[going[kept]], straight[going[kept]] = tried[kept], there[kept]
            on, back = going[reached], going[~kept]
            ahead[on] *= _FARTHER
            ahead[back] = _NEARER * (end[~kept] - done[back])
            done[on], last_z[on], last_straight[on] = end[reached], z[on], straight[on]
            z[back], straight[back] = last_z[back], last_straight[back]
            going = going[(done[going] < 1) & (ahead[going] >= _LEAST_SHARE)]
        return z, done >= 1

    def _newton_step(self, centre: NDArray[np.int64], z: Floats, left: Floats) -> Floats:
        """Steps (n, d), none too long, from places (n, d) where straightened coordinates have so far to go (n, d)."""
        slopes = self._slopes(centre, self._of.slopes(z))
        step = np.linalg.solve(slopes, left[..., None])[..., 0]
        longest = np.abs(step).max(axis=1, keepdims=True)
        return np.asarray(step * np.minimum(1.0, _FARTHEST_STEP / np.maximum(longest, 1e-300)))

    def draw(self, each: int, *, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Places (n, d) with so many goals for each centre at most, and the centre behind each, shape (n,)."""
        linear = round(_PLAIN * each)
        number, d = self.place.shape
        goal = _heavy_tailed(number * each, d, rng).reshape(number, each, d)
        straight = self.plain(np.arange(number), goal[:, :linear])
        centre = np.repeat(np.arange(number), each - linear)
        curved, solved = self.solve(centre, goal[:, linear:].reshape(-1, d))
        z = np.concatenate([straight.reshape(-1, d), curved[solved]])
        origin = np.concatenate([np.repeat(np.arange(number), linear), centre[solved]])
        near = np.abs(z).max(axis=1) < FARTHEST
        return z[near], origin[near]

    @cached_property
    def _relative(self) -> Floats:
        """The matrices relative to the derivatives at the places; coordinates in the order of the blocks."""
        order = np.concatenate([columns for _, columns in self._of.blocks])
        split = self._matrix.shape[2] - len(order)
        columns = np.concatenate([np.arange(split), split + order])
        return np.asarray(np.linalg.solve(self.triangle[..., order], self._matrix[..., columns]))

    @cached_property
    def _steep(self) -> Floats:
        """ln |det g'| (centre,) at the places."""
        return np.asarray(np.log(np.abs(np.einsum("kii->ki", self.triangle))).sum(axis=1))

    def _determinant(self, k: int, places: Described) -> tuple[Floats, Floats]:
        """Sign of det g' (n,) of a centre at places (n, d) relative to that at its own, and ln of its size."""
        d = places.z.shape[1]
        matrices, rest, first = np.empty((d, d, len(places.z))), self._relative[k, :, -d:, None], 0
        for (rows, _), own in zip(self._of.blocks, places.slopes_by_block, strict=True):
            last = first + own.shape[1]
            by_features = self._relative[k, :, rows] @ own.reshape(own.shape[0], -1)
            np.add(by_features.reshape(d, *own.shape[1:]), rest[:, first:last], out=matrices[:, first:last])
            first = last
        side, size = log_determinants(matrices)
        return side, size + self._steep[k]

    def log_density(self, places: Described) -> Floats:
        """ln of its density at places (n, d)."""
        z, both = places.z, places.both

        def of_centre(k: int) -> Floats:
            side, steep = self._determinant(k, places)
            curved = _log_heavy_tailed(self._constant[k] + both @ self._matrix[k].T) + steep
            curved = np.where(side > 0, curved + np.log(1 - _PLAIN), -np.inf)
            straight = _log_heavy_tailed(self.start[k] + (z - self.place[k]) @ self.triangle[k].T)
            return np.asarray(np.logaddexp(curved, straight + self._steep[k] + np.log(_PLAIN)))

        parts = side_by_side(of_centre, range(len(self.place)))
        return np.asarray(logsumexp(np.stack(parts), axis=0) - np.log(len(self.place)))


def _heavy_tailed(number: int, d: int, rng: np.random.Generator) -> Floats:
    """Draws (number, d) of a t-distribution of unit scale."""
    wide = np.sqrt(_FREEDOM / rng.chisquare(_FREEDOM, (number, 1)))
    return np.asarray(rng.standard_normal((number, d)) * wide)


def _log_heavy_tailed(v: Floats) -> Floats:
    """ln of its density at v (n, d)."""
    return log_density_of_unit_scale((v**2).sum(axis=1), v.shape[1], _FREEDOM)
