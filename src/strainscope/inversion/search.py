"""A search that needs no guess: draws from the prior, simulated, ranked against the scan, the best kept.

What the curve shows narrows the draws: the strained region's end bounds the largest strain. Everything else
comes from the prior's whole range.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from strainscope.crystal import ARCSEC
from strainscope.diffraction import choose_sublayers, no_sublayers
from strainscope.diffraction.engine import reflectivities
from strainscope.experiment import Experiment, ScanModel
from strainscope.inversion.features import Features
from strainscope.inversion.likelihood import Likelihood
from strainscope.prior import Prior
from strainscope.profile import CubicBSpline, DoubleGaussian

Floats = NDArray[np.float64]

# The largest strain lies below where the strained region ends: the resolution and the fringes reach farther.
LARGEST_STRAIN_SHARE = (0.5, 1.05)
# Draws are ranked: their curves may be coarser than those that are fitted.
RANKING_TOLERANCE = 1e-3
_CURVES_AT_ONCE = 1000
# A misfit beyond this (in ln intensity) counts no more: one deep fringe out of place is not worse than wrong.
_CLIP = 1.0


def strain_limits(features: Features, experiment: Experiment) -> tuple[float, float] | None:
    """Signed strain at the ends of the strained region (low-angle end, high-angle end), or None if not seen."""
    stack = experiment.stack
    exit_sine = np.sin(stack.bragg_angle + stack.asymmetry)
    per_radian = np.cos(stack.bragg_angle) / (np.cos(stack.asymmetry) * exit_sine)
    ends = (features.low_shoulder_arcsec, features.high_shoulder_arcsec)
    if ends == (None, None):
        return None
    low, high = (0.0 if e is None else -(e - features.peak_arcsec) * ARCSEC * per_radian for e in ends)
    return low, high


def draw_starts(
    experiment: Experiment,
    prior: Prior,
    base: Floats,
    features: Features,
    n: int,
    *,
    rng: np.random.Generator,
) -> Floats:
    """Parameter values drawn for the profile, the others as in base; shape (n, parameter).

    Free profile parameters fill the unit cube evenly (Sobol points). B-spline weights are drawn as shapes:
    the weights of double Gaussians and of disorder tied to them, over the drawn depth. Then the strain is
    scaled so that its largest value is a share of what the curve shows.

    Args:
        experiment: Families.
        prior: Bounds and constraints.
        base: Values of all parameters, shape (parameter,); those outside the profile are taken from here.
        features: What the scan shows.
        n: Number of draws.
        rng: Source of randomness.
    """
    n_profile = len(experiment.profile.parameters)
    cube = qmc.Sobol(n_profile, rng=rng).random_base2(int(np.ceil(np.log2(n))))[:n]
    unit = np.broadcast_to(prior.to_unit(base), (n, len(base))).copy()
    unit[:, :n_profile] = cube
    values = prior.from_unit(unit)
    if isinstance(experiment.profile.strain, CubicBSpline):
        _shape_splines(experiment, prior, values, rng)
    _scale_strain(experiment, prior, values, features, rng)
    held = [i for i, name in enumerate(prior.names) if name in prior.held]
    values[:, held] = base[held]
    return values


def _shape_splines(experiment: Experiment, prior: Prior, values: Floats, rng: np.random.Generator) -> None:
    """Replace free spline weights by those of smooth shapes: a double Gaussian, and E tied to it."""
    family = experiment.profile.strain
    assert isinstance(family, CubicBSpline)
    n, number = len(values), family.number
    depth = values[:, :1]
    bump = DoubleGaussian()
    lower = np.array([1e-3, 2e-4, 0.2, 0.0, 2e-4, 0.1, -1.0])
    upper = np.array([1e-2, 1e-2, 1.0, 0.9, 1e-2, 1.0, 0.0])
    shape = rng.uniform(lower, upper, (n, 7))
    shape[:, 1] = np.minimum(shape[:, 1], shape[:, 0])
    shape[:, 3] = np.minimum(shape[:, 3], 0.98 * shape[:, 2])
    shape[:, [2, 3, 5, 6]] *= depth
    # The k-th basis function from the surface is centred (k - 2)/n of the depth down.
    centres = np.clip((np.arange(number) - 1) / number, 0.0, 1.0) * depth
    strain = bump.evaluate(centres, shape)
    values[:, 1 : number + 1] = strain * rng.choice(
        [1.0, -1.0] if _both_signs(experiment, prior) else [1.0], (n, 1)
    )
    disorder = experiment.profile.disorder
    start = number + 1
    if isinstance(disorder, CubicBSpline):
        share = np.abs(strain) / np.abs(strain).max(axis=1, keepdims=True)
        k, power = rng.uniform(0, 0.9, (n, 1)), np.exp(rng.uniform(np.log(0.5), np.log(4), (n, 1)))
        follows = disorder.number == number
        if not follows:
            places = np.clip((np.arange(disorder.number) - 1) / disorder.number, 0, 1)
            own = np.clip((np.arange(number) - 1) / number, 0, 1)
            share = np.array([np.interp(places, own, row) for row in share])
        values[:, start] = values[:, 0]
        values[:, start + 1 : start + 1 + disorder.number] = 1 - k * share**power


def _both_signs(experiment: Experiment, prior: Prior) -> bool:
    names = experiment.profile.strain.amplitude_names
    return all(prior.parameters[prior.names.index(name)].lower < 0 for name in names)


def _scale_strain(
    experiment: Experiment, prior: Prior, values: Floats, features: Features, rng: np.random.Generator
) -> None:
    """Scale each draw's strain to a share of the largest that the curve shows, within the bounds."""
    limits = strain_limits(features, experiment)
    if limits is None:
        return
    family = experiment.profile.strain
    columns = [prior.names.index(name) for name in family.amplitude_names]
    n_strain = len(family.parameters)
    largest, depth = family.maximum(values[:, :n_strain])
    sign = np.sign(family.evaluate(depth[:, None], values[:, :n_strain])[:, 0])
    reach = np.where(sign >= 0, max(limits[0], 0.0), max(-limits[1], 0.0))
    if _both_signs(experiment, prior) and limits[0] > 0 > limits[1]:
        # The curve says which sign prevails where its two sides differ by much.
        prevailing = 1.0 if limits[0] > -2 * limits[1] else -1.0 if -limits[1] > 2 * limits[0] else 0.0
        turn = (sign * prevailing) < 0
        values[np.ix_(np.flatnonzero(turn), np.array(columns))] *= -1
        reach = np.where(turn, np.where(sign >= 0, -limits[1], limits[0]), reach)
    share = rng.uniform(*LARGEST_STRAIN_SHARE, len(values))
    factor = np.where((reach > 0) & (largest > 0), share * reach / np.maximum(largest, 1e-12), 1.0)
    values[:, columns] *= factor[:, None]
    lower = np.array([prior.parameters[i].lower for i in columns])
    upper = np.array([prior.parameters[i].upper for i in columns])
    values[:, columns] = np.clip(values[:, columns], lower, upper)
    # Scaling and clipping may break a constraint by little: pull back onto it.
    unit = np.clip(prior.to_unit(values), 0.0, 1.0)
    values[:] = prior.from_unit(unit)


