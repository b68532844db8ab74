"""An estimator on a test set: errors, calibration, bins, negative control, time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from strainscope.dataset.published import PUBLISHED_RANGES
from strainscope.evaluation.calibration import (
    BIN_POINTS,
    OVERALL_POINTS,
    Coverage,
    RankTest,
    WidthRatio,
    coverage,
    narrowed,
    posterior_sd,
    rank_test,
    ranks,
    tarp,
    widths_against_bound,
)
from strainscope.evaluation.estimates import PointEstimator, Sampler, point_estimates
from strainscope.evaluation.metrics import (
    Bin,
    PointMetrics,
    bins,
    point_metrics,
    violations,
)
from strainscope.evaluation.test_sets import FrozenTestSet, LoadedTestSet
from strainscope.evaluation.training_facts import Training, training_of

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]

DRAWS = 256
_BLOCK = 500  # curves whose draws are in memory together


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """How honest the posteriors are.

    Attributes:
        draws: Of each posterior.
        rank: Of the truth among the draws, shape (curve, parameter).
        distance: TARP's numbers, shape (curve,).
        sd: Of the posteriors, shape (curve, parameter).
        bound: Cramér-Rao bounds as standard deviations, same shape, NaN where unknown; None if not given.
        coverage: Over all curves.
        rank_tests: Simulation-based calibration, by parameter.
        tarp_test: The same of TARP's numbers.
        sd_percent_of_range: Mean sd by parameter.
        against_bound: sd over the Cramér-Rao bound, where bounds were given.
        sample_violations: Share of the draws that break a constraint.
        control: Coverage of the same posteriors with their widths halved, which must fail.
    """

    draws: int
    rank: Floats
    distance: Floats
    sd: Floats
    bound: Floats | None
    coverage: Coverage
    rank_tests: Mapping[str, RankTest]
    tarp_test: RankTest
    sd_percent_of_range: Mapping[str, float]
    against_bound: Mapping[str, WidthRatio]
    sample_violations: float
    control: Coverage

    @property
    def problems(self) -> list[str]:
        """Coverage that is too far from nominal, over all curves."""
        return self.coverage.problems(OVERALL_POINTS)

    @property
    def control_fails(self) -> bool:
        """Whether the posteriors of half the width are found out, as they must be."""
        return bool(self.control.problems(OVERALL_POINTS))


@dataclass(frozen=True, kw_only=True, eq=False)
class BinResult:
    """Errors and coverage of the curves of a bin."""

    bin: Bin
    metrics: PointMetrics
    coverage: Coverage | None
    against_bound: Mapping[str, WidthRatio]

    @property
    def problems(self) -> list[str]:
        """Coverage that is too far from nominal for a bin."""
        return [] if self.coverage is None else self.coverage.problems(BIN_POINTS)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long estimates took [ms a curve]; draws None without posteriors."""

    point_ms: float
    single_point_ms: float
    sample_ms: float | None
    single_sample_ms: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """An estimator's results on a test set.

    Attributes:
        estimator: Its name.
        frozen: The test set.
        names: Parameters evaluated: those of the set that the estimator has.
        units: Of these.
        ranges: What errors are given in % of, by parameter.
        truth: Shape (curve, parameter).
        estimate: Shape (curve, parameter).
        metrics: Over all curves.
        calibration: None for an estimator without posteriors.
        bins: The same by any quantity.
        estimated: Quantities of the bins that are those of the estimates, not of the truth.
        timing: Of the estimates.
        training: What the estimator says of its training; None if nothing.
        seed: Of draws and random points.
        version: Of this package.
    """

    estimator: str
    frozen: FrozenTestSet
    names: tuple[str, ...]
    units: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float]]
    truth: Floats
    estimate: Floats
    metrics: PointMetrics
    calibration: Calibration | None
    bins: tuple[BinResult, ...]
    estimated: tuple[str, ...]
    timing: Timing
    training: Training | None
    seed: int
    version: str

    @property
    def widths(self) -> Floats:
        """Of the ranges that errors are given in, shape (parameter,)."""
        return np.array([high - low for low, high in self.ranges.values()])

    @property
    def in_published_ranges(self) -> tuple[str, ...]:
        """Parameters whose errors are in % of the published ranges; the others' are in % of the set's bounds."""
        return tuple(n for n in self.names if self.ranges[n] == PUBLISHED_RANGES.get(n))

    @property
    def not_estimated(self) -> tuple[str, ...]:
        """Parameters of the set that the estimator does not have."""
        return tuple(name for name in self.frozen.names if name not in self.names)


