"""Counting statistics: photons drawn from an expectation, and how far counts lie from one."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from strainscope.instrument.grid import Floats


def counts(expected: ArrayLike, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Photons counted where so many are expected, Poisson distributed.

    Args:
        expected: Expected counts [1], >= 0, shape (*).
        rng: Source of randomness.

    Returns:
        Counts [1], shape (*).
    """
    return np.asarray(rng.poisson(_checked(expected)), dtype=np.int64)


def poisson_deviance(counts: ArrayLike, expected: ArrayLike) -> Floats:
    r"""Twice the log-likelihood ratio of the best possible expectation to the given one, point by point.

    .. math:: D = 2 [n \ln(n/\mu) - n + \mu]

    Its sum over a scan follows chi-squared where the counts are many; it is infinite where a count has an
    expectation of 0.

    Args:
        counts: Measured counts n [1], >= 0, shape (*).
        expected: Expected counts μ [1], >= 0, shape (*).

    Returns:
        Deviance [1], >= 0, shape (*).

    References:
        S. Baker & R. D. Cousins, Nucl. Instrum. Methods 221 (1984) 437, doi:10.1016/0167-5087(84)90016-4
    """
    measured = np.asarray(counts, dtype=np.float64)
    if not (measured >= 0).all():
        raise ValueError(f"counts = {measured.min():g}; they must be >= 0.")
    return np.asarray(2.0 * special.kl_div(measured, _checked(expected)), dtype=np.float64)


def sigma_of_counts(counts: ArrayLike) -> Floats:
    """Standard deviation of counts, estimated from themselves: √n, and 1 where n < 1.

    Only for plots and weights: it favours points that came out low. Compare with `poisson_deviance` instead.

    Args:
        counts: Measured counts n [1], shape (*).
    """
    return np.asarray(np.sqrt(np.maximum(np.asarray(counts, dtype=np.float64), 1.0)), dtype=np.float64)


def _checked(expected: ArrayLike) -> Floats:
    values = np.asarray(expected, dtype=np.float64)
    wrong = ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        raise ValueError(f"expected = {values[wrong].flat[0]:g} counts; it must be finite and >= 0.")
    return values
