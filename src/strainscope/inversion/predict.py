"""A profile held against a scan that it was not fitted to: only the instrument is."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strainscope.experiment import Experiment
from strainscope.inversion.joint import OF_THE_SAMPLE
from strainscope.inversion.likelihood import rms_log10
from strainscope.inversion.problem import prepare
from strainscope.inversion.refine import refine
from strainscope.scan import Scan

Floats = NDArray[np.float64]

_EVALUATIONS = 80


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What a profile makes of a scan.

    Attributes:
        fitted: Model at the scan's points, in its intensity unit, shape (point,).
        values: Of all parameters: the profile as given, the instrument as fitted.
        rms_log10: rms of log10 of the model over the measured, points with measured > 0.
        reduced_chi2: Sum of squared residuals by points less fitted parameters.
    """

    fitted: Floats
    values: Mapping[str, float]
    rms_log10: float
    reduced_chi2: float


def predict(
    scan: Scan,
    experiment: Experiment,
    *,
    profile: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
    held: Mapping[str, float],
    start: Mapping[str, float],
    model_error: float,
) -> Prediction:
    """The scan as a profile explains it that was found elsewhere, such as at another reflection.

    Args:
        scan: Measured.
        experiment: Sample and instrument of the scan.
        profile: Values of all parameters of the profile, and of others of the sample; more are left aside.
        bounds: Ranges of instrument parameters that replace the default ones.
        held: Values of instrument parameters that are not fitted.
        start: Their starting values where the scan does not suggest them.
        model_error: Relative error [1] granted to the model; 0 for none.

    Raises:
        ValueError: the scan does not fit the experiment, or a value of the profile is missing.
    """
    names = {spec.name for spec in experiment.profile.parameters}
    missing = sorted(names - set(profile))
    if missing:
        raise ValueError(f"{missing[0]} has no value: a prediction needs the whole profile.")
    known = {spec.name for spec in experiment.parameters}
    given = {name: profile[name] for name in (*names, *OF_THE_SAMPLE) if name in profile and name in known}
    problem = prepare(
        scan, experiment, bounds=bounds, held={**held, **given}, start=start, model_error=model_error
    )
    fit = refine(problem, problem.prior.to_unit(problem.base), most_evaluations=_EVALUATIONS)
    return Prediction(
        fitted=fit.model,
        values=dict(zip(problem.prior.names, fit.values.tolist(), strict=True)),
        rms_log10=rms_log10(scan.intensity, fit.model),
        reduced_chi2=fit.chi2 / max(len(fit.residuals) - len(problem.prior.free), 1),
    )