def evaluate(
    estimator: PointEstimator,
    test_set: LoadedTestSet,
    *,
    name: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    by: Mapping[str, Floats] | None = None,
    number_of_bins: int = 4,
    cramer_rao: Floats | None = None,
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """How good an estimator is.

    Args:
        estimator: With `names` and `point`, and perhaps `sample`.
        test_set: From `load_test_set`.
        name: Of the estimator; by default its attribute `name`, or its class's.
        draws: Of each posterior.
        seed: Of draws and random points.
        by: Quantities of each curve to bin by, shape (curve,) each, besides those of the set.
        number_of_bins: Of each.
        cramer_rao: Bounds as standard deviations, shape (curve, parameter of the set); NaN where unknown.
        progress: Called with the curves done and their total.

    Raises:
        ValueError: an estimator that shares no parameter with the set, or gives wrong shapes or values.
    """
    frozen, number = test_set.frozen, len(test_set)
    own = tuple(estimator.names)
    names = tuple(n for n in frozen.names if n in own)
    if not names:
        raise ValueError(
            f"the estimator knows {', '.join(own)}; test set {frozen.name} has {', '.join(frozen.names)}. "
            "Choose a set with the estimator's parameters."
        )
    if draws < 2:
        raise ValueError(f"draws = {draws}; at least 2 are needed for a width.")
    columns = [frozen.names.index(n) for n in names]
    truth = test_set.parameters[:, columns]
    ranges = {name: frozen.ranges[name] for name in names}
    widths = np.array([high - low for low, high in ranges.values()])
    estimate, point_ms, single_ms = point_estimates(estimator, test_set, own, names)
    sampler = Sampler(estimator, test_set, own, names, draws=draws, seed=seed)
    bound = None if cramer_rao is None else np.asarray(cramer_rao, dtype=np.float64)[:, columns]
    calibration = None
    if callable(getattr(estimator, "sample", None)):
        calibration = _calibration(sampler, frozen, names, truth, widths, bound=bound, progress=progress)
    metrics = point_metrics(names, truth, estimate, widths=widths, constraints=frozen.constraints)
    # Among curves chosen by their true values even the exact posterior is not calibrated, among those chosen by what
    # can be seen of them it is.
    seen = frozen.columns(estimate) if calibration is not None and names == frozen.names else {}
    quantities = {**test_set.columns, **seen, **(by or {})}
    return Evaluation(
        estimator=name or str(getattr(estimator, "name", type(estimator).__name__)),
        frozen=frozen,
        names=names,
        units=tuple(frozen.units[i] for i in columns),
        ranges=ranges,
        truth=truth,
        estimate=estimate,
        metrics=metrics,
        calibration=calibration,
        bins=tuple(
            _bin_result(part, names, truth, estimate, widths, frozen, calibration, bound)
            for quantity, values in quantities.items()
            for part in bins(quantity, _column(quantity, values, number), number=number_of_bins)
        ),
        estimated=tuple(seen),
        timing=Timing(
            point_ms=point_ms,
            single_point_ms=single_ms,
            sample_ms=None if calibration is None else 1000 * sampler.seconds / number,
            single_sample_ms=None if calibration is None else sampler.single_ms(),
        ),
        training=training_of(getattr(estimator, "about", {})),
        seed=seed,
        version=version("strainscope"),
    )


def _column(quantity: str, values: Floats, number: int) -> Floats:
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (number,):
        raise ValueError(f"{quantity} has shape {values.shape}; it must have one value a curve, {(number,)}.")
    return values


def _calibration(
    sampler: Sampler,
    frozen: FrozenTestSet,
    names: tuple[str, ...],
    truth: Floats,
    widths: Floats,
    *,
    bound: Floats | None,
    progress: Progress,
) -> Calibration:
    number = len(truth)
    low, high = np.array([frozen.bounds[n] for n in names]).T
    sampler(0, 1)
    sampler.seconds = 0.0
    rank: list[Floats] = []
    distance: list[Floats] = []
    sd: list[Floats] = []
    narrow_rank: list[Floats] = []
    narrow_distance: list[Floats] = []
    broken = 0.0
    for first in range(0, number, _BLOCK):
        last = min(first + _BLOCK, number)
        samples, weights = sampler(first, last)
        own = truth[first:last]
        # The control has the same random numbers, so that it differs in its width alone.
        for draws, its_rank, its_distance in (
            (samples, rank, distance),
            (narrowed(samples, weights), narrow_rank, narrow_distance),
        ):
            rng = np.random.default_rng((sampler.seed, first))
            its_rank.append(ranks(draws, own, rng=rng, weights=weights))
            its_distance.append(tarp(draws, own, low=low, high=high, rng=rng, weights=weights))
        sd.append(posterior_sd(samples, weights))
        broken += float(_broken(samples, names, frozen).sum())
        progress(last, number)
    ranked, distances, sds = np.concatenate(rank), np.concatenate(distance), np.concatenate(sd)
    return Calibration(
        draws=sampler.draws,
        rank=ranked,
        distance=distances,
        sd=sds,
        bound=bound,
        coverage=coverage(names, ranked, distances),
        rank_tests={n: rank_test(ranked[:, i]) for i, n in enumerate(names)},
        tarp_test=rank_test(distances),
        sd_percent_of_range=dict(zip(names, (100 * sds.mean(axis=0) / widths).tolist(), strict=True)),
        against_bound={} if bound is None else widths_against_bound(names, sds, bound),
        sample_violations=broken / (number * sampler.draws),
        control=coverage(names, np.concatenate(narrow_rank), np.concatenate(narrow_distance)),
    )


def _broken(samples: Floats, names: tuple[str, ...], frozen: FrozenTestSet) -> NDArray[np.bool_]:
    masks = violations(names, samples, frozen.constraints)
    return np.asarray(
        np.any(list(masks.values()), axis=0) if masks else np.zeros(samples.shape[:-1], dtype=np.bool_)
    )


def _bin_result(
    part: Bin,
    names: tuple[str, ...],
    truth: Floats,
    estimate: Floats,
    widths: Floats,
    frozen: FrozenTestSet,
    calibration: Calibration | None,
    bound: Floats | None,
) -> BinResult:
    mask = part.mask
    metrics = point_metrics(names, truth[mask], estimate[mask], widths=widths, constraints=frozen.constraints)
    if calibration is None:
        return BinResult(bin=part, metrics=metrics, coverage=None, against_bound={})
    ratios = {} if bound is None else widths_against_bound(names, calibration.sd[mask], bound[mask])
    own = coverage(names, calibration.rank[mask], calibration.distance[mask])
    return BinResult(bin=part, metrics=metrics, coverage=own, against_bound=ratios)
