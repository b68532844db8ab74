"""Whether the model is defined at every number that a sample file gives for its parameters."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from strainscope.experiment import LARGEST_MISCUT_DEG, Experiment
from strainscope.prior import Prior
from strainscope.profile import UNIFORM, ParameterSpec, Parametrised, Tabulated
from strainscope.sample.base import LARGEST_STRAIN, strain_problem
from strainscope.sample.messages import at_key, with_unit
from strainscope.sample.parts import FitSettings

UNBOUNDED = 1e9
PLACED_BY_THE_SCAN = ("offset_arcsec", "log10_scale", "log10_background")
# What no bounds can be widened beyond, for the parameters that no family checks.
DOMAINS = {
    "diffuse_amplitude": (0.0, np.inf),
    "correlation_length": (0.1, np.inf),
    "log10_scale": (-30.0, 30.0),
    "log10_background": (-30.0, 30.0),
    "background_slope": (-1.0, 1.0),
    "miscut_deg": (-LARGEST_MISCUT_DEG, LARGEST_MISCUT_DEG),
}


def check_fit(fit: Mapping[str, FitSettings], prior: Prior, experiment: Experiment) -> None:
    """Raise unless every number of `fit` is allowed.

    Raises:
        ValueError: the message names the key.
    """
    # What is held goes into the checks of the bounds, so it comes first.
    for spec in sorted(prior.parameters, key=lambda spec: spec.name not in prior.held):
        own = fit.get(spec.name)
        if own is None:
            continue
        if own.start is not None and not spec.lower <= own.start <= spec.upper:
            raise ValueError(
                f"fit.{spec.name}.start = {own.start:g}; it must lie in its bounds, "
                f"{with_unit(f'{spec.lower:g} to {spec.upper:g}', spec.unit)}"
            )
        if own.mean is not None:
            _check_mean(spec, own.mean)
        for value in own.bounds or ():
            with at_key(f"fit.{spec.name}.bounds"):
                check_value(spec, value, prior, experiment)
        if own.value is not None:
            with at_key(f"fit.{spec.name}.value"):
                check_value(spec, own.value, prior, experiment)


def _check_mean(spec: ParameterSpec, mean: float) -> None:
    """Raise unless a parameter can be given a mean, and has it between its bounds."""
    if spec.name in PLACED_BY_THE_SCAN:
        raise ValueError(
            f"fit.{spec.name}.mean = {mean:g}; {spec.name} is placed by what the scan shows: give bounds"
        )
    if not spec.lower <= mean <= spec.upper:
        raise ValueError(
            f"fit.{spec.name}.mean = {mean:g}; it must lie in its bounds, "
            f"{with_unit(f'{spec.lower:g} to {spec.upper:g}', spec.unit)}"
        )


def check_value(spec: ParameterSpec, value: float, prior: Prior, experiment: Experiment) -> None:
    """Raise unless the model is defined at that value of one parameter."""
    if not np.isfinite(value):
        raise ValueError(f"{spec.name} = {value:g}; it must be finite")
    lower, upper = DOMAINS.get(spec.name, (-np.inf, np.inf))
    if not lower <= value <= upper:
        limit = f"be >= {lower:g}" if np.isinf(upper) else f"lie in {lower:g} to {upper:g}"
        limit = with_unit(limit, spec.unit)
        raise ValueError(f"{with_unit(f'{spec.name} = {value:g}', spec.unit)}; it must {limit}")
    if abs(value) > LARGEST_STRAIN and _is_strain(spec.name, experiment):
        raise ValueError(strain_problem(f"{spec.name} = {value:g}", value))
    try:
        # With the others where the constraints let them be.
        here = Prior(
            parameters=prior.parameters, constraints=prior.constraints, held={**prior.held, spec.name: value}
        )
    except ValueError:
        # The constraints exclude this end of the bounds, though not all of them.
        _check_alone(spec, value, prior, experiment)
        return
    values = here.from_unit(np.full(len(prior.names), 0.5))
    parts: tuple[tuple[str, Parametrised], ...] = (
        ("profile", experiment.profile),
        ("resolution", experiment.resolution),
    )
    for part, family in parts:
        where = experiment.slices[part]
        if spec.name in prior.names[where]:
            family.check(values[where])


def _check_alone(spec: ParameterSpec, value: float, prior: Prior, experiment: Experiment) -> None:
    """Raise if the profile is undefined at that value of one parameter, whatever the others are."""
    free = tuple(replace(s, lower=-UNBOUNDED, upper=UNBOUNDED, shape=UNIFORM) for s in prior.parameters)
    here = Prior(parameters=free, constraints=prior.constraints, held={spec.name: value})
    values = here.from_unit(np.full(len(prior.names), 0.5))
    try:
        experiment.profile.check(values[experiment.slices["profile"]])
    except ValueError as error:
        # Of the others, anything may be wrong here.
        if str(error).startswith(f"{spec.name} "):
            raise


def _is_strain(name: str, experiment: Experiment) -> bool:
    """Whether the parameter is a strain; a table's amplitude is a factor."""
    family = experiment.profile.strain
    return name in family.amplitude_names and not isinstance(family, Tabulated)
