"""Whether posteriors are as wide as they say: coverage, ranks, TARP, width against the Cramér-Rao bound.

Everything rests on two numbers a curve: where the truth lies among the draws of each parameter (`ranks`), and among
their distances from a random point (`tarp`). Both are uniform between 0 and 1 if the posterior is calibrated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEVELS = (0.5, 0.9)
RANK_BINS = 20
"""Equal bins that ranks are counted in."""

OVERALL_POINTS, BIN_POINTS = 3.0, 6.0
"""How far coverage may be from nominal [percentage points], over all curves and within a bin."""

# Fewer curves than a frozen set or a bin of it has leave more to chance: so many standard deviations of it are allowed.
_SIGMAS = 3.5


# Ranks ------------------------------------------------------------------------------------------------------


def ranks(
    samples: Floats, truth: Floats, *, rng: np.random.Generator, weights: Floats | None = None
) -> Floats:
    """Where the truth lies among the draws, from 0 (below all) to 1 (above all), shape (curve, parameter).

    The rank r of the truth among M draws, as (r + u)/(M + 1) with u uniform in (0, 1); among equal values anywhere with
    the same chance. Exactly uniform if truth and draws come from the same distribution.

    Args:
        samples: Shape (curve, draw, parameter).
        truth: Shape (curve, parameter).
        rng: Of u.
        weights: Of the draws, not negative, shape (curve, draw); the ranks are then uniform as far as the effective
            number of draws is large.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or weights that are all 0.
    """
    samples, truth, shares = _checked(samples, truth, weights)
    number = samples.shape[1]
    below = np.einsum("cd,cdp->cp", shares, samples < truth[:, None])
    equal = np.einsum("cd,cdp->cp", shares, samples == truth[:, None])
    return _placed(below, equal, number, rng)


def _placed(below: Floats, equal: Floats, number: int, rng: np.random.Generator) -> Floats:
    chance = rng.random(below.shape)
    return np.asarray((number * below + chance * (number * equal + 1)) / (number + 1))


def tarp(
    samples: Floats,
    truth: Floats,
    *,
    low: Floats,
    high: Floats,
    rng: np.random.Generator,
    weights: Floats | None = None,
) -> Floats:
    """Share of the draws that are closer to a random point than the truth is, shape (curve,).

    The point of each curve is uniform between `low` and `high`, by which distances are scaled, too. The expected
    coverage at level α is the share of curves whose number is below α.

    Args:
        samples: Shape (curve, draw, parameter).
        truth: Shape (curve, parameter).
        low: Of the box that points are drawn from, shape (parameter,); fixed beforehand, not read off the draws.
        high: Of the box.
        rng: Of the points.
        weights: Of the draws, shape (curve, draw).

    References:
        Lemos, Coogan, Hezaveh & Perreault-Levasseur, ICML 2023, arXiv:2302.03026, algorithm 2.
    """
    samples, truth, shares = _checked(samples, truth, weights)
    scale = np.asarray(high) - np.asarray(low)
    if not (scale > 0).all():
        raise ValueError(f"low = {low}, high = {high}; low must be < high for every parameter.")
    points = low + scale * rng.random(truth.shape)
    own = (((truth - points) / scale) ** 2).sum(axis=-1)
    theirs = (((samples - points[:, None]) / scale) ** 2).sum(axis=-1)
    below = (shares * (theirs < own[:, None])).sum(axis=1)
    equal = (shares * (theirs == own[:, None])).sum(axis=1)
    return _placed(below, equal, samples.shape[1], rng)


def posterior_sd(samples: Floats, weights: Floats | None = None) -> Floats:
    """Standard deviation of each curve's draws, shape (curve, parameter)."""
    shares = _shares(samples, weights)
    mean = np.einsum("cd,cdp->cp", shares, samples)
    variance = np.einsum("cd,cdp->cp", shares, (samples - mean[:, None]) ** 2)
    # Without bias for equal weights, and its like for others.
    lost = (shares**2).sum(axis=1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(np.where(lost < 1, variance / (1 - lost), np.nan)))


def narrowed(samples: Floats, weights: Floats | None = None, *, factor: float = 0.5) -> Floats:
    """Draws moved towards their mean by a factor: an overconfident posterior, which calibration must find out."""
    mean = np.einsum("cd,cdp->cp", _shares(samples, weights), samples)[:, None]
    return np.asarray(mean + factor * (samples - mean))


def _shares(samples: Floats, weights: Floats | None) -> Floats:
    number, draws = samples.shape[:2]
    if weights is None:
        return np.full((number, draws), 1 / draws)
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (number, draws):
        raise ValueError(f"weights has shape {weights.shape}; it must be {(number, draws)}.")
    total = weights.sum(axis=1)
    wrong = ~(np.isfinite(weights) & (weights >= 0)).all(axis=1) | ~(total > 0)
    if wrong.any():
        raise ValueError(
            f"weights of curve {int(np.argmax(wrong))}: all must be >= 0, finite, and not all 0."
        )
    return np.asarray(weights / total[:, None])