def rank(
    model: ScanModel,
    likelihood: Likelihood,
    values: Floats,
    features: Features,
    *,
    progress: Callable[[int], None] | None = None,
) -> Floats:
    """Misfit of each draw: mean clipped |ln(measured/model)| over the strained side, scale profiled out.

    Args:
        model: Expected intensity on the scan.
        likelihood: Gives the measured intensity and its noise.
        values: Draws, shape (draw, parameter); instrument parameters are those of the first.
        features: What the scan shows.
        progress: Called with the number of curves done so far.

    Returns:
        Scores, shape (draw,).
    """
    experiment = model.experiment
    resolution = values[0, experiment.slices["resolution"]]
    offset = float(values[0, experiment.slices["scale"]][0])
    use = _ranked_points(model, features)
    position = model.position[use] - offset
    grid = model.grid
    weights = model.smearing.matrix(resolution, position)
    to_points = np.stack([w @ grid.fill for w in weights])
    # Angles near the substrate's peak hardly depend on the profile: one perfect crystal serves all.
    nodes = grid.node_arcsec
    margin = 1.5 * model.experiment.resolution.width(resolution) + 20
    near = (nodes > position.min() - margin) & (nodes < position.max() + margin)
    tables = model.tables_at(np.arange(len(nodes)))
    perfect = reflectivities(tables, no_sublayers())[0].astype(np.float64)
    constant = sum(to_points[p][:, ~near] @ perfect[p, ~near] for p in range(2))
    ranked = model.tables_at(np.flatnonzero(near))
    matrix = np.concatenate([to_points[0][:, near], to_points[1][:, near]], axis=1).T.astype(np.float32)
    measured = np.maximum(likelihood.intensity[use], 0.5 / likelihood.counts_per_unit)
    floor = features.floor * 0.9
    scores = np.empty(len(values))
    for first in range(0, len(values), _CURVES_AT_ONCE):
        block = values[first : first + _CURVES_AT_ONCE, experiment.slices["profile"]]
        cells = choose_sublayers(
            experiment.profile, block, ranked.exact, experiment.stack, tolerance=RANKING_TOLERANCE
        )
        r = reflectivities(ranked, cells)
        curves = r.reshape(len(block), -1) @ matrix + constant.astype(np.float32)
        scores[first : first + len(block)] = _scores(curves, measured, floor)
        if progress is not None:
            progress(first + len(block))
    return scores


