"""The frozen test set `lab`: scans of implanted GGG 444 as laboratories measure them.

Judged are the profile, the disorder, the diffuse scattering and the resolution. Offset, scale and background are left
out: what they are of a scan follows from its noise, which no hash of parameters can hold.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from strainscope.evaluation.cramer_rao import scan_bounds
from strainscope.evaluation.rows import rounded
from strainscope.evaluation.test_sets import (
    DIGITS,
    SIZE,
    Curves,
    Floats,
    FrozenTestSet,
    parameters_sha256,
    register,
)
from strainscope.measurement import (
    BLOCK,
    CHANNELS,
    LATTICE,
    TOLD,
    LabBatch,
    LabSettings,
    LabSimulator,
    NetworkGrid,
    Targets,
    drawn_block,
)
from strainscope.sample import Sample, load_sample

LAB_SEED = 926_311
"""Of the set `lab`; trainings must not use it."""

_SAMPLE = "ggg444"
_LEFT_OUT = ("offset_arcsec", "log10_scale", "log10_background")
_SHA256 = "fd2b0fec3c31db5b6a5af60d39af6bf2fa8c385b95f88e619498830ef0b955d7"


def rows_of(batch: LabBatch) -> NDArray[np.float32]:
    """Scans as the rows that `estimator.features.ScanFeatures` reads, shape (scan, row)."""
    return np.concatenate([batch.channels.reshape(len(batch), -1), batch.told], axis=1)


def scan_set(
    name: str,
    sample: Sample,
    settings: LabSettings,
    *,
    seed: int,
    title: str,
    origin: str,
    sha256: str | None = None,
) -> FrozenTestSet:
    """Scans of a sample as the simulator gives them; see `FrozenTestSet`. Without a hash, that of what is drawn."""
    experiment, prior = sample.experiment(), sample.prior()
    # Heights of the peak set the bounds of scale and background alone.
    targets = Targets(experiment=experiment, prior=prior, settings=settings, peak_heights=(1.0, 1.0))
    grid = NetworkGrid()
    names = targets.names[: -len(_LEFT_OUT)]
    counts = len(CHANNELS) * grid.number + (*LATTICE, *TOLD).index("log10_peak_counts")

    @cache
    def simulator() -> LabSimulator:
        return LabSimulator(sample, settings, seed=seed)

    def drawn(block: int) -> Floats:
        profiles, _, instruments = drawn_block(sample, settings, seed=seed, block=block)
        others = (
            np.log10(instruments.diffuse_amplitude),
            instruments.correlation_length,
            instruments.fwhm_arcsec,
            instruments.lorentz_fraction,
        )
        return np.concatenate([profiles, np.stack(others, axis=1)], axis=1)

    def draw() -> Floats:
        return np.concatenate([drawn(k) for k in range(-(-SIZE // BLOCK))])[:SIZE]

    def simulate(parameters: Floats, first: int, last: int) -> Curves:
        return rows_of(simulator().scans(first, last))

    def columns(parameters: Floats) -> dict[str, Floats]:
        family = experiment.profile.strain
        strain = family.maximum(parameters[:, : len(family.parameters)])[0]
        disorder = {"disorder": parameters[:, names.index("K")]} if "K" in names else {}
        return {"maximum_strain": strain, **disorder}

    def bounds(number: int) -> Floats:
        return scan_bounds(simulator(), number)[:, : len(names)]

    return FrozenTestSet(
        name=name,
        title=title,
        origin=origin,
        names=names,
        units=tuple(targets.units[name] for name in names),
        bounds={name: targets.bounds[name] for name in names},
        constraints=experiment.constraints,
        angle_arcsec=grid.at(experiment.stack).centre,
        sha256=parameters_sha256(rounded(draw(), DIGITS)) if sha256 is None else sha256,
        draw=draw,
        simulate=simulate,
        columns=columns,
        seen_columns=lambda rows: {"log10_peak_counts": 5 + 2 * rows[:, counts].astype(np.float64)},
        cramer_rao=bounds,
        identity={"sample": sample.settings(), "scans": settings.model_dump(mode="json"), "seed": seed},
    )


def _lab() -> FrozenTestSet:
    return scan_set(
        "lab",
        load_sample(_SAMPLE),
        LabSettings(),
        seed=LAB_SEED,
        title="Implanted GGG 444 as laboratories measure it, with counting noise",
        origin=f"the first {SIZE:,} simulated scans of the sample {_SAMPLE}, seed {LAB_SEED}",
        sha256=_SHA256,
    )


register("lab", _lab)
