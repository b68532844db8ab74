"""Runs the fast engine's kernels on a GPU: the signatures of `engine`, batches streamed through it.

Two sets of buffers take turns: while the GPU works on one batch, results of the last are taken and the next one is
sent, from memory that the GPU reads by itself. Only one thread at a time has the GPU.
"""

import logging
import math
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numba import cuda
from numba.core import config
from numpy.typing import NDArray

from strainscope.diffraction import cuda_kernels as kernels
from strainscope.diffraction.device import simulated
from strainscope.diffraction.sublayers import Sublayers

if TYPE_CHECKING:
    from strainscope.diffraction.engine import AngleTables

Floats = NDArray[np.float64]
Shapes = dict[str, tuple[tuple[int, ...], Any]]

# Curves of a batch: enough to fill the largest cards, few enough for the second set of buffers to be of use.
CURVES_TOGETHER = 4096
# A curve with derivatives keeps its amplitudes at every cell: 7 MB for 160 cells and 701 angles in float64.
JACOBIANS_TOGETHER = 128
# Batches differ in their largest number of cells: so that buffers serve the next one, too.
_CELLS_STEP = 32
_SETS = 2
_KEPT = 4

# Small batches, such as tests have, need no warning that they leave the GPU idle.
config.CUDA_LOW_OCCUPANCY_WARNINGS = 0

_log = logging.getLogger(__name__)
_gpu = threading.RLock()


class OnDevice:
    """Tables on the GPU.

    Args:
        tables: Of a stack at its angles.
    """

    def __init__(self, tables: "AngleTables") -> None:
        real = tables.dtype
        thickness, root, fixed, squared, ratio = tables.perfect
        self.real, self.linear = real, tables.linear
        self.n_layer, _, self.n_angle = tables.coefficient.shape
        self.films = self.n_layer > 1
        self.pi_squared = real(real(tables.stack.polarization_factors[1]) ** 2)
        top = abs(tables.exact.asymmetry_ratio[0]) ** 2
        self.top = real(top if abs(top - 1) > 1e-12 else 1.0)
        self.kappa = real(0.0 if tables.linear else 0.5)
        self.kernels = kernels.kernels(real is np.float32)
        self.coefficient = cuda.to_device(tables.coefficient)
        self.ratio = cuda.to_device(np.ascontiguousarray(tables.ratio))
        self.layer_thickness = cuda.to_device(thickness)
        self.perfect = [cuda.to_device(np.ascontiguousarray(own)) for own in (root, fixed, squared, ratio)]
        substrate = np.stack([own for x in fixed[-1] for own in (x.real, x.imag)])
        # Without films it is the same below all curves.
        self.substrate = cuda.to_device(substrate[None].astype(real))


class Batch:
    """Buffers of one batch, on the GPU and in memory beside it that the GPU reads by itself.

    Args:
        on: The tables on the GPU.
        tables: The same.
        together: Curves.
        n_cell: Sublayers.
        n_parameter: Of the derivatives; 0 for reflectivities alone.
    """

    def __init__(
        self, on: OnDevice, tables: "AngleTables", together: int, n_cell: int, n_parameter: int = 0
    ) -> None:
        self.on, self.together, self.n_cell, self.n_parameter = on, together, n_cell, n_parameter
        self._sent, kept, self._returned = shapes(tables, n_cell, n_parameter)
        self.device = {
            name: cuda.device_array((together, *shape), dtype=dtype)
            for name, (shape, dtype) in (self._sent | kept | self._returned).items()
        }
        self._host = {
            name: cuda.pinned_array((together, *shape), dtype=dtype)
            for name, (shape, dtype) in (self._sent | self._returned).items()
        }
        self.stream = cuda.stream()
        self._waiting: tuple[int, int] | None = None

    def send(self, arrays: Mapping[str, NDArray[Any]], first: int, last: int) -> None:
        """Start on curves first to last - 1 of a batch of any size."""
        count = last - first
        for name in self._sent:
            own, given = self._host[name], arrays[name][first:last]
            own[:count, : given.shape[1]] = given
            if name == "thickness":
                # Cells of no thickness change nothing.
                own[:count, given.shape[1] :] = 0
            self.device[name][:count].copy_to_device(own[:count], stream=self.stream)
        simulate(self.on, self.device, count, self.n_parameter, self.stream)
        for name in self._returned:
            self.device[name][:count].copy_to_host(self._host[name][:count], stream=self.stream)
        self._waiting = (first, last)

    def take(self, results: Mapping[str, NDArray[Any]]) -> None:
        """Wait for what was sent last, if anything, and put its results where they belong."""
        if self._waiting is None:
            return
        (first, last), self._waiting = self._waiting, None
        self.stream.synchronize()
        for name in self._returned:
            results[name][first:last] = self._host[name][: last - first]


