"""A comparison as plain data for programs, and as the texts of its tables for people."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from strainscope.dataset.best_evenness import BestEvenness
from strainscope.dataset.compare import Comparison, Criterion
from strainscope.dataset.evenness import Evenness, PairEvenness, ParameterEvenness
from strainscope.dataset.judgement import WORDS
from strainscope.dataset.peaks import PeakVerification

SCHEMA_VERSION = 1
TABLE_COLUMNS = (
    "parameter",
    "values_first",
    "values_second",
    "chi2_first",
    "chi2_second",
    "improvement_percent",
    "bias_first",
    "bias_second",
    "entropy_first",
    "entropy_second",
    "fewest_first",
    "fewest_second",
    "most_first",
    "most_second",
    "expected_chi2_first",
    "expected_chi2_second",
    "word_first",
    "word_second",
)


def evenness_document(evenness: Evenness) -> dict[str, Any]:
    """The evenness of one dataset as plain data; pass it through `plain_data` before JSON."""
    return {
        "name": evenness.name,
        "size": evenness.size,
        "combinations": evenness.combinations,
        "repeats": evenness.repeats,
        "rounding": evenness.rounding,
        "mean_chi2": evenness.mean_chi2,
        "mean_entropy": evenness.mean_entropy,
        "worst_bias": evenness.worst_bias,
        "pair_coverage": evenness.coverage,
        "parameters": {p.name: _parameter(p) for p in evenness.parameters},
        "pairs": [_pair(p) for p in evenness.pairs],
        "best_possible": _best(evenness.best),
    }


def comparison_document(
    comparison: Comparison,
    *,
    peaks: Sequence[PeakVerification | None] = (),
    command: str | None = None,
) -> dict[str, Any]:
    """The comparison as plain data; pass it through `plain_data` before JSON."""
    return {
        "schema_version": SCHEMA_VERSION,
        "winner": comparison.winner,
        "winner_name": comparison.name_of(comparison.winner),
        "mean_improvement_percent": comparison.mean_improvement,
        "weighted_improvement": comparison.weighted_improvement,
        "weighted_improvement_sd": comparison.weighted_sd,
        "weighted_parameters": comparison.weighted_names,
        "weights": comparison.weights,
        "improvements": {
            row.name: {"percent": row.improvement, "sd_percent": row.improvement_sd, "better": row.better}
            for row in comparison.rows
        },
        "criteria": [vars(criterion) for criterion in comparison.criteria],
        "better_for": comparison.better_for,
        "caveats": comparison.caveats,
        "first": evenness_document(comparison.first),
        "second": evenness_document(comparison.second),
        "peaks": [p.document() if p is not None else None for p in peaks],
        "words": WORDS,
        "command": command,
    }


def table_csv(comparison: Comparison) -> str:
    """The table of both datasets, one row a parameter; empty where there is no figure, inf for an infinite bias."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(TABLE_COLUMNS)
    for row in comparison.rows:
        a, b = row.first, row.second
        pairs = [(p.chi2, p.bias, p.entropy, p.fewest, p.most, p.judgement) for p in (a, b)]
        chi2, bias, entropy, fewest, most, judgement = zip(*pairs, strict=True)
        expected = [j.expected_chi2 for j in judgement]
        figures = [*chi2, row.improvement, *bias, *entropy, *fewest, *most, *expected]
        text = ["" if x is None else f"{x:.10g}" for x in figures]
        writer.writerow([row.name, a.unique, b.unique, *text, *(j.word for j in judgement)])
    return buffer.getvalue()


def rows_for_people(comparison: Comparison) -> list[dict[str, Any]]:
    """The table's cells as texts, one dictionary a parameter, the mean last."""
    rows = []
    for row in comparison.rows:
        both = (row.first, row.second)
        rows.append(
            {
                "name": row.name,
                "values": [_values_text(p) for p in both],
                "chi2": [chi2_text(p.chi2) for p in both],
                "bias": [bias_text(p.bias) for p in both],
                "entropy": [f"{p.entropy:.4f}" for p in both],
                "counts": [f"{p.fewest:,} … {p.most:,}" for p in both],
                "expected": [_expected_text(p) for p in both],
                "word": [p.judgement.word for p in both],
                "improvement": percent_text(row.improvement),
                "better": comparison.name_of(row.better) if row.better else "no clear difference",
            }
        )
    return rows


