"""How far to trust importance weights: the shape of their largest."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Floats = NDArray[np.float64]

# Fewer weights in the tail say nothing of its shape.
_LEAST = 5


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
