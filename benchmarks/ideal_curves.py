"""Noise-free curves of a known instrument: thousands of them fitted at once, in float64, with the exact Jacobian."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from strainscope.diffraction.engine import AngleTables, reflectivities, reflectivity_jacobian, worker_count
from strainscope.diffraction.sublayers import Sublayers, gauss_depths
from strainscope.experiment import ScanModel
from strainscope.prior import Prior

Floats = NDArray[np.float64]

# Curves that are worked on together: their reflectivities and derivatives stay in the cache.
_TOGETHER = 32
# rms of log10 of the reflectivity, of sublayers for curves that are only compared.
_QUICK_TOLERANCE = 2e-2
# The same, and angles a fringe, of those that a fit may follow until it is near: they are right to 5e-5 on bare GGG.
_COARSE_TOLERANCE, _COARSE_POINTS_PER_FRINGE = 5e-3, 5.0
# Levenberg and Marquardt's damping: at first, factors that are tried at once, and how it changes.
_FIRST_DAMPING, _TRIED = 1e-3, np.array([0.1, 10.0])
_GAIN, _LOSS = 0.3, 100.0
# The share of a step after which it is seen how residuals bend, and by how much it is bent at most, in its length.
_PROBE, _MOST_BENT = 0.1, 0.5
_LEAST_DAMPING = 1e-12
# Relative gain in the sum of squares below which a fit has come to its end.
_END = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class IdealCurves:
    """log10 of the intensities of profiles in an instrument whose parameters are all held.

    Attributes:
        model: Sample, instrument, points.
        prior: Bounds of the free parameters, which are all of the profile; values of the others.
    """

    model: ScanModel
    prior: Prior

    @cached_property
    def _fixed(self) -> Floats:
        return self.prior.from_unit(np.full(len(self.prior.names), 0.5))

    @cached_property
    def _to_points(self) -> csr_array:
        """From reflectivities (polarization × node) to the points."""
        return csr_array(np.concatenate(list(self.model.to_points(self._fixed)), axis=1))

    @cached_property
    def _background(self) -> Floats:
        _, _, log_background, slope = self._fixed[self.model.experiment.slices["scale"]]
        return np.asarray(10.0**log_background * (1 + slope * self.model.lever))

    @cached_property
    def _scale(self) -> float:
        return float(10.0 ** self._fixed[self.model.experiment.slices["scale"]][1])

    def values(self, unit: Floats) -> Floats:
        """All parameters (curve, parameter) from unit coordinates of the free ones (curve, free)."""
        whole = np.full((len(unit), len(self.prior.names)), 0.5)
        whole[:, self.prior.free] = unit
        return self.prior.from_unit(whole)

    def unit(self, values: Floats) -> Floats:
        """Unit coordinates (curve, free) of values of all parameters (curve, parameter), within [0, 1]."""
        return np.clip(self.prior.to_unit(values)[:, self.prior.free], 0.0, 1.0)

    def log10(self, unit: Floats) -> Floats:
        """log10 of the intensities, shape (curve, point), at unit coordinates (curve, free)."""
        return np.concatenate(_in_blocks(self._log10, unit))

    def _log10(self, unit: Floats) -> Floats:
        cells, _ = self._cells(unit)
        seen = reflectivities(self.model.tables, cells).reshape(len(cells.thickness), -1)
        return np.asarray(np.log10(self._scale * (self._to_points @ seen.T).T + self._background))

    def log10_float32(self, unit: Floats, *, every: int = 1) -> NDArray[np.float32]:
        """The same as `log10` in float32 and with coarser sublayers, to compare many; at every so many'th point."""
        rows = self._to_points_float32[::every]
        background = self._background[::every].astype(np.float32)

        def block(part: Floats) -> NDArray[np.float32]:
            own = self.values(part)[:, self.model.experiment.slices["profile"]]
            seen = reflectivities(self._tables_float32, self._quick.sublayers(own)).reshape(len(part), -1)
            intensity = np.float32(self._scale) * (rows @ seen.T).T
            return np.asarray(np.log10(intensity + background), dtype=np.float32)

        return np.concatenate(_in_blocks(block, unit))

    @cached_property
    def _quick(self) -> ScanModel:
        experiment = self.model.experiment
        return replace(self.model, experiment=replace(experiment, tolerance=_QUICK_TOLERANCE))

    @cached_property
    def coarse(self) -> "IdealCurves":
        """The same, simulated twice as fast and nearly as well: for the way to where only the exact ones count."""
        experiment = self.model.experiment
        model = replace(
            self.model,
            experiment=replace(experiment, tolerance=max(experiment.tolerance, _COARSE_TOLERANCE)),
            points_per_fringe=min(self.model.points_per_fringe, _COARSE_POINTS_PER_FRINGE),
        )
        return replace(self, model=model)

    @cached_property
    def _tables_float32(self) -> AngleTables:
        return self.model.tables_at(np.arange(len(self.model.grid.node_arcsec)))

    @cached_property
    def _to_points_float32(self) -> csr_array:
        return self._to_points.astype(np.float32)

    def log10_with_jacobian(self, unit: Floats) -> tuple[Floats, Floats]:
        """The same as `log10`, and its derivatives (curve, point, free) by the unit coordinates."""
        blocks = _in_blocks(self._log10_with_jacobian, unit)
        curves, jacobians = (np.concatenate(column) for column in zip(*blocks, strict=True))
        return curves, jacobians

    def _log10_with_jacobian(self, unit: Floats) -> tuple[Floats, Floats]:
        where = self.model.experiment.slices["profile"]
        cells, own = self._cells(unit)
        depth = gauss_depths(cells.upper, cells.thickness)
        whole = np.full((len(unit), len(self.prior.names)), 0.5)
        whole[:, self.prior.free] = unit
        chain = self.prior.unit_jacobian(whole)[:, where][..., self.prior.free]
        slopes = [
            (gradient @ chain).reshape(*depth.shape, -1)
            for gradient in self.model.experiment.profile.gradient(depth.reshape(len(own), -1), own)
        ]
        seen, changes = reflectivity_jacobian(self.model.tables, cells, *slopes)
        n, _, k, node = changes.shape
        both = np.concatenate([seen[:, None], np.swapaxes(changes, 1, 2)], axis=1)
        intensity = self._scale * (self._to_points @ both.reshape(n * (k + 1), 2 * node).T).T
        intensity = intensity.reshape(n, k + 1, -1)
        total = intensity[:, 0] + self._background
        jacobian = np.swapaxes(intensity[:, 1:] / (np.log(10) * total[:, None]), 1, 2)
        return np.log10(total), jacobian

    def _cells(self, unit: Floats) -> tuple[Sublayers, Floats]:
        own = self.values(unit)[:, self.model.experiment.slices["profile"]]
        return self.model.sublayers(own), own


