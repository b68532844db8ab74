"""Determinants of many small matrices that are near the identity, side by side in the processor's lanes."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Matrices that are eliminated at once.
_TOGETHER = 64
# Without pivots digits are lost as factors grow: matrices with larger ones are left to LAPACK, and those whose
# determinant might leave the range of numbers.
_LARGEST_FACTOR, _LARGEST = 1e4, 1e200


def log_determinants(matrices: Floats) -> tuple[Floats, Floats]:
    """Signs (n,) and ln of the sizes (n,) of the determinants of matrices (d, d, n)."""
    determinant, largest = _eliminated(matrices)
    size = np.abs(determinant)
    # What is no number is not at most anything.
    safe = (largest <= _LARGEST_FACTOR) & (size <= _LARGEST) & (size >= 1 / _LARGEST)
    side, logarithm = np.sign(determinant), np.log(size, out=np.zeros_like(size), where=safe)
    if not safe.all():
        side[~safe], logarithm[~safe] = np.linalg.slogdet(np.moveaxis(matrices[..., ~safe], -1, 0))
    return side, logarithm


@njit(nogil=True, cache=True, error_model="numpy")
def _eliminated(matrices: Floats) -> tuple[Floats, Floats]:
    """Determinants (n,) by Gauss's elimination without pivots, and its largest factors (n,)."""
    d, _, n = matrices.shape
    determinant, largest = np.ones(n), np.zeros(n)
    part, factor = np.empty((d, d, _TOGETHER)), np.empty(_TOGETHER)
    for first in range(0, n, _TOGETHER):
        number = min(_TOGETHER, n - first)
        for i in range(d):
            for j in range(d):
                part[i, j, :number] = matrices[i, j, first : first + number]
        for k in range(d):
            pivot = part[k, k]
            for lane in range(number):
                determinant[first + lane] *= pivot[lane]
            for i in range(k + 1, d):
                lead = part[i, k]
                for lane in range(number):
                    factor[lane] = lead[lane] / pivot[lane]
                    largest[first + lane] = max(largest[first + lane], abs(factor[lane]))
                for j in range(k + 1, d):
                    row, above = part[i, j], part[k, j]
                    for lane in range(number):
                        row[lane] -= factor[lane] * above[lane]
    return determinant, largest