def _ranked_points(model: ScanModel, features: Features) -> NDArray[np.int64]:
    """Points outside the main peak, from where the signal starts to where it ends."""
    x = model.position
    width = max(features.peak_fwhm_arcsec, 10.0)
    low = x.min() if features.low_edge_arcsec is None else features.low_edge_arcsec - 0.5 * width
    high = x.max() if features.high_edge_arcsec is None else features.high_edge_arcsec + 0.5 * width
    use = np.flatnonzero((x >= low) & (x <= high) & (np.abs(x - features.peak_arcsec) > 1.5 * width))
    return use if use.size >= 10 else np.arange(len(x))


def _scores(curves: NDArray[np.float32], measured: Floats, floor: float) -> Floats:
    """Clipped mean |ln| misfit of curves (draw, point), each scaled to the measured ones."""
    signal = np.maximum(measured - floor, 0.05 * measured)
    log_curve = np.log(np.maximum(curves, 1e-30))
    gap = np.log(signal).astype(np.float32) - log_curve
    shift = np.median(gap[:, :: max(1, gap.shape[1] // 60)], axis=1)
    residual = np.log(measured.astype(np.float32)) - np.log(
        np.exp(log_curve + shift[:, None]) + np.float32(floor)
    )
    return np.asarray(np.minimum(np.abs(residual), _CLIP).mean(axis=1), dtype=np.float64)


def distinct(
    experiment: Experiment, prior: Prior, values: Floats, scores: Floats, n: int, *, gap: float = 0.03
) -> Floats:
    """The best draws whose strain profiles differ, shape (<= n, parameter).

    Two are alike where their strains over depth differ by less than `gap` of the maximum in the mean.
    """
    family = experiment.profile.strain
    n_strain = len(family.parameters)
    order = np.argsort(scores)[: max(40 * n, 400)]
    depth = np.linspace(0, float(np.quantile(family.extent(values[order, :n_strain], 1e-4), 0.9)), 64)
    profiles = family.evaluate(np.broadcast_to(depth, (len(order), 64)), values[order, :n_strain])
    chosen: list[int] = []
    for i in range(len(order)):
        size = np.abs(profiles[i]).max()
        if all(np.abs(profiles[i] - profiles[j]).mean() > gap * size for j in chosen):
            chosen.append(i)
        if len(chosen) == n:
            break
    return values[order[chosen]]
