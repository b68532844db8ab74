r"""Derivatives of one cell: the chain to its four numbers, and at one angle what changes in them do.

The formulas are those of `sensitivity`. The functions of one angle take and give numbers, no arrays but the packed
cells, so that the processor's loops and a GPU's threads share them.
"""

import math

from numba import njit

from strainscope.diffraction.fast import horner


@njit(nogil=True, error_model="numpy", cache=True)
def cell_weights(thickness, strain, debye_waller, linear, d_strain, d_debye_waller, weight):  # type: ignore[no-untyped-def]
    """Derivatives of a cell's four numbers in each parameter, by the chain rule.

    Args:
        thickness: h [Å] of one cell.
        strain, debye_waller: ε and E at its (upper, deeper) Gauss point, shape (2,).
        linear: δ is ε itself.
        d_strain, d_debye_waller: ∂ε/∂parameter and ∂E/∂parameter there, shape (2, parameter).
        weight: Filled with those of (h δ̄, h ē, a, b), shape (4, parameter).
    """
    f = math.sqrt(3.0) / 12 * thickness * thickness
    upper, deeper = strain[0], strain[1]
    slope_upper, slope_deeper, scale_upper, scale_deeper, shrink = 1.0, 1.0, 1.0, 1.0, 0.0
    if not linear:
        scale_upper, scale_deeper, shrink = 1 / (1 + upper), 1 / (1 + deeper), 1.0
        slope_upper, slope_deeper = scale_upper * scale_upper, scale_deeper * scale_deeper
        upper, deeper = upper * scale_upper, deeper * scale_deeper
    e_upper, e_deeper = debye_waller[0] * scale_upper, debye_waller[1] * scale_deeper
    for m in range(weight.shape[1]):
        d_upper = slope_upper * d_strain[0, m]
        d_deeper = slope_deeper * d_strain[1, m]
        de_upper = scale_upper * d_debye_waller[0, m] - shrink * debye_waller[0] * d_upper
        de_deeper = scale_deeper * d_debye_waller[1, m] - shrink * debye_waller[1] * d_deeper
        weight[0, m] = 0.5 * thickness * (d_upper + d_deeper)
        weight[1, m] = 0.5 * thickness * (de_upper + de_deeper)
        weight[2, m] = f * (de_deeper - de_upper)
        weight[3, m] = f * (d_upper * e_deeper + upper * de_deeper - d_deeper * e_upper - deeper * de_upper)


@njit(inline="always")
def find_sources(thickness, cell, n_cell, source):  # type: ignore[no-untyped-def]
    """Which sublayer each packed cell was made of: they stand deepest first; -1 where a run is padded.

    Args:
        thickness: [Å] of one curve's sublayers, shape (sublayer,).
        cell, n_cell: From `fast.pack_cells`.
        source: Filled, shape (>= n_cell,).
    """
    at = thickness.shape[0] - 1
    for k in range(n_cell):
        source[k] = -1
        if cell[k, 0] != 0:
            while thickness[at] <= 0:
                at -= 1
            source[k] = at
            at -= 1


@njit(inline="always", fastmath=True, error_model="numpy")
def _elements(p_, q_, absorption, cell, k, polynomials, one, half):  # type: ignore[no-untyped-def]
    """g, dg/dφ, p, h c̃, h ē ρ and h ē dρ/dφ of one cell at one angle (complex ones as two numbers)."""
    cosine_of, sinc_of, slope_of, rho_of = polynomials
    phi = cell[k, 0] * p_ + cell[k, 1] * q_
    y = cell[k, 2] * absorption
    square = phi * phi
    sinc = horner(sinc_of, square)
    slope_ratio = horner(slope_of, square)
    slope = phi * slope_ratio
    rho = horner(rho_of, square)
    decay = (half * y - one) * y + one
    cosine = horner(cosine_of, square)
    c = cosine * decay
    s = phi * sinc * decay
    g_re = c * sinc - s * y * slope
    g_im = c * y * slope + s * sinc
    # dg/dφ = e^{iφ - y} (i (sinc + i y sinc') + sinc' + i y sinc''), with sinc'' = -sinc - 2 sinc'/φ.
    curvature = -y * (sinc + (one + one) * slope_ratio)
    a_re = slope - y * slope
    a_im = sinc + curvature
    d_re = c * a_re - s * a_im
    d_im = c * a_im + s * a_re
    return (
        g_re,
        g_im,
        d_re,
        d_im,
        c * c - s * s,
        (c + c) * s,
        cell[k, 4] * p_ + cell[k, 5] * q_,
        phi * cell[k, 3] * rho,
        # dρ/dφ = 2 (sinc² - ρ/φ)
        cell[k, 3] * (one + one) * (sinc * sinc - rho),
    )


