"""The fast engine's kernels on a GPU: the functions of `fast` and `cell_slopes`, one thread an angle of a curve.

Threads of a block stand side by side in angle, so that tables, amplitudes and results are read and written in whole
lines; the cells of its curve, the same for all, come through shared memory in tiles. A thread keeps its eight
amplitudes in registers, and the polynomials are constants of the code.
"""

import math
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import cuda

from strainscope.diffraction import cell_slopes, fast
from strainscope.diffraction.polynomials import constants, polynomials

# Angles of a block: 701 of them fill 11 blocks but for three threads.
THREADS = 64
# Cells in shared memory together.
TILE = 64
# Parameters whose derivatives a thread sums together, in registers.
TOGETHER = 8
# Of both polarizations.
_SUMS = 2 * TOGETHER


def _on_device(function: Any, *, fastmath: bool = False) -> Any:  # noqa: ANN401 (a compiled function)
    """The same source, compiled for the device."""
    return cuda.jit(device=True, inline="always", fastmath=fastmath)(function.py_func)


_pack_cells = _on_device(fast.pack_cells)
_perfect_part = _on_device(fast.perfect_part)
_through_perfect = _on_device(fast.through_perfect)
_find_sources = _on_device(cell_slopes.find_sources)
_cell_weights = _on_device(cell_slopes.cell_weights)
_times = _on_device(fast.times, fastmath=True)
_fold_both = _on_device(fast.fold_both, fastmath=True)
_ratio_squared = _on_device(fast.ratio_squared, fastmath=True)
_up_both = _on_device(cell_slopes.up_both, fastmath=True)
_down_both = _on_device(cell_slopes.down_both, fastmath=True)
_at_surface = _on_device(cell_slopes.at_surface, fastmath=True)


@cuda.jit(device=True, inline="always")
def _data(coefficient, layer, at):  # type: ignore[no-untyped-def]
    """Re P, Re Q, Im P, Re S², Im S² of a layer at one angle."""
    return (
        coefficient[layer, 0, at],
        coefficient[layer, 1, at],
        coefficient[layer, 2, at],
        coefficient[layer, 3, at],
        coefficient[layer, 4, at],
    )


@cuda.jit(device=True, inline="always")
def _scaled(state, ratio, layer, at):  # type: ignore[no-untyped-def]
    """Amplitudes in the units of the next layer up that has cells."""
    su, sv, sx, sy, pu, pv, px, py = state
    c, d = ratio[layer, 0, at], ratio[layer, 1, at]
    sx, sy = _times(c, d, sx, sy)
    px, py = _times(c, d, px, py)
    return su, sv, sx, sy, pu, pv, px, py


@cuda.jit(device=True, inline="always")
def _stored(store, i, row, j):  # type: ignore[no-untyped-def]
    """Amplitudes of both polarizations at one boundary."""
    return (
        store[i, row, 0, j],
        store[i, row, 1, j],
        store[i, row, 2, j],
        store[i, row, 3, j],
        store[i, row, 4, j],
        store[i, row, 5, j],
        store[i, row, 6, j],
        store[i, row, 7, j],
    )


@cuda.jit(device=True, inline="always")
def _keep(store, i, row, j, state):  # type: ignore[no-untyped-def]
    """Write them."""
    store[i, row, 0, j], store[i, row, 1, j] = state[0], state[1]
    store[i, row, 2, j], store[i, row, 3, j] = state[2], state[3]
    store[i, row, 4, j], store[i, row, 5, j] = state[4], state[5]
    store[i, row, 6, j], store[i, row, 7, j] = state[6], state[7]


