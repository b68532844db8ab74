"""How far to trust importance weights: the shape of their largest."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Floats = NDArray[np.float64]

# Effective draws at least, and shape of the weights' tail at most, of what can be trusted.
FEWEST_DRAWS, WORST_PARETO = 100, 0.7
# Fewer weights in the tail say nothing of its shape.
_LEAST = 5
# Steps of the power that weights are taken to, and where they end: all alike.
_FLATTER, _FLAT = 0.85, 1e-3


def pareto_shape(log_weight: Floats) -> float:
    """k̂, the shape of the generalised Pareto distribution of the largest weights: above 0.7 they cannot be trusted.

    Args:
        log_weight: ln of the weights, shape (n,).

    References:
        Vehtari, Simpson, Gelman, Yao & Gabry, J. Mach. Learn. Res. 25 (2024) 72; Zhang & Stephens, Technometrics 51
        (2009) 316 (the estimate of the shape)
    """
    weights = np.sort(np.exp(log_weight - logsumexp(log_weight)))
    n = len(weights)
    tail = int(min(0.2 * n, 3 * np.sqrt(n)))
    if tail < _LEAST:
        return float("inf")
    beyond = weights[-tail:] - weights[-tail - 1]
    if beyond[-1] <= 1e-12 * weights[-1]:
        return float("-inf")
    return _shape(beyond)


def effective_size(log_weight: Floats) -> float:
    """(Σ w)² / Σ w² of log weights (n,)."""
    return float(np.exp(2 * logsumexp(log_weight) - logsumexp(2 * log_weight)))


def flattened(log_weight: Floats, number: float) -> Floats:
    """Log weights (n,) of sum 1, taken to a power at which so many of them count."""
    return _to_a_power(log_weight, lambda tried: effective_size(tried) >= number)


def trusted(log_weight: Floats) -> Floats:
    """Log weights (n,) of sum 1, flattened until enough of them count and their tail is short enough.

    A posterior that was drawn badly is a few draws of large weight, and bands of these are far too narrow. Taken to a
    power below 1, weights lean towards what was proposed, which is wider.

    Args:
        log_weight: ln of the weights, shape (n,).

    References:
        Koblents & Míguez, Stat. Comput. 25 (2015) 407 (importance weights that are transformed against degeneracy)
    """
    fewest = min(FEWEST_DRAWS, len(log_weight) / 2)
    return _to_a_power(
        log_weight, lambda tried: effective_size(tried) >= fewest and pareto_shape(tried) <= WORST_PARETO
    )


def _to_a_power(log_weight: Floats, enough: Callable[[Floats], bool]) -> Floats:
    """Log weights of sum 1, taken to the largest power that is enough."""
    power = 1.0
    while power > _FLAT and not enough(power * log_weight):
        power *= _FLATTER
    return np.asarray(power * log_weight - logsumexp(power * log_weight))


def _shape(x: Floats) -> float:
    """The shape of a generalised Pareto distribution from ascending draws (n,), averaged by likelihood."""
    n = len(x)
    number = 30 + int(np.sqrt(n))
    quartile = x[max(int(n / 4 + 0.5) - 1, 0)]
    if quartile <= 1e-12 * x[-1]:
        # A few far above many that are equal.
        return float("inf")
    scale = 1 / x[-1] + (1 - np.sqrt(number / (np.arange(1, number + 1) - 0.5))) / (3 * quartile)
    shape = np.log1p(-scale[:, None] * x).mean(axis=1)
    log_likelihood = n * (np.log(-scale / shape) - shape - 1)
    share = np.exp(log_likelihood - logsumexp(log_likelihood))
    found = np.log1p(-(share @ scale) * x).mean()
    # Drawn towards 1/2 as by ten more draws, as Vehtari et al. do.
    return float((n * found + 5) / (n + 10))
