"""Interpolation on uniform angle grids by the six nearest points, and kernels brought onto such a grid.

.. math:: f(x) = \\sum_{i=-2}^{3} f_i \\prod_{j \\ne i} \\frac{x - j}{i - j}

with x counted in steps from the node below the position; exact for polynomials of degree five.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float64]
Real = NDArray[np.floating[Any]]

STENCIL = 6
ROUNDING = 1e-9
"""Share of a step by which a position may lie outside the grid: rounding of start + i × step."""

_NODES = np.arange(-2.0, 4.0)
CARDINALS = np.array(
    [np.poly(np.delete(_NODES, i)) / np.prod(node - np.delete(_NODES, i)) for i, node in enumerate(_NODES)]
)
_SLOPES = CARDINALS[:, :-1] * np.arange(5.0, 0.0, -1.0)


def sample(values_on_grid: Real, start: float, step: float, positions: ArrayLike) -> Real:
    """Values at any positions within a uniform grid.

    Args:
        values_on_grid: Shape (*, n) at start + i × step; n >= 6. float32 stays float32.
        start: First angle of the grid [arcsec].
        step: Its step [arcsec].
        positions: Angles [arcsec], shape (m,).

    Returns:
        Values, shape (*, m).

    Raises:
        ValueError: fewer than six points, or a position outside the grid.
    """
    first, fraction = stencil(positions, start, step, values_on_grid.shape[-1])
    return _gather(values_on_grid, first, cardinal_weights(fraction))


def sample_gradient(values_on_grid: Real, start: float, step: float, positions: ArrayLike) -> Real:
    """Derivative of `sample` with respect to the position [1/arcsec], shape (*, m); arguments alike."""
    first, fraction = stencil(positions, start, step, values_on_grid.shape[-1])
    return _gather(values_on_grid, first, _horner(_SLOPES, fraction) / step)


def sample_transposed(weights: Real, start: float, step: float, number: int, positions: ArrayLike) -> Real:
    """Weights of a grid's points that give the same sums as weights (*, m) of sampled values, shape (*, number)."""
    first, fraction = stencil(positions, start, step, number)
    shares = cardinal_weights(fraction)
    columns = first + np.arange(STENCIL)[:, None]
    rows = np.broadcast_to(np.arange(first.size), columns.shape)
    to_grid = csr_array((shares.ravel(), (columns.ravel(), rows.ravel())), shape=(number, first.size))
    flat = weights.reshape(-1, first.size)
    result: Real = (to_grid @ flat.T).T.reshape(*weights.shape[:-1], number)
    return result


def stencil(positions: ArrayLike, start: float, step: float, number: int) -> tuple[NDArray[np.intp], Floats]:
    """First of the six grid points for each position, and the position in steps from the third of them.

    Near the ends of the grid the six points are the outermost ones, off centre.
    """
    where = (np.asarray(positions, dtype=np.float64) - start) / step
    if number < STENCIL:
        raise ValueError(f"the grid has {number} points; interpolation takes at least {STENCIL}.")
    outside = ~((where >= -ROUNDING) & (where <= number - 1 + ROUNDING))
    if outside.any():
        i = int(np.argmax(outside))
        raise ValueError(
            f"positions[{i}] = {start + step * where[i]:g} arcsec; it must lie within the grid, "
            f"{start:g} to {start + step * (number - 1):g} arcsec."
        )
    first = np.clip(np.floor(where).astype(np.intp) - 2, 0, number - STENCIL)
    return first, where - first - 2


def cardinal_weights(fraction: Floats) -> Floats:
    """Weights of the six points for positions in steps from the third of them, shape (6, m)."""
    return _horner(CARDINALS, fraction)


def decimate(kernel: Floats, ratio: int, half: int) -> Floats:
    r"""Kernel that acts on the interpolated curve as the finely sampled one acts on the true curve.

    .. math:: w(l) = \int k(lh - u) \varphi(u/h) du/h, \qquad R(u) = \sum_j R_j \varphi(u/h - j)

    φ being the interpolation's cardinal function. The integral is kept whatever the kernel's width, and a
    delta function stays one.

    Args:
        kernel: Density [1/arcsec] at lags of -(half + 3) ratio to +(half + 3) ratio fine steps, shape (*, k).
        ratio: Fine steps per step.
        half: Largest lag wanted, in steps.

    Returns:
        Density [1/arcsec] at lags of -half to +half steps, shape (*, 2 half + 1).
    """
    result = np.zeros((*kernel.shape[:-1], 2 * half + 1))
    for tap in range(1 - 3 * ratio, 3 * ratio):
        below, inside = divmod(tap, ratio)
        weight = cardinal_weights(np.array([inside / ratio]))[2 - below, 0] / ratio
        first = 3 * ratio - tap
        result += weight * kernel[..., first : first + 2 * half * ratio + 1 : ratio]
    return result


def _gather(values: Real, first: NDArray[np.intp], weights: Floats) -> Real:
    """Σ_q weights[q] values[first + q]."""
    weights = weights.astype(values.dtype, copy=False)
    result: Real = values[..., first] * weights[0]
    for q in range(1, STENCIL):
        result += values[..., first + q] * weights[q]
    return result


def _horner(polynomials: Floats, x: Floats) -> Floats:
    """Polynomials, shape (6, power) with the highest power first, at x (m,): shape (6, m)."""
    result = np.broadcast_to(polynomials[:, :1], (STENCIL, x.size)).copy()
    for column in polynomials.T[1:]:
        result *= x
        result += column[:, None]
    return result