@cuda.jit(device=True, inline="always")
def _load_cells(cell, i, first, count, tile):  # type: ignore[no-untyped-def]
    """A tile of one curve's cells into shared memory, by all threads of the block."""
    cuda.syncthreads()
    for m in range(cuda.threadIdx.x, 6 * count, cuda.blockDim.x):
        tile[m // 6, m % 6] = cell[i, first + m // 6, m % 6]
    cuda.syncthreads()


@cuda.jit
def pack(thickness, strain, debye_waller, layer, linear, layer_thickness, n_curve, cell, run, n_run, left):  # type: ignore[no-untyped-def]
    """Cells and runs of each curve, and what is left perfect of the films; one thread a curve.

    Args:
        thickness, strain, debye_waller, layer: `Sublayers` of a batch, float64.
        linear: As `fast.pack_cells`.
        layer_thickness: [Å], shape (layer,).
        n_curve: Curves of the batch.
        cell, run, n_run: Filled, as `fast.pack_cells`, for each curve.
        left: Filled [Å], shape (curve, layer).
    """
    i = cuda.grid(1)
    if i < n_curve:
        n_run[i] = _pack_cells(thickness[i], strain[i], debye_waller[i], layer[i], linear, cell[i], run[i])
        for m in range(layer_thickness.shape[0] - 1):
            left[i, m] = _perfect_part(thickness[i], layer[i], layer_thickness, m)


@cuda.jit
def start(left, root, fixed, squared, ratio, run, base):  # type: ignore[no-untyped-def]
    """Amplitudes below the deepest cell of each curve; see `fast.perfect_base`. One thread a curve and angle.

    Args:
        left: From `pack`.
        root, fixed, squared, ratio: As `fast.perfect_base`.
        run: From `pack`.
        base: Filled, shape (curve, 4, angle).
    """
    i = cuda.blockIdx.y
    j = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if j < base.shape[2]:
        last = root.shape[0] - 1
        for polarization in range(2):
            x = fixed[last, polarization, j]
            for m in range(last - 1, run[i, 0, 0] - 1, -1):
                x = x * ratio[m + 1, j]
                if left[i, m] > 0:
                    x = _through_perfect(
                        x, root[m, polarization, j], fixed[m, polarization, j], squared[m, polarization, j], left[i, m]
                    )
            base[i, 2 * polarization, j] = x.real
            base[i, 2 * polarization + 1, j] = x.imag


@cuda.jit
def find_weights(  # type: ignore[no-untyped-def]
    thickness, strain, debye_waller, linear, d_strain, d_debye_waller, run, n_run, source, weight
):
    """Derivatives of the packed cells' numbers in each parameter; one thread a curve and cell.

    Args:
        thickness, strain, debye_waller, linear: As `pack`.
        d_strain, d_debye_waller: ∂ε/∂parameter and ∂E/∂parameter, shape (curve, sublayer, 2, parameter).
        run, n_run: From `pack`.
        source: From `find_sources`, shape (curve, >= cell).
        weight: Filled, shape (curve, >= cell, 4, parameter).
    """
    i = cuda.blockIdx.y
    k = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if k < run[i, n_run[i] - 1, 2]:
        m = source[i, k]
        if m < 0:
            for row in range(4):
                for n in range(weight.shape[3]):
                    weight[i, k, row, n] = 0
        else:
            _cell_weights(
                thickness[i, m],
                strain[i, m],
                debye_waller[i, m],
                linear,
                d_strain[i, m],
                d_debye_waller[i, m],
                weight[i, k],
            )


@cuda.jit
def find_sources(thickness, cell, run, n_run, n_curve, source):  # type: ignore[no-untyped-def]
    """Which sublayer each packed cell was made of; one thread a curve."""
    i = cuda.grid(1)
    if i < n_curve:
        _find_sources(thickness[i], cell[i], run[i, n_run[i] - 1, 2], source[i])


@cache
def kernels(single: bool) -> SimpleNamespace:
    """`fold`, `sweep` and `gather` in float32 (single) or float64."""
    real = np.float32 if single else np.float64
    # Constants of the code: numba freezes what a kernel closes over.
    series = polynomials(real)
    one, half, zero = constants(real)

    @cuda.jit(fastmath=True)
    def fold(coefficient, ratio, base, cell, run, n_run, pi_squared, top, out):  # type: ignore[no-untyped-def]
        """Reflectivities; one thread a curve and angle.

        Args:
            coefficient, ratio: As `fast.fold_cells`.
            base: From `start`, or that of all curves, shape (1, 4, angle).
            cell, run, n_run: From `pack`.
            pi_squared: C² of pi.
            top: |r|² of the top layer.
            out: Filled, shape (curve, 2, angle).
        """
        tile = cuda.shared.array((TILE, 6), real)
        i = cuda.blockIdx.y
        j = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        # Threads beyond the last angle help to load the tiles.
        at = min(j, out.shape[2] - 1)
        b = min(i, base.shape[0] - 1)
        state = (one, zero, base[b, 0, at], base[b, 1, at], one, zero, base[b, 2, at], base[b, 3, at])
        data = _data(coefficient, run[i, 0, 0], at)
        for r in range(n_run[i]):
            if r > 0:
                data = _data(coefficient, run[i, r, 0], at)
                state = _scaled(state, ratio, run[i, r - 1, 0], at)
            for first in range(run[i, r, 1], run[i, r, 2], TILE):
                count = min(TILE, run[i, r, 2] - first)
                _load_cells(cell, i, first, count, tile)
                for k in range(count):
                    state = _fold_both(state, data, tile, k, pi_squared, series, one, half)
        if j < out.shape[2]:
            scale = top * math.sqrt(data[3] * data[3] + data[4] * data[4])
            out[i, 0, j] = scale * _ratio_squared(state[0], state[1], state[2], state[3])
            out[i, 1, j] = scale * pi_squared * _ratio_squared(state[4], state[5], state[6], state[7])

    @cuda.jit(fastmath=True)
    def sweep(coefficient, ratio, base, cell, run, n_run, kappa, pi_squared, top, store, out):  # type: ignore[no-untyped-def]
        """Reflectivities, and what each cell's three numbers change in them; one thread a curve and angle.

        Args:
            coefficient, ratio, base, cell, run, n_run, pi_squared, top: As `fold`.
            kappa: As `cell_slopes.down_both`.
            store: Shape (curve, cell + layer + 1, 8, padded angle). On the way up it takes the amplitudes below each
                cell, on the way down the six derivatives in their place; its last rows those above each run.
            out: Filled, shape (curve, 2, angle).
        """
        tile = cuda.shared.array((TILE, 6), real)
        i = cuda.blockIdx.y
        j = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        at = min(j, out.shape[2] - 1)
        b = min(i, base.shape[0] - 1)
        state = (one, zero, base[b, 0, at], base[b, 1, at], one, zero, base[b, 2, at], base[b, 3, at])
        data = _data(coefficient, run[i, 0, 0], at)
        for r in range(n_run[i]):
            if r > 0:
                data = _data(coefficient, run[i, r, 0], at)
                state = _scaled(state, ratio, run[i, r - 1, 0], at)
            for first in range(run[i, r, 1], run[i, r, 2], TILE):
                count = min(TILE, run[i, r, 2] - first)
                _load_cells(cell, i, first, count, tile)
                for k in range(count):
                    _keep(store, i, first + k, j, state)
                    state = _up_both(state, data, tile, k, pi_squared, series, one, half)
            _keep(store, i, store.shape[1] - 1 - r, j, state)
        scale = top * math.sqrt(data[3] * data[3] + data[4] * data[4])
        s_out, m_re, m_im = _at_surface(state[0], state[1], state[2], state[3], scale, one)
        p_out, n_re, n_im = _at_surface(state[4], state[5], state[6], state[7], scale * pi_squared, one)
        if j < out.shape[2]:
            out[i, 0, j] = s_out
            out[i, 1, j] = p_out
        for r in range(n_run[i] - 1, -1, -1):
            data = _data(coefficient, run[i, r, 0], at)
            state = _stored(store, i, store.shape[1] - 1 - r, j)
            begin, tiles = run[i, r, 1], (run[i, r, 2] - run[i, r, 1] + TILE - 1) // TILE
            for number in range(tiles - 1, -1, -1):
                first = begin + number * TILE
                count = min(TILE, run[i, r, 2] - first)
                _load_cells(cell, i, first, count, tile)
                for k in range(count - 1, -1, -1):
                    if tile[k, 0] == 0:
                        continue
                    below = _stored(store, i, first + k, j)
                    s_phi, s_he, s_hc, p_phi, p_he, p_hc, m_re, m_im, n_re, n_im = _down_both(
                        below,
                        state,
                        (m_re, m_im, n_re, n_im),
                        data,
                        tile,
                        k,
                        pi_squared,
                        series,
                        one,
                        half,
                        kappa,
                    )
                    row = first + k
                    store[i, row, 0, j], store[i, row, 1, j], store[i, row, 2, j] = s_phi, s_he, s_hc
                    store[i, row, 3, j], store[i, row, 4, j], store[i, row, 5, j] = p_phi, p_he, p_hc
                    state = below
            if r > 0:
                c, d = ratio[run[i, r - 1, 0], 0, at], ratio[run[i, r - 1, 0], 1, at]
                m_re, m_im = _times(c, d, m_re, m_im)
                n_re, n_im = _times(c, d, n_re, n_im)

    @cuda.jit(fastmath=True)
    def gather(coefficient, run, n_run, weight, store, jacobian):  # type: ignore[no-untyped-def]
        """Derivatives in the parameters from those in the cells' numbers; one thread a curve, angle and group.

        Args:
            coefficient, run, n_run: As `fold`.
            weight: From `find_weights`.
            store: From `sweep`.
            jacobian: Filled, shape (curve, 2, parameter, angle).
        """
        tile = cuda.shared.array((TILE, 4, TOGETHER), real)
        sums = cuda.local.array(_SUMS, real)
        i = cuda.blockIdx.y
        j = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        at = min(j, jacobian.shape[3] - 1)
        n_parameter = jacobian.shape[2]
        offset = cuda.blockIdx.z * TOGETHER
        for m in range(_SUMS):
            sums[m] = zero
        for r in range(n_run[i]):
            p_, q_ = coefficient[run[i, r, 0], 0, at], coefficient[run[i, r, 0], 1, at]
            for first in range(run[i, r, 1], run[i, r, 2], TILE):
                count = min(TILE, run[i, r, 2] - first)
                cuda.syncthreads()
                for q in range(cuda.threadIdx.x, 4 * TOGETHER * count, cuda.blockDim.x):
                    k, row, m = q // (4 * TOGETHER), q // TOGETHER % 4, q % TOGETHER
                    own = zero
                    if offset + m < n_parameter:
                        own = weight[i, first + k, row, offset + m]
                    tile[k, row, m] = own
                cuda.syncthreads()
                for k in range(count):
                    s_phi, s_he, s_hc, p_phi, p_he, p_hc, _, _ = _stored(store, i, first + k, j)
                    for m in range(TOGETHER):
                        w0, w1 = tile[k, 0, m], tile[k, 1, m]
                        if w0 != 0 or w1 != 0:
                            w = tile[k, 2, m] * p_ + tile[k, 3, m] * q_
                            sums[m] += w0 * s_phi + w1 * s_he + w * s_hc
                            sums[TOGETHER + m] += w0 * p_phi + w1 * p_he + w * p_hc
        if j < jacobian.shape[3]:
            for m in range(TOGETHER):
                if offset + m < n_parameter:
                    jacobian[i, 0, offset + m, j] = sums[m]
                    jacobian[i, 1, offset + m, j] = sums[TOGETHER + m]

    return SimpleNamespace(fold=fold, sweep=sweep, gather=gather)
