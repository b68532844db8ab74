"""A scan as the sample would give it: values of the parameters, angles, counts."""

import reprlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from strainscope.crystal import ARCSEC, Reflection
from strainscope.experiment import Experiment, ScanModel
from strainscope.prior import Prior
from strainscope.sample.checks import check_value
from strainscope.sample.messages import hint, sentence
from strainscope.sample.scan_checks import relative_incidence
from strainscope.scan import Scan

LARGEST_COUNTS = 1e12
MOST_POINTS = 100_000
# Of an ordinary scan, where a simulation is told nothing else.
SIMULATED = {
    "diffuse_amplitude": 0.0,
    "lorentz_fraction": 0.2,
    "lorentz_low": 0.2,
    "lorentz_high": 0.2,
    "offset_arcsec": 0.0,
    "log10_scale": 0.0,
    "log10_background": -5.0,
    "background_slope": 0.0,
}


def simulated_values(
    given: Mapping[str, float], *, from_file: Mapping[str, float], prior: Prior, experiment: Experiment
) -> dict[str, float]:
    """A value of every parameter: as given, from the sample file, or else a middling one.

    Raises:
        ValueError: a name that does not exist, or a value where the model is not defined.
    """
    for name, value in given.items():
        if name not in prior.names:
            raise ValueError(sentence(f"unknown parameter {reprlib.repr(name)}{hint(name, prior.names)}"))
        check_value(prior.parameters[prior.names.index(name)], value, prior, experiment)
    usual = {name: value for name, value in SIMULATED.items() if name in prior.names}
    fixed = Prior(
        parameters=prior.parameters,
        constraints=prior.constraints,
        held={**usual, **from_file, **given},
    )
    values = fixed.from_unit(np.full(len(fixed.names), 0.5))
    experiment.profile.check(values[experiment.slices["profile"]])
    return dict(zip(fixed.names, values.tolist(), strict=True))


def simulated_scan(
    values: Mapping[str, float],
    *,
    experiment: Experiment,
    substrate: Reflection,
    axis: str,
    counts: float | None,
    seed: int,
    span: tuple[float, float] | None,
    step: float | None,
) -> tuple[Scan, dict[str, float]]:
    """A scan on that axis and the values that made it; the rest as :meth:`Sample.simulate` says."""
    values = dict(values)
    numbers = np.array([values[spec.name] for spec in experiment.parameters])
    angle = _angles(numbers, experiment, substrate, axis, span, step)
    blank = Scan(
        angle=angle,
        intensity=np.ones_like(angle),
        axis=axis,
        intensity_kind="normalised" if counts is None else "counts",
        name="simulated",
    )
    model = _model(numbers, experiment, substrate, blank)
    if counts is None:
        return replace(blank, intensity=model.expected(numbers)), values
    names = list(values)
    background, scale = 10.0 ** values["log10_background"], names.index("log10_scale")
    if not background < counts <= LARGEST_COUNTS:
        raise ValueError(
            f"counts = {counts:g}; they must be above the background, 10^log10_background "
            f"= {background:g} counts, and at most {LARGEST_COUNTS:g}."
        )
    # The background stays as given, so that only the rest is scaled; a slope of it is a small matter.
    numbers[scale] = 0.0
    signal = model.expected(numbers).max() - background
    values["log10_scale"] = numbers[scale] = float(np.log10((counts - background) / signal))
    noisy = np.random.default_rng(seed).poisson(model.expected(numbers)).astype(np.float64)
    return replace(blank, intensity=noisy), values


def _angles(
    numbers: NDArray[np.float64],
    experiment: Experiment,
    substrate: Reflection,
    axis: str,
    span: tuple[float, float] | None,
    step: float | None,
) -> NDArray[np.float64]:
    """Angles of a simulated scan, in the axis's unit."""
    resolution = experiment.resolution.width(numbers[experiment.slices["resolution"]])
    width = max(resolution, substrate.darwin_width() / ARCSEC)
    strain = experiment.profile.strain
    largest, depth = strain.maximum(numbers[: len(strain.parameters)])
    size = float(largest) * float(np.sign(strain.evaluate([depth], numbers[: len(strain.parameters)])[0]))
    shifts = [0.0, size, *(film.mismatch + size for film in experiment.stack.layers[:-1])]
    places = [-shift / substrate.strain_per_arcsec for shift in shifts]
    margin = 0.15 * (max(places) - min(places)) + 6 * width
    # Degrees of the axis for one arcsec of incidence, and where the Bragg position is on it.
    unit, zero = {
        "delta-theta-arcsec": (1.0, 0.0),
        "omega-deg": (np.degrees(ARCSEC), np.degrees(substrate.incidence_angle)),
        "two-theta-deg": (2 * np.degrees(ARCSEC), 2 * np.degrees(substrate.bragg_angle)),
    }[axis]
    if step is None:
        step = float(f"{unit * width / 9:.1g}")
    first, last = span or (zero + unit * (min(places) - margin), zero + unit * (max(places) + margin))
    if span is None:
        first = step * np.floor(first / step)
    if not (step > 0 and first < last and (last - first) / step < MOST_POINTS):
        raise ValueError(
            f"range {first:g} to {last:g} in steps of {step:g}; the first must be < the last, the step "
            f"> 0, and the points fewer than {MOST_POINTS}."
        )
    return np.asarray(np.round(first + step * np.arange(int((last - first) / step + 1e-9) + 1), 9))


def _model(
    numbers: NDArray[np.float64], experiment: Experiment, substrate: Reflection, scan: Scan
) -> ScanModel:
    """The model of a simulated scan, with just the room that its own values need."""
    where = experiment.slices
    width = max(experiment.resolution.width(numbers[where["resolution"]]), 1.0)
    own, offset = numbers[where["profile"]], float(numbers[where["scale"]][0])
    extent = experiment.profile.extent(own, strain_tolerance=1e-5, factor_tolerance=1e-3)
    return ScanModel(
        experiment=experiment,
        position=relative_incidence(scan, substrate),
        fringe_depth=max(float(extent), 1000.0),
        narrowest_fwhm_arcsec=width,
        # Room for the tails of any resolution beside the scan.
        widest_fwhm_arcsec=4 * width,
        offset_range=(offset, offset),
    )
