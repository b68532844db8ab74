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
from strainscope.sample.messages import hint, sentence, with_unit
from strainscope.sample.scan_checks import relative_incidence
from strainscope.scan import UNITS, Scan

LARGEST_COUNTS = 1e12
MOST_DARWIN_WIDTHS = 8.0
MOST_POINTS = 100_000
# Of an ordinary scan, where a simulation is told nothing else.
USUAL = {
    "diffuse_amplitude": 0.0,
    "lorentz_fraction": 0.2,
    "lorentz_low": 0.2,
    "lorentz_high": 0.2,
    "offset_arcsec": 0.0,
    "log10_scale": 0.0,
    "log10_background": -5.0,
    "background_slope": 0.0,
    "miscut_deg": 0.0,
}
# The background of counts: this share of the peak, and at least one count.
BACKGROUND_SHARE = 10.0 ** USUAL["log10_background"]
# Their bounds are placed by the scan, where the sample file gives none.
PLACED = ("offset_arcsec", "log10_scale", "log10_background")


def simulated_values(
    given: Mapping[str, float],
    *,
    from_file: Mapping[str, float],
    prior: Prior,
    experiment: Experiment,
    counts: float | None = None,
) -> dict[str, float]:
    """A value of every parameter: as given, from the sample file, a usual one, or else a middling one.

    Raises:
        ValueError: a name that does not exist, or a value where the model is not defined.
    """
    for name, value in given.items():
        if name not in prior.names:
            raise ValueError(sentence(f"unknown parameter {reprlib.repr(name)}{hint(name, prior.names)}"))
        check_value(prior.parameters[prior.names.index(name)], value, prior, experiment)
    usual = {name: value for name, value in USUAL.items() if name in prior.names}
    if counts is not None and counts > 0:
        usual["log10_background"] = float(np.log10(max(1.0, BACKGROUND_SHARE * counts)))
    fixed = Prior(
        parameters=prior.parameters,
        constraints=prior.constraints,
        held={**usual, **from_file, **given},
    )
    values = fixed.from_unit(np.full(len(fixed.names), 0.5))
    experiment.profile.check(values[experiment.slices["profile"]])
    return dict(zip(fixed.names, values.tolist(), strict=True))


def simulation_notes(
    values: Mapping[str, float],
    *,
    given: Mapping[str, float],
    from_file: Mapping[str, float],
    prior: Prior,
    bounds: Mapping[str, tuple[float, float]],
    counted: bool,
) -> tuple[str, ...]:
    """What a simulation took for values that were not set, and those that an inversion would not find.

    Args:
        values: Of every parameter, as used.
        given: Those that were set.
        from_file: Those that the sample file starts or holds.
        prior: What an inversion searches, but for the parameters that the scan places.
        bounds: Those of the sample file.
        counted: Whether the scan is of counts, which set the scale.

    Returns:
        One sentence each.
    """
    shown = {s.name: with_unit(f"{s.name} = {values[s.name]:.4g}", s.unit) for s in prior.parameters}
    known = {*given, *from_file, *(["log10_scale"] if counted else [])}
    unset = [name for name in prior.names if name not in known]
    kinds = {
        "taken as usual": [name for name in unset if name in USUAL],
        "taken as the middle of their priors": [name for name in unset if name not in USUAL],
    }
    notes = [
        f"not set, {how}: {', '.join(shown[n] for n in names)}." for how, names in kinds.items() if names
    ]
    for spec in prior.parameters:
        value, held = values[spec.name], prior.held.get(spec.name)
        if held is not None and held != value:
            notes.append(
                f"{shown[spec.name]}, but invert would hold it at {with_unit(f'{held:g}', spec.unit)}."
            )
        searched = held is None and (spec.name not in PLACED or spec.name in bounds)
        if searched and not spec.lower <= value <= spec.upper:
            limits = with_unit(f"{spec.lower:g} to {spec.upper:g}", spec.unit)
            notes.append(
                f"{shown[spec.name]} lies outside what invert would search, {limits}; to fit this scan, "
                f"widen fit.{spec.name}.bounds in the sample file."
            )
    return tuple(notes)


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
            f"= {background:g} counts, and at most {LARGEST_COUNTS:g}. Change one of them."
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
    _check_range(span, step, UNITS[axis])
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
    points = (last - first) / step
    if points >= MOST_POINTS:
        raise ValueError(
            f"range {first:g} to {last:g} {UNITS[axis]} in steps of {step:g} {UNITS[axis]} has {points:.3g} "
            f"points; they must be fewer than {MOST_POINTS}. Give a larger step or a smaller range."
        )
    return np.asarray(np.round(first + step * np.arange(int(points + 1e-9) + 1), 9))


def _check_range(span: tuple[float, float] | None, step: float | None, unit: str) -> None:
    """Raise unless the range and the step that were asked for can be ones."""
    if step is not None and not 0 < step < np.inf:
        raise ValueError(f"step = {step:g} {unit}; it must be > 0 {unit}.")
    if span is not None and not -np.inf < span[0] < span[1] < np.inf:
        raise ValueError(f"range {span[0]:g} to {span[1]:g} {unit}; the first must be < the last.")


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
        # A peak much narrower than the resolution must not fall between the simulated angles.
        narrowest_fwhm_arcsec=min(width, MOST_DARWIN_WIDTHS * substrate.darwin_width() / ARCSEC),
        # Room for the tails of any resolution beside the scan.
        widest_fwhm_arcsec=4 * width,
        offset_range=(offset, offset),
    )
