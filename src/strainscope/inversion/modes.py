"""Distinct solutions, their bands and their weights."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from strainscope.experiment import Experiment
from strainscope.inversion.derived import derived_quantities
from strainscope.inversion.likelihood import Likelihood, rms_log10
from strainscope.inversion.refine import Fit
from strainscope.inversion.result import DepthBands, FittedParameter, Mode
from strainscope.prior import Prior

Floats = NDArray[np.float64]

# Two fits are one solution when, in the mean over depth, their strains differ by less than this share of the
# maximum and their static Debye-Waller factors by less than the second.
SAME_PROFILE, SAME_FACTOR = 0.04, 0.1
# Solutions whose cost exceeds the best by more than this factor explain the scan no more.
WORST_COST_RATIO = 1.5
MOST_MODES = 6
BAND_DRAWS = 400
# In logit coordinates a uniform prior has this variance, pi²/3: it bounds what the curve leaves open.
_PRIOR_VARIANCE = np.pi**2 / 3
# A parameter that ended on a bound is placed this far inside (logit 6: 0.25 % of the room).
_FARTHEST = 6.0
BAND_MEANING = (
    "Gauss-Newton covariance of the fitted parameters at each mode, widened where the residuals exceed the assumed "
    "noise and where neighbouring residuals are alike (fewer independent points than measured ones), sampled in "
    "coordinates in which the bounds and constraints always hold "
    f"({BAND_DRAWS} draws); bands are the 16-84 % and 2.5-97.5 % ranges of the drawn profiles. They describe "
    "one mode each and are no full posterior."
)


def gather(
    experiment: Experiment, fits: list[tuple[Fit, int]], *, worst_ratio: float = WORST_COST_RATIO
) -> list[tuple[Fit, int]]:
    """Distinct fits, best first, with the number of starts that each stands for.

    Args:
        experiment: Families.
        fits: Fits and the number of starts behind each.
        worst_ratio: Fits whose cost exceeds the best by more than this factor are dropped.
    """
    strains, factors = _profiles(experiment, np.array([fit.values for fit, _ in fits]))
    modes: list[tuple[int, list[int]]] = []
    for i in np.argsort([fit.cost for fit, _ in fits], kind="stable"):
        for lead, members in modes:
            room = SAME_PROFILE * np.abs(strains[lead]).max()
            same_strain = np.abs(strains[i] - strains[lead]).mean() <= room
            if same_strain and np.abs(factors[i] - factors[lead]).mean() <= SAME_FACTOR:
                members.append(int(i))
                break
        else:
            modes.append((int(i), [int(i)]))
    best = fits[modes[0][0]][0].cost
    return [
        (fits[lead][0], sum(fits[i][1] for i in members))
        for lead, members in modes
        if fits[lead][0].cost <= worst_ratio * best
    ]


def points_per_independent(residuals: Floats) -> float:
    """Measured points for each independent residual, 1 + 2 Σ autocorrelations, at least 1.

    The sum ends at the first autocorrelation that a white sequence of this length would show by chance.

    References:
        Bayley & Hammersley, J. R. Stat. Soc. Suppl. 8 (1946) 184, on the effective number of observations.
    """
    n = len(residuals)
    bounded = np.clip(residuals, -3, 3)
    centred = bounded - bounded.mean()
    power = float(centred @ centred)
    if power == 0:
        return 1.0
    total = 1.0
    for lag in range(1, n // 4):
        share = float(centred[:-lag] @ centred[lag:]) / power
        if share < 2 / np.sqrt(n):
            break
        total += 2 * share
    return total


def _profiles(experiment: Experiment, values: Floats) -> tuple[Floats, Floats]:
    """Strains and E of fits on common depths, (fit, depth) each, down to the median of their extents."""
    family = experiment.profile.strain
    own = values[:, experiment.slices["profile"]]
    deepest = float(np.median(family.extent(own[:, : len(family.parameters)], 2e-4)))
    depth = np.broadcast_to(np.linspace(0, deepest, 128), (len(own), 128))
    return experiment.profile.evaluate(depth, own)


def describe(
    experiment: Experiment,
    prior: Prior,
    likelihood: Likelihood,
    found: list[tuple[Fit, int]],
    *,
    rng: np.random.Generator,
) -> tuple[Mode, ...]:
    """Modes with bands, standard deviations and weights (Laplace approximation)."""
    n_free = len(prior.free)
    degrees = max(len(likelihood.intensity) - n_free, 1)
    spread = max(1.0, found[0][0].cost / degrees) * points_per_independent(found[0][0].residuals)
    deepest = max(_extent(experiment, fit) for fit, _ in found)
    depth = np.linspace(0, 1.1 * deepest, 401)
    drawn, logs, known = [], [], []
    for fit, _ in found:
        centre, covariance = _logit_covariance(prior, fit, spread)
        known.append(np.diag(covariance) < 0.5 * _PRIOR_VARIANCE)
        drawn.append(_draw(prior, fit, centre, covariance, rng))
        # The uniform prior's density in logit coordinates is u (1 - u).
        unit = expit(centre)
        density = float(np.log(unit * (1 - unit)).sum())
        logs.append(-0.5 * fit.cost / spread + density + 0.5 * np.linalg.slogdet(covariance)[1])
    weights = np.exp(np.array(logs) - max(logs))
    weights /= weights.sum()
    return tuple(
        _mode(experiment, prior, likelihood, fit, starts, values, determined, depth, float(weight), degrees)
        for (fit, starts), values, determined, weight in zip(found, drawn, known, weights, strict=True)
    )


def _extent(experiment: Experiment, fit: Fit) -> float:
    family = experiment.profile.strain
    return float(family.extent(fit.values[None, : len(family.parameters)], 1e-4)[0])


def _logit_covariance(prior: Prior, fit: Fit, spread: float) -> tuple[Floats, Floats]:
    """Centre and covariance of the free parameters in logit coordinates."""
    centre = np.clip(logit(np.clip(fit.unit[prior.free], 1e-9, 1 - 1e-9)), -_FARTHEST, _FARTHEST)
    unit = expit(centre)
    scaled = fit.jacobian * (unit * (1 - unit))
    precision = scaled.T @ scaled / spread + np.eye(len(centre)) / _PRIOR_VARIANCE
    return centre, np.asarray(np.linalg.inv(precision))


def _draw(prior: Prior, fit: Fit, centre: Floats, covariance: Floats, rng: np.random.Generator) -> Floats:
    """Parameter values drawn around a mode, shape (draw, parameter)."""
    z = rng.multivariate_normal(centre, covariance, size=BAND_DRAWS, method="eigh")
    unit = np.broadcast_to(fit.unit, (BAND_DRAWS, len(fit.unit))).copy()
    unit[:, prior.free] = expit(z)
    return prior.from_unit(unit)


def _mode(
    experiment: Experiment,
    prior: Prior,
    likelihood: Likelihood,
    fit: Fit,
    starts: int,
    values: Floats,
    determined: NDArray[np.bool_],
    depth: Floats,
    weight: float,
    degrees: int,
) -> Mode:
    n_profile = len(experiment.profile.parameters)
    own = np.concatenate([fit.values[None, :n_profile], values[:, :n_profile]])
    strain, factor = experiment.profile.evaluate(np.broadcast_to(depth, (len(own), len(depth))), own)
    derived = derived_quantities(
        experiment.profile, own[0], own[1:], expansion_ratio=experiment.expansion_ratio
    )
    return Mode(
        parameters=_parameters(prior, fit, values.std(axis=0), determined),
        covariance=np.atleast_2d(np.cov(values[:, prior.free], rowvar=False)),
        fitted_names=tuple(prior.names[i] for i in prior.free),
        chi2=fit.chi2,
        reduced_chi2=fit.chi2 / degrees,
        rms_log10=rms_log10(likelihood.intensity, fit.model),
        weight=weight,
        starts=starts,
        fitted=fit.model,
        bands=DepthBands(
            depth=depth,
            strain=strain[0],
            strain_68=_band(strain, 0.16),
            strain_95=_band(strain, 0.025),
            debye_waller=factor[0],
            debye_waller_68=_band(factor, 0.16),
            debye_waller_95=_band(factor, 0.025),
        ),
        maximum_strain=(derived[0].value, derived[1].value),
        derived=derived,
    )


def _band(rows: Floats, tail: float) -> Floats:
    """Limits that leave the tail out on either side, widened to hold the best profile (the first row)."""
    limits = np.quantile(rows[1:], [tail, 1 - tail], axis=0)
    return np.stack([np.minimum(limits[0], rows[0]), np.maximum(limits[1], rows[0])])


def _parameters(
    prior: Prior, fit: Fit, sd: Floats, determined: NDArray[np.bool_]
) -> tuple[FittedParameter, ...]:
    known = dict(zip(prior.free.tolist(), determined.tolist(), strict=True))
    result = []
    for i, spec in enumerate(prior.parameters):
        free = i in prior.free
        # In unit coordinates a constraint that holds the parameter is a bound like any other.
        near = min(fit.unit[i], 1 - fit.unit[i]) < 1e-3
        result.append(
            FittedParameter(
                name=spec.name,
                unit=spec.unit,
                value=float(fit.values[i]),
                sd=float(sd[i]) if free else None,
                lower=spec.lower,
                upper=spec.upper,
                determined=known.get(i, True),
                at_bound=free and bool(near),
                description=spec.description,
            )
        )
    return tuple(result)
