"""Polynomials that stand for the trigonometric functions of the fast engine, in the square of the phase.

Each is the Chebyshev interpolant of an entire function of w = φ² on |φ| <= 3.2, long enough for the type:
1e-7 and better in float32, 1e-13 in float64. In float32 the last two, which enter times a cell's absorption and
coupling (1e-3 and 1e-5), are good to 1e-2: what that leaves is below 1e-6.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

DOMAIN = 3.2**2

Floats = NDArray[np.float64]
DType = type[np.float32] | type[np.float64]


def _series(first_terms: Callable[[int], float], terms: int = 40) -> Callable[[Floats], Floats]:
    coefficients = np.array([first_terms(n) for n in range(terms)])
    return lambda w: np.polynomial.polynomial.polyval(w, coefficients)


def _factorial(n: int) -> float:
    return float(np.prod(np.arange(1, n + 1, dtype=np.float64)))


# Taylor coefficients in w = φ².
_TAYLOR: dict[str, Callable[[int], float]] = {
    "cosine": lambda n: (-1) ** n / _factorial(2 * n),
    "sinc": lambda n: (-1) ** n / _factorial(2 * n + 1),
    # (cosφ - sincφ)/φ²: the derivative of sinc over φ.
    "sinc_slope": lambda n: (-1) ** (n + 1) * (1 / _factorial(2 * n + 2) - 1 / _factorial(2 * n + 3)),
    # (1 - cosφ sincφ)/φ² = (1 - sin 2φ/(2φ))/φ².
    "rho": lambda n: (-1) ** n * 4 ** (n + 1) / _factorial(2 * n + 3),
}
# Number of coefficients: (float32, float64).
_LENGTHS = {"cosine": (7, 12), "sinc": (6, 12), "sinc_slope": (3, 11), "rho": (3, 11)}


def polynomials(dtype: DType) -> tuple[tuple[Any, ...], ...]:
    """Coefficients of cosφ, sincφ, (cosφ - sincφ)/φ² and (1 - cosφ sincφ)/φ² in φ², constant term first."""
    return _fitted(dtype is np.float32)


@cache
def _fitted(single: bool) -> tuple[tuple[Any, ...], ...]:
    dtype = np.float32 if single else np.float64
    result = []
    for name, lengths in _LENGTHS.items():
        function = _series(_TAYLOR[name])
        degree = lengths[0 if single else 1] - 1
        fit = np.polynomial.Chebyshev.interpolate(function, degree, domain=[0, DOMAIN])
        power = fit.convert(kind=np.polynomial.Polynomial)
        result.append(tuple(dtype(c) for c in power.coef))
    return tuple(result)


def constants(dtype: DType) -> tuple[Any, Any, Any]:
    """One, a half and zero of the type: a Python float in the kernel would make it work in float64."""
    return dtype(1), dtype(0.5), dtype(0)
