"""Expected intensities of many parameter sets at the points of one scan, thousands a second."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from strainscope.diffraction.engine import reflectivities, worker_count
from strainscope.experiment.diffuse_spread import DiffuseSpread
from strainscope.experiment.kernel_table import WIDTH_ROOM, KernelTable
from strainscope.experiment.scan_model import ScanModel
from strainscope.instrument.grid import cardinal_weights, stencil

Floats = NDArray[np.float64]

# Curves that go through the instrument together: their transforms stay in the cache.
_TOGETHER = 32
# Room beyond the values asked for, so that tables serve the next ones, too.
_LENGTH_ROOM, _STRAIN_ROOM = 1.5, 1.25
# The diffuse table's axis is fine enough for correlation lengths this much longer than any asked for: at the longest
# that it is made for it errs by more than the best scans leave open.
_FINER = 2.0


class ManyCurves:
    """A `ScanModel` for many parameter sets: no derivatives, float32 reflectivities, tabulated resolutions.

    Against `ScanModel.expected` log10 of an intensity is off by less than 1e-4 at the worst point of half of the
    curves, and by 1e-3 rms for all; `tests/physics` holds it to that. Tables grow with what it is asked for.

    Args:
        model: Of the scan.
    """

    def __init__(self, model: ScanModel) -> None:
        self.model = model
        self._tables = model.tables_float32
        self._fill = model.grid.fill
        self._tabulated = len(model.experiment.resolution.parameters) <= 2
        self._kernels: KernelTable | None = None
        self._widths = (np.inf, -np.inf)
        self._diffuse: DiffuseSpread | None = None
        self._lengths, self._strains = (np.inf, -np.inf), (0.0, 0.0)

    def expected(self, values: Floats) -> Floats:
        """Intensities (curve, point) for values of all parameters (curve, parameter)."""
        self._prepare(values)
        parts = [values[first : first + _TOGETHER] for first in range(0, len(values), _TOGETHER)]
        if len(parts) == 1 or worker_count() == 1:
            return np.concatenate([self._block(part) for part in parts])
        with ThreadPoolExecutor(worker_count()) as pool:
            return np.concatenate(list(pool.map(self._block, parts)))

    def _prepare(self, values: Floats) -> None:
        """Widen the tables where the values ask for it."""
        experiment = self.model.experiment
        where = experiment.slices
        resolution = values[:, where["resolution"]]
        if self._tabulated and (self._kernels is None or _beyond(resolution[:, :1], self._widths)):
            self._widths = _widened(resolution[:, :1], self._widths, WIDTH_ROOM)
            self._kernels = KernelTable(self.model.smearing, self._widths)
        if not experiment.diffuse:
            return
        lengths = values[:, where["diffuse"]][:, 1:] * [1.0, _FINER]
        family = experiment.profile.strain
        own = values[:, : len(family.parameters)]
        extreme = family.evaluate(family.maximum(own)[1][:, None], own)
        if self._diffuse is None or _beyond(lengths, self._lengths) or _beyond(extreme, self._strains):
            self._lengths = _widened(lengths, self._lengths, _LENGTH_ROOM)
            low, high = self._strains
            self._strains = (
                min(low, _STRAIN_ROOM * float(extreme.min())),
                max(high, _STRAIN_ROOM * float(extreme.max())),
            )
            grid = self.model.grid
            self._diffuse = DiffuseSpread(
                experiment.stack,
                grid.start_arcsec + grid.step_arcsec * np.arange(float(grid.number)),
                correlation_range=self._lengths,
                strain_range=self._strains,
                bragg_law=experiment.bragg_law,
            )

    def _block(self, values: Floats) -> Floats:
        experiment, grid = self.model.experiment, self.model.grid
        where, n = experiment.slices, len(values)
        cells = self.model.sublayers(values[:, where["profile"]])
        reflected = reflectivities(self._tables, cells).astype(np.float64)
        seen = np.ascontiguousarray((self._fill @ reflected.reshape(2 * n, -1).T).T).reshape(n, 2, -1)
        if self._diffuse is not None:
            amplitude, length = values[:, where["diffuse"]].T
            scattered = amplitude * self._diffuse.intensity(self._diffuse.histogram(cells), length)
            for i, factor in enumerate(experiment.stack.polarization_factors):
                seen[:, i] += factor**2 * scattered.T
        smeared = self._smeared(seen, values[:, where["resolution"]])
        _, log_scale, log_background, slope = values[:, where["scale"]].T[:, :, None]
        at = self.model.places(values)
        first, fraction = stencil(at.ravel(), grid.start_arcsec, grid.step_arcsec, grid.number)
        first += np.repeat(np.arange(n) * grid.number, at.shape[1])
        flat, counts = smeared.ravel(), np.zeros(at.size)
        for q, weight in enumerate(cardinal_weights(fraction)):
            counts += weight * flat[first + q]
        background = 10.0**log_background * (1 + slope * self.model.lever)
        return np.asarray(10.0**log_scale * counts.reshape(at.shape) + background)

    def _smeared(self, seen: Floats, resolution: Floats) -> Floats:
        if self._kernels is None:
            rows = zip(seen, resolution, strict=True)
            return np.array([self.model.smearing.smear(curve, row) for curve, row in rows])
        padded = np.zeros((*seen.shape[:2], self._kernels.length))
        padded[..., : seen.shape[-1]] = seen
        return self._kernels.smear(padded, resolution)


def _beyond(values: Floats, limits: tuple[float, float]) -> bool:
    return values.size > 0 and bool(values.min() < limits[0] or values.max() > limits[1])


def _widened(values: Floats, limits: tuple[float, float], room: float) -> tuple[float, float]:
    """Limits that hold the values and a factor of room to either side; (1, 1) if there are none."""
    if not values.size:
        return (1.0, 1.0)
    low, high = float(values.min()), float(values.max())
    return (
        limits[0] if limits[0] <= low else low / room,
        limits[1] if limits[1] >= high else high * room,
    )
