"""Runs the fast kernels: prepares their angle tables once, then streams curves through them in blocks.

On a GPU `cuda_engine` does so, which is imported where tables are made for one.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from strainscope.diffraction import fast, sensitivity
from strainscope.diffraction.device import chosen_device
from strainscope.diffraction.polynomials import DType, constants, polynomials
from strainscope.diffraction.stack import Coefficients, Stack, coefficients
from strainscope.diffraction.sublayers import Sublayers

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")
Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]

# Curves a worker takes at a time: enough to hide the hand-over, few enough to share the work evenly.
CURVES_PER_TASK = 32
# A curve with derivatives is work enough.
_JACOBIANS_PER_TASK = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class AngleTables:
    """What the kernels need of a stack at given angles, for any number of curves.

    Attributes:
        stack: Where they come from.
        linear: Whether δ is the strain itself (linear Bragg law).
        dtype: float32 or float64.
        exact: The complex128 coefficients.
        coefficient: Re P, Re Q, Im P, Re S², Im S² by layer, shape (layer, 5, angle).
        ratio: (S r) of a layer over that of the layer above, shape (layer, 2, angle); 1 for the top one.
        perfect: What `fast.perfect_base` needs of the perfect layers.
        device: "cpu" or "cuda": where their curves are simulated.
    """

    stack: Stack
    linear: bool
    dtype: DType
    exact: Coefficients
    coefficient: NDArray[Any]
    ratio: NDArray[Any]
    perfect: tuple[NDArray[Any], ...]
    device: str = "cpu"


def angle_tables(
    theta: Floats, stack: Stack, *, dtype: DType, bragg_law: str = "exact", device: str | None = None
) -> AngleTables:
    """Tables for `reflectivities` and `reflectivity_jacobian` at angles theta [rad], shape (angle,).

    The device is one of `device.DEVICES`, or the process's own; see `device.chosen_device`.
    """
    device = chosen_device(device)
    exact = coefficients(theta, stack, bragg_law=bragg_law)
    squared = exact.coupling**2
    coefficient = np.stack(
        [
            exact.detuning.real,
            exact.strain_response.real,
            exact.detuning.imag,
            squared.real,
            squared.imag,
        ],
        axis=1,
    )
    gauge = exact.coupling * exact.asymmetry_ratio[:, None]
    ratio = np.ones_like(gauge)
    ratio[1:] = gauge[1:] / gauge[:-1]
    c = stack.polarization_factors[:, None]
    coupling_squared = (c * exact.coupling[:, None]) ** 2
    detuning = exact.detuning[:, None]
    root = np.sqrt(detuning**2 - 4 * coupling_squared)
    root = np.where((detuning * np.conj(root)).real >= 0, root, -root)
    thickness = np.array([layer.thickness for layer in stack.layers])
    return AngleTables(
        stack=stack,
        linear=bragg_law == "linear",
        dtype=dtype,
        exact=exact,
        coefficient=np.ascontiguousarray(coefficient, dtype=dtype),
        ratio=np.stack([ratio.real, ratio.imag], axis=1).astype(dtype),
        perfect=(thickness, root, -2 / (detuning + root), coupling_squared, ratio),
        device=device,
    )


_threads: list[int] = []


def use_threads(number: int) -> None:
    """Let this process simulate on so many threads at most: for one of several processes that share a machine."""
    _threads[:] = [number]
    _pool.cache_clear()


def worker_count() -> int:
    """Processors that this process may use."""
    if _threads:
        return _threads[0]
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(worker_count(), thread_name_prefix="strainscope")


if hasattr(os, "register_at_fork"):
    # A forked child has none of its parent's threads: it makes a pool of its own.
    os.register_at_fork(after_in_child=lambda: _pool.cache_clear())


def _run(task: Callable[[int, int], None], n_curve: int, together: int = CURVES_PER_TASK) -> None:
    """Calls task(first, last) over blocks of curves, on every processor when there is more than one block."""
    starts = range(0, n_curve, together)
    if len(starts) == 1 or worker_count() == 1:
        for first in starts:
            task(first, min(first + together, n_curve))
        return
    futures = [_pool().submit(task, first, min(first + together, n_curve)) for first in starts]
    for future in futures:
        future.result()


def side_by_side(work: Callable[[_Item], _Found], items: Sequence[_Item]) -> list[_Found]:
    """What comes of each item, one a processor at a time. The work itself must simulate single curves only."""
    if len(items) == 1 or worker_count() == 1:
        return [work(item) for item in items]
    return list(_pool().map(work, items))


def _scratch(tables: AngleTables, n_cell: int) -> tuple[NDArray[Any], ...]:
    """One worker's buffers: cells (exact and in the tables' type), runs, bases, block."""
    n_layer, _, n_angle = tables.coefficient.shape
    cells = (n_cell + n_layer + 2, 6)
    return (
        np.empty(cells),
        np.empty(cells, dtype=tables.dtype),
        np.zeros((n_layer + 1, 3), dtype=np.int64),
        np.empty((4, n_angle), dtype=tables.dtype),
        np.empty((4, n_angle)),
        np.empty(fast.ROWS * fast.BLOCK, dtype=tables.dtype),
    )


def _arrays(sublayers: Sublayers) -> tuple[NDArray[Any], ...]:
    return (sublayers.thickness, sublayers.strain, sublayers.debye_waller, sublayers.layer)


def reflectivities(
    tables: AngleTables, sublayers: Sublayers, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Reflectivity of a batch for sigma and pi [1], shape (curve, 2, angle), in the tables' type.

    Args:
        tables: From `angle_tables`.
        sublayers: Arrays of shape (curve, sublayer).
        out: Written to, if given.
    """
    if tables.device == "cuda":
        from strainscope.diffraction import cuda_engine

        return cuda_engine.reflectivities(tables, sublayers, out)
    n_curve, n_cell = sublayers.thickness.shape
    shape = (n_curve, 2, tables.coefficient.shape[2])
    result = np.empty(shape, dtype=tables.dtype) if out is None else out
    pi_factor = tables.dtype(tables.stack.polarization_factors[1])

    def task(first: int, last: int) -> None:
        fast.fold_curves(
            first,
            last,
            _arrays(sublayers),
            tables.linear,
            (tables.coefficient, tables.ratio),
            tables.perfect,
            pi_factor,
            polynomials(tables.dtype),
            constants(tables.dtype),
            _scratch(tables, n_cell),
            result,
        )

    _run(task, n_curve)
    top = abs(tables.exact.asymmetry_ratio[0]) ** 2
    if abs(top - 1) > 1e-12:
        result *= tables.dtype(top)
    return result


