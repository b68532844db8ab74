"""A t-distribution in many dimensions: what others miss in their tails is not lost."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Floats = NDArray[np.float64]


def log_density_of_unit_scale(square: Floats, d: int, freedom: float) -> Floats:
    """ln of the density (n,) of a t-distribution of unit scale in d dimensions, at squared distances (n,)."""
    norm = gammaln((freedom + d) / 2) - gammaln(freedom / 2) - 0.5 * d * np.log(freedom * np.pi)
    return np.asarray(norm - 0.5 * (freedom + d) * np.log1p(square / freedom))
