"""Curves of a plan's samples: float32, in blocks of a fixed size, so that their bytes do not depend on who asks."""

from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from strainscope.dataset.plan import Plan
from strainscope.diffraction import Sublayers, choose_sublayers
from strainscope.diffraction.engine import AngleTables, reflectivities
from strainscope.experiment import ScanModel
from strainscope.inversion.problem import fringe_depth

Floats = NDArray[np.float64]
Curves = NDArray[np.float32]

BLOCK = 1024
"""Curves that are simulated together; block k holds samples k × BLOCK to (k + 1) × BLOCK - 1."""

# What a tolerance of 1e-3 (rms of log10 behind the resolution) needs, with room to spare: `audit` measures it.
_SUBLAYER_TOLERANCE = 1e-2  # before the resolution
_POINTS_PER_FRINGE, _POINTS_PER_FILM_FRINGE = 4.5, 7.5


class Simulator:
    """The curves of a plan.

    Args:
        plan: Sample, parameters, angles.
        refinement: 1 for the dataset itself; larger for curves to check it by: sublayers and angles finer by more.

    Attributes:
        model: The scan that each curve is.
        fixed: Values of all parameters, of which those that the plan does not vary count, shape (all,).
        linear: Whether the instrument is the same for all curves.
    """

    def __init__(self, plan: Plan, *, refinement: float = 1.0) -> None:
        self.plan = plan
        experiment = plan.sample_settings.experiment()
        self.fixed = plan.with_held(plan.draws.values(0, 1))[0]
        resolution = experiment.slices["resolution"]
        self._varies = [list(plan.units).index(name) for name in plan.names]
        first_other = experiment.slices["profile"].stop
        # Where the instrument is the same for all, it is one matrix.
        self.linear = max(self._varies) < first_other and not experiment.diffuse
        # The grid has to serve every sample of the plan, so that it is the same for a part of it.
        ends = plan.with_held(np.array([plan.bounds()[name] for name in plan.names]).T)
        widths = [experiment.resolution.width(row) for row in ends[:, resolution]]
        offsets = ends[:, experiment.slices["scale"].start]
        # Interpolation errs by the fifth or sixth power of the spacing, sublayers by the fourth of their thickness.
        fineness = refinement * max(1.0, 1e-3 / plan.tolerance) ** 0.25
        films = len(experiment.stack.layers) > 1
        self.model = ScanModel(
            experiment=replace(experiment, tolerance=_SUBLAYER_TOLERANCE / fineness**4),
            position=plan.angle_arcsec,
            fringe_depth=fringe_depth(experiment, plan.bounds()),
            narrowest_fwhm_arcsec=max(min(widths), 1.0) / fineness,
            widest_fwhm_arcsec=max(*widths, 1.0),
            offset_range=(float(offsets.min()) - 30.0, float(offsets.max()) + 30.0),
            points_per_fringe=fineness * (_POINTS_PER_FILM_FRINGE if films else _POINTS_PER_FRINGE),
        )

    def curves(self, block: int) -> Curves:
        """Curves of one block of samples, shape (<= BLOCK, angle), angles growing towards larger θ."""
        varying = self.plan.draws.values(block * BLOCK, min((block + 1) * BLOCK, self.plan.size))
        return self.simulate(varying, together=BLOCK)

    def simulate(self, varying: Floats, *, together: int = 0) -> Curves:
        """Curves of given values of the parameters that vary, shape (curve, parameter).

        Args:
            varying: The values.
            together: Rows of the matrix product at least: its last digit depends on how many there are.
        """
        values = self.plan.with_held(varying)
        if not self.linear:
            return np.array([self.model.expected(row) for row in values], dtype=np.float32)
        model = self.model
        _, log_scale, log_background, slope = values[0, model.experiment.slices["scale"]]
        cells = self.sublayers(values)
        reflected = reflectivities(self.tables, cells).reshape(len(values), -1)
        padded = np.zeros((max(together - len(values), 0), reflected.shape[1]), dtype=reflected.dtype)
        seen = (np.concatenate([reflected, padded]) @ self.matrix)[: len(values)]
        background = 10.0**log_background * (1 + slope * model.lever)
        return np.asarray(10.0**log_scale * seen + background, dtype=np.float32)

    def sublayers(self, values: Floats) -> Sublayers:
        """Cells of some samples, from the values of all parameters, shape (curve, all)."""
        experiment = self.model.experiment
        return choose_sublayers(
            experiment.profile,
            values[:, experiment.slices["profile"]],
            self.tables.exact,
            experiment.stack,
            tolerance=experiment.tolerance,
        )

    @cached_property
    def tables(self) -> AngleTables:
        """Of the simulated angles."""
        return self.model.tables_at(np.arange(len(self.model.grid.node_arcsec)))

    @cached_property
    def matrix(self) -> Curves:
        """From reflectivities (polarization × node) to the points."""
        matrices = self.model.to_points(self.fixed)
        return np.concatenate(list(matrices), axis=1).T.astype(np.float32)
