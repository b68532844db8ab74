"""A scan prepared for inversion: the model on its points, bounds placed around what it shows, residuals."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from strainscope.crystal import ARCSEC
from strainscope.experiment import Experiment, ScanModel
from strainscope.inversion.features import Features, read_features
from strainscope.inversion.likelihood import Likelihood, likelihood_of
from strainscope.prior import Prior
from strainscope.profile import ParameterSpec
from strainscope.scan import Scan

Floats = NDArray[np.float64]

# The offset may differ from where the peaks coincide by this much, in widths of the measured peak.
_OFFSET_ROOM_WIDTHS = 0.6
_DEEPEST_FRINGES = 20_000.0
# The floor of a scan may be its background, or the tails of what it shows: by so many decades more.
_BACKGROUND_ROOM = 5.0
# Good enough to rank draws and for the first round of refinement, where the resolution hides the rest: sublayers
# to this rms error of log10 before resolution (2e-4 behind 25 arcsec), and this many angles a fringe.
_COARSE_TOLERANCE = 1e-2
_COARSE_POINTS_PER_FRINGE = 5.0
_COARSE_MODEL_ERROR, _COARSER = 0.03, 1.5


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

    @cached_property
    def coarse(self) -> "Problem":
        """The same on fewer angles, with fewer sublayers and a larger model error, which widens the basins."""
        experiment = self.model.experiment
        width = experiment.resolution.width(self.base[experiment.slices["resolution"]])
        model = replace(
            self.model,
            experiment=replace(experiment, tolerance=max(experiment.tolerance, _COARSE_TOLERANCE)),
            narrowest_fwhm_arcsec=max(self.model.narrowest_fwhm_arcsec, 0.8 * width),
            points_per_fringe=_COARSE_POINTS_PER_FRINGE,
        )
        error = max(_COARSER * self.likelihood.model_error, _COARSE_MODEL_ERROR)
        return replace(self, model=model, likelihood=replace(self.likelihood, model_error=error))


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
    room = _OFFSET_ROOM_WIDTHS * width + 2 * float(np.median(np.diff(position)))
    shown = {
        "offset_arcsec": (features.peak_arcsec - peak, room, room),
        "log10_scale": (np.log10(features.peak_intensity / height), 1.0, 1.0),
        "log10_background": (np.log10(0.85 * least), _BACKGROUND_ROOM, 0.37),
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
        fringe_depth=fringe_depth(experiment, bounds),
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


def fringe_depth(experiment: Experiment, bounds: Mapping[str, tuple[float, float]]) -> float:
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
