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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from strainscope.inversion.target import Features, LinearInProfile
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Centre:
    """A place, and the straightening of what lies around it.

    Attributes:
        of: Features that it is linear in.
        place: Shape (d,).
        start: g there, shape (d,).
        constant: g is this plus `matrix` times the features and z, shape (d,).
        matrix: Shape (d, feature + d).
        triangle: R, shape (d, d).
        side: Sign of det g' there; beyond a fold, where it is another, solutions are not connected to the place.
        log_density: ln of the posterior's density there, not normalised.
    """

    of: Features
    place: Floats
    start: Floats
    constant: Floats
    matrix: Floats
    triangle: Floats
    side: float
    log_density: float

    def straight(self, z: Floats) -> Floats:
        """g (n, d) at places (n, d)."""
        return np.asarray(self.constant + _both(self.of, z) @ self.matrix.T)

    def slopes(self, z: Floats) -> Floats:
        """g' (n, d, d) at places (n, d)."""
        return np.asarray(self.matrix @ _both_slopes(self.of, z))

    def solve(self, goal: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Places (n, d) where g is as wanted (n, d), and which were found."""
        z = np.broadcast_to(self.place, goal.shape).copy()
        found = np.ones(len(z), dtype=np.bool_)
        for share in (_HALFWAY, 1.0):
            wanted = (1 - share) * self.start + share * goal
            found &= self._approach(z, wanted) < _SOLVED
        return z, found & (np.linalg.slogdet(self.slopes(z))[0] == self.side)

    def _approach(self, z: Floats, wanted: Floats) -> Floats:
        """Move places (n, d) by damped Newton steps; the squares (n,) of what is left."""
        left = wanted - self.straight(z)
        size = (left**2).sum(axis=1)
        going = np.arange(len(z))
        for _ in range(_ITERATIONS):
            step = np.linalg.solve(self.slopes(z[going]), left[going][..., None])[..., 0]
            longest = np.abs(step).max(axis=1, keepdims=True)
            step *= np.minimum(1.0, _FARTHEST_STEP / np.maximum(longest, 1e-300))
            waiting = np.arange(len(going))
            for _ in range(_SHORTER):
                own = going[waiting]
                tried = z[own] + step[waiting]
                rest = wanted[own] - self.straight(tried)
                square = (rest**2).sum(axis=1)
                better = square < size[own]
                z[own[better]], left[own[better]], size[own[better]] = (
                    tried[better],
                    rest[better],
                    square[better],
                )
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


class Linearisable(Protocol):
    """A density whose residuals can be expanded."""

    def linearised(self, z: Floats) -> tuple[Floats, Floats]:
        """Residuals of scan and prior (point + d,) at a place (d,), and their derivatives."""

    def linear_in_profile(self, z: Floats, features: Features) -> LinearInProfile:
        """Residuals around a place (d,) as a linear function of features."""


def centre_at(target: Linearisable, of: Features, place: Floats) -> Centre:
    """The centre at a place (d,)."""
    linear = target.linear_in_profile(place, of)
    residuals, jacobian = target.linearised(place)
    q, r = np.linalg.qr(jacobian)
    scan = len(residuals) - len(place)
    # What steep profiles change between the depths is put right to first order.
    missing = jacobian[:scan] - linear.jacobian @ of.slopes(place[None])[0]
    matrix = np.concatenate([q[:scan].T @ linear.jacobian, q[:scan].T @ missing + q[scan:].T], axis=1)
    start = q.T @ residuals
    constant = start - matrix @ _both(of, place[None])[0]
    return Centre(
        of=of,
        place=place,
        start=start,
        constant=constant,
        matrix=matrix,
        triangle=r,
        side=float(np.sign(np.diag(r)).prod()),
        log_density=-0.5 * float(residuals @ residuals),
    )


class Centres:
    """Several centres with the same features as one proposal.

    Its mass may be below 1: goals without a solution are dropped, and so is what lies beyond `FARTHEST`.

    Args:
        centres: Each is drawn from as often as any other.
    """

    def __init__(self, centres: Sequence[Centre]) -> None:
        self._centres = centres

    def draw(self, each: int, *, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Places (n, d) with so many goals for each centre at most, and the centre behind each, shape (n,)."""
        found, origin = [], []
        for number, centre in enumerate(self._centres):
            goal = _heavy_tailed(each, len(centre.place), rng)
            plain = round(_PLAIN * each)
            found.append(centre.place + np.linalg.solve(centre.triangle, (goal[:plain] - centre.start).T).T)
            z, solved = centre.solve(goal[plain:])
            found.append(z[solved])
            origin.append(np.full(plain + int(solved.sum()), number))
        z = np.concatenate(found)
        near = np.abs(z).max(axis=1) < FARTHEST
        return z[near], np.concatenate(origin)[near]

    def log_density(self, z: Floats) -> Floats:
        """ln of its density at places (n, d)."""
        of = self._centres[0].of
        both, slopes = _both(of, z), _both_slopes(of, z)
        parts = []
        for centre in self._centres:
            straight = centre.constant + both @ centre.matrix.T
            side, steep = np.linalg.slogdet(centre.matrix @ slopes)
            density = _log_heavy_tailed(straight) + steep + np.log(1 - _PLAIN)
            parts.append(np.where(side == centre.side, density, -np.inf))
            plain = centre.start + (z - centre.place) @ centre.triangle.T
            steep = np.log(np.abs(np.diag(centre.triangle))).sum()
            parts.append(_log_heavy_tailed(plain) + steep + np.log(_PLAIN))
        return np.asarray(logsumexp(np.stack(parts), axis=0) - np.log(len(self._centres)))


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
