r"""The fast engine: the reference's meaning, arranged so that the angles fill the processor's vector units.

Three rearrangements of the formulas in `reference`:

1. Y = P + δ Q and σ = C S e with e = E (1 - δ), δ = ε/(1 + ε); P, Q, S depend on angle alone, so a cell is
   five real numbers (see `pack_cells`).
2. The amplitudes are carried as (u, x) with v = C S r x, which takes S and r = χ_h/√(χ_h χ_h̄) out of the
   loop, and every cell's matrix is divided by its first element, so that u stays near 1 and nothing is divided.
3. Per cell, σh and the absorption are small (1e-3 to 1e-2) while the phase is not: the cell's exponential is
   expanded to first order in them about the real phase φ = Re Ȳ h/2. With q = C² S² h² (ē² ), y = Im Ȳ h/2,
   g = e^{i(φ + iy)} sinc(φ + iy):

.. math::
    u' = u + C^2 S^2 g (-i h ē - h c̃) x, \qquad x' = g (i h ē - h c̃) u + p (1 - i q ρ) x,

.. math::
    p = e^{2i(φ + iy)}, \qquad ρ = (1 - \cosφ \, \mathrm{sinc}φ)/φ .

   What is left out is of second order, below 1e-6 per cell and far below the error of the cells themselves;
   `tests/physics` holds it to the reference. Polynomials stand for cos, sinc and the two ratios on |φ| <= π.
"""

import cmath
import math

from numba import njit

# Angles that are worked on together: the scratch rows of one block stay in the first-level cache.
BLOCK = 256
ROWS = 13


@njit(inline="always")
def horner(polynomial, x):  # type: ignore[no-untyped-def]
    total = polynomial[len(polynomial) - 1]
    for i in range(len(polynomial) - 2, -1, -1):
        total = total * x + polynomial[i]
    return total


@njit(inline="always", fastmath=True, error_model="numpy")
def _cell(p_, q_, absorption, d_re, d_im, cell, k, polynomials, one, half):  # type: ignore[no-untyped-def]
    """Matrix elements of one cell at one angle: (h21, C²-free h12·S², p, -i p ρ ē² h² S²), real and imaginary."""
    cosine_of, sinc_of, slope_of, rho_of = polynomials
    he = cell[k, 3]
    phi = cell[k, 0] * p_ + cell[k, 1] * q_
    y = cell[k, 2] * absorption
    hc = cell[k, 4] * p_ + cell[k, 5] * q_
    square = phi * phi
    sinc = horner(sinc_of, square)
    sinc_change = y * phi * horner(slope_of, square)
    rho = phi * (he * he) * horner(rho_of, square)
    decay = (half * y - one) * y + one
    c = horner(cosine_of, square) * decay
    s = phi * sinc * decay
    g_re = c * sinc - s * sinc_change
    g_im = c * sinc_change + s * sinc
    p_re = c * c - s * s
    p_im = (c + c) * s
    a_re, a_im, b_re, b_im = g_re * he, g_im * he, g_re * hc, g_im * hc
    h12_re, h12_im = a_im - b_re, -a_re - b_im
    return (
        -a_im - b_re,
        a_re - b_im,
        d_re * h12_re - d_im * h12_im,
        d_re * h12_im + d_im * h12_re,
        p_re,
        p_im,
        rho * (p_re * d_im + p_im * d_re),
        -rho * (p_re * d_re - p_im * d_im),
    )


@njit(inline="always", fastmath=True, error_model="numpy")
def _fold(u_re, u_im, x_re, x_im, h21_re, h21_im, e_re, e_im, t_re, t_im):  # type: ignore[no-untyped-def]
    """u' = u + e x, x' = h21 u + t x."""
    return (
        u_re + e_re * x_re - e_im * x_im,
        u_im + e_re * x_im + e_im * x_re,
        h21_re * u_re - h21_im * u_im + t_re * x_re - t_im * x_im,
        h21_re * u_im + h21_im * u_re + t_re * x_im + t_im * x_re,
    )


