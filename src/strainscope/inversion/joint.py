"""Several reflections of one sample: one profile behind all scans, an instrument of its own for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from strainscope.experiment import Experiment
from strainscope.inversion.problem import Problem, prepare
from strainscope.prior import Prior
from strainscope.scan import Scan

# Besides the profile, what belongs to the sample rather than to one measurement of it.
OF_THE_SAMPLE = ("correlation_length", "miscut_deg")


@dataclass(frozen=True, kw_only=True, eq=False)
class Companion:
    """Another scan of a sample.

    Attributes:
        label: Ends the names of its own parameters: fwhm_arcsec_888.
        scan: As measured.
        experiment: Its reflection and instrument; its profile has the families of the first one, with the power that
            its reflection asks for.
        bounds, held, start: As for the first one, by the names in its own experiment.
    """

    label: str
    scan: Scan
    experiment: Experiment
    bounds: Mapping[str, tuple[float, float]]
    held: Mapping[str, float]
    start: Mapping[str, float]


def join(first: Problem, others: Sequence[tuple[str, Problem]]) -> Problem:
    """One problem of several: the profile is shared, and so is what else is the sample's.

    Args:
        first: Its parameters keep their names, bounds and places.
        others: Labels and problems of one scan each.
    """
    parameters, base = list(first.prior.parameters), list(first.base)
    held, measurements = dict(first.prior.held), list(first.measurements)
    for label, problem in others:
        own = problem.measurements[0]
        shared = {spec.name for spec in own.model.experiment.profile.parameters} | set(OF_THE_SAMPLE)
        names = [spec.name for spec in parameters]
        columns = []
        for spec, value in zip(problem.prior.parameters, problem.base, strict=True):
            if spec.name in shared and spec.name in names:
                columns.append(names.index(spec.name))
                continue
            name = f"{spec.name}_{label}"
            columns.append(len(parameters))
            parameters.append(replace(spec, name=name))
            base.append(value)
            if spec.name in problem.prior.held:
                held[name] = problem.prior.held[spec.name]
        measurements.append(replace(own, columns=np.array(columns), label=label))
    prior = Prior(parameters=tuple(parameters), constraints=first.prior.constraints, held=held)
    return Problem(measurements=tuple(measurements), prior=prior, base=np.array(base, dtype=np.float64))


def prepare_joint(first: Problem, companions: Sequence[Companion], *, model_error: float) -> Problem:
    """A first scan's problem with those of others joined to it.

    Raises:
        ValueError: as `prepare`, for any of them.
    """
    others = []
    for own in companions:
        problem = prepare(
            own.scan,
            own.experiment,
            bounds=own.bounds,
            held=own.held,
            start=own.start,
            model_error=model_error,
        )
        others.append((own.label, problem))
    return join(first, others) if others else first