def criterion_rows(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    """Criterion, both figures and the winner as texts."""
    return [
        (
            c.name,
            "" if c.first is None else _figure(c, c.first),
            _figure(c, c.second),
            comparison.name_of(c.winner) if c.winner else "no clear difference",
        )
        for c in comparison.criteria
    ]


def weight_text(comparison: Comparison) -> str:
    """How the weighted improvement comes about, as a sum."""
    found = {row.name: row.improvement for row in comparison.rows}
    terms = [
        f"{found[name]:+.1f} % × {comparison.weights[name]:g}".replace("-", "−")
        for name in comparison.weighted_names
    ]
    if comparison.weighted_improvement is None:
        return "no parameter has both a weight and an improvement"
    total = signed(comparison.weighted_improvement, digits=0)
    return (
        f"{', '.join(comparison.weighted_names)}: {' '.join(terms)} = {total} ± {comparison.weighted_sd:.0f}"
    )


def best_rows(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """Dataset's name and, for every parameter, measured chi², least with repeats, least without, as texts."""
    rows = []
    for e in (comparison.first, comparison.second):
        if e.best is None:
            continue
        figures: list[tuple[str, Mapping[str, float] | None]] = [
            ("as it is", {p.name: p.chi2 for p in e.parameters}),
            ("each combination at most once", e.best.once),
            ("combinations may repeat", e.best.repeated),
        ]
        for label, chi2 in figures:
            names = comparison.first.names
            cells = [chi2_text(chi2[name]) for name in names] if chi2 else ["–"] * len(names)
            mean = chi2_text(sum(chi2.values()) / len(names)) if chi2 else "–"
            rows.append((f"{e.name}, {label}", [*cells, mean]))
    return rows


def chi2_text(value: float) -> str:
    """chi² as people read it: whole above 100."""
    return f"{value:,.0f}" if value >= 100 or value < 0.05 else f"{value:.1f}"


def bias_text(value: float) -> str:
    """A bias to two decimals; the sign of infinity where a value is missing."""
    return f"{value:,.2f}" if math.isfinite(value) else "∞"


def percent_text(value: float | None) -> str:
    """An improvement with its sign; a dash for none."""
    return "–" if value is None else f"{signed(value, digits=1)} %"


def signed(value: float, *, digits: int) -> str:
    """A number with its sign, a true minus, and no minus before zero."""
    return f"{round(value, digits) + 0.0:+,.{digits}f}".replace("-", "−")


def _values_text(parameter: ParameterEvenness) -> str:
    all_levels = len(parameter.counts)
    found = f"{parameter.unique}" if parameter.unique == all_levels else f"{parameter.unique} of {all_levels}"
    return f"{found} bins" if parameter.levels.edges is not None else found


def _expected_text(parameter: ParameterEvenness) -> str:
    j = parameter.judgement
    if j.expected_chi2 is None or j.sd_chi2 is None:
        return "–"
    return f"{chi2_text(j.expected_chi2)} ± {chi2_text(j.sd_chi2)}"


def _figure(criterion: Criterion, value: float) -> str:
    if "coverage" in criterion.name:
        return f"{100 * value:.4g} %"
    if "improvement" in criterion.name:
        return signed(value, digits=0)
    if "bias (" in criterion.name and "worst" in criterion.name:
        return bias_text(value)
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.3g}"


def _parameter(p: ParameterEvenness) -> dict[str, Any]:
    return {
        "unit": p.unit,
        "values": p.levels.values,
        "bin_edges": p.levels.edges,
        "counts": p.counts,
        "unique": p.unique,
        "fewest": p.fewest,
        "most": p.most,
        "chi2": p.chi2,
        "bias": p.bias,
        "entropy": p.entropy,
        **vars(p.judgement),
    }


def _pair(p: PairEvenness) -> dict[str, Any]:
    return {
        "parameters": (p.one, p.other),
        "valid_cells": int(p.valid.sum()),
        "coverage": p.coverage,
        "fewest": p.fewest,
        "samples_in_invalid_cells": p.invalid,
    }


def _best(best: BestEvenness | None) -> dict[str, Any] | None:
    if best is None:
        return None
    groups = [
        {"parameters": names, "combinations_used": used, "combinations": number}
        for names, (used, number) in best.support.items()
    ]
    return {"chi2_with_repeats": best.repeated, "chi2_each_once": best.once, "with_repeats_uses": groups}
