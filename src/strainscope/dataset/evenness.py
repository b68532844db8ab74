"""How evenly a dataset covers its parameters, one by one and in pairs, and whether its plan explains what is uneven."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from strainscope.dataset.best_evenness import BestEvenness, best_evenness
from strainscope.dataset.draw import Expectation, GridDraws, Levels
from strainscope.dataset.judgement import Judgement, chi2_moments, judge
from strainscope.dataset.plan import Plan

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_ROWS_AT_ONCE = 65_536
# Share of a grid's step, or of a range, by which a stored value may miss it.
_ROUNDING = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class ParameterEvenness:
    """Counts of one parameter at its grid values, or in equal bins of its range.

    Attributes:
        levels: Grid values or bins.
        unit: Of the values.
        counts: Samples at each level, shape (level,).
        expectation: The plan's counts; None where there is no closed form.
    """

    levels: Levels
    unit: str
    counts: Integers
    expectation: Expectation | None

    @property
    def name(self) -> str:
        """The parameter."""
        return self.levels.name

    @property
    def size(self) -> int:
        """Number of samples."""
        return int(self.counts.sum())

    @property
    def unique(self) -> int:
        """Levels that occur."""
        return int((self.counts > 0).sum())

    @property
    def fewest(self) -> int:
        """Smallest count."""
        return int(self.counts.min())

    @property
    def most(self) -> int:
        """Largest count."""
        return int(self.counts.max())

    @property
    def chi2(self) -> float:
        """Σ (n - N/k)²/(N/k) over all levels of the plan."""
        even = self.size / len(self.counts)
        return float(((self.counts - even) ** 2).sum() / even)

    @property
    def bias(self) -> float:
        """Largest count over the smallest; infinite where a level is empty."""
        return self.most / self.fewest if self.fewest else math.inf

    @property
    def entropy(self) -> float:
        """Entropy of the counts over that of an even distribution, 0 to 1."""
        if len(self.counts) == 1:
            return 1.0
        share = self.counts[self.counts > 0] / self.size
        return float(-(share * np.log(share)).sum() / math.log(len(self.counts)))

    @cached_property
    def chi2_sd(self) -> float:
        """Standard deviation of chi² by chance: the plan's, or else that of independent samples like these."""
        if self.expectation is not None:
            return chi2_moments(self.expectation)[1]
        share = self.counts / self.size
        independent = Expectation(
            mean=self.counts.astype(np.float64), variance=self.size * share * (1 - share)
        )
        return chi2_moments(independent)[1]

    @cached_property
    def judgement(self) -> Judgement:
        """Whether the plan explains these counts."""
        if self.expectation is None:
            return Judgement(word="even" if self.most - self.fewest <= 1 else "unknown")
        return judge(self.counts, self.expectation)


