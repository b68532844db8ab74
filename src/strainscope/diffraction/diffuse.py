"""Diffuse scattering of the disordered layer (statistical dynamical theory, kinematic in the diffuse wave)."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from strainscope.diffraction.engine import AngleTables
from strainscope.diffraction.sublayers import Sublayers

Floats = NDArray[np.float64]
WIDTH = 64


@njit(inline="always", fastmath=True, error_model="numpy")
def _gaussian(z):  # type: ignore[no-untyped-def]
    """exp(-z) for z >= 0 without a branch, 1e-9 absolute: (exp(-z/256))^256 by a polynomial and eight squarings."""
    x = min(z, 60.0) * 0.00390625
    x = 1.0 - x * (
        1.0 - x * (0.5 - x * (0.16666666666666666 - x * (0.041666666666666664 - x * 0.008333333333333333)))
    )
    for _ in range(8):
        x = x * x
    return x


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def _diffuse(  # type: ignore[no-untyped-def]
    p_re, q_re, strength, thickness, delta, factor, layer, tau, weight_delta, weight_factor, out, slopes
):
    """Fills out (angle,) and slopes (parameter + 1, angle; the last with respect to τ); see `diffuse_scattering`."""
    n_angle = p_re.shape[1]
    n_parameter = weight_delta.shape[1]
    scale = tau * tau / math.pi
    total = np.empty(WIDTH)
    by_delta = np.empty(WIDTH)
    by_tau = np.empty(WIDTH)
    for first in range(0, n_angle, WIDTH):
        count = min(WIDTH, n_angle - first)
        for k in range(len(thickness)):
            disorder = (1.0 - factor[k] * factor[k]) * thickness[k]
            if thickness[k] <= 0 or (disorder == 0 and n_parameter == 0):
                continue
            m = layer[k]
            p, q, s = (
                p_re[m, first : first + count],
                q_re[m, first : first + count],
                strength[m, first : first + count],
            )
            for j in range(count):
                y = p[j] + delta[k] * q[j]
                z = scale * y * y
                g = 2.0 * s[j] * tau * _gaussian(z)
                total[j] = g
                by_delta[j] = -2.0 * scale * y * q[j] * g * disorder
                by_tau[j] = g * (1.0 - 2.0 * z) / tau * disorder
            line = out[first : first + count]
            for j in range(count):
                line[j] += total[j] * disorder
            if n_parameter == 0:
                continue
            line = slopes[n_parameter, first : first + count]
            for j in range(count):
                line[j] += by_tau[j]
            by_factor = -2.0 * factor[k] * thickness[k]
            for n in range(n_parameter):
                a, b = weight_delta[k, n], by_factor * weight_factor[k, n]
                if a == 0 and b == 0:
                    continue
                line = slopes[n, first : first + count]
                for j in range(count):
                    line[j] += a * by_delta[j] + b * total[j]


def diffuse_scattering(
    tables: AngleTables,
    sublayers: Sublayers,
    correlation_length: float,
    d_strain: Floats | None = None,
    d_debye_waller: Floats | None = None,
) -> tuple[Floats, Floats]:
    r"""Diffuse intensity of one curve for unit amplitude [1], and its derivatives.

    .. math:: \sum_k 2 |σ|^2 t_k (1 - E_k^2)\, τ \exp(-(τ q_k)^2/π), \qquad q_k = \mathrm{Re}\,Y_k

    for sigma polarization; pi has C² of it. Cells enter at both of their Gauss points, half the thickness each.

    Args:
        tables: float64 tables of `engine.angle_tables`.
        sublayers: One set, arrays of shape (sublayer,).
        correlation_length: τ [Å].
        d_strain, d_debye_waller: ∂ε/∂parameter and ∂E/∂parameter at the Gauss points, shape
            (sublayer, 2, parameter); left out, no derivatives are made.

    Returns:
        Intensity (angle,) and its derivatives (parameter + 1, angle), the last with respect to τ.

    References:
        Kato, Acta Cryst. A36 (1980) 763; Bushuev, Sov. Phys. Solid State 31 (1989) 1877;
        Punegov, Phys. Usp. 58 (2015) 419, doi:10.3367/UFNe.0185.201505a.0449
    """
    strain = sublayers.strain.reshape(-1)
    scale = np.ones_like(strain) if tables.linear else 1 / (1 + strain)
    n_angle = tables.coefficient.shape[2]
    if d_strain is None or d_debye_waller is None:
        weight_delta = weight_factor = np.empty((strain.size, 0))
    else:
        n = d_strain.shape[-1]
        weight_delta = np.ascontiguousarray(d_strain.reshape(-1, n) * (scale**2)[:, None])
        weight_factor = np.ascontiguousarray(d_debye_waller.reshape(-1, n))
    out = np.zeros(n_angle)
    slopes = np.zeros((weight_delta.shape[1] + 1, n_angle))
    _diffuse(
        np.ascontiguousarray(tables.exact.detuning.real),
        np.ascontiguousarray(tables.exact.strain_response.real),
        np.abs(tables.exact.coupling) ** 2,
        np.repeat(0.5 * sublayers.thickness, 2),
        strain * scale,
        np.ascontiguousarray(sublayers.debye_waller.reshape(-1)),
        np.repeat(sublayers.layer, 2),
        correlation_length,
        weight_delta,
        weight_factor,
        out,
        slopes,
    )
    return out, slopes
