"""How far residuals exceed the assumed noise, and how many points stand for each independent one."""

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.refine import Fit

Floats = NDArray[np.float64]

# Excess over the assumed noise, in standard deviations of chance, from which it counts.
_BEYOND_CHANCE = 3.0


def noise_spread(fit: Fit, free: int) -> float:
    """Factor by which residuals exceed the assumed noise, times the points for each independent one; 1 within chance.

    Args:
        fit: The best one.
        free: Number of fitted parameters.
    """
    degrees = max(len(fit.residuals) - free, 1)
    excess = fit.cost / degrees
    if excess < 1 + _BEYOND_CHANCE * np.sqrt(2 / degrees):
        excess = 1.0
    alike = points_per_independent(fit.residuals)
    bounded = np.clip(fit.residuals - fit.residuals.mean(), -3, 3)
    first = float(bounded[1:] @ bounded[:-1]) / max(float(bounded @ bounded), 1e-300)
    if first < _BEYOND_CHANCE / np.sqrt(len(bounded)):
        alike = 1.0
    return excess * alike


def points_per_independent(residuals: Floats) -> float:
    """Measured points for each independent residual, 1 + 2 Σ autocorrelations, at least 1.

    The sum ends at the first autocorrelation that a white sequence of this length would show by chance.

    References:
        Bayley & Hammersley, J. R. Stat. Soc. Suppl. 8 (1946) 184, on the effective number of observations.
    """
    n = len(residuals)
    bounded = np.clip(residuals, -3, 3)
    centred = bounded - bounded.mean()
    power = float(centred @ centred)
    if power == 0:
        return 1.0
    total = 1.0
    for lag in range(1, n // 4):
        share = float(centred[:-lag] @ centred[lag:]) / power
        if share < 2 / np.sqrt(n):
            break
        total += 2 * share
    return total
