r"""A t-distribution along curved valleys: each coordinate is moved and stretched by those before it.

In the principal axes of some draws, the widest first, and in units of their sd,

.. math:: y_k = m_k(y_1 \dots y_{k-1}) + e_k \exp s_k(y_1 \dots y_{k-1})

with polynomials m and s and e of a t-distribution. Its density is that of e times exp(-Σ s): a triangular map. A
posterior's narrow directions bend along its wide ones, for which one normal distribution has to be too wide.

References:
    Spantini, Bigoni & Marzouk, J. Mach. Learn. Res. 19 (2018) 66 (triangular maps for inference)
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2
from scipy.stats import f as f_distribution

from strainscope.inversion.heavy_tailed import log_density_of_unit_scale

Floats = NDArray[np.float64]

# Directions whose squares and products count, those whose third powers do as well, and those whose squares stretch
# others; draws that a coefficient takes.
_SQUARES, _CUBES, _STRETCHING, _EACH = 8, 4, 4, 12.0
# Polynomials go no farther out than this, stretches no farther than this in the logarithm.
_FARTHEST, _STRETCHED = 3.5, 1.5
# Tails are heavier than a posterior's, and it is a little wider than the draws.
_FREEDOM, _WIDER = 6.0, 1.15
# Rounds of the fit, the share of a step that each takes, and what keeps coefficients small.
_ROUNDS, _STEP, _RIDGE = 8, 0.7, 1e-2
# Squared residuals of the stretch's fit count no more than so many; widths of both sides in units of the whole's.
_OUTLIER, _SIDES = 16.0, (0.5, 2.0)
_LEAST = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Curved:
    """A t-distribution along curved valleys.

    Attributes:
        mean: Shape (d,).
        axes: Principal axes in rows, times their sd, shape (d, d).
        terms: Which powers of the first coordinates make up the polynomials.
        moves: Coefficients of the terms for each coordinate, shape (term, d).
        follows: By later coordinates, strictly lower triangle, shape (d, d).
        stretches: Coefficients of the terms for the logarithms of the widths, shape (term, d).
        sides: Widths below and above the middle, shape (2, d).
    """

    mean: Floats
    axes: Floats
    terms: "Terms"
    moves: Floats
    follows: Floats
    stretches: Floats
    sides: Floats

    @classmethod
    def around(cls, z: Floats, share: Floats) -> "Curved":
        """One fitted to draws (n, d) with weights (n,) of sum 1."""
        d = z.shape[1]
        mean = share @ z
        covariance = np.atleast_2d(np.cov(z, rowvar=False, aweights=share))
        variance, vectors = np.linalg.eigh(covariance)
        variance = np.maximum(variance[::-1], _LEAST**2 * variance[-1])
        axes = np.sqrt(variance)[:, None] * vectors[:, ::-1].T
        y = np.linalg.solve(axes.T, (z - mean).T).T
        terms = Terms.of(d, 1 / float((share**2).sum()))
        values = terms(y)
        moves, stretches = np.zeros((2, len(terms.powers), d))
        follows = np.zeros((d, d))
        rest = np.empty_like(y)
        for k in range(d):
            known = terms.last < k
            later = np.arange(d) < k
            later[: terms.curving] = False
            columns = np.concatenate([values[:, known], y[:, later]], axis=1)
            stretching = known & terms.stretching
            move, stretch = _fit(columns, values[:, stretching], y[:, k], share)
            moves[known, k] = move[: known.sum()]
            follows[k, later] = move[known.sum() :]
            stretches[stretching, k] = stretch
            rest[:, k] = (y[:, k] - columns @ move) / np.exp(_limited(values @ stretches[:, k], stretch[0]))
        return cls(
            mean=mean,
            axes=axes,
            terms=terms,
            moves=moves,
            follows=follows,
            stretches=stretches,
            sides=_WIDER * _sides(rest, share),
        )

    def place(self, normal: Floats) -> Floats:
        """Places (n, d) of standard normal draws (n, d)."""
        d = normal.shape[1]
        square = (normal**2).sum(axis=1)
        farther = d * f_distribution.isf(chi2.sf(square, d), d, _FREEDOM)
        return self.bent(normal * np.sqrt(np.minimum(farther, 1e12) / np.maximum(square, 1e-300))[:, None])

    def log_density(self, z: Floats) -> Floats:
        """ln of its density at places (n, d)."""
        e, volume = self.straight(z)
        return log_density_of_unit_scale((e**2).sum(axis=1), z.shape[1], _FREEDOM) - volume

    def bent(self, e: Floats) -> Floats:
        """Places (n, d) of straight coordinates (n, d)."""
        return self.bent_with_volume(e)[0]

    def bent_with_volume(self, e: Floats) -> tuple[Floats, Floats]:
        """Places (n, d) of straight coordinates (n, d), and ln of the volume of a unit of them there (n,)."""
        wide = np.where(e < 0, *self.sides[:, None])
        e = e * wide
        volume = np.log(wide).sum(axis=1) + self._volume
        y, values = np.zeros_like(e), self.terms.none(len(e))
        for k in range(e.shape[1]):
            stretch = _limited(values @ self.stretches[:, k], self.stretches[0, k])
            y[:, k] = values @ self.moves[:, k] + y @ self.follows[k] + e[:, k] * np.exp(stretch)
            volume += stretch
            self.terms.fill(values, y, k)
        return np.asarray(self.mean + y @ self.axes), volume

    @cached_property
    def _volume(self) -> float:
        return float(np.linalg.slogdet(self.axes)[1])

    def straight(self, z: Floats) -> tuple[Floats, Floats]:
        """Straight coordinates (n, d) of places (n, d), and ln of the volume of a unit of them there (n,)."""
        y = np.asarray(np.linalg.solve(self.axes.T, (z - self.mean).T).T, dtype=np.float64)
        values = self.terms(y)
        stretch = _limited(values @ self.stretches, self.stretches[0])
        e = (y - values @ self.moves - y @ self.follows.T) / np.exp(stretch)
        wide = np.where(e < 0, *self.sides[:, None])
        volume = stretch.sum(axis=1) + np.log(wide).sum(axis=1) + self._volume
        return np.asarray(e / wide), np.asarray(volume)


@dataclass(frozen=True, kw_only=True, eq=False)
class Terms:
    """Powers of the first coordinates.

    Attributes:
        powers: Coordinates that are multiplied, for each term; the first is the constant.
        curving: How many coordinates occur.
    """

    powers: tuple[tuple[int, ...], ...]
    curving: int

    @classmethod
    def of(cls, d: int, draws: float) -> "Terms":
        """As many as so many effective draws in d dimensions allow."""
        curving = min(d, _SQUARES)
        while True:
            cubes = min(curving, _CUBES)
            powers: list[tuple[int, ...]] = [(), *((i,) for i in range(curving))]
            powers += [(i, j) for i in range(curving) for j in range(i, curving)]
            powers += [(i, j, k) for i in range(cubes) for j in range(i, cubes) for k in range(j, cubes)]
            if not curving or _EACH * (len(powers) + d - curving) <= draws:
                return cls(powers=tuple(powers), curving=curving)
            curving -= 1

    @property
    def last(self) -> NDArray[np.int64]:
        """The last coordinate of each term, -1 for the constant, shape (term,)."""
        return np.array([max(own, default=-1) for own in self.powers])

    @property
    def stretching(self) -> NDArray[np.bool_]:
        """Which terms change widths, shape (term,)."""
        few = [len(own) < 2 or (len(own) == 2 and max(own) < _STRETCHING) for own in self.powers]
        return np.array(few)

    def __call__(self, y: Floats) -> Floats:
        """Values (n, term) at coordinates (n, d)."""
        values = self.none(len(y))
        for k in range(self.curving):
            self.fill(values, y, k)
        return values

    def none(self, number: int) -> Floats:
        """Values (number, term) where all coordinates are 0: the constant alone."""
        values = np.zeros((number, len(self.powers)))
        values[:, 0] = 1.0
        return values

    def fill(self, values: Floats, y: Floats, k: int) -> None:
        """Fill in the terms whose last coordinate is the k-th, from those of the earlier ones."""
        if k < self.curving:
            near = np.clip(y[:, k], -_FARTHEST, _FARTHEST)
            for term, shorter in self._ends[k]:
                values[:, term] = values[:, shorter] * near

    @cached_property
    def _ends(self) -> list[list[tuple[int, int]]]:
        """For each coordinate the terms that end with it, shorter ones first, each with the term without it."""
        known = {own: k for k, own in enumerate(self.powers)}
        ends: list[list[tuple[int, int]]] = [[] for _ in range(self.curving)]
        for own in sorted(filter(None, self.powers), key=len):
            ends[own[-1]].append((known[own], known[own[:-1]]))
        return ends


def _fit(columns: Floats, stretching: Floats, y: Floats, share: Floats) -> tuple[Floats, Floats]:
    """Coefficients of the middle and of the logarithm of the width of what is normally distributed, by turns."""
    stretch = np.zeros(stretching.shape[1])
    log_width = np.zeros(len(y))
    small = _RIDGE * np.diag(np.append(0.0, np.ones(len(stretch) - 1)))
    hessian = 2 * (stretching * share[:, None]).T @ stretching + 2 * small
    for _ in range(_ROUNDS):
        weight = share * np.exp(-2 * log_width)
        weighted = (columns * weight[:, None]).T
        ridge = _RIDGE * weight.sum() * np.diag(np.append(0.0, np.ones(columns.shape[1] - 1)))
        move = np.linalg.solve(weighted @ columns + ridge, weighted @ y)
        square = np.minimum(((y - columns @ move) * np.exp(-log_width)) ** 2, _OUTLIER)
        stretch = stretch + _STEP * np.linalg.solve(hessian, stretching.T @ (share * (square - 1)))
        log_width = _limited(stretching @ stretch, stretch[0])
    return move, stretch


def _limited(log_width: Floats, middle: Floats | float) -> Floats:
    return np.asarray(np.clip(log_width, middle - _STRETCHED, middle + _STRETCHED))


def _sides(rest: Floats, share: Floats) -> Floats:
    """Root mean squares below and above 0, shape (2, d)."""
    sides = []
    for below in (rest < 0, rest >= 0):
        weight = share[:, None] * below
        sides.append(np.sqrt((weight * rest**2).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-300)))
    return np.asarray(np.clip(sides, *_SIDES))
