"""The instrument alone, fitted to a scan of a crystal that nothing was done to."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from strainscope.experiment import Experiment
from strainscope.inversion.chance import misfit_chance
from strainscope.inversion.likelihood import rms_log10
from strainscope.inversion.pareto import FEWEST_DRAWS, WORST_PARETO, pareto_shape
from strainscope.inversion.problem import Problem, prepare
from strainscope.inversion.refine import Fit, refine_many
from strainscope.inversion.sampling import sample
from strainscope.inversion.scan_doubts import doubts_of, unlikely
from strainscope.inversion.settings import PosteriorSettings
from strainscope.inversion.spread import noise_spread
from strainscope.inversion.target import Target
from strainscope.inversion.verdict import doubtful, misses, worst_part
from strainscope.profile import DepthProfile, NoStrain
from strainscope.scan import Scan

Floats = NDArray[np.float64]

_STARTS, _EVALUATIONS, _TOLERANCE = 12, 100, 1e-6
_DRAWS = PosteriorSettings()


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """What a reference says of one parameter of the resolution.

    Attributes:
        value: Of the best fit.
        mean: Of the posterior.
        sd: Its standard deviation.
        unit: "1" or "arcsec".
    """

    value: float
    mean: float
    sd: float
    unit: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """The instrument as a reference shows it.

    Attributes:
        scan: The reference.
        fitted: Model at its points, in its intensity unit, shape (point,).
        parameters: Those of the resolution that were free, by name.
        rms_log10: rms of log10 fitted over measured, points with measured > 0.
        reduced_chi2: Sum of squared weighted residuals over points minus free parameters.
        likelihood: How the residuals were weighted, in words.
        doubts: Why the reference may be none, in words.
    """

    scan: Scan
    fitted: Floats
    parameters: Mapping[str, Calibrated]
    rms_log10: float
    reduced_chi2: float
    likelihood: str
    doubts: tuple[str, ...]


def calibrate(
    scan: Scan,
    experiment: Experiment,
    *,
    bounds: Mapping[str, tuple[float, float]],
    held: Mapping[str, float],
    start: Mapping[str, float],
    model_error: float,
    seed: int,
) -> Calibration:
    """The resolution of an instrument from a crystal without strain or disorder.

    Args:
        scan: Of the unimplanted crystal.
        experiment: Crystal and instrument; its profile and its diffuse scattering are left out.
        bounds: Ranges that replace the default ones, by parameter.
        held: Values of parameters that are not fitted.
        start: Starting values.
        model_error: Relative error [1] granted to the model; 0 for none.
        seed: Of starts and draws.

    Raises:
        ValueError: the scan is not one of such a crystal, or the resolution has nothing to be fitted.
    """
    perfect = replace(experiment, profile=DepthProfile(strain=NoStrain()), diffuse=False, miscut=False)
    names = {spec.name for spec in perfect.parameters}
    problem = prepare(
        scan,
        perfect,
        bounds={name: pair for name, pair in bounds.items() if name in names},
        held={name: value for name, value in held.items() if name in names},
        start={name: value for name, value in start.items() if name in names},
        model_error=model_error,
    )
    resolution = [spec for spec in perfect.resolution.parameters if spec.name not in problem.prior.held]
    if not resolution:
        raise ValueError("the resolution has no free parameter; choose another family, or free one (fit:).")
    rng = np.random.default_rng(seed)
    with threadpool_limits(limits=1):
        fit = _best_fit(problem, rng)
        values, share = _posterior(problem, fit, rng)
    reduced_chi2 = fit.chi2 / max(len(fit.residuals) - len(problem.prior.free), 1)
    rms = rms_log10(scan.intensity, fit.model)
    parameters = {}
    for spec in resolution:
        i = problem.prior.names.index(spec.name)
        mean = float(share @ values[:, i])
        parameters[spec.name] = Calibrated(
            value=float(fit.values[i]),
            mean=mean,
            sd=float(np.sqrt(share @ (values[:, i] - mean) ** 2)),
            unit=spec.unit,
        )
    return Calibration(
        scan=scan,
        fitted=fit.model,
        parameters=parameters,
        rms_log10=rms,
        reduced_chi2=reduced_chi2,
        likelihood=problem.likelihood.description,
        doubts=_doubts(problem, fit, rms, reduced_chi2),
    )


def _best_fit(problem: Problem, rng: np.random.Generator) -> Fit:
    """The best of fits from resolutions all over the prior."""
    starts = problem.prior.sample(_STARTS, rng=rng)
    drawn = problem.model.experiment.slices["resolution"]
    keep = np.ones(starts.shape[1], dtype=np.bool_)
    keep[drawn] = False
    starts[:, keep] = problem.base[keep]
    starts[0] = problem.base
    units = problem.prior.to_unit(starts)
    return min(
        refine_many(problem, units, most_evaluations=_EVALUATIONS, tolerance=_TOLERANCE),
        key=lambda fit: fit.cost,
    )


def _posterior(problem: Problem, fit: Fit, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draws of all parameters (draw, parameter) of the posterior, and their shares (draw,).

    Raises:
        ValueError: the draws tell nothing.
    """
    target = Target(problem, spread=noise_spread(problem, fit))
    place = target.climb(target.place(fit.values[None])[0])
    drawn = sample(
        target,
        place[None],
        lambda z: np.zeros(len(z), dtype=np.int64),
        wanted=_DRAWS.effective,
        most=_DRAWS.evaluations,
        rng=rng,
    ).draws
    if drawn.effective < FEWEST_DRAWS or pareto_shape(drawn.log_weight) > WORST_PARETO:
        raise ValueError(
            f"the resolution's posterior could not be drawn from: {drawn.effective:.0f} effective draws, "
            f"{FEWEST_DRAWS} are needed. Another --seed may do; if not, give narrower bounds in fit, or a family with "
            "fewer parameters."
        )
    return target.values(drawn.z), np.exp(drawn.log_weight)


def _doubts(problem: Problem, fit: Fit, rms: float, reduced_chi2: float) -> tuple[str, ...]:
    """Why the scan may not be one of a perfect crystal in this instrument.

    Raises:
        ValueError: it is not.
    """
    own = problem.measurements[0]
    said = f"rms of log10 {rms:.3f}, reduced chi-square {reduced_chi2:.2f}"
    found = doubts_of(own.scan, own.model.experiment, own.features, own.likelihood)
    if found.refuse:
        raise ValueError(" ".join(found.refuse))
    if misses(rms, reduced_chi2):
        raise ValueError(
            f"a crystal without strain does not describe the scan ({said}): calibrate needs a reference that nothing "
            "was done to, and its sample file."
        )
    doubts = list(found.check)
    if doubtful(rms, reduced_chi2):
        doubts.append(f"A crystal without strain leaves more than the noise and the model error ({said}).")
    part = worst_part(own.scan, own.likelihood, fit.model)
    if part is not None:
        doubts.append(f"Around {part[1]} it misses by {part[0]:.2f} in log10 (rms): is the crystal strained?")
    return (*doubts, *unlikely(misfit_chance(problem, fit), reduced_chi2, problem.model_error))
