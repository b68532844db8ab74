"""Curves as earlier programs made them: equal sublayers with the strain at their middles, however thick.

Sublayers above about 80 Å reflect as a superlattice of their own within the range of the curves, so these curves are
wrong; what that does to datasets, and to networks that are trained on them, is measured with them.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from strainscope.crystal import ARCSEC
from strainscope.dataset.plan import Plan
from strainscope.dataset.simulate import BLOCK, Simulator
from strainscope.dataset.store import DatasetWriter, Layout, read_attributes
from strainscope.diffraction import Sublayers
from strainscope.diffraction import reference as slow
from strainscope.diffraction.sublayers import PHASE_LIMIT

# Where a profile counts as over: strain, and 1 - E.
_OVER = 1e-7


def midpoint_curve(simulator: Simulator, values: np.ndarray, dl: float) -> np.ndarray:
    """Reflectivity at the simulated angles, sublayers of dl [Å] with the strain at their middles, (2, node).

    The reference engine, without the check that refuses cells above 55 Å here.
    """
    experiment = simulator.model.experiment
    own = values[experiment.slices["profile"]]
    depth = experiment.profile.extent(own[None], strain_tolerance=_OVER, factor_tolerance=_OVER)[0]
    count = int(np.ceil(depth / dl))
    upper = dl * np.arange(count)
    strain, factor = experiment.profile.evaluate(upper + 0.5 * dl, own)
    cells = Sublayers(
        thickness=np.full(count, float(dl)),
        strain=np.repeat(strain[:, None], 2, axis=1),
        debye_waller=np.repeat(factor[:, None], 2, axis=1),
        layer=np.zeros(count, dtype=np.int64),
        upper=upper,
    )
    theta = experiment.stack.incidence_angle + ARCSEC * simulator.model.grid.node_arcsec
    return slow.reflectivity(theta, experiment.stack, cells)


class CoarseSimulator(Simulator):
    """The same curves as `midpoint_curve`, with the fast engine, behind the resolution.

    Args:
        plan: Of a bare substrate; only strain and disorder vary.
        dl: Thickness of the sublayers [Å].

    Raises:
        ValueError: another plan.
    """

    def __init__(self, plan: Plan, dl: float) -> None:
        super().__init__(plan)
        self.dl = dl
        if not self.linear or len(self.model.experiment.stack.layers) > 1:
            raise ValueError(
                f"{plan.title}: coarse sublayers are for bare substrates whose instrument does not vary; "
                "use a plan such as balanced-1m."
            )

    def sublayers(self, values: np.ndarray) -> Sublayers:
        """Cells of some samples, from the values of all parameters, shape (curve, all)."""
        experiment = self.model.experiment
        own = values[:, experiment.slices["profile"]]
        depth = experiment.profile.extent(own, strain_tolerance=_OVER, factor_tolerance=_OVER)
        upper = self.dl * np.arange(max(1, int(np.ceil(depth.max() / self.dl))))
        middles = np.broadcast_to(upper + 0.5 * self.dl, (len(own), upper.size))
        strain, factor = experiment.profile.evaluate(middles, own)
        # Splitting a uniform sublayer changes nothing, and the fast engine's polynomials want thin ones.
        parts = self._parts(strain)
        inside = np.repeat(upper < depth[:, None], parts, axis=1)
        edges = (upper[:, None] + self.dl / parts * np.arange(parts)).ravel()
        return Sublayers(
            thickness=np.where(inside, self.dl / parts, 0.0),
            strain=_for_both_points(strain, parts),
            debye_waller=_for_both_points(factor, parts),
            layer=np.zeros(inside.shape, dtype=np.int64),
            upper=np.broadcast_to(edges, inside.shape),
        )

    def _parts(self, strain: np.ndarray) -> int:
        """Into how many a sublayer is split."""
        exact = self.tables.exact
        ends = np.array([strain.min(), 0.0, strain.max()])[:, None]
        phase = 0.5 * np.abs(exact.detuning.real[0] + ends * exact.strain_response.real[0]).max()
        return max(1, int(np.ceil(self.dl * phase / PHASE_LIMIT)))


def _for_both_points(values: np.ndarray, parts: int) -> np.ndarray:
    """Values of sublayers (curve, sublayer) at both Gauss points of all their parts, (curve, cell, 2)."""
    return np.repeat(np.repeat(values, parts, axis=1)[..., None], 2, axis=-1)


def write_coarse(
    plan: Plan, path: Path, dl: float, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> int:
    """Write a dataset with a plan's parameters and coarse curves, or what is missing of it.

    The store says of itself what a converged one says: `generate` takes it as complete, and so does every reader. Its
    folder has to say what it is.

    Args:
        plan: Of the dataset.
        path: Of the store.
        dl: Thickness of the sublayers [Å].
        progress: Called with the samples done and their total.

    Returns:
        Number of samples that were simulated now.

    Raises:
        ValueError: there is another plan's dataset.
    """
    layout = Layout(plan=plan)
    if (path / "zarr.json").exists() and read_attributes(path)["plan"] != plan.identity()["plan"]:
        raise ValueError(f"{path}: is of another plan; name another folder.")
    writer = DatasetWriter(path, layout)
    finished = writer.create()
    writer.place.clear_partial()
    missing = [shard for shard in range(layout.shards) if not writer.intact(shard)]
    if finished and missing:
        writer.reopen()
    simulator, made = CoarseSimulator(plan, dl), 0
    done = plan.size - sum(last - first for first, last in map(layout.span, missing))
    for shard in missing:
        writer.discard(shard)
        values = plan.draws.values(*layout.span(shard))
        blocks = [simulator.simulate(values[first : first + BLOCK]) for first in range(0, len(values), BLOCK)]
        writer.write(shard, values, np.concatenate(blocks))
        made += len(values)
        progress(done + made, plan.size)
    if missing or not finished:
        writer.finish()
    return made
