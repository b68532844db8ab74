r"""Exact derivatives of the fast engine: one sweep up that keeps the amplitudes, one sweep down.

With X = x/u at a cell's lower and X' = x'/u' at its upper boundary, :math:`X' = (τ_{21} + τ_{22} X)/(1 + τ_{12} X)`
(the elements are those of `fast`), a parameter t of the cell changes the reflectivity by

.. math:: dR = \mathrm{Re}\, M \left(u' u\, dτ_{21} + u' x\, dτ_{22} - x' x\, dτ_{12}\right), \qquad
          M_{below} = M (τ_{22} - τ_{12} τ_{21}),

where :math:`M = u^{-2}\, ∂R/∂X`, at the surface :math:`2 |C S|^2 X^*/u^2`. Nothing is divided on the way. A cell has
four independent numbers: h δ̄, h ē, and the coefficients a, b of P and Q in h c̃; the chain to strain and E at its
two Gauss points is `cell_weights`.
"""

import math

from numba import njit

from strainscope.diffraction.fast import _horner, pack_cells, perfect_base

WIDTH = 64
ROWS = 23


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


@njit(inline="always", fastmath=True, error_model="numpy")
def _elements(p_, q_, absorption, cell, k, polynomials, one, half):  # type: ignore[no-untyped-def]
    """g, dg/dφ, p, h c̃, h ē ρ and h ē dρ/dφ of one cell at one angle (complex ones as two numbers)."""
    cosine_of, sinc_of, slope_of, rho_of = polynomials
    phi = cell[k, 0] * p_ + cell[k, 1] * q_
    y = cell[k, 2] * absorption
    square = phi * phi
    sinc = _horner(sinc_of, square)
    slope_ratio = _horner(slope_of, square)
    slope = phi * slope_ratio
    rho = _horner(rho_of, square)
    decay = (half * y - one) * y + one
    cosine = _horner(cosine_of, square)
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


@njit(inline="always")
def _load(coefficient, first, count, s):  # type: ignore[no-untyped-def]
    """The angle tables of one layer into rows 0 to 4."""
    for row in range(5):
        for j in range(count):
            s[row * WIDTH + j] = coefficient[row, first + j]


@njit(inline="always", fastmath=True)
def _scale(ratio, first, count, row_a, row_b, s):  # type: ignore[no-untyped-def]
    """Complex rows (a, a + 1) and (b, b + 1) times the ratio of two layers' units."""
    for j in range(count):
        c, d = ratio[0, first + j], ratio[1, first + j]
        for row in (row_a, row_b):
            re, im = s[row * WIDTH + j], s[(row + 1) * WIDTH + j]
            s[row * WIDTH + j] = c * re - d * im
            s[(row + 1) * WIDTH + j] = c * im + d * re


@njit(inline="always", fastmath=True, error_model="numpy")
def _up_row(cell, k, pi_squared, polynomials, one, half, s):  # type: ignore[no-untyped-def]
    """Rows 5 to 12, the amplitudes of both polarizations, taken up through cell k."""
    he = cell[k, 3]
    for j in range(WIDTH):
        d_re, d_im = s[3 * WIDTH + j], s[4 * WIDTH + j]
        element = _elements(s[j], s[WIDTH + j], s[2 * WIDTH + j], cell, k, polynomials, one, half)
        a, b, c, d = _up(
            element, d_re, d_im, he, s[5 * WIDTH + j], s[6 * WIDTH + j], s[7 * WIDTH + j], s[8 * WIDTH + j]
        )
        s[5 * WIDTH + j], s[6 * WIDTH + j], s[7 * WIDTH + j], s[8 * WIDTH + j] = a, b, c, d
        d_re, d_im = pi_squared * d_re, pi_squared * d_im
        a, b, c, d = _up(
            element, d_re, d_im, he, s[9 * WIDTH + j], s[10 * WIDTH + j], s[11 * WIDTH + j], s[12 * WIDTH + j]
        )
        s[9 * WIDTH + j], s[10 * WIDTH + j], s[11 * WIDTH + j], s[12 * WIDTH + j] = a, b, c, d


