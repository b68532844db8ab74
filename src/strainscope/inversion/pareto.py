"""How far to trust importance weights: the shape of their largest."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import genpareto

Floats = NDArray[np.float64]

# Fewer weights in the tail say nothing of its shape.
_LEAST = 5


def pareto_shape(log_weight: Floats) -> float:
    """k̂, the shape of the generalised Pareto distribution of the largest weights: above 0.7 they cannot be trusted.

    Args:
        log_weight: ln of the weights, shape (n,).

    References:
        Vehtari, Simpson, Gelman, Yao & Gabry, J. Mach. Learn. Res. 25 (2024) 72
    """
    weights = np.sort(np.exp(log_weight - logsumexp(log_weight)))
    n = len(weights)
    tail = int(min(0.2 * n, 3 * np.sqrt(n)))
    if tail < _LEAST:
        return float("inf")
    beyond = weights[-tail:] - weights[-tail - 1]
    if beyond[-1] <= 1e-12 * weights[-1]:
        return float("-inf")
    return float(genpareto.fit(beyond / beyond.mean(), floc=0.0)[0])