@dataclass(frozen=True, kw_only=True, eq=False)
class PairEvenness:
    """Counts of two parameters' cells.

    Attributes:
        one, other: The parameters.
        valid: Cells that the constraints allow, shape (level of one, level of other).
        counts: Samples in each cell, the same shape.
    """

    one: str
    other: str
    valid: NDArray[np.bool_]
    counts: Integers

    @property
    def coverage(self) -> float:
        """Share of the valid cells that occur."""
        return float((self.counts[self.valid] > 0).mean())

    @property
    def fewest(self) -> int:
        """Smallest count of a valid cell."""
        return int(self.counts[self.valid].min())

    @property
    def invalid(self) -> int:
        """Samples in cells that the constraints exclude."""
        return int(self.counts[~self.valid].sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class Evenness:
    """How evenly a dataset covers its parameters.

    Attributes:
        name: Of the dataset.
        size: Number of samples.
        combinations: Valid combinations of the plan's grid; None where parameters are continuous.
        repeats: Whether a combination may come again.
        rounding: "exact" or "report", see the plan.
        method: How samples are drawn, see the plan.
        parameters: One by one, in the plan's order.
        pairs: All pairs of them.
        best: The most even samples possible; None for continuous parameters or where it is too large a problem.
    """

    name: str
    size: int
    combinations: int | None
    repeats: bool
    rounding: str
    method: str
    parameters: tuple[ParameterEvenness, ...]
    pairs: tuple[PairEvenness, ...]
    best: BestEvenness | None

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters."""
        return tuple(p.name for p in self.parameters)

    @property
    def mean_chi2(self) -> float:
        """Mean of the parameters' chi²."""
        return float(np.mean([p.chi2 for p in self.parameters]))

    @property
    def worst_bias(self) -> float:
        """Largest bias of a parameter."""
        return max(p.bias for p in self.parameters)

    @property
    def mean_entropy(self) -> float:
        """Mean of the parameters' relative entropies."""
        return float(np.mean([p.entropy for p in self.parameters]))

    @property
    def coverage(self) -> float:
        """Mean share of the valid cells that occur, over the pairs; 1 where there is one parameter."""
        return float(np.mean([p.coverage for p in self.pairs])) if self.pairs else 1.0


def drawn_blocks(plan: Plan) -> Iterator[Floats]:
    """Parameters (sample, parameter) of a plan's whole dataset, block by block, without simulating curves."""
    for first in range(0, plan.size, _ROWS_AT_ONCE):
        yield plan.draws.values(first, min(first + _ROWS_AT_ONCE, plan.size))


def measure_evenness(plan: Plan, blocks: Iterable[Floats], *, name: str = "") -> Evenness:
    """How evenly samples cover the parameters of their plan; memory does not grow with their number.

    Args:
        plan: The plan they were drawn from.
        blocks: Parameter values (sample, parameter), columns in the order of `plan.names`.
        name: Of the dataset; the plan's title if empty.

    Raises:
        ValueError: no samples, or values that are not the plan's.
    """
    levels = [plan.draws.levels(name) for name in plan.names]
    singles, pairs, size = _counted(levels, blocks)
    space = plan.draws.space if isinstance(plan.draws, GridDraws) else None
    return Evenness(
        name=name or plan.title,
        size=size,
        combinations=plan.draws.count,
        repeats=space is None or getattr(plan.sampling, "replacement", False),
        rounding=getattr(plan.sampling, "rounding", "exact"),
        method=plan.sampling.method,
        parameters=tuple(
            ParameterEvenness(
                levels=level,
                unit=plan.units[level.name],
                counts=counts,
                expectation=plan.draws.expected(level.name, size),
            )
            for level, counts in zip(levels, singles, strict=True)
        ),
        pairs=tuple(
            PairEvenness(one=one, other=other, valid=plan.draws.valid_pairs(one, other), counts=counts)
            for (one, other), counts in zip(combinations(plan.names, 2), pairs, strict=True)
        ),
        best=best_evenness(space, size) if space is not None else None,
    )


def _counted(levels: list[Levels], blocks: Iterable[Floats]) -> tuple[list[Integers], list[Integers], int]:
    """Counts of the levels of each parameter, of the cells of each pair, and of the samples."""
    lengths = [len(level.values) for level in levels]
    which = list(combinations(range(len(levels)), 2))
    singles = [np.zeros(k, dtype=np.int64) for k in lengths]
    pairs = [np.zeros(lengths[i] * lengths[j], dtype=np.int64) for i, j in which]
    size = 0
    for block in blocks:
        values = np.asarray(block, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != len(levels):
            names = ", ".join(level.name for level in levels)
            raise ValueError(
                f"a block has shape {values.shape}; it must be (sample, {len(levels)}): {names}."
            )
        index = [_index(level, values[:, i], size) for i, level in enumerate(levels)]
        for i, count in enumerate(singles):
            count += np.bincount(index[i], minlength=lengths[i])
        for (i, j), count in zip(which, pairs, strict=True):
            count += np.bincount(index[i] * lengths[j] + index[j], minlength=len(count))
        size += len(values)
    if not size:
        raise ValueError("there are no samples to judge; the dataset is empty.")
    return singles, [c.reshape(lengths[i], lengths[j]) for (i, j), c in zip(which, pairs, strict=True)], size


def _index(level: Levels, column: Floats, first: int) -> Integers:
    """Levels of a column; values that are on none of them are refused."""
    index = np.clip(level.index(column), 0, len(level.values) - 1)
    if level.edges is None:
        step = np.diff(level.values).min() if len(level.values) > 1 else abs(level.values[0])
        wrong = ~(np.abs(column - level.values[index]) <= _ROUNDING * step)
        where = "on no value of its grid"
    else:
        low, high = level.edges[0], level.edges[-1]
        slack = _ROUNDING * (high - low)
        wrong = ~((column >= low - slack) & (column <= high + slack))
        where = f"outside its range, {low:g} to {high:g}"
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"{level.name} = {column[row]:g} in sample {first + row} is {where}; the samples are not of this plan."
        )
    return index