@dataclass(frozen=True, kw_only=True, eq=False)
class CurveFits:
    """Where fits to many curves ended.

    Attributes:
        unit: Unit coordinates, shape (fit, free).
        rms: Of log10 of the intensity [1], shape (fit,).
        iterations: Jacobians that were computed, of all fits together.
    """

    unit: Floats
    rms: Floats
    iterations: int


def fit_curves(
    ideal: IdealCurves,
    measured: Floats,
    start: Floats,
    *,
    iterations: int,
    solved: float = 1e-7,
    smoothing: csr_array | None = None,
) -> CurveFits:
    """Bounded least squares on log10 of the intensity, every fit by itself, many at once (Levenberg-Marquardt).

    Steps follow narrow curved valleys: each is bent as the residuals bend along it (geodesic acceleration).
    Coordinates on a bound that the misfit presses them to are held for the step.

    Args:
        ideal: Of the curves.
        measured: log10 of the intensity, shape (fit, point).
        start: Unit coordinates, shape (fit, free).
        iterations: Of each fit at most.
        solved: A fit ends at this rms.
        smoothing: Taken of measured and simulated curves alike before they are compared, shape (point, point).

    References:
        Moré, Lecture Notes in Mathematics 630 (1978) 105, doi:10.1007/BFb0067700; Transtrum, Machta & Sethna,
        Phys. Rev. Lett. 104 (2010) 060201, doi:10.1103/PhysRevLett.104.060201 (the bend)
    """
    unit = np.clip(start, 0.0, 1.0)
    number = measured.shape[1]
    damping = np.full(len(unit), _FIRST_DAMPING)
    square = np.full(len(unit), np.inf)
    going, spent = np.arange(len(unit)), 0

    def off(unit: Floats, rows: NDArray[np.int64]) -> Floats:
        return _smooth(ideal.log10(unit) - measured[rows], smoothing)

    for _ in range(iterations):
        curve, jacobian = ideal.log10_with_jacobian(unit[going])
        spent += len(going)
        residual = _smooth(curve - measured[going], smoothing)
        jacobian = _smooth(jacobian, smoothing)
        square[going] = (residual**2).sum(axis=1)
        damped = _Damped.of(unit[going], residual, jacobian, damping[going])
        probed = damped.probe()
        tried = damped.tried(_curvature(residual, jacobian, off(probed, going), probed - unit[going]))
        reached = off(tried.reshape(-1, tried.shape[-1]), np.repeat(going, len(_TRIED)))
        reached = (reached**2).sum(axis=1).reshape(len(going), len(_TRIED))
        best = np.argmin(reached, axis=1)
        rows = np.arange(len(going))
        lower = reached[rows, best]
        better = lower < square[going]
        gain = 1 - lower / np.maximum(square[going], 1e-300)
        moved = going[better]
        unit[moved], square[moved] = tried[rows, best][better], lower[better]
        factor = np.where(better, _TRIED[best] * np.where(gain > 0.5, _GAIN, 1.0), _LOSS)
        damping[going] = np.maximum(damping[going] * factor, _LEAST_DAMPING)
        ended = (better & (gain < _END)) | (square[going] < number * solved**2) | (damping[going] > 1e8)
        going = going[~ended]
        if not len(going):
            break
    return CurveFits(unit=unit, rms=np.sqrt(square / number), iterations=spent)


