"""How well simulated curves explain a scan, thousands a second: what the search minimises."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from strainscope.diffraction import choose_sublayers, no_sublayers
from strainscope.diffraction.engine import AngleTables, reflectivities
from strainscope.inversion.problem import Measurement, Problem

Floats = NDArray[np.float64]

_CURVES_AT_ONCE = 1024
# A misfit beyond this (in ln intensity) counts no more: one deep fringe out of place is not worse than wrong.
_CLIP = 1.0


class Ranking:
    """Misfit of profiles: mean clipped |ln(measured/model)| outside the main peak, scale profiled out.

    Args:
        problem: The scans prepared; the misfit is the mean of theirs.
        instrument: Values of all parameters: resolution, offset and background are taken from them.
        diffuse: Whether to add the diffuse scattering that these values give, whatever the profile ranked.
    """

    def __init__(self, problem: Problem, instrument: Floats, *, diffuse: bool = False) -> None:
        self._measurements = problem.coarse.measurements
        self._parts = [_Part(own, own.own(instrument), diffuse) for own in self._measurements]

    def __call__(self, values: Floats) -> Floats:
        """Misfits (draw,) of values of all parameters (draw, parameter); smaller is better."""
        scores = [part(own.own(values)) for own, part in zip(self._measurements, self._parts, strict=True)]
        return np.asarray(np.mean(scores, axis=0))


class _Part:
    """Misfit of profiles in one scan, from values of its own parameters."""

    def __init__(self, measurement: Measurement, instrument: Floats, diffuse: bool) -> None:
        self._model, features = measurement.model, measurement.features
        experiment = self._model.experiment
        _, _, log_background, _ = instrument[experiment.slices["scale"]]
        resolution = instrument[experiment.slices["resolution"]]
        x = self._model.position
        width = max(features.peak_fwhm_arcsec, 10.0)
        low = x.min() if features.low_edge_arcsec is None else features.low_edge_arcsec - 0.5 * width
        high = x.max() if features.high_edge_arcsec is None else features.high_edge_arcsec + 0.5 * width
        use = np.flatnonzero((x >= low) & (x <= high) & (np.abs(x - features.peak_arcsec) > 1.5 * width))
        use = use if use.size >= 10 else np.arange(len(x))
        likelihood = measurement.likelihood
        intensity, per_unit = likelihood.intensity, likelihood.counts_per_unit
        self._measured = np.maximum(intensity[use], 0.5 / per_unit)
        self._background = np.float32(10.0**log_background)
        scattered = self._model.diffuse(instrument) if diffuse else np.zeros(())
        to_points = self._model.to_points(instrument)[:, use]
        position = self._model.places(instrument)[use]
        # Angles near the substrate's peak hardly depend on the profile: one perfect crystal serves all.
        nodes = self._model.grid.node_arcsec
        margin = 1.5 * self._model.experiment.resolution.width(resolution) + 20
        near = (nodes > position.min() - margin) & (nodes < position.max() + margin)
        tables = self._model.tables_at(np.arange(len(nodes)))
        perfect = reflectivities(tables, no_sublayers())[0].astype(np.float64)
        fixed = np.where(near, 0.0, perfect) + scattered
        self._constant = np.asarray(sum(to_points[p] @ fixed[p] for p in range(2)), dtype=np.float32)
        self._nodes = np.flatnonzero(near)
        self._matrix = np.concatenate([rows[:, near] for rows in to_points], axis=1).T.astype(np.float32)

    @cached_property
    def _tables(self) -> AngleTables:
        return self._model.tables_at(self._nodes)

    def __call__(self, values: Floats) -> Floats:
        """Misfits (draw,) of values of its parameters (draw, parameter); smaller is better."""
        scores = np.empty(len(values))
        for first in range(0, len(values), _CURVES_AT_ONCE):
            scores[first : first + _CURVES_AT_ONCE] = self._misfits(values[first : first + _CURVES_AT_ONCE])
        return scores

    def _misfits(self, values: Floats) -> NDArray[np.float32]:
        experiment = self._model.experiment
        cells = choose_sublayers(
            experiment.profile,
            values[:, experiment.slices["profile"]],
            self._tables.exact,
            experiment.stack,
            tolerance=experiment.tolerance,
        )
        curves = reflectivities(self._tables, cells).reshape(len(values), -1) @ self._matrix + self._constant
        log_curve = np.log(np.maximum(curves, np.float32(1e-30)))
        signal = np.maximum(self._measured - self._background, 0.05 * self._measured)
        gap = np.log(signal).astype(np.float32) - log_curve
        # The median over every few points is the scale, good enough and quick.
        shift = np.median(gap[:, :: max(1, gap.shape[1] // 60)], axis=1)
        model = np.log(np.exp(log_curve + shift[:, None]) + self._background)
        residual = np.log(self._measured).astype(np.float32) - model
        return np.asarray(np.minimum(np.abs(residual), _CLIP).mean(axis=1), dtype=np.float32)
