"""An evaluation as one JSON document, for programs."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from strainscope.evaluation.calibration import (
    BIN_POINTS,
    OVERALL_POINTS,
    Coverage,
    RankTest,
    WidthRatio,
)
from strainscope.evaluation.evaluate import BinResult, Calibration, Evaluation
from strainscope.evaluation.metrics import PointMetrics
from strainscope.report.document import plain_data

SCHEMA_VERSION = 1


def evaluation_document(evaluation: Evaluation, *, command: str | None = None) -> dict[str, Any]:
    """The evaluation as plain data for JSON; shares are of 1, None in place of NaN.

    Args:
        evaluation: The results.
        command: What to type to repeat it.
    """
    e, frozen = evaluation, evaluation.frozen
    document = {
        "schema_version": SCHEMA_VERSION,
        "estimator": e.estimator,
        "training": None if e.training is None else asdict(e.training),
        "test_set": {
            "name": frozen.name,
            "title": frozen.title,
            "origin": frozen.origin,
            "sha256": frozen.sha256,
            "curves": len(e.truth),
            "of": frozen.size,
            "bounds": {name: list(pair) for name, pair in frozen.bounds.items()},
            "units": dict(zip(frozen.names, frozen.units, strict=True)),
            "constraints": [str(constraint) for constraint in frozen.constraints],
            "caveat": frozen.caveat or None,
        },
        "parameters": list(e.names),
        "not_estimated": list(e.not_estimated),
        "range": {name: list(pair) for name, pair in e.ranges.items()},
        "range_width": dict(zip(e.names, e.widths.tolist(), strict=True)),
        "range_from": {n: "published" if n in e.in_published_ranges else "bounds" for n in e.names},
        **_metrics(e.metrics),
        "mean_mae_percent_of_range": e.metrics.mean_mae_percent_of_range,
        **({} if e.calibration is None else _calibration(e.calibration)),
        "bins": _bins(e.bins),
        "bins_by_estimates": e.estimated,
        "timing_ms_per_curve": {
            "point": e.timing.point_ms,
            "point_one_by_one": e.timing.single_point_ms,
            "sample": e.timing.sample_ms,
            "sample_one_by_one": e.timing.single_sample_ms,
        },
        "seed": e.seed,
        "command": command,
        "version": e.version,
    }
    plain: dict[str, Any] = plain_data(document)
    return plain


def _metrics(metrics: PointMetrics) -> dict[str, Any]:
    return {
        "mae_percent_of_range": metrics.mae_percent_of_range,
        "mae_uncertainty_percent_of_range": metrics.mae_uncertainty_percent,
        "median_percent_of_range": metrics.median_percent_of_range,
        "r2": metrics.r2,
        "within_10_percent": metrics.within_10_percent,
        "violations": metrics.violations,
        "violations_of": metrics.violations_of,
    }


def _calibration(calibration: Calibration) -> dict[str, Any]:
    return {
        "draws": calibration.draws,
        "coverage": _coverage(calibration.coverage),
        "coverage_tolerance_points": {"overall": OVERALL_POINTS, "bins": BIN_POINTS},
        "coverage_problems": calibration.problems,
        "sbc": {name: _rank_test(test) for name, test in calibration.rank_tests.items()},
        "tarp": _rank_test(calibration.tarp_test),
        "sd_percent_of_range": calibration.sd_percent_of_range,
        "sd_over_cramer_rao": _ratios(calibration.against_bound),
        "sample_violations": calibration.sample_violations,
        "negative_control": {
            "what": "the same posteriors with their widths halved",
            "coverage": _coverage(calibration.control),
            "fails": calibration.control_fails,
        },
    }


def _coverage(coverage: Coverage) -> dict[str, Any]:
    """By level in per cent; `joint` is TARP's."""
    return {
        f"{100 * level:g}": {**shares, "joint": coverage.joint[level]}
        for level, shares in coverage.of.items()
    }


def _rank_test(test: RankTest) -> dict[str, Any]:
    return {"counts": test.counts, "chi2_p": test.chi2_p, "ks_p": test.ks_p}


def _ratios(ratios: Mapping[str, WidthRatio]) -> dict[str, Any]:
    return {
        name: {"mean": r.mean, "median": r.median, "q05": r.low, "q95": r.high} for name, r in ratios.items()
    }


def _bins(results: tuple[BinResult, ...]) -> dict[str, Any]:
    by: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        entry = {
            "low": result.bin.low,
            "high": result.bin.high,
            "curves": result.bin.number,
            **_metrics(result.metrics),
        }
        if result.coverage is not None:
            entry["coverage"] = _coverage(result.coverage)
            entry["coverage_problems"] = result.problems
            entry["sd_over_cramer_rao"] = _ratios(result.against_bound)
        by.setdefault(result.bin.quantity, []).append(entry)
    return by
