"""Whether a parameter's counts are what its plan gives: the exact expectation, and what chance adds to it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, pearson3, poisson

from strainscope.dataset.draw import Expectation

Integers = NDArray[np.int64]

Word = Literal["even", "chance", "plan", "bias", "unknown"]

#: What the words of a judgement mean.
WORDS: Mapping[Word, str] = {
    "even": "every value occurs equally often",
    "chance": "no more uneven than chance makes an even plan",
    "plan": "uneven, as the plan and its constraints make it",
    "bias": "uneven in a way that neither the plan nor chance explains",
    "unknown": "the plan has no exact expectation to compare with",
}

# Probability below which counts are no longer called chance, for each parameter: datasets have many of them, and a
# bias worth knowing of is beyond any doubt in a hundred thousand samples.
UNLIKELY = 1e-5
# From this expected count on, a count scatters like a normal number.
_NORMAL_FROM = 25.0


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Whether a parameter's measured counts are what its plan gives.

    Attributes:
        word: One of `WORDS`.
        expected_chi2: Of the plan; None where it has no closed form.
        sd_chi2: Its standard deviation by chance.
        z: Measured minus expected chi² in standard deviations; None without expectation.
        largest_deviation: Of a single count from the plan's, in standard deviations.
    """

    word: Word
    expected_chi2: float | None = None
    sd_chi2: float | None = None
    z: float | None = None
    largest_deviation: float | None = None


def chi2_moments(expectation: Expectation) -> tuple[float, float, float]:
    """Mean, standard deviation and skewness of chi² by chance.

    Counts are taken as normal; their covariance as that of independent counts which keep their total, scaled such
    that the variances are the given ones.
    """
    even = expectation.mean.sum() / len(expectation.mean)
    shift = expectation.mean - even
    free = expectation.variance.copy()
    for _ in range(100):
        total = free.sum()
        if total == 0:
            break
        free = expectation.variance / np.maximum(1 - free / total, 1e-3)
    covariance = np.diag(free) - np.outer(free, free) / max(float(free.sum()), 1e-300)
    square = covariance @ covariance
    variance = float(2 * np.trace(square) + 4 * shift @ covariance @ shift) / even**2
    third = float(8 * np.trace(square @ covariance) + 24 * shift @ square @ shift) / even**3
    sd = math.sqrt(max(variance, 0.0))
    return expectation.chi2, sd, third / sd**3 if sd > 0 else 0.0


def judge(counts: Integers, expectation: Expectation) -> Judgement:
    """Compare counts (level,) with the plan's: their chi², and each of them by itself."""
    even = counts.sum() / len(counts)
    chi2 = float(((counts - even) ** 2).sum() / even)
    expected, sd, skewness = chi2_moments(expectation)
    # Shares of the plan are sums of floats: a thousandth of a sample is no deviation.
    spread = np.sqrt(np.maximum(expectation.variance, 1e-3))
    deviation = (counts - expectation.mean) / spread
    normal = 2 * norm.sf(np.abs(deviation))
    rare = 2 * np.minimum(poisson.sf(counts - 1, expectation.mean), poisson.cdf(counts, expectation.mean))
    scarce = (expectation.mean < _NORMAL_FROM) & (expectation.variance > 1e-3)
    single = float(np.where(scarce, rare, normal).min()) * len(counts)
    z = (chi2 - expected) / sd if sd > 0 else math.copysign(math.inf, chi2 - expected)
    if abs(chi2 - expected) <= 1e-6 * (1 + expected):
        z = 0.0
    # The plan is even where what it adds to chi² is small beside what chance adds, or is less than a sample.
    added = float(((expectation.mean - even) ** 2).sum() / even)
    even_plan = added <= 0.1 * sd or bool((np.abs(expectation.mean - even) <= 1).all())
    excess = float(pearson3.sf(z, skewness)) if math.isfinite(z) else float(z < 0)
    # More even than an even plan by chance, as quasi-random points are, is no bias; and a single sample of a value that
    # is all but absent lowers chi² by more than normal counts would.
    tail = excess if even_plan or scarce.any() else 2 * min(excess, 1 - excess)
    word: Word = "chance" if even_plan else "plan"
    if min(single, tail) < UNLIKELY:
        word = "bias"
    elif counts.max() - counts.min() <= 1:
        word = "even"
    return Judgement(
        word=word,
        expected_chi2=expected,
        sd_chi2=sd,
        z=z,
        largest_deviation=float(np.abs(deviation).max()),
    )