@njit(inline="always", fastmath=True, error_model="numpy")
def fold_both(state, angle_data, cell, k, pi_squared, polynomials, one, half):  # type: ignore[no-untyped-def]
    """One cell on the amplitudes of both polarizations, which share its trigonometry."""
    p_, q_, absorption, d_re, d_im = angle_data
    su, sv, sx, sy, pu, pv, px, py = state
    h_re, h_im, e_re, e_im, p_re, p_im, z_re, z_im = _cell(
        p_, q_, absorption, d_re, d_im, cell, k, polynomials, one, half
    )
    su, sv, sx, sy = _fold(su, sv, sx, sy, h_re, h_im, e_re, e_im, p_re + z_re, p_im + z_im)
    pu, pv, px, py = _fold(
        pu,
        pv,
        px,
        py,
        h_re,
        h_im,
        pi_squared * e_re,
        pi_squared * e_im,
        p_re + pi_squared * z_re,
        p_im + pi_squared * z_im,
    )
    return su, sv, sx, sy, pu, pv, px, py


@njit(inline="always", fastmath=True, error_model="numpy")
def ratio_squared(u_re, u_im, x_re, x_im):  # type: ignore[no-untyped-def]
    """|x/u|²."""
    return (x_re * x_re + x_im * x_im) / (u_re * u_re + u_im * u_im)


@njit(inline="always", fastmath=True, error_model="numpy")
def times(c, d, re, im):  # type: ignore[no-untyped-def]
    """(c + i d) (re + i im)."""
    return c * re - d * im, c * im + d * re


@njit(nogil=True, error_model="numpy", cache=True)
def pack_cells(thickness, strain, debye_waller, layer, linear, cell, run):  # type: ignore[no-untyped-def]
    """Reduces one curve's sublayers to six numbers a cell, deepest first, and to runs of one layer each.

    The six: h/2, h δ̄/2, h (1 - δ̄)/2, h ē, and the two coefficients of P and Q in h c̃. A run is padded to an even
    number of cells with one of no thickness, so that the kernel can take two at a time.

    Args:
        thickness, strain, debye_waller, layer: One curve's `Sublayers`.
        linear: True: δ stands for the strain itself (linear Bragg law, χ not scaled).
        cell: Filled, shape (>= sublayer + layers, 6).
        run: Filled with (layer, start, stop), shape (layers, 3).

    Returns:
        Number of runs.
    """
    n_cell = 0
    n_run = 0
    for k in range(thickness.shape[0] - 1, -1, -1):
        h = thickness[k]
        if h <= 0:
            continue
        if n_run == 0 or run[n_run - 1, 0] != layer[k]:
            if n_cell % 2 == 1:
                cell[n_cell, :] = 0
                n_cell += 1
                run[n_run - 1, 2] = n_cell
            run[n_run, 0] = layer[k]
            run[n_run, 1] = n_cell
            n_run += 1
        upper = strain[k, 0]
        deeper = strain[k, 1]
        scale_upper = 1.0
        scale_deeper = 1.0
        if not linear:
            upper = upper / (1 + upper)
            deeper = deeper / (1 + deeper)
            scale_upper = 1 - upper
            scale_deeper = 1 - deeper
        e_upper = debye_waller[k, 0] * scale_upper
        e_deeper = debye_waller[k, 1] * scale_deeper
        f = math.sqrt(3.0) / 12 * h * h
        cell[n_cell, 0] = h / 2
        cell[n_cell, 1] = h * (upper + deeper) / 4
        cell[n_cell, 2] = h * (scale_upper + scale_deeper) / 4
        cell[n_cell, 3] = h * (e_upper + e_deeper) / 2
        cell[n_cell, 4] = f * (e_deeper - e_upper)
        cell[n_cell, 5] = f * (upper * e_deeper - deeper * e_upper)
        n_cell += 1
        run[n_run - 1, 2] = n_cell
    if n_cell % 2 == 1:
        cell[n_cell, :] = 0
        run[n_run - 1, 2] = n_cell + 1
    if n_run == 0:
        run[0, :] = 0
        n_run = 1
    return n_run


