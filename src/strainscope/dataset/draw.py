"""Which parameters the i-th sample of a plan has, and how evenly a plan covers each of them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from strainscope.dataset.continuous import Range, Star, stars
from strainscope.dataset.grid import GridSpace
from strainscope.dataset.permutation import key_of, permuted, uniforms
from strainscope.profile import Constraint

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Continuous parameters are judged in this many equal bins of their range.
BINS = 10
_MOST_ATTEMPTS = 400


@dataclass(frozen=True, kw_only=True, eq=False)
class Levels:
    """What the counts of a parameter refer to: its grid values, or equal bins of its range.

    Attributes:
        name: The parameter.
        values: Grid values, or the middles of the bins, shape (level,).
        edges: Of the bins, shape (level + 1,); None for grid values.
    """

    name: str
    values: Floats
    edges: Floats | None = None

    def counts(self, column: Floats) -> Integers:
        """How many of the values (sample,) are at each level, shape (level,)."""
        return np.bincount(self.index(column), minlength=len(self.values))

    def index(self, column: Floats) -> Integers:
        """The level of each value, shape (sample,)."""
        if self.edges is None:
            middles = 0.5 * (self.values[1:] + self.values[:-1])
            return np.searchsorted(middles, column)
        return np.clip(np.searchsorted(self.edges, column, side="right") - 1, 0, len(self.values) - 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Expectation:
    """Counts at the levels of a parameter under a plan: mean and variance, shape (level,)."""

    mean: Floats
    variance: Floats

    @property
    def chi2(self) -> float:
        """Expected Σ (n - N/k)²/(N/k)."""
        even = self.mean.sum() / len(self.mean)
        return float(((self.mean - even) ** 2 + self.variance).sum() / even)


class Draws(ABC):
    """Parameters of samples by index.

    Attributes:
        names: Parameters that vary, in the order of the columns.
        count: Number of valid combinations; None where they are continuous.
    """

    names: tuple[str, ...]
    count: int | None = None

    @abstractmethod
    def values(self, first: int, last: int) -> Floats:
        """Values of samples first to last - 1, shape (last - first, parameter)."""

    @abstractmethod
    def levels(self, name: str) -> Levels:
        """Grid values or bins of a parameter."""

    @abstractmethod
    def expected(self, name: str, size: int) -> Expectation | None:
        """Counts at the levels in a dataset of that size, exactly; None where there is no closed form."""

    @abstractmethod
    def valid_pairs(self, one: str, other: str) -> NDArray[np.bool_]:
        """Which pairs of levels the constraints allow, shape (level of one, level of other)."""

    def check(self, size: int) -> None:  # noqa: B027 (most draws have no limit)
        """Raise ValueError where a dataset of that size cannot be drawn."""


def _split(size: int, strata: int) -> Integers:
    """Samples of each stratum: equal, the first ones one more if need be."""
    return size // strata + (np.arange(strata) < size % strata)


class GridDraws(Draws):
    """From a grid at random, without replacement unless asked, the same number from every stratum.

    Sample i belongs to stratum i modulo their number and is the next of a random permutation of that stratum.

    Args:
        space: Valid combinations in strata.
        names: Order of the columns.
        seed: Of the permutations.
        replacement: Whether a combination may come again.
    """

    def __init__(self, space: GridSpace, names: Sequence[str], *, seed: int, replacement: bool) -> None:
        self.space, self.names, self.replacement = space, tuple(names), replacement
        self.count = space.count
        self._columns = [space.names.index(name) for name in names]
        self._sizes = space.sizes
        self._seed = seed
        self._keys = np.array([key_of(seed, "stratum", s) for s in range(len(self._sizes))], dtype=np.uint64)

    def check(self, size: int) -> None:
        """Raise ValueError where a stratum holds fewer combinations than asked of it."""
        wanted = _split(size, len(self._sizes))
        if self.replacement or (wanted <= self._sizes).all():
            return
        # The largest size whose every stratum suffices.
        most = int(self._sizes.min()) * len(self._sizes)
        short = int(np.argmax(wanted - self._sizes))
        what = "the grid" if len(self._sizes) == 1 else f"the stratum {self.space.stratum_name(short)}"
        raise ValueError(
            f"size = {size:,} asks for {wanted[short]:,} samples from {what}, which holds {self._sizes[short]:,} valid "
            f"combinations. Ask for at most {most:,}, use smaller grid steps (or stratify by less), or set "
            "sampling.replacement: true."
        )

    def values(self, first: int, last: int) -> Floats:
        """Values of samples first to last - 1, shape (last - first, parameter)."""
        index = np.arange(first, last)
        stratum, turn = index % len(self._sizes), index // len(self._sizes)
        size = self._sizes[stratum]
        if self.replacement:
            chance = uniforms(key_of(self._seed, "replacement"), first, last, 1)[:, 0]
            place = np.minimum((chance * size).astype(np.int64), size - 1)
        else:
            place = permuted(turn, size, self._keys[stratum])
        return self.space.values(stratum, place)[:, self._columns]

    def levels(self, name: str) -> Levels:
        """Grid values of a parameter."""
        return Levels(name=name, values=self.space.shares(name)[0])

    def expected(self, name: str, size: int) -> Expectation:
        """Sums of hypergeometric counts over the strata (binomial ones with replacement)."""
        _, share = self.space.shares(name)
        wanted = _split(size, len(self._sizes))[:, None]
        variance = wanted * share * (1 - share)
        if not self.replacement:
            total = self._sizes[:, None]
            variance = variance * (total - wanted) / np.maximum(total - 1, 1)
        return Expectation(mean=(wanted * share).sum(axis=0), variance=variance.sum(axis=0))

    def valid_pairs(self, one: str, other: str) -> NDArray[np.bool_]:
        """Pairs of grid values that a valid combination has."""
        return self.space.pairs(one, other)


@dataclass(frozen=True, kw_only=True)
class Region:
    """What continuous parameters may be: ranges, and linear constraints between them.

    Attributes:
        ranges: Bounds of the parameters that vary, in the order of the columns.
        constraints: Inequalities.
        fixed: Values of the other parameters in them.
    """

    ranges: Mapping[str, Range]
    constraints: tuple[Constraint, ...]
    fixed: Mapping[str, float]

    def stars(self, narrowed: Mapping[str, Range] | None = None) -> tuple[Star, ...]:
        """The uniform distribution within these ranges, or narrower ones."""
        return stars({**self.ranges, **(narrowed or {})}, self.constraints, self.fixed)

    def volume(self, narrowed: Mapping[str, Range] | None = None) -> float:
        """Of the set; 0 where nothing is left."""
        try:
            return prod(star.volume for star in self.stars(narrowed))
        except ValueError:
            return 0.0

    def levels(self, name: str) -> Levels:
        """Equal bins of a parameter's range."""
        edges = np.linspace(*self.ranges[name], BINS + 1)
        return Levels(name=name, values=0.5 * (edges[1:] + edges[:-1]), edges=edges)

    def place(self, parts: Sequence[Star], unit: Floats) -> Floats:
        """Values (n, parameter) in the order of the ranges from a unit cube."""
        order = list(self.ranges)
        result = np.empty_like(unit)
        column = 0
        for star in parts:
            width = len(star.names)
            result[:, [order.index(n) for n in star.names]] = star.from_unit(unit[:, column : column + width])
            column += width
        return result