def _checked(samples: Floats, truth: Floats, weights: Floats | None) -> tuple[Floats, Floats, Floats]:
    samples, truth = np.asarray(samples, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if samples.ndim != 3 or not samples.shape[1] or truth.shape != (len(samples), samples.shape[2]):
        raise ValueError(
            f"samples has shape {samples.shape} and truth {truth.shape}; they must be (curve, draw, parameter) "
            "and (curve, parameter)."
        )
    finite = np.isfinite(samples).all(axis=(1, 2))
    if not finite.all():
        raise ValueError(f"the posterior samples of curve {int(np.argmin(finite))} are not all finite.")
    return samples, truth, _shares(samples, weights)


# What they say ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class RankTest:
    """Counts of numbers that should be uniform between 0 and 1, and how likely chance makes them this uneven.

    Attributes:
        counts: In `RANK_BINS` equal bins.
        chi2_p: p-value of χ² of the counts.
        ks_p: p-value of Kolmogorov's and Smirnov's test.
    """

    counts: NDArray[np.int64]
    chi2_p: float
    ks_p: float


def rank_test(values: Floats) -> RankTest:
    """Test numbers (curve,) for being uniform between 0 and 1."""
    counts, _ = np.histogram(values, bins=RANK_BINS, range=(0, 1))
    return RankTest(
        counts=counts,
        chi2_p=float(stats.chisquare(counts).pvalue),
        ks_p=float(stats.kstest(values, "uniform").pvalue),
    )


def central_coverage(values: Floats, level: float) -> Floats:
    """Share of ranks (curve, *) within the central interval of a level; shape (*)."""
    return np.asarray((np.abs(values - 0.5) <= level / 2).mean(axis=0))


def tarp_coverage(values: Floats, level: float) -> float:
    """Share of TARP's numbers (curve,) below a level."""
    return float((values <= level).mean())


def chance_band(number: int, level: float | Floats, *, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Between which shares the coverage of a calibrated posterior lies by chance, for so many curves."""
    low, high = stats.binom.interval(confidence, number, level)
    return np.asarray(low / number), np.asarray(high / number)


@dataclass(frozen=True, kw_only=True, eq=False)
class Coverage:
    """Expected coverage of the posteriors of some curves.

    Attributes:
        number: Curves.
        of: Share [1] of truths within the central interval, by level and parameter.
        joint: Of all parameters together by TARP, by level.
    """

    number: int
    of: Mapping[float, Mapping[str, float]]
    joint: Mapping[float, float]

    def problems(self, points: float) -> list[str]:
        """Where coverage is further from nominal than so many percentage points, and than chance, in words."""
        found = []
        for level, shares in self.of.items():
            for name, share in [*shares.items(), ("all together (TARP)", self.joint[level])]:
                if abs(share - level) * 100 > max(points, self._chance(level)):
                    found.append(f"{name}: {100 * share:.1f} % at {100 * level:.0f} %")
        return found

    def allowed(self, points: float) -> float:
        """How far coverage may be from nominal at any level [percentage points]."""
        return max(points, *(self._chance(level) for level in self.of))

    def _chance(self, level: float) -> float:
        """What chance may do to so few curves [percentage points]."""
        return float(100 * _SIGMAS * np.sqrt(level * (1 - level) / self.number))


def coverage(
    names: Sequence[str], rank: Floats, distance: Floats, levels: Sequence[float] = LEVELS
) -> Coverage:
    """Expected coverage from ranks (curve, parameter) and TARP's numbers (curve,)."""
    return Coverage(
        number=len(rank),
        of={level: dict(zip(names, central_coverage(rank, level).tolist(), strict=True)) for level in levels},
        joint={level: tarp_coverage(distance, level) for level in levels},
    )


@dataclass(frozen=True, kw_only=True)
class WidthRatio:
    """Posterior sd over the Cramér-Rao bound, of one parameter, over curves.

    Attributes:
        mean: Mean sd over mean bound.
        median: Median of the ratio.
        low: Its 5 % quantile; far below 1 the posterior claims more than the curve can tell (or its prior does).
        high: Its 95 % quantile.
    """

    mean: float
    median: float
    low: float
    high: float


def widths_against_bound(names: Sequence[str], sd: Floats, bound: Floats) -> dict[str, WidthRatio]:
    """Widths of posteriors against what the curves can tell at most.

    Args:
        names: Parameters.
        sd: Of the posteriors, shape (curve, parameter).
        bound: Cramér-Rao bounds as standard deviations, same shape; curves where one is not finite are left out there.

    Raises:
        ValueError: shapes that differ, or a bound that is not above 0.
    """
    bound = np.asarray(bound, dtype=np.float64)
    if bound.shape != sd.shape:
        raise ValueError(f"Cramér-Rao bounds have shape {bound.shape}; it must be {sd.shape}.")
    if (bound <= 0).any():
        row, column = np.argwhere(bound <= 0)[0]
        raise ValueError(
            f"Cramér-Rao bound of {names[column]} for curve {row} = {bound[row, column]:g}; it must be > 0."
        )
    result = {}
    for i, name in enumerate(names):
        known = np.isfinite(bound[:, i]) & np.isfinite(sd[:, i])
        if not known.any():
            continue
        ratio = sd[known, i] / bound[known, i]
        low, median, high = np.quantile(ratio, [0.05, 0.5, 0.95]).tolist()
        mean = float(sd[known, i].mean() / bound[known, i].mean())
        result[name] = WidthRatio(mean=mean, median=median, low=low, high=high)
    return result