def simulate(
    on: OnDevice,
    own: Mapping[str, Any],
    count: int,
    n_parameter: int,
    stream: Any,  # noqa: ANN401 (a stream)
) -> None:
    """Start the kernels on the first curves of the arrays that `shapes` lists."""
    many, few = kernels.THREADS, 32
    singly = (_blocks(count, few), few, stream)
    # So that small cases, as in the simulator, have no idle threads by the dozen.
    width = min(many, few * _blocks(on.n_angle, few))
    angles = (_blocks(on.n_angle, width), count)
    sublayers = [own[name] for name in ("thickness", "strain", "debye_waller")]
    cells = [own[name] for name in ("cell", "run", "n_run")]
    kernels.pack[singly](
        *sublayers, own["layer"], on.linear, on.layer_thickness, count, *cells, own["left"]
    )
    if on.films:
        kernels.start[angles, width, stream](own["left"], *on.perfect, own["run"], own["base"])
    base = own["base"] if on.films else on.substrate
    fixed = (on.coefficient, on.ratio, base, *cells)
    if not n_parameter:
        on.kernels.fold[angles, width, stream](*fixed, on.pi_squared, on.top, own["reflectivity"])
        return
    kernels.find_sources[singly](own["thickness"], *cells, count, own["source"])
    rows = own["source"].shape[1]
    kernels.find_weights[(_blocks(rows, few), count), few, stream](
        *sublayers,
        on.linear,
        own["d_strain"],
        own["d_debye_waller"],
        own["run"],
        own["n_run"],
        own["source"],
        own["weight"],
    )
    on.kernels.sweep[angles, width, stream](
        *fixed, on.kappa, on.pi_squared, on.top, own["store"], own["reflectivity"]
    )
    groups = _blocks(n_parameter, kernels.TOGETHER)
    on.kernels.gather[(*angles, groups), width, stream](
        on.coefficient, own["run"], own["n_run"], own["weight"], own["store"], own["jacobian"]
    )


_tables: WeakKeyDictionary["AngleTables", OnDevice] = WeakKeyDictionary()
_kept: list[list[Batch]] = []
# Bytes that batches may take: what they tried to at first, or half of what there was no room for.
_room = 2**62


def shapes(tables: "AngleTables", n_cell: int, n_parameter: int) -> tuple[Shapes, Shapes, Shapes]:
    """Shape a curve and type of the arrays that are sent, that stay on the GPU, and that are returned."""
    n_layer, _, n_angle = tables.coefficient.shape
    real = tables.dtype
    # With room for the cell that pads each run.
    rows = n_cell + n_layer + 2
    sent: Shapes = {
        "thickness": ((n_cell,), np.float64),
        "strain": ((n_cell, 2), np.float64),
        "debye_waller": ((n_cell, 2), np.float64),
        "layer": ((n_cell,), np.int64),
    }
    kept: Shapes = {
        "cell": ((rows, 6), real),
        "run": ((n_layer + 1, 3), np.int64),
        "n_run": ((), np.int64),
        "left": ((n_layer,), np.float64),
    }
    if n_layer > 1:
        kept["base"] = ((4, n_angle), real)
    returned: Shapes = {"reflectivity": ((2, n_angle), real)}
    if n_parameter:
        padded = kernels.THREADS * _blocks(n_angle, kernels.THREADS)
        sent["d_strain"] = sent["d_debye_waller"] = ((n_cell, 2, n_parameter), np.float64)
        kept["source"] = ((rows,), np.int64)
        kept["weight"] = ((rows, 4, n_parameter), real)
        kept["store"] = ((rows + n_layer + 1, 8, padded), real)
        returned["jacobian"] = ((2, n_parameter, n_angle), real)
    return sent, kept, returned


