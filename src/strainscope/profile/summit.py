"""Where the sum of a Gaussian that rises and one that falls is largest, compiled: searches ask it of every profile."""

from math import exp

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STRETCH = np.linspace(0.0, 1.0, 65) ** 2
"""Search grid between the surface and Rp1, dense at the surface, where the second Gaussian may be narrow."""

# Every so many'th point of the grid is looked at first.
_COARSE = 8
# Newton's steps at most, and the relative change of the position that is rounding.
_STEPS, _CLOSE = 12, 1e-13


@njit(nogil=True, cache=True, error_model="numpy")
def summit(sums: Floats, stretch: Floats) -> tuple[Floats, Floats]:
    r"""Largest values (n,) between z = 0 and Rp1, and their positions (n,).

    .. math:: D_{max1} \exp[-(z - R_{p1})^2 u] + D_{02} \exp[-z (z - 2 R_{p2}) v], \qquad R_{p2} \le 0

    Args:
        sums: Dmax1, Rp1, u, D02, Rp2 and v of each, shape (6, n).
        stretch: Search grid over z/Rp1, ascending from 0 to 1.
    """
    n, last = sums.shape[1], len(stretch) - 1
    size, depth = np.empty(n), np.empty(n)
    for i in range(n):
        a, b, u, c, m, v = sums[0, i], sums[1, i], sums[2, i], sums[3, i], sums[4, i], sums[5, i]
        best, where, tail = a * exp(-b * b * u) + c, 0, c
        for start in range(0, last, _COARSE):
            end = min(start + _COARSE, last)
            z = b * stretch[end]
            first, falling = a * exp(-(z - b) * (z - b) * u), c * exp(-z * (z - 2 * m) * v)
            if first + falling > best:
                best, where = first + falling, end
            # Between the two neither is larger than at its own end.
            if end > start + 1 and first + tail > best:
                for j in range(start + 1, end):
                    z = b * stretch[j]
                    value = a * exp(-(z - b) * (z - b) * u) + c * exp(-z * (z - 2 * m) * v)
                    if value > best:
                        best, where = value, j
            tail = falling
        low, high = b * stretch[max(where - 1, 0)], b * stretch[min(where + 1, last)]
        z = b * stretch[where]
        for _ in range(_STEPS):
            t, p = z - b, z - m
            first, falling = a * exp(-t * t * u), c * exp(-z * (z - 2 * m) * v)
            slope = -2 * (first * t * u + falling * p * v)
            bend = -2 * (first * u * (1 - 2 * t * t * u) + falling * v * (1 - 2 * p * p * v))
            if slope > 0:
                low = z
            else:
                high = z
            # Only a falling slope leads to a maximum; halving where a step would leave.
            reached = z - slope / bend if bend < 0 else np.inf
            if not low <= reached <= high:
                reached = 0.5 * (low + high)
            change, z = abs(reached - z), reached
            if change <= _CLOSE * abs(reached):
                break
        size[i] = a * exp(-(z - b) * (z - b) * u) + c * exp(-z * (z - 2 * m) * v)
        depth[i] = z
    return size, depth