@njit(inline="always", fastmath=True, error_model="numpy")
def _down(element, shared, square, d_re, d_im, he, below, above, m_re, m_im):  # type: ignore[no-untyped-def]
    """One polarization of one cell: ∂R/∂(h δ̄), ∂R/∂(h ē), ∂R/∂(h c̃), and M below.

    square is C², d is C² S², below and above are (u, x).
    """
    g_re, g_im, _, _, p_re, p_im, hc, he_rho, he_slope = element
    # φ' = ∂φ/∂(h δ̄), φ' dg/dφ, S² p and S² g² h² (ē² + c̃²)
    q_re, q_im, dg_re, dg_im, dp_re, dp_im, dg2_re, dg2_im = shared
    u_re, u_im, x_re, x_im = below
    v_re, v_im, y_re, y_im = above
    # a = M u' u, b = p M u' x, c = C² S² M x' x, o = C² S² b
    w_re = m_re * v_re - m_im * v_im
    w_im = m_re * v_im + m_im * v_re
    a_re = w_re * u_re - w_im * u_im
    a_im = w_re * u_im + w_im * u_re
    t_re = w_re * x_re - w_im * x_im
    t_im = w_re * x_im + w_im * x_re
    b_re = p_re * t_re - p_im * t_im
    b_im = p_re * t_im + p_im * t_re
    o_re = d_re * b_re - d_im * b_im
    o_im = d_re * b_im + d_im * b_re
    w_re = m_re * y_re - m_im * y_im
    w_im = m_re * y_im + m_im * y_re
    t_re = d_re * x_re - d_im * x_im
    t_im = d_re * x_im + d_im * x_re
    c_re = w_re * t_re - w_im * t_im
    c_im = w_re * t_im + w_im * t_re
    plus_re, plus_im = a_re + c_re, a_im + c_im
    minus_re, minus_im = a_re - c_re, a_im - c_im
    # ∂/∂φ: g' (i he plus - hc minus) + i (2 b - (2i he ρ + he ρ') he o);  τ22 = p (1 - i C² S² he² ρ)
    f_re = -he * plus_im - hc * minus_re
    f_im = he * plus_re - hc * minus_im
    z, k = he * (he_rho + he_rho), he * he_slope
    t_re = b_re + b_re + z * o_im - k * o_re
    t_im = b_im + b_im - z * o_re - k * o_im
    phi_part = dg_re * f_re - dg_im * f_im - q_re * t_im - q_im * t_re
    # ∂/∂(he): i g plus - 2i he ρ o;  ∂/∂(hc): -g minus
    he_part = he_rho * (o_im + o_im) - g_re * plus_im - g_im * plus_re
    hc_part = g_im * minus_im - g_re * minus_re
    # det = τ22 - τ12 τ21
    z = he * he_rho
    det_re = p_re + square * (z * dp_im - dg2_re)
    det_im = p_im - square * (z * dp_re + dg2_im)
    return phi_part, he_part, hc_part, m_re * det_re - m_im * det_im, m_re * det_im + m_im * det_re


@njit(inline="always", fastmath=True, error_model="numpy")
def _up(element, d_re, d_im, he, u_re, u_im, x_re, x_im):  # type: ignore[no-untyped-def]
    """One polarization of one cell, upwards: (u, x) above from below."""
    g_re, g_im, _, _, p_re, p_im, hc, he_rho, _ = element
    w_re = g_im * he - g_re * hc
    w_im = -g_re * he - g_im * hc
    t12_re = d_re * w_re - d_im * w_im
    t12_im = d_re * w_im + d_im * w_re
    t21_re = -g_im * he - g_re * hc
    t21_im = g_re * he - g_im * hc
    z = he * he_rho
    t22_re = p_re + z * (p_re * d_im + p_im * d_re)
    t22_im = p_im - z * (p_re * d_re - p_im * d_im)
    return (
        u_re + t12_re * x_re - t12_im * x_im,
        u_im + t12_re * x_im + t12_im * x_re,
        t21_re * u_re - t21_im * u_im + t22_re * x_re - t22_im * x_im,
        t21_re * u_im + t21_im * u_re + t22_re * x_im + t22_im * x_re,
    )