def _in_blocks(work: Callable[[Floats], Any], unit: Floats) -> list[Any]:
    """What is found for blocks of curves, side by side."""
    parts = [unit[first : first + _TOGETHER] for first in range(0, len(unit), _TOGETHER)]
    if len(parts) == 1 or worker_count() == 1:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(worker_count()) as pool:
        return list(pool.map(work, parts))


def _smooth(values: Floats, smoothing: csr_array | None) -> Floats:
    """Values (fit, point) or (fit, point, free), smoothed over the points."""
    if smoothing is None:
        return values
    moved = np.moveaxis(values, 1, 0)
    smoothed = (smoothing @ moved.reshape(len(moved), -1)).reshape(moved.shape)
    return np.asarray(np.moveaxis(smoothed, 0, 1))


def _curvature(residual: Floats, jacobian: Floats, probed: Floats, moved: Floats) -> Floats:
    """Derivatives (fit, free) of half the sum of squares by how the residuals bend along the whole step.

    Args:
        residual: Shape (fit, point).
        jacobian: Its derivatives, shape (fit, point, free).
        probed: Residuals after a small share of the step, `_PROBE`, shape (fit, point).
        moved: That share, shape (fit, free).
    """
    straight = np.einsum("npk,nk->np", jacobian, moved)
    bent = 2 / _PROBE**2 * (probed - residual - straight)
    return np.asarray(np.einsum("npk,np->nk", jacobian, bent))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Damped:
    """Damped steps of some fits.

    Attributes:
        unit: Where they begin, shape (fit, free).
        free: What moves, shape (fit, free).
        matrices: Shape (fit, damping, free, free).
        steps: Shape (fit, damping, free).
    """

    unit: Floats
    free: NDArray[np.bool_]
    matrices: Floats
    steps: Floats

    @classmethod
    def of(cls, unit: Floats, residual: Floats, jacobian: Floats, damping: Floats) -> "_Damped":
        slope = np.einsum("npk,np->nk", jacobian, residual)
        square = np.swapaxes(jacobian, 1, 2) @ jacobian
        held = ((unit <= 0) & (slope > 0)) | ((unit >= 1) & (slope < 0))
        free = ~held
        slope = np.where(free, slope, 0.0)
        square = square * (free[:, None] & free[:, :, None])
        diagonal = np.einsum("nkk->nk", square)
        extra = (damping[:, None] * _TRIED)[..., None] * np.maximum(diagonal, 1e-12)[:, None] + held[:, None]
        matrices = square[:, None] + extra[..., None] * np.eye(unit.shape[1])
        steps = -np.linalg.solve(matrices, np.broadcast_to(slope[:, None, :, None], (*extra.shape, 1)))
        return cls(unit=unit, free=free, matrices=matrices, steps=steps[..., 0])

    def probe(self) -> Floats:
        """Places (fit, free) a small share of the least damped step away."""
        return np.clip(self.unit + _PROBE * self.steps[:, 0], 0.0, 1.0)

    def tried(self, curvature: Floats) -> Floats:
        """Places (fit, damping, free) that the steps lead to, the least damped one bent by half its curvature."""
        slope = np.where(self.free, curvature, 0.0)
        bend = -0.5 * np.linalg.solve(self.matrices[:, 0], slope[..., None])[..., 0]
        straight = np.linalg.norm(self.steps[:, 0], axis=1)
        longest = _MOST_BENT * straight / np.maximum(np.linalg.norm(bend, axis=1), 1e-300)
        places = self.unit[:, None] + self.steps
        places[:, 0] += bend * np.minimum(longest, 1.0)[:, None]
        return np.clip(places, 0.0, 1.0)
