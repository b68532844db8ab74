"""Scans prepared for inversion: models on their points, bounds placed around what they show, residuals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from strainscope.crystal import ARCSEC
from strainscope.experiment import Experiment, ManyCurves, ScanModel
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
# By this factor the model error falls at once.
_EASED = 3.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Measurement:
    """One scan of the sample.

    Attributes:
        scan: As measured.
        model: Expected intensity at its points.
        likelihood: Residuals.
        features: What the scan shows.
        columns: Where its experiment's parameters stand among those of the problem, shape (own parameter,).
        label: Tells it from others of the same sample, such as 888.
    """

    scan: Scan
    model: ScanModel
    likelihood: Likelihood
    features: Features
    columns: NDArray[np.intp]
    label: str = ""

    def own(self, values: Floats) -> Floats:
        """Values of its parameters (*, own parameter) among those of the problem (*, parameter)."""
        return np.take(values, self.columns, axis=-1)

    def coarse(self, base: Floats) -> "Measurement":
        """The same on fewer angles, with fewer sublayers and a larger model error; base (parameter,) as usual."""
        experiment = self.model.experiment
        width = experiment.resolution.width(self.own(base)[experiment.slices["resolution"]])
        model = replace(
            self.model,
            experiment=replace(experiment, tolerance=max(experiment.tolerance, _COARSE_TOLERANCE)),
            narrowest_fwhm_arcsec=max(self.model.narrowest_fwhm_arcsec, 0.8 * width),
            points_per_fringe=_COARSE_POINTS_PER_FRINGE,
        )
        error = max(_COARSER * self.likelihood.model_error, _COARSE_MODEL_ERROR)
        return replace(self, model=model, likelihood=replace(self.likelihood, model_error=error))


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """Scans of one sample prepared for inversion. All that is one after another of several scans is so in their order.

    Attributes:
        measurements: One for each scan; the parameters of the first stand first, in the order of its experiment.
        prior: Bounds and held values, offset and scale placed around what the scans show.
        base: Values from which the search starts, shape (parameter,).
    """

    measurements: tuple[Measurement, ...]
    prior: Prior
    base: Floats

    @property
    def model(self) -> ScanModel:
        """Of the first scan, whose experiment's profile is that of the sample."""
        return self.measurements[0].model

    @property
    def likelihood(self) -> Likelihood:
        """Of the first scan."""
        return self.measurements[0].likelihood

    @property
    def features(self) -> Features:
        """What the first scan shows."""
        return self.measurements[0].features

    @property
    def model_error(self) -> float:
        """Relative error [1] granted to every model; 0 for none."""
        return self.likelihood.model_error

    @cached_property
    def coarse(self) -> "Problem":
        """The same on fewer angles, with fewer sublayers and a larger model error, which widens the basins."""
        return replace(self, measurements=tuple(own.coarse(self.base) for own in self.measurements))

    def granting(self, model_error: float) -> "Problem":
        """The same with another model error [1]."""
        eased = [
            replace(own, likelihood=replace(own.likelihood, model_error=model_error))
            for own in self.measurements
        ]
        return replace(self, measurements=tuple(eased))

    def model_errors(self) -> tuple[float, ...]:
        """Model errors [1] from the coarse one down to the problem's own, which comes last.

        Those that no count is large enough to notice are left out.
        """
        own = self.model_error
        unseen = 1 / np.sqrt(max(part.likelihood.most_counts for part in self.measurements))
        steps, error = [], _COARSE_MODEL_ERROR / _EASED
        while error > max(own, unseen):
            steps.append(error)
            error /= _EASED
        return (*steps, own)

    def make_tables(self) -> None:
        """Make what all evaluations share, before threads would make it several times."""
        for own in self.measurements:
            _ = own.model.tables, own.model.smearing

    def many_curves(self) -> tuple[ManyCurves, ...]:
        """The models for many parameter sets at once; their tables depend on what they were asked for before."""
        return tuple(ManyCurves(own.model) for own in self.measurements)

    def residuals_many(self, values: Floats, many: Sequence[ManyCurves]) -> Floats:
        """Residuals (n, point) for values of all parameters (n, parameter), thousands a second, by `many_curves`."""
        parts = [
            own.likelihood.residuals(curves.expected(own.own(values)))[0]
            for own, curves in zip(self.measurements, many, strict=True)
        ]
        return np.concatenate(parts, axis=1)

    def residuals_with_jacobian(self, values: Floats) -> tuple[Floats, Floats, Floats]:
        """Residuals (*, point), their derivatives (*, point, parameter) and intensities, values (*, parameter)."""
        parts = []
        for own in self.measurements:
            expected, jacobian = own.model.expected_with_jacobian(own.own(values))
            residual, slope = own.likelihood.residuals(expected)
            whole = np.zeros((*residual.shape, values.shape[-1]))
            whole[..., own.columns] = slope[..., None] * jacobian
            parts.append((residual, whole, expected))
        residuals, jacobians, intensities = zip(*parts, strict=True)
        return (
            np.concatenate(residuals, axis=-1),
            np.concatenate(jacobians, axis=-2),
            np.concatenate(intensities, axis=-1),
        )

    def by_profile(
        self, values: Floats, depth: Floats, weights: Floats, slope: Callable[[Floats], Floats]
    ) -> Floats:
        """Derivatives of weighted sums of residuals in strain and E over depth and in what is not of the profile.

        They are those of the coarser models.

        Args:
            values: Of all parameters, shape (curve, parameter).
            depth: Ascending [Å], shape (depth,); a profile is taken to change linearly between them.
            weights: Of the residuals, shape (curve, k, point).
            slope: By which a change of residuals (curve, point) counts.

        Returns:
            Shape (curve, k, 2 depth + others): strain at every depth, E at every depth, the others.
        """
        n_profile, split = self.model.experiment.slices["profile"].stop, 2 * len(depth)
        result = np.zeros((*weights.shape[:2], split + values.shape[-1] - n_profile))
        scans = zip(self.measurements, self.coarse.measurements, self.split(weights), strict=True)
        for own, coarse, part in scans:
            response = coarse.model.profile_response(own.own(values), depth)
            residual, by_intensity = own.likelihood.residuals(response.expected)
            found = response.projected(part * (slope(residual) * by_intensity)[:, None])
            result[..., np.concatenate([np.arange(split), split + own.columns[n_profile:] - n_profile])] += found
        return result

    def split(self, points: Floats) -> tuple[Floats, ...]:
        """What stands at the points of all scans (*, point), scan by scan."""
        ends = np.cumsum([len(own.scan.angle) for own in self.measurements])[:-1]
        return tuple(np.split(points, ends, axis=-1))


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
    model = _scan_model(experiment, position, features, bounds, held, given)
    peak, height = model.perfect_peak(resolution)
    per_unit = likelihood.counts_per_unit
    least = max(features.floor, 0.1 / per_unit, 1e-9 * features.peak_intensity)
    # The weakest of many points lie below what is expected there by a standard deviation or more; a floor of 0 counts
    # leaves room for a count at each point.
    highest = max(features.floor + np.sqrt(features.floor * per_unit + 1) / per_unit, least)
    room = _OFFSET_ROOM_WIDTHS * width + 2 * float(np.median(np.diff(position)))
    shown = {
        "offset_arcsec": (features.peak_arcsec - peak, room, room),
        "log10_scale": (np.log10(features.peak_intensity / height), 1.0, 1.0),
        "log10_background": (np.log10(0.85 * least), _BACKGROUND_ROOM, np.log10(2 * highest / (0.85 * least))),
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
    measurement = Measurement(
        scan=scan,
        model=model,
        likelihood=likelihood,
        features=features,
        columns=np.arange(len(prior.names)),
    )
    return Problem(
        measurements=(measurement,),
        prior=prior,
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
) -> ScanModel:
    """The model on a grid that covers every offset and resolves every width that the fit may try."""
    widths = [
        (held[s.name],) * 2 if s.name in held else bounds.get(s.name, (s.lower, s.upper))
        for s in experiment.resolution.parameters
        if s.name.startswith("fwhm")
    ]
    guess = experiment.resolution.width(np.array([given[s.name] for s in experiment.resolution.parameters]))
    # Far below the guess a width is not resolved to the last digit; the data do not hold it either.
    lows = [low for low, _ in widths]
    narrowest = max(min(lows, default=guess), 0.4 * guess, 1.0)
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
        narrowest_fwhm_arcsec=narrowest,
        widest_fwhm_arcsec=max(max((high for _, high in widths), default=guess), 1.5 * around),
        least_fwhm_arcsec=min(lows, default=0.0),
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