@njit(inline="always", fastmath=True, error_model="numpy")
def _down_row(cell, k, pi_squared, polynomials, one, half, kappa, below_row, above_row, s):  # type: ignore[no-untyped-def]
    """M (rows 13 to 16) taken down through cell k, and what h δ̄, h ē and h c̃ change (rows 17 to 22).

    below_row and above_row are the amplitudes of both polarizations at its boundaries.
    """
    he = cell[k, 3]
    for j in range(WIDTH):
        d_re, d_im = s[3 * WIDTH + j], s[4 * WIDTH + j]
        # ∂φ/∂(h δ̄) = (Q - i Im P)/2
        q_re, q_im = half * s[WIDTH + j], -kappa * s[2 * WIDTH + j]
        element = _elements(s[j], s[WIDTH + j], s[2 * WIDTH + j], cell, k, polynomials, one, half)
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
        below = (below_row[j], below_row[WIDTH + j], below_row[2 * WIDTH + j], below_row[3 * WIDTH + j])
        above = (above_row[j], above_row[WIDTH + j], above_row[2 * WIDTH + j], above_row[3 * WIDTH + j])
        parts = _down(
            element, shared, one, d_re, d_im, he, below, above, s[13 * WIDTH + j], s[14 * WIDTH + j]
        )
        s[17 * WIDTH + j], s[18 * WIDTH + j], s[19 * WIDTH + j] = parts[0], parts[1], parts[2]
        s[13 * WIDTH + j], s[14 * WIDTH + j] = parts[3], parts[4]
        d_re, d_im = pi_squared * d_re, pi_squared * d_im
        below = (
            below_row[4 * WIDTH + j],
            below_row[5 * WIDTH + j],
            below_row[6 * WIDTH + j],
            below_row[7 * WIDTH + j],
        )
        above = (
            above_row[4 * WIDTH + j],
            above_row[5 * WIDTH + j],
            above_row[6 * WIDTH + j],
            above_row[7 * WIDTH + j],
        )
        parts = _down(
            element, shared, pi_squared, d_re, d_im, he, below, above, s[15 * WIDTH + j], s[16 * WIDTH + j]
        )
        s[20 * WIDTH + j], s[21 * WIDTH + j], s[22 * WIDTH + j] = parts[0], parts[1], parts[2]
        s[15 * WIDTH + j], s[16 * WIDTH + j] = parts[3], parts[4]


@njit(inline="always", fastmath=True)
def _accumulate(weight, s, jacobian):  # type: ignore[no-untyped-def]
    """Adds one cell's part to the derivatives, shape (2 parameter WIDTH,): sigma, then pi, of each parameter."""
    for m in range(weight.shape[1]):
        w0, w1, w2, w3 = weight[0, m], weight[1, m], weight[2, m], weight[3, m]
        if w0 == 0 and w1 == 0:
            continue
        line = jacobian[2 * m * WIDTH : 2 * (m + 1) * WIDTH]
        for j in range(WIDTH):
            w = w2 * s[j] + w3 * s[WIDTH + j]
            line[j] += w0 * s[17 * WIDTH + j] + w1 * s[18 * WIDTH + j] + w * s[19 * WIDTH + j]
            line[WIDTH + j] += w0 * s[20 * WIDTH + j] + w1 * s[21 * WIDTH + j] + w * s[22 * WIDTH + j]


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def sweep(  # type: ignore[no-untyped-def]
    coefficient,
    ratio,
    base,
    cell,
    run,
    n_run,
    weight,
    linear,
    pi_factor,
    polynomials,
    constants,
    buffers,
    out,
    jacobian,
):
    """Reflectivities of one curve for both polarizations and their derivatives in each parameter.

    Args:
        coefficient, ratio, base, cell, run, n_run, pi_factor, polynomials, constants: As `fast.fold_cells`.
        weight: From `cell_weights`, shape (>= cell, 4, parameter), deepest cell first.
        linear: δ is ε itself (absorption does not scale).
        buffers: Amplitudes (cell + layer + 1, 8 WIDTH), scratch (ROWS WIDTH,), sums (2 parameter WIDTH,).
        out: Filled, shape (2, angle).
        jacobian: Filled, shape (2, parameter, angle).
    """
    one, half, zero = constants
    store, s, sums = buffers
    n_angle = base.shape[1]
    n_parameter = weight.shape[2]
    pi_squared = pi_factor * pi_factor
    for first in range(0, n_angle, WIDTH):
        count = min(WIDTH, n_angle - first)
        s[:] = zero
        sums[:] = zero
        # Angles beyond the last are worked out too (the loops have a fixed length) and never read.
        for j in range(WIDTH):
            s[5 * WIDTH + j] = one
            s[9 * WIDTH + j] = one
        for j in range(count):
            for row in range(2):
                s[(7 + row) * WIDTH + j] = base[row, first + j]
                s[(11 + row) * WIDTH + j] = base[2 + row, first + j]
        for i in range(n_run):
            _load(coefficient[run[i, 0]], first, count, s)
            if i > 0:
                _scale(ratio[run[i - 1, 0]], first, count, 7, 11, s)
            for k in range(run[i, 1], run[i, 2]):
                for j in range(8 * WIDTH):
                    store[k, j] = s[5 * WIDTH + j]
                _up_row(cell, k, pi_squared, polynomials, one, half, s)
            # The state at the run's upper end, in the units of its own layer.
            for j in range(8 * WIDTH):
                store[len(store) - 1 - i, j] = s[5 * WIDTH + j]
        for j in range(count):
            modulus = math.sqrt(s[3 * WIDTH + j] ** 2 + s[4 * WIDTH + j] ** 2)
            for polarization in range(2):
                row = (5 + 4 * polarization) * WIDTH + j
                scale = modulus * pi_squared if polarization == 1 else modulus
                u_re, u_im, x_re, x_im = s[row], s[row + WIDTH], s[row + 2 * WIDTH], s[row + 3 * WIDTH]
                # R = |C S|² |x/u|² and M = 2 |C S|² X*/u², in the sense dR = Re(M u² dX)
                inverse = one / complex(u_re, u_im)
                ratio_ = complex(x_re, x_im) * inverse
                m = (scale + scale) * ratio_.conjugate() * inverse * inverse
                out[polarization, first + j] = scale * (ratio_.real**2 + ratio_.imag**2)
                s[(13 + 2 * polarization) * WIDTH + j] = m.real
                s[(14 + 2 * polarization) * WIDTH + j] = m.imag
        for i in range(n_run - 1, -1, -1):
            _load(coefficient[run[i, 0]], first, count, s)
            for k in range(run[i, 2] - 1, run[i, 1] - 1, -1):
                if cell[k, 0] == 0:
                    continue
                above = k + 1 if k + 1 < run[i, 2] else len(store) - 1 - i
                kappa = zero if linear else half
                _down_row(cell, k, pi_squared, polynomials, one, half, kappa, store[k], store[above], s)
                _accumulate(weight[k], s, sums)
            if i > 0:
                _scale(ratio[run[i - 1, 0]], first, count, 13, 15, s)
        for m in range(n_parameter):
            for j in range(count):
                jacobian[0, m, first + j] = sums[2 * m * WIDTH + j]
                jacobian[1, m, first + j] = sums[(2 * m + 1) * WIDTH + j]


