"""Rows of numbers that count as the same: rounded to so many significant digits, the same on every machine."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Table = NDArray[np.floating[Any]]

SIGNIFICANT_DIGITS = 12

# Powers of ten as literals: exact up to 1e22, the nearest float64 beyond, and the same everywhere, unlike log10.
_LEAST, _MOST = -300, 308
_POWERS = np.array([float(f"1e{k}") for k in range(_LEAST, _MOST + 1)])
_SMALLEST = 1e-280
# Rows that are looked at together, so that a table of millions needs no second one beside it.
_CHUNK = 1 << 18


def rounded(values: Table, digits: int = SIGNIFICANT_DIGITS) -> Floats:
    """Values rounded to so many significant digits; zero has no sign, and below 1e-280 all is zero.

    Raises:
        ValueError: a value that is not finite.
    """
    exact = np.asarray(values, dtype=np.float64)
    if not np.isfinite(exact).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(exact))[0])
        raise ValueError(f"values[{', '.join(map(str, where))}] = {exact[where]}; it must be finite.")
    size = np.abs(exact)
    exponent = np.searchsorted(_POWERS, size, side="right") - 1 + _LEAST
    # value = whole × 10^shift: multiplied and divided by exact powers, so that each step is rounded correctly.
    shift = np.where(size < _SMALLEST, 0, exponent - (digits - 1))
    up = _POWERS[np.maximum(-shift, 0) - _LEAST]
    down = _POWERS[np.maximum(shift, 0) - _LEAST]
    whole = np.rint(exact * up / down)
    return np.where(size < _SMALLEST, 0.0, whole / up * down) + 0.0


def row_bytes(values: Table, digits: int = SIGNIFICANT_DIGITS) -> bytes:
    """The rounded values as little-endian float64, row by row."""
    return np.ascontiguousarray(rounded(values, digits), dtype="<f8").tobytes()


class RowSet:
    """A set of rows, fast to look up in.

    Args:
        rows: Shape (n, column).
        digits: To how many significant digits rows are compared.
    """

    def __init__(self, rows: Table, *, digits: int = SIGNIFICANT_DIGITS) -> None:
        exact = rounded(rows, digits)
        self._digits = digits
        self._rows = {row.tobytes() for row in exact}
        self._hashes = np.unique(_hashes(exact))

    def contains(self, values: Table) -> NDArray[np.bool_]:
        """Which rows of a table (n, column) are in the set, shape (n,)."""
        result = np.zeros(len(values), dtype=np.bool_)
        for first in range(0, len(values), _CHUNK):
            exact = rounded(values[first : first + _CHUNK], self._digits)
            hashes = _hashes(exact)
            place = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
            # Hashes of different rows may coincide: the few candidates are compared themselves.
            for i in np.flatnonzero(self._hashes[place] == hashes):
                result[first + i] = exact[i].tobytes() in self._rows
        return result


def _hashes(rows: Floats) -> NDArray[np.uint64]:
    """A 64-bit hash of each row (n, column), shape (n,)."""
    words = np.ascontiguousarray(rows).view(np.uint64)
    result = np.zeros(len(rows), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in range(rows.shape[1]):
            result = (result ^ words[:, column]) * np.uint64(0x9E3779B97F4A7C15)
            result ^= result >> np.uint64(29)
    return result
