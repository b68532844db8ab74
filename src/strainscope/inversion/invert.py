"""The whole way from a scan to a result: features, draws, ranking, refinement, modes, verdict."""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from strainscope.crystal import ARCSEC
from strainscope.diffraction.engine import worker_count
from strainscope.experiment import Experiment, ScanModel
from strainscope.inversion.features import Features, read_features
from strainscope.inversion.likelihood import Likelihood, likelihood_of
from strainscope.inversion.modes import BAND_MEANING, MOST_MODES, describe, gather
from strainscope.inversion.refine import Fit, refine
from strainscope.inversion.result import Result
from strainscope.inversion.search import distinct, draw_starts, rank
from strainscope.inversion.splines import spline_experiment, spline_start
from strainscope.inversion.verdict import judge
from strainscope.prior import Prior
from strainscope.profile import ParameterSpec
from strainscope.scan import Scan

Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]

# The offset may differ from where the peaks coincide by this much, in widths of the measured peak.
_OFFSET_ROOM_WIDTHS = 0.6
_DEEPEST_FRINGES = 20_000.0
# The first round of refinement: relative model error and rms error of the simulation that are good enough there.
_COARSE_MODEL_ERROR = 0.1
_COARSE_TOLERANCE = 1e-3
# Which of the distinct fits go on to the second round.
_SURVIVING_RATIO = 6.0
_MOST_SURVIVORS = 7


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How hard to search.

    Attributes:
        draws: Curves simulated and ranked.
        starts: Distinct draws that are refined.
        first_evaluations: Model evaluations each start gets in the first, coarse round.
        evaluations: Model evaluations at most for the distinct ones that go on.
        tolerance: Relative change of the sum of squares at which those are done.
        model_error: Relative error [1] granted to the model at every point; widens the bands accordingly.
        splines: Weights of a free-form refinement (B-splines for strain and E) on top; 0 for none.
    """

    draws: int = 16384
    starts: int = 24
    first_evaluations: int = 14
    evaluations: int = 80
    tolerance: float = 1e-6
    model_error: float = 0.07
    splines: int = 0

    def __post_init__(self) -> None:
        for name, least in (("draws", 16), ("starts", 1), ("first_evaluations", 3), ("evaluations", 3)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)}; it must be >= {least}.")
        if not 0 < self.model_error < 1:
            raise ValueError(f"model_error = {self.model_error:g}; it must lie between 0 and 1 (relative).")
        if self.splines and not 3 <= self.splines <= 40:
            raise ValueError(f"splines = {self.splines}; use 3 to 40 weights, or 0 for none.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """A scan prepared for inversion.

    Attributes:
        model: Expected intensity at its points.
        prior: Bounds and held values, offset and scale placed around what the scan shows.
        likelihood: Residuals.
        features: What the scan shows.
        base: Values from which the search starts, shape (parameter,).
    """

    model: ScanModel
    prior: Prior
    likelihood: Likelihood
    features: Features
    base: Floats


def prepare(
    scan: Scan,
    experiment: Experiment,
    *,
    bounds: Mapping[str, tuple[float, float]],
    held: Mapping[str, float],
    start: Mapping[str, float],
    model_error: float,
) -> Problem:
    """Everything that depends on the scan alone.

    Raises:
        ValueError: the main peak does not lie inside the scan, or nothing is left to fit.
    """
    stack = experiment.stack
    theta = scan.theta(bragg_angle=stack.bragg_angle, asymmetry=stack.asymmetry)
    position = (theta - stack.incidence_angle) / ARCSEC
    likelihood = likelihood_of(scan, model_error)
    features = read_features(position, scan.intensity, likelihood.counts_per_unit)
    _require_peak(scan, position, features)
    width = max(features.peak_fwhm_arcsec, 5.0)
    specs = tuple(_bounded(s, bounds) for s in experiment.parameters)
    given = {s.name: 0.5 * (s.lower + s.upper) for s in specs}
    given |= _usual(experiment, width) | dict(start) | dict(held)
    for s in specs:
        if s.name not in held and (s.name in bounds or s in experiment.resolution.parameters):
            given[s.name] = float(np.clip(given[s.name], s.lower, s.upper))
    resolution = np.array([given[s.name] for s in experiment.resolution.parameters])
    model = _scan_model(experiment, position, features, bounds, held, given, fine=model_error <= 0.01)
    peak, height = model.perfect_peak(resolution)
    least = max(features.floor, 0.1 / likelihood.counts_per_unit, 1e-9 * features.peak_intensity)
    # A scan that reaches the floor shows its background there: a quarter of the floor at least.
    flat = features.low_edge_arcsec is not None or features.high_edge_arcsec is not None
    room = _OFFSET_ROOM_WIDTHS * width + 2 * float(np.median(np.diff(position)))
    shown = {
        "offset_arcsec": (features.peak_arcsec - peak, room, room),
        "log10_scale": (np.log10(features.peak_intensity / height), 1.0, 1.0),
        "log10_background": (np.log10(0.85 * least), 0.53 if flat else 1.93, 0.37),
    }
    placed = dict(bounds)
    for name, (middle, below, above) in shown.items():
        low, high = placed.setdefault(name, (middle - below, middle + above))
        given[name] = held.get(name, float(np.clip(start.get(name, middle), low, high)))
    prior = Prior(
        parameters=tuple(_bounded(s, placed) for s in experiment.parameters),
        constraints=experiment.constraints,
        held=dict(held),
    )
    if not len(prior.free):
        raise ValueError("every parameter is held; free at least one (fit: in the sample file).")
    return Problem(
        model=model,
        prior=prior,
        likelihood=likelihood,
        features=features,
        base=np.array([given[name] for name in prior.names], dtype=np.float64),
    )


def _require_peak(scan: Scan, position: Floats, features: Features) -> None:
    half = 0.5 * features.peak_fwhm_arcsec
    if features.peak_arcsec - half <= position[0] or features.peak_arcsec + half >= position[-1]:
        middle = scan.angle[int(np.argmin(np.abs(position - features.peak_arcsec)))]
        raise ValueError(
            f"no peak in the scan: what is strongest, around {middle:g} on its axis, is not over within the scan's "
            f"{scan.angle[0]:g} to {scan.angle[-1]:g}; measure or cut it so that the substrate's peak lies inside."
        )


def _scan_model(
    experiment: Experiment,
    position: Floats,
    features: Features,
    bounds: Mapping[str, tuple[float, float]],
    held: Mapping[str, float],
    given: Mapping[str, float],
    *,
    fine: bool,
) -> ScanModel:
    """The model on a grid that covers every offset and resolves every width that the fit may try."""
    widths = [
        (held[s.name],) * 2 if s.name in held else bounds.get(s.name, (s.lower, s.upper))
        for s in experiment.resolution.parameters
        if s.name.startswith("fwhm")
    ]
    guess = experiment.resolution.width(np.array([given[s.name] for s in experiment.resolution.parameters]))
    # Far below the guess a width is not resolved to the last digit; the data do not hold it either.
    narrowest = max(min((low for low, _ in widths), default=guess), 0.4 * guess, 1.0)
    around = max(features.peak_fwhm_arcsec, 5.0)
    offsets = [features.peak_arcsec - 4 * around - 60, features.peak_arcsec + 4 * around + 60]
    offsets += [
        *bounds.get("offset_arcsec", ()),
        *([given["offset_arcsec"]] if "offset_arcsec" in held else []),
    ]
    return ScanModel(
        experiment=experiment,
        position=position,
        fringe_depth=_fringe_depth(experiment, bounds),
        # The simulation has to err by less than the model is granted.
        narrowest_fwhm_arcsec=narrowest / 3 if fine else narrowest,
        points_per_fringe=12.0 if fine else 7.5,
        widest_fwhm_arcsec=max(max((high for _, high in widths), default=guess), 1.5 * around),
        offset_range=(min(offsets), max(offsets)),
    )


def _usual(experiment: Experiment, width: float) -> dict[str, float]:
    """Starting values where the middle of the bounds would be a poor one."""
    values = {"diffuse_amplitude": 0.3, "correlation_length": 200.0, "background_slope": 0.0, "stretch": 1.0}
    for spec in experiment.resolution.parameters:
        if spec.name.startswith("fwhm"):
            values[spec.name] = float(np.clip(0.8 * width, 1.02 * spec.lower, 0.98 * spec.upper))
        elif spec.name.startswith("lorentz"):
            values[spec.name] = 0.15
    return values


def _fringe_depth(experiment: Experiment, bounds: Mapping[str, tuple[float, float]]) -> float:
    """Depth that nearly all profiles of the prior stay above [Å]."""
    family = experiment.profile.strain
    specs = tuple(_bounded(s, bounds) for s in family.parameters)
    prior = Prior(parameters=specs, constraints=family.constraints, held={})
    drawn = prior.from_unit(np.random.default_rng(0).uniform(size=(256, len(specs))))
    depth = float(np.quantile(family.extent(drawn, 2e-4), 0.9))
    return float(np.clip(depth, 500.0, _DEEPEST_FRINGES))


def _bounded(spec: ParameterSpec, bounds: Mapping[str, tuple[float, float]]) -> ParameterSpec:
    low, high = bounds.get(spec.name, (spec.lower, spec.upper))
    return replace(spec, lower=float(low), upper=float(high))


def invert(
    scan: Scan,
    experiment: Experiment,
    *,
    bounds: Mapping[str, tuple[float, float]],
    held: Mapping[str, float],
    start: Mapping[str, float],
    settings: SearchSettings,
    seed: int,
    sample_settings: Mapping[str, Any],
    progress: Progress | None = None,
) -> Result:
    """Every distinct profile that explains the scan, without a guess.

    Args:
        scan: The measured curve.
        experiment: Sample and instrument.
        bounds: Ranges that replace the default ones, by parameter.
        held: Values of parameters that are not fitted.
        start: Starting values of instrument parameters where the scan does not suggest them.
        settings: How hard to search.
        seed: The same seed gives the same result.
        sample_settings: Plain data for the report.
        progress: Called with a stage and the share of the whole that is done.

    Raises:
        ValueError: the scan does not fit the experiment (axis, range), or bounds leave no room.
    """
    began = time.perf_counter()
    tell = progress or (lambda stage, share: None)
    rng = np.random.default_rng(seed)
    tell("reading the curve", 0.0)
    problem = prepare(
        scan, experiment, bounds=bounds, held=held, start=start, model_error=settings.model_error
    )
    values = draw_starts(experiment, problem.prior, problem.base, problem.features, settings.draws, rng=rng)
    scores = rank(
        problem.model,
        problem.likelihood,
        values,
        problem.features,
        progress=lambda done: tell("ranking draws", 0.05 + 0.35 * done / settings.draws),
    )
    chosen = distinct(experiment, problem.prior, values, scores, settings.starts)
    spent: list[int] = []
    fits = refine_all(
        problem, chosen, settings, lambda share: tell("refining starts", 0.4 + 0.5 * share), spent
    )
    if settings.splines:
        tell("free-form refinement", 0.92)
        problem, fits = _free_form(scan, problem, fits, bounds, held, start, settings)
    found = gather(problem.model.experiment, fits)[:MOST_MODES]
    tell("bands", 0.95)
    modes = describe(problem.model.experiment, problem.prior, problem.likelihood, found, rng=rng)
    offset = modes[0].parameter("offset_arcsec").value
    angle = scan.angle_from_theta(
        np.array([experiment.stack.incidence_angle + ARCSEC * offset]),
        bragg_angle=experiment.stack.bragg_angle,
        asymmetry=experiment.stack.asymmetry,
    )
    verdict = judge(problem.model.experiment, problem.features, scan, problem.likelihood, modes)
    tell("done", 1.0)
    return Result(
        scan=scan,
        modes=modes,
        verdict=verdict,
        sample=dict(sample_settings),
        likelihood=problem.likelihood.description,
        band_meaning=BAND_MEANING,
        substrate_angle=float(angle[0]),
        seed=seed,
        version=version("strainscope"),
        wall_s=time.perf_counter() - began,
        counters={
            "draws": settings.draws,
            "starts": len(chosen),
            "model_evaluations": sum(spent),
        },
    )


def refine_all(
    problem: Problem,
    starts: Floats,
    settings: SearchSettings,
    progress: Callable[[float], None],
    spent: list[int] | None = None,
) -> list[tuple[Fit, int]]:
    """Least squares from every start: a short round for all, then each distinct survivor to the end.

    The short round grants the model a larger error, which widens the basins, and simulates more coarsely.

    Args:
        problem: The scan prepared.
        starts: Values of all parameters, shape (start, parameter).
        settings: Evaluations of both rounds.
        progress: Called with the share done.
        spent: The model evaluations of every fit are appended, if given.

    Returns:
        Fits, and how many starts each stands for.
    """
    coarse = replace(
        problem,
        model=replace(
            problem.model, experiment=replace(problem.model.experiment, tolerance=_COARSE_TOLERANCE)
        ),
        likelihood=replace(
            problem.likelihood, model_error=max(problem.likelihood.model_error, _COARSE_MODEL_ERROR)
        ),
    )
    units = np.clip(problem.prior.to_unit(starts), 0.01, 0.99)
    total = len(units) + _MOST_SURVIVORS

    def run(which: Problem, unit: Floats, evaluations: int, tolerance: float) -> Fit:
        return refine(
            which.model,
            which.likelihood,
            which.prior,
            unit,
            most_evaluations=evaluations,
            tolerance=tolerance,
        )

    def gathered(fits: Iterable[Fit], before: int) -> list[Fit]:
        result = []
        for fit in fits:
            result.append(fit)
            progress((before + len(result)) / total)
        if spent is not None:
            spent.extend(fit.evaluations for fit in result)
        return result

    # Tables are made before the threads start, so that they are made once.
    for part in (coarse, problem):
        _ = part.model.tables, part.model.smearing
    # One start a processor: the linear algebra's own threads would only get in each other's way.
    with threadpool_limits(limits=1), ThreadPoolExecutor(worker_count()) as pool:
        tries = pool.map(lambda unit: run(coarse, unit, settings.first_evaluations, 1e-3), units)
        first = gathered(tries, 0)
        groups = gather(problem.model.experiment, [(fit, 1) for fit in first], worst_ratio=_SURVIVING_RATIO)
        groups = groups[:_MOST_SURVIVORS]
        tries = pool.map(lambda g: run(problem, g[0].unit, settings.evaluations, settings.tolerance), groups)
        last = gathered(tries, len(first))
    return [(fit, count) for fit, (_, count) in zip(last, groups, strict=True)]


def _free_form(
    scan: Scan,
    problem: Problem,
    fits: list[tuple[Fit, int]],
    bounds: Mapping[str, tuple[float, float]],
    held: Mapping[str, float],
    start: Mapping[str, float],
    settings: SearchSettings,
) -> tuple[Problem, list[tuple[Fit, int]]]:
    """The modes found so far, refined with B-splines for strain and E."""
    found = gather(problem.model.experiment, fits)[:MOST_MODES]
    experiment = spline_experiment(problem.model.experiment, settings.splines)
    known = {spec.name for spec in experiment.parameters}
    best = dict(zip(problem.prior.names, found[0][0].values, strict=True))
    free = prepare(
        scan,
        experiment,
        bounds={name: pair for name, pair in bounds.items() if name in known},
        held={name: value for name, value in held.items() if name in known},
        start={name: value for name, value in {**best, **start}.items() if name in known},
        model_error=settings.model_error,
    )
    starts = np.array([spline_start(problem.model.experiment, fit.values, free.prior) for fit, _ in found])
    units = np.clip(free.prior.to_unit(starts), 0.01, 0.99)
    refined = [
        refine(
            free.model,
            free.likelihood,
            free.prior,
            unit,
            most_evaluations=settings.evaluations,
            tolerance=settings.tolerance,
        )
        for unit in units
    ]
    return free, [(fit, count) for fit, (_, count) in zip(refined, found, strict=True)]
