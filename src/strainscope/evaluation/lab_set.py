"""The frozen test set `lab`: scans of implanted GGG 444 as laboratories measure them."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from strainscope.evaluation.cramer_rao import scan_bounds
from strainscope.evaluation.test_sets import SIZE, Curves, Floats, FrozenTestSet, register
from strainscope.measurement import (
    BLOCK,
    CHANNELS,
    LATTICE,
    TOLD,
    LabBatch,
    LabSettings,
    LabSimulator,
    NetworkGrid,
    profile_block,
)
from strainscope.sample import load_sample

LAB_SEED = 926_311
"""Of the set `lab`; trainings must not use it."""

_SAMPLE = "ggg444"
_SHA256 = "c55b8789e95c9d77418ea97b6dc72fcd614aaf980e68b45911063b091a7a5eac"


def rows_of(batch: LabBatch) -> NDArray[np.float32]:
    """Scans as the rows that `estimator.features.ScanFeatures` reads, shape (scan, row)."""
    return np.concatenate([batch.channels.reshape(len(batch), -1), batch.told], axis=1)


def _lab() -> FrozenTestSet:
    sample, settings = load_sample(_SAMPLE), LabSettings()
    experiment, prior = sample.experiment(), sample.prior()
    profile, grid = experiment.profile, NetworkGrid()
    names = tuple(spec.name for spec in profile.parameters)
    counts = len(CHANNELS) * grid.number + (*LATTICE, *TOLD).index("log10_peak_counts")

    @cache
    def simulator() -> LabSimulator:
        return LabSimulator(sample, settings, seed=LAB_SEED)

    def draw() -> Floats:
        blocks = [profile_block(sample, seed=LAB_SEED, block=k) for k in range(-(-SIZE // BLOCK))]
        return np.concatenate(blocks)[:SIZE]

    def simulate(parameters: Floats, first: int, last: int) -> Curves:
        return rows_of(simulator().scans(first, last))

    def columns(parameters: Floats) -> dict[str, Floats]:
        strain = profile.strain.maximum(parameters[:, : len(profile.strain.parameters)])[0]
        return {"maximum_strain": strain, "disorder": parameters[:, names.index("K")]}

    def bounds(number: int) -> Floats:
        return scan_bounds(simulator(), number)[:, : len(names)]

    return FrozenTestSet(
        name="lab",
        title="Implanted GGG 444 as laboratories measure it, with counting noise",
        origin=f"the first {SIZE:,} simulated scans of the sample {_SAMPLE}, seed {LAB_SEED}",
        names=names,
        units=tuple(spec.unit for spec in profile.parameters),
        bounds={s.name: (s.lower, s.upper) for s in prior.parameters if s.name in names},
        constraints=experiment.constraints,
        angle_arcsec=grid.at(experiment.stack).centre,
        sha256=_SHA256,
        draw=draw,
        simulate=simulate,
        columns=columns,
        seen_columns=lambda rows: {"log10_peak_counts": 5 + 2 * rows[:, counts].astype(np.float64)},
        cramer_rao=bounds,
        identity={"sample": sample.settings(), "scans": settings.model_dump(mode="json"), "seed": LAB_SEED},
    )


register("lab", _lab)