@njit(inline="always", error_model="numpy")
def perfect_part(thickness, layer, layer_thickness, i):  # type: ignore[no-untyped-def]
    """Thickness of layer i below its cells [Å]; 0 where they fill it, but for rounding."""
    perfect = layer_thickness[i]
    for k in range(len(thickness)):
        if layer[k] == i:
            perfect -= thickness[k]
    return perfect if perfect > 1e-9 * layer_thickness[i] else 0.0


@njit(inline="always", error_model="numpy")
def through_perfect(x, root, fixed, squared, thickness):  # type: ignore[no-untyped-def]
    """Amplitude above a perfect layer from that below it, at one angle; see `perfect_base`."""
    k = squared * fixed
    m = (x - fixed) / (1 - k * x) * cmath.exp(1j * root * thickness)
    return (m + fixed) / (1 + k * m)


@njit(nogil=True, error_model="numpy", cache=True)
def perfect_base(thickness, layer, layer_thickness, root, fixed, squared, ratio, deepest, base):  # type: ignore[no-untyped-def]
    r"""Amplitude x = X/(C S r) below the deepest cell: the substrate and what is left perfect of the films.

    A perfect layer of thickness h, with fixed point x1 and :math:`q = \sqrt{P^2 - 4 C^2 S^2}`, Im q > 0, takes
    the Möbius coordinate :math:`m = (x - x_1)/(1 - C^2 S^2 x_1 x)` to :math:`m e^{i q h}`, exactly for any h.

    Args:
        thickness, layer: One curve's cells, shape (sublayer,).
        layer_thickness: [Å], shape (layer,).
        root, fixed, squared: q, x1 and C² S² for sigma and pi, complex, shape (layer, 2, angle).
        ratio: S r of a layer over that of the layer above, complex, shape (layer, angle).
        deepest: The layer that holds the deepest cell; x comes out in its units.
        base: Filled with (re, im) of sigma, then of pi, shape (4, angle).
    """
    last = len(layer_thickness) - 1
    for polarization in range(2):
        for j in range(root.shape[2]):
            base[2 * polarization, j] = fixed[last, polarization, j].real
            base[2 * polarization + 1, j] = fixed[last, polarization, j].imag
    for i in range(last - 1, deepest - 1, -1):
        perfect = perfect_part(thickness, layer, layer_thickness, i)
        for polarization in range(2):
            for j in range(root.shape[2]):
                x = complex(base[2 * polarization, j], base[2 * polarization + 1, j]) * ratio[i + 1, j]
                if perfect > 0:
                    x = through_perfect(
                        x,
                        root[i, polarization, j],
                        fixed[i, polarization, j],
                        squared[i, polarization, j],
                        perfect,
                    )
                base[2 * polarization, j] = x.real
                base[2 * polarization + 1, j] = x.imag


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def fold_cells(coefficient, ratio, base, cell, run, n_run, pi_factor, polynomials, constants, scratch, out):  # type: ignore[no-untyped-def]
    """Reflectivities of one curve for both polarizations.

    Args:
        coefficient: Re P, Re Q, Im P, Re S², Im S² of each layer, shape (layer, 5, angle).
        ratio: S r of a layer over S r of the next one up with cells, complex as two rows, shape (layer, 2, angle).
        base: x below the deepest cell for sigma and pi, as (re, im, re, im), shape (4, angle).
        cell, run, n_run: From `pack_cells`.
        pi_factor: C of pi.
        polynomials, constants: From `polynomials`.
        scratch: At least ROWS * BLOCK long.
        out: Filled, |v/u|² over |r|² of the top layer, shape (2, angle).
    """
    one, half, zero = constants
    s = scratch
    pi_squared = pi_factor * pi_factor
    n_angle = base.shape[1]
    n_block = (n_angle + 175) // 176
    width = ((n_angle + n_block - 1) // n_block + 15) // 16 * 16
    for first in range(0, n_angle, width):
        count = min(width, n_angle - first)
        for j in range(ROWS * BLOCK):
            s[j] = zero
        for j in range(count):
            s[5 * BLOCK + j] = one
            s[7 * BLOCK + j] = base[0, first + j]
            s[8 * BLOCK + j] = base[1, first + j]
            s[9 * BLOCK + j] = one
            s[11 * BLOCK + j] = base[2, first + j]
            s[12 * BLOCK + j] = base[3, first + j]
        for i in range(n_run):
            layer = run[i, 0]
            for row in range(5):
                for j in range(count):
                    s[row * BLOCK + j] = coefficient[layer, row, first + j]
            if i > 0:
                below = run[i - 1, 0]
                for j in range(count):
                    c = ratio[below, 0, first + j]
                    d = ratio[below, 1, first + j]
                    for row in (7, 11):
                        re, im = times(c, d, s[row * BLOCK + j], s[(row + 1) * BLOCK + j])
                        s[row * BLOCK + j] = re
                        s[(row + 1) * BLOCK + j] = im
            for k in range(run[i, 1], run[i, 2], 2):
                for j in range(width):
                    data = (s[j], s[BLOCK + j], s[2 * BLOCK + j], s[3 * BLOCK + j], s[4 * BLOCK + j])
                    state = (
                        s[5 * BLOCK + j],
                        s[6 * BLOCK + j],
                        s[7 * BLOCK + j],
                        s[8 * BLOCK + j],
                        s[9 * BLOCK + j],
                        s[10 * BLOCK + j],
                        s[11 * BLOCK + j],
                        s[12 * BLOCK + j],
                    )
                    state = fold_both(state, data, cell, k, pi_squared, polynomials, one, half)
                    state = fold_both(state, data, cell, k + 1, pi_squared, polynomials, one, half)
                    s[5 * BLOCK + j] = state[0]
                    s[6 * BLOCK + j] = state[1]
                    s[7 * BLOCK + j] = state[2]
                    s[8 * BLOCK + j] = state[3]
                    s[9 * BLOCK + j] = state[4]
                    s[10 * BLOCK + j] = state[5]
                    s[11 * BLOCK + j] = state[6]
                    s[12 * BLOCK + j] = state[7]
        for j in range(count):
            modulus = math.sqrt(s[3 * BLOCK + j] ** 2 + s[4 * BLOCK + j] ** 2)
            out[0, first + j] = modulus * ratio_squared(
                s[5 * BLOCK + j], s[6 * BLOCK + j], s[7 * BLOCK + j], s[8 * BLOCK + j]
            )
            out[1, first + j] = (pi_squared * modulus) * ratio_squared(
                s[9 * BLOCK + j], s[10 * BLOCK + j], s[11 * BLOCK + j], s[12 * BLOCK + j]
            )


@njit(nogil=True, error_model="numpy", cache=True)
def fold_curves(  # type: ignore[no-untyped-def]
    first, last, sublayers, linear, tables, perfect, pi_factor, polynomials, constants, packed, out
):
    """Curves first to last - 1 of a batch; the arguments are those of `pack_cells`, `perfect_base`, `fold_cells`."""
    thickness, strain, debye_waller, layer = sublayers
    coefficient, ratio = tables
    layer_thickness, root, fixed, squared, exact_ratio = perfect
    exact_cell, cell, run, base, exact_base, scratch = packed
    for i in range(first, last):
        n_run = pack_cells(thickness[i], strain[i], debye_waller[i], layer[i], linear, exact_cell, run)
        for k in range(run[n_run - 1, 2]):
            for m in range(6):
                cell[k, m] = exact_cell[k, m]
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
        fold_cells(
            coefficient, ratio, base, cell, run, n_run, pi_factor, polynomials, constants, scratch, out[i]
        )