def reflectivity_jacobian(
    tables: AngleTables, sublayers: Sublayers, d_strain: Floats, d_debye_waller: Floats
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Reflectivity of a batch for sigma and pi, and its derivative in any parameters of the profile.

    Args:
        tables: From `angle_tables`.
        sublayers: Arrays of shape (curve, sublayer).
        d_strain: ∂ε/∂parameter at the Gauss points, shape (curve, sublayer, 2, parameter).
        d_debye_waller: ∂E/∂parameter there, same shape.

    Returns:
        Reflectivity (curve, 2, angle) and its derivative (curve, 2, parameter, angle).
    """
    if tables.device == "cuda":
        from strainscope.diffraction import cuda_engine

        return cuda_engine.reflectivity_jacobian(tables, sublayers, d_strain, d_debye_waller)
    n_curve, n_cell = sublayers.thickness.shape
    n_layer, _, n_angle = tables.coefficient.shape
    n_parameter = d_strain.shape[-1]
    result = np.empty((n_curve, 2, n_angle), dtype=tables.dtype)
    jacobian = np.empty((n_curve, 2, n_parameter, n_angle), dtype=tables.dtype)
    pi_factor = tables.dtype(tables.stack.polarization_factors[1])

    def task(first: int, last: int) -> None:
        exact_cell, cell, run, base, exact_base, _ = _scratch(tables, n_cell)
        packed = (
            exact_cell,
            np.empty((4, n_parameter)),
            cell,
            np.zeros((len(cell), 4, n_parameter), dtype=tables.dtype),
            np.empty(len(cell), dtype=np.int64),
            run,
            base,
            exact_base,
            (
                np.empty((len(cell) + n_layer + 1, 8 * sensitivity.WIDTH), dtype=tables.dtype),
                np.empty(sensitivity.ROWS * sensitivity.WIDTH, dtype=tables.dtype),
                np.empty(2 * n_parameter * sensitivity.WIDTH, dtype=tables.dtype),
            ),
        )
        sensitivity.sweep_curves(
            first,
            last,
            _arrays(sublayers),
            (d_strain, d_debye_waller),
            tables.linear,
            (tables.coefficient, tables.ratio),
            tables.perfect,
            pi_factor,
            polynomials(tables.dtype),
            constants(tables.dtype),
            packed,
            result,
            jacobian,
        )

    _run(task, n_curve, _JACOBIANS_PER_TASK)
    top = abs(tables.exact.asymmetry_ratio[0]) ** 2
    if abs(top - 1) > 1e-12:
        result *= tables.dtype(top)
        jacobian *= tables.dtype(top)
    return result, jacobian