@njit(inline="always", fastmath=True, error_model="numpy")
def up_both(state, angle_data, cell, k, pi_squared, polynomials, one, half):  # type: ignore[no-untyped-def]
    """The amplitudes (u, x) of sigma, then of pi, taken up through cell k.

    angle_data is Re P, Re Q, Im P, Re S², Im S² at the angle.
    """
    p_, q_, absorption, d_re, d_im = angle_data
    su, sv, sx, sy, pu, pv, px, py = state
    he = cell[k, 3]
    element = _elements(p_, q_, absorption, cell, k, polynomials, one, half)
    su, sv, sx, sy = _up(element, d_re, d_im, he, su, sv, sx, sy)
    pu, pv, px, py = _up(element, pi_squared * d_re, pi_squared * d_im, he, pu, pv, px, py)
    return su, sv, sx, sy, pu, pv, px, py


@njit(inline="always", fastmath=True, error_model="numpy")
def down_both(below, above, moment, angle_data, cell, k, pi_squared, polynomials, one, half, kappa):  # type: ignore[no-untyped-def]
    """M of sigma and of pi taken down through cell k, and what h δ̄, h ē and h c̃ change in either.

    Args:
        below, above: Amplitudes at its boundaries, as `up_both` has them.
        moment: M above it, sigma (re, im), then pi.
        angle_data, cell, k, pi_squared, polynomials, one, half: As for `up_both`.
        kappa: 1/2; 0 where δ is ε itself, as absorption then does not scale.

    Returns:
        ∂R/∂(h δ̄), ∂R/∂(h ē), ∂R/∂(h c̃) of sigma, the same of pi, and M below.
    """
    p_, q_, absorption, d_re, d_im = angle_data
    he = cell[k, 3]
    # ∂φ/∂(h δ̄) = (Q - i Im P)/2
    q_re, q_im = half * q_, -kappa * absorption
    element = _elements(p_, q_, absorption, cell, k, polynomials, one, half)
    g_re, g_im, dg_re, dg_im, p_re, p_im, hc, _, _ = element
    strength = he * he + hc * hc
    g2_re, g2_im = strength * (g_re * g_re - g_im * g_im), strength * (g_re + g_re) * g_im
    shared = (
        q_re,
        q_im,
        q_re * dg_re - q_im * dg_im,
        q_re * dg_im + q_im * dg_re,
        d_re * p_re - d_im * p_im,
        d_re * p_im + d_im * p_re,
        d_re * g2_re - d_im * g2_im,
        d_re * g2_im + d_im * g2_re,
    )
    bu, bv, bx, by, b2u, b2v, b2x, b2y = below
    au, av, ax, ay, a2u, a2v, a2x, a2y = above
    m_re, m_im, n_re, n_im = moment
    s_phi, s_he, s_hc, m_re, m_im = _down(
        element, shared, one, d_re, d_im, he, (bu, bv, bx, by), (au, av, ax, ay), m_re, m_im
    )
    d_re, d_im = pi_squared * d_re, pi_squared * d_im
    p_phi, p_he, p_hc, n_re, n_im = _down(
        element, shared, pi_squared, d_re, d_im, he, (b2u, b2v, b2x, b2y), (a2u, a2v, a2x, a2y), n_re, n_im
    )
    return s_phi, s_he, s_hc, p_phi, p_he, p_hc, m_re, m_im, n_re, n_im


@njit(inline="always", fastmath=True, error_model="numpy")
def at_surface(u_re, u_im, x_re, x_im, scale, one):  # type: ignore[no-untyped-def]
    """R = |C S|² |x/u|² and M = 2 |C S|² X*/u², in the sense dR = Re(M u² dX); scale is |C S|²."""
    inverse = one / complex(u_re, u_im)
    ratio = complex(x_re, x_im) * inverse
    m = (scale + scale) * ratio.conjugate() * inverse * inverse
    return scale * (ratio.real * ratio.real + ratio.imag * ratio.imag), m.real, m.imag