def _blocks(number: int, each: int) -> int:
    return -(-number // each)


def reflectivities(
    tables: "AngleTables", sublayers: Sublayers, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """As `engine.reflectivities`."""
    n_curve = len(sublayers.thickness)
    shape = (n_curve, 2, tables.coefficient.shape[2])
    result = np.empty(shape, dtype=tables.dtype) if out is None else out
    _stream(tables, _arrays(sublayers), {"reflectivity": result}, CURVES_TOGETHER)
    return result


def reflectivity_jacobian(
    tables: "AngleTables", sublayers: Sublayers, d_strain: Floats, d_debye_waller: Floats
) -> tuple[NDArray[Any], NDArray[Any]]:
    """As `engine.reflectivity_jacobian`."""
    n_curve, n_angle, n_parameter = (
        len(sublayers.thickness),
        tables.coefficient.shape[2],
        d_strain.shape[-1],
    )
    result = np.empty((n_curve, 2, n_angle), dtype=tables.dtype)
    jacobian = np.empty((n_curve, 2, n_parameter, n_angle), dtype=tables.dtype)
    arrays = _arrays(sublayers) | {"d_strain": d_strain, "d_debye_waller": d_debye_waller}
    results = {"reflectivity": result, "jacobian": jacobian}
    _stream(tables, arrays, results, JACOBIANS_TOGETHER, n_parameter)
    return result, jacobian


def reflect_in_place(tables: "AngleTables", arrays: Mapping[str, Any], stream: int) -> None:
    """As `reflectivities`, of sublayers in the GPU's memory, where the results stay.

    Nothing is copied and nobody waits: what follows on the stream finds the reflectivities.

    Args:
        tables: Of the stack at its angles.
        arrays: All that `shapes` lists for so many sublayers without derivatives, by name: those that are sent are
            read, the others filled. Anything with `__cuda_array_interface__`, each in one piece.
        stream: Handle of the CUDA stream that they belong to, 0 for the default one.
    """
    # The simulator's arrays are numpy's.
    own = arrays if simulated() else {name: cuda.as_cuda_array(array) for name, array in arrays.items()}
    with _gpu:
        queue = cuda.external_stream(stream) if stream else 0
        simulate(_on_device(tables), own, len(own["thickness"]), 0, queue)


def _on_device(tables: "AngleTables") -> OnDevice:
    """Its tables on the GPU, kept as long as they are."""
    if tables not in _tables:
        _tables[tables] = OnDevice(tables)
        # Streams of others do not wait for the copies.
        cuda.synchronize()
    return _tables[tables]


def _arrays(sublayers: Sublayers) -> dict[str, NDArray[Any]]:
    return {name: getattr(sublayers, name) for name in ("thickness", "strain", "debye_waller", "layer")}


def _stream(
    tables: "AngleTables",
    arrays: Mapping[str, NDArray[Any]],
    results: Mapping[str, NDArray[Any]],
    most: int,
    n_parameter: int = 0,
) -> None:
    """Simulate a batch of any size in parts; a part that the GPU has no memory for is halved until it has."""
    n_curve, n_cell = arrays["thickness"].shape
    if n_curve == 0:
        return
    with _gpu:
        each = curve_bytes(tables, n_cell, n_parameter)
        together = max(1, min(n_curve, most, _room // each))
        while not _through(tables, together, arrays, results, n_parameter):
            if together == 1:
                raise ValueError(
                    f"the GPU has too little memory for one curve of {n_cell} sublayers and "
                    f"{tables.coefficient.shape[2]} angles ({each / 1e6:.3g} MB); free some, or use device = 'cpu'."
                )
            _log.warning(
                "the GPU has too little memory for %d curves at a time; it takes %d.", together, together // 2
            )
            together //= 2
            _limit(together * each)


def _through(
    tables: "AngleTables",
    together: int,
    arrays: Mapping[str, NDArray[Any]],
    results: Mapping[str, NDArray[Any]],
    n_parameter: int,
) -> bool:
    """Simulate so many curves at a time; False where the GPU has too little memory for that."""
    n_curve, n_cell = arrays["thickness"].shape
    try:
        batches = _batches(tables, together, n_cell, n_parameter, _SETS if n_curve > together else 1)
        step = batches[0].together
        for number, first in enumerate(range(0, n_curve, step)):
            batch = batches[number % len(batches)]
            batch.take(results)
            batch.send(arrays, first, min(first + step, n_curve))
        for batch in batches:
            batch.take(results)
    except BaseException as error:
        # What was under way must not end up in a later batch, and nothing may hold on to what was allocated.
        _kept.clear()
        # numba's own class differs between its versions, and the simulator has none.
        if "OUT_OF_MEMORY" not in str(error):
            raise
        return False
    return True


def curve_bytes(tables: "AngleTables", n_cell: int, n_parameter: int = 0) -> int:
    """Memory of the GPU that one curve at a time takes."""
    arrays = shapes(tables, n_cell, n_parameter)
    return _SETS * sum(
        math.prod(shape) * np.dtype(dtype).itemsize for part in arrays for shape, dtype in part.values()
    )


def _batches(
    tables: "AngleTables", together: int, n_cell: int, n_parameter: int, sets: int
) -> list[Batch]:
    """Buffers for so many curves or more, of this call or an earlier one."""
    on = _on_device(tables)
    for held in _kept:
        fits = held[0].together >= together and held[0].n_cell >= n_cell and len(held) >= sets
        if fits and held[0].on is on and held[0].n_parameter == n_parameter:
            return held
    del _kept[_KEPT - 1 :]
    n_cell = _CELLS_STEP * _blocks(n_cell, _CELLS_STEP)
    made = [Batch(on, tables, together, n_cell, n_parameter) for _ in range(sets)]
    _kept.insert(0, made)
    return made


def _limit(room: int) -> None:
    """Let later batches have no more memory than what was found."""
    global _room
    _room = room
