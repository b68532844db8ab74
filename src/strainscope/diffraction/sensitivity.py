r"""Exact derivatives of the fast engine: one sweep up that keeps the amplitudes, one sweep down.

With X = x/u at a cell's lower and X' = x'/u' at its upper boundary, :math:`X' = (τ_{21} + τ_{22} X)/(1 + τ_{12} X)`
(the elements are those of `fast`), a parameter t of the cell changes the reflectivity by

.. math:: dR = \mathrm{Re}\, M \left(u' u\, dτ_{21} + u' x\, dτ_{22} - x' x\, dτ_{12}\right), \qquad
          M_{below} = M (τ_{22} - τ_{12} τ_{21}),

where :math:`M = u^{-2}\, ∂R/∂X`, at the surface :math:`2 |C S|^2 X^*/u^2`. Nothing is divided on the way. A cell has
four independent numbers: h δ̄, h ē, and the coefficients a, b of P and Q in h c̃; the chain to strain and E at its
two Gauss points is `cell_slopes.cell_weights`.
"""

import math

from numba import njit

from strainscope.diffraction.cell_slopes import at_surface, cell_weights, down_both, find_sources, up_both
from strainscope.diffraction.fast import pack_cells, perfect_base, times

WIDTH = 64
ROWS = 23


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
            re, im = times(c, d, s[row * WIDTH + j], s[(row + 1) * WIDTH + j])
            s[row * WIDTH + j] = re
            s[(row + 1) * WIDTH + j] = im


@njit(inline="always")
def _angle_data(s, j):  # type: ignore[no-untyped-def]
    """Rows 0 to 4 at one angle."""
    return s[j], s[WIDTH + j], s[2 * WIDTH + j], s[3 * WIDTH + j], s[4 * WIDTH + j]


@njit(inline="always")
def _amplitudes(row, first, j):  # type: ignore[no-untyped-def]
    """Amplitudes of both polarizations at one angle, from eight rows of which the first is named."""
    return (
        row[first * WIDTH + j],
        row[(first + 1) * WIDTH + j],
        row[(first + 2) * WIDTH + j],
        row[(first + 3) * WIDTH + j],
        row[(first + 4) * WIDTH + j],
        row[(first + 5) * WIDTH + j],
        row[(first + 6) * WIDTH + j],
        row[(first + 7) * WIDTH + j],
    )


@njit(inline="always", fastmath=True, error_model="numpy")
def _up_row(cell, k, pi_squared, polynomials, one, half, s):  # type: ignore[no-untyped-def]
    """Rows 5 to 12, the amplitudes of both polarizations, taken up through cell k."""
    for j in range(WIDTH):
        a, b, c, d, e, f, g, h = up_both(
            _amplitudes(s, 5, j), _angle_data(s, j), cell, k, pi_squared, polynomials, one, half
        )
        s[5 * WIDTH + j], s[6 * WIDTH + j], s[7 * WIDTH + j], s[8 * WIDTH + j] = a, b, c, d
        s[9 * WIDTH + j], s[10 * WIDTH + j], s[11 * WIDTH + j], s[12 * WIDTH + j] = e, f, g, h


@njit(inline="always", fastmath=True, error_model="numpy")
def _down_row(cell, k, pi_squared, polynomials, one, half, kappa, below_row, above_row, s):  # type: ignore[no-untyped-def]
    """M (rows 13 to 16) taken down through cell k, and what h δ̄, h ē and h c̃ change (rows 17 to 22).

    below_row and above_row are the amplitudes of both polarizations at its boundaries.
    """
    for j in range(WIDTH):
        moment = (s[13 * WIDTH + j], s[14 * WIDTH + j], s[15 * WIDTH + j], s[16 * WIDTH + j])
        below, above = _amplitudes(below_row, 0, j), _amplitudes(above_row, 0, j)
        data = _angle_data(s, j)
        a, b, c, d, e, f, m_re, m_im, n_re, n_im = down_both(
            below, above, moment, data, cell, k, pi_squared, polynomials, one, half, kappa
        )
        s[17 * WIDTH + j], s[18 * WIDTH + j], s[19 * WIDTH + j] = a, b, c
        s[20 * WIDTH + j], s[21 * WIDTH + j], s[22 * WIDTH + j] = d, e, f
        s[13 * WIDTH + j], s[14 * WIDTH + j], s[15 * WIDTH + j], s[16 * WIDTH + j] = m_re, m_im, n_re, n_im


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
                reflected, m_re, m_im = at_surface(
                    s[row], s[row + WIDTH], s[row + 2 * WIDTH], s[row + 3 * WIDTH], scale, one
                )
                out[polarization, first + j] = reflected
                s[(13 + 2 * polarization) * WIDTH + j] = m_re
                s[(14 + 2 * polarization) * WIDTH + j] = m_im
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
    exact_cell, exact_weight, cell, weight, source, run, base, exact_base, buffers = packed
    for i in range(first, last):
        n_run = pack_cells(thickness[i], strain[i], debye_waller[i], layer[i], linear, exact_cell, run)
        n_cell = run[n_run - 1, 2]
        for k in range(n_cell):
            for m in range(6):
                cell[k, m] = exact_cell[k, m]
        find_sources(thickness[i], cell, n_cell, source)
        for k in range(n_cell):
            m = source[k]
            if m < 0:
                continue
            cell_weights(
                thickness[i, m],
                strain[i, m],
                debye_waller[i, m],
                linear,
                d_strain[i, m],
                d_debye_waller[i, m],
                exact_weight,
            )
            for m in range(4):
                for n in range(weight.shape[2]):
                    weight[k, m, n] = exact_weight[m, n]
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