class _RegionDraws(Draws):
    """What all continuous draws share: bins, valid pairs, shares of bins."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.names = tuple(region.ranges)
        # The ranges have to leave room before anything is drawn.
        region.stars()

    def levels(self, name: str) -> Levels:
        """Equal bins of a parameter's range."""
        return self.region.levels(name)

    def valid_pairs(self, one: str, other: str) -> NDArray[np.bool_]:
        """Pairs of bins in which the constraints leave room."""
        bins = [self._bins(name) for name in (one, other)]
        cells = [self.region.volume({one: a, other: b}) > 0 for a, b in product(*bins)]
        return np.array(cells).reshape(len(bins[0]), len(bins[1]))

    def _bins(self, name: str) -> list[Range]:
        edges = np.linspace(*self.region.ranges[name], BINS + 1)
        return [(float(a), float(b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]

    def _shares(self, name: str, within: Mapping[str, Range]) -> Floats:
        """Share of each bin of a parameter in the narrowed set."""
        low, high = within.get(name, self.region.ranges[name])
        volumes = []
        for a, b in self._bins(name):
            a, b = max(a, low), min(b, high)
            volumes.append(self.region.volume({**within, name: (a, b)}) if a < b else 0.0)
        return np.array(volumes) / sum(volumes)


class UniformDraws(_RegionDraws):
    """Independent and uniform over the region, the same number from every cell of stratified parameters.

    Args:
        region: Ranges and constraints.
        seed: Of the numbers.
        bins: Number of equal bins of each stratified parameter.
        sobol: Quasi-random (scrambled Sobol points) in place of independent points; not with strata.
    """

    def __init__(
        self, region: Region, *, seed: int, bins: Mapping[str, int] | None = None, sobol: bool = False
    ) -> None:
        super().__init__(region)
        self._seed, self._sobol = seed, sobol
        edges = {name: np.linspace(*region.ranges[name], number + 1) for name, number in (bins or {}).items()}
        cells = [
            {
                name: (float(edges[name][k]), float(edges[name][k + 1]))
                for name, k in zip(edges, which, strict=True)
            }
            for which in product(*(range(len(e) - 1) for e in edges.values()))
        ]
        whole = region.volume()
        # A cell that touches the allowed set in less than this is no stratum but rounding.
        self.cells = [cell for cell in cells if region.volume(cell) > 1e-12 * whole]
        self._stars = cache(lambda k: region.stars(self.cells[k]))

    def values(self, first: int, last: int) -> Floats:
        """Values of samples first to last - 1, shape (last - first, parameter)."""
        n = len(self.names)
        if self._sobol:
            points = qmc.Sobol(n, rng=np.random.default_rng(key_of(self._seed, "sobol")))
            # The first point by itself: scipy warns of other first stretches than powers of two.
            start = points.random(1)[first:]
            if first > 1:
                points.fast_forward(first - 1)
            unit = np.concatenate([start, points.random(last - max(first, 1))])
        else:
            unit = uniforms(key_of(self._seed, "uniform"), first, last, n)
        stratum = np.arange(first, last) % len(self.cells)
        result = np.empty_like(unit)
        for k in np.unique(stratum):
            mine = stratum == k
            result[mine] = self.region.place(self._stars(int(k)), unit[mine])
        return result

    def expected(self, name: str, size: int) -> Expectation:
        """Sums of binomial counts over the strata; Sobol points scatter less than that."""
        wanted = _split(size, len(self.cells))[:, None]
        share = np.array([self._shares(name, cell) for cell in self.cells])
        return Expectation(
            mean=(wanted * share).sum(axis=0), variance=(wanted * share * (1 - share)).sum(axis=0)
        )


class EdgeDraws(_RegionDraws):
    """Uniform over the region, with more weight where some parameters are extreme.

    Args:
        region: Ranges and constraints.
        seed: Of the numbers.
        parameters: Whose lower and upper ends count as edges.
        width: Share of a parameter's range that is an edge, at either end.
        share: Share of the samples that are drawn from an edge, the same number from each.

    Raises:
        ValueError: an edge in which the constraints leave no room.
    """

    def __init__(
        self, region: Region, *, seed: int, parameters: Sequence[str], width: float, share: float
    ) -> None:
        super().__init__(region)
        self._seed, self._share = seed, share
        self.edges: list[Mapping[str, Range]] = []
        for name in parameters:
            low, high = region.ranges[name]
            reach = width * (high - low)
            self.edges += [{name: (low, low + reach)}, {name: (high - reach, high)}]
        self._stars = [region.stars()] + [region.stars(edge) for edge in self.edges]

    def values(self, first: int, last: int) -> Floats:
        """Values of samples first to last - 1, shape (last - first, parameter)."""
        unit = uniforms(key_of(self._seed, "uniform"), first, last, len(self.names))
        chance = uniforms(key_of(self._seed, "edge"), first, last, 2)
        edge = 1 + np.minimum((chance[:, 1] * len(self.edges)).astype(np.int64), len(self.edges) - 1)
        which = np.where(chance[:, 0] < self._share, edge, 0)
        result = np.empty_like(unit)
        for k, parts in enumerate(self._stars):
            mine = which == k
            result[mine] = self.region.place(parts, unit[mine])
        return result

    def expected(self, name: str, size: int) -> Expectation:
        """Binomial counts of the mixture."""
        share = (1 - self._share) * self._shares(name, {})
        for edge in self.edges:
            share = share + self._share / len(self.edges) * self._shares(name, edge)
        return Expectation(mean=size * share, variance=size * share * (1 - share))


class GaussianDraws(_RegionDraws):
    """Normally distributed around given parameters, within the region.

    Args:
        region: Ranges and constraints.
        seed: Of the numbers.
        around: Centre of each parameter.
        sd: Standard deviation of each, before the region cuts it.
    """

    def __init__(
        self, region: Region, *, seed: int, around: Mapping[str, float], sd: Mapping[str, float]
    ) -> None:
        super().__init__(region)
        self._seed = seed
        self._centre = np.array([around[name] for name in self.names])
        self._sd = np.array([sd[name] for name in self.names])

    def check(self, size: int) -> None:
        """Raise ValueError where next to nothing falls into the region."""
        self.values(0, min(size, 256))

    def values(self, first: int, last: int) -> Floats:
        """Values of samples first to last - 1, shape (last - first, parameter): the first attempt that is valid."""
        result = np.empty((last - first, len(self.names)))
        pending = np.arange(last - first)
        lower, upper = np.array(list(self.region.ranges.values())).T
        for attempt in range(_MOST_ATTEMPTS):
            unit = uniforms(key_of(self._seed, "gaussian", attempt), first, last, len(self.names))[pending]
            values = self._centre + self._sd * ndtri(unit)
            valid = ((values >= lower) & (values <= upper)).all(axis=1)
            for constraint in self.region.constraints:
                total = np.zeros(len(values))
                for name, factor in constraint.terms:
                    total += factor * (
                        values[:, self.names.index(name)] if name in self.names else self.region.fixed[name]
                    )
                valid &= total <= constraint.upper
            result[pending[valid]] = values[valid]
            pending = pending[~valid]
            if not len(pending):
                return result
        raise ValueError(
            f"after {_MOST_ATTEMPTS} attempts {len(pending)} of {last - first} samples still lie outside the ranges or "
            "break a constraint; move sampling.around inside, or lower sampling.percent."
        )

    def expected(self, name: str, size: int) -> None:
        """No closed form."""
        return None