@njit(nogil=True, error_model="numpy", cache=True)
def sweep_curves(  # type: ignore[no-untyped-def]
    first,
    last,
    sublayers,
    derivatives,
    linear,
    tables,
    perfect,
    pi_factor,
    polynomials,
    constants,
    packed,
    out,
    jacobian,
):
    """Curves first to last - 1 of a batch, with their derivatives; see `sweep` and `fast.fold_curves`."""
    thickness, strain, debye_waller, layer = sublayers
    d_strain, d_debye_waller = derivatives
    coefficient, ratio = tables
    layer_thickness, root, fixed, squared, exact_ratio = perfect
    exact_cell, exact_weight, cell, weight, run, base, exact_base, buffers = packed
    for i in range(first, last):
        n_run = pack_cells(thickness[i], strain[i], debye_waller[i], layer[i], linear, exact_cell, run)
        n_cell = run[n_run - 1, 2]
        for k in range(n_cell):
            for m in range(6):
                cell[k, m] = exact_cell[k, m]
        # The packed cells stand deepest first, with a cell of no thickness where a run is padded.
        source = thickness.shape[1] - 1
        for k in range(n_cell):
            if cell[k, 0] == 0:
                continue
            while thickness[i, source] <= 0:
                source -= 1
            cell_weights(
                thickness[i, source],
                strain[i, source],
                debye_waller[i, source],
                linear,
                d_strain[i, source],
                d_debye_waller[i, source],
                exact_weight,
            )
            for m in range(4):
                for n in range(weight.shape[2]):
                    weight[k, m, n] = exact_weight[m, n]
            source -= 1
        if i == first or len(layer_thickness) > 1:
            perfect_base(
                thickness[i],
                layer[i],
                layer_thickness,
                root,
                fixed,
                squared,
                exact_ratio,
                run[0, 0],
                exact_base,
            )
            for row in range(4):
                for j in range(base.shape[1]):
                    base[row, j] = exact_base[row, j]
        sweep(
            coefficient,
            ratio,
            base,
            cell,
            run,
            n_run,
            weight,
            linear,
            pi_factor,
            polynomials,
            constants,
            buffers,
            out[i],
            jacobian[i],
        )
