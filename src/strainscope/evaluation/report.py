"""An evaluation as a folder: a page for people, Markdown, JSON, and the figures; all files or none."""

import base64
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from strainscope import plots
from strainscope.dataset.published import V2_ERRORS
from strainscope.evaluation.calibration import BIN_POINTS, OVERALL_POINTS, Coverage
from strainscope.evaluation.document import evaluation_document
from strainscope.evaluation.evaluate import BinResult, Calibration, Evaluation
from strainscope.evaluation.figures import chance_text, evaluation_figures
from strainscope.evaluation.published import BALANCED_BARS, BALANCED_SET, COMPARED_SETS
from strainscope.evaluation.training_facts import Training
from strainscope.report.document import json_text
from strainscope.report.numerals import number_text
from strainscope.report.whole import check_whole, write_whole
from strainscope.sample.messages import with_unit

#: All files that an evaluation's folder can hold; the first tells that a folder is one.
EVALUATION_FILES = (
    "evaluation.json",
    "evaluation.html",
    "evaluation.md",
    "predicted.png",
    "errors.png",
    "coverage.png",
    "ranks.png",
    "widths.png",
    "bins.png",
)
_KIND = "evaluation"


def check_evaluation_target(folder: Path, *, force: bool = False) -> None:
    """Refuse a folder that :func:`write_evaluation` could not write, before work is spent on it.

    Raises:
        FileExistsError: the folder exists and `force` is off, or it holds something other than an evaluation.
        OSError: it cannot be written.
    """
    check_whole(folder, EVALUATION_FILES, what=_KIND, force=force)


def write_evaluation(
    evaluation: Evaluation, folder: Path, *, force: bool = False, command: str | None = None
) -> None:
    """Write evaluation.html, evaluation.md, evaluation.json and the figures: all of them or nothing.

    Args:
        evaluation: The results.
        folder: The folder to make; missing parents are made, too.
        force: Replace the folder if it is a former evaluation.
        command: What to type to repeat it.

    Raises:
        FileExistsError: the folder exists and `force` is off, or it holds something other than an evaluation.
        OSError: it cannot be written.
    """
    check_evaluation_target(folder, force=force)
    write_whole(
        folder, evaluation_files(evaluation, command=command), EVALUATION_FILES, what=_KIND, force=force
    )


def evaluation_json(evaluation: Evaluation, *, command: str | None = None) -> str:
    """The document as JSON text, for standard output."""
    return json_text(evaluation_document(evaluation, command=command))


def evaluation_files(evaluation: Evaluation, *, command: str | None = None) -> dict[str, bytes]:
    """Contents of all files by name; the same evaluation gives the same bytes."""
    figures = evaluation_figures(evaluation)
    pictures = {f"{name}.png": plots.picture(figure, kind="png") for name, figure in figures.items()}
    texts = {
        "evaluation.json": evaluation_json(evaluation, command=command),
        "evaluation.html": _render("evaluation.html.j2", evaluation, pictures, command, html=True),
        "evaluation.md": _render("evaluation.md.j2", evaluation, pictures, command, html=False),
    }
    return {name: text.encode("utf-8", "replace") for name, text in texts.items()} | pictures


def _render(
    template: str, evaluation: Evaluation, pictures: dict[str, bytes], command: str | None, *, html: bool
) -> str:
    environment = jinja2.Environment(
        autoescape=html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # In a Markdown table, a bar would start another cell.
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    source = resources.files("strainscope").joinpath(f"templates/{template}").read_text(encoding="utf-8")
    calibration = evaluation.calibration
    quantities = list(dict.fromkeys(r.bin.quantity for r in evaluation.bins))
    return environment.from_string(source).render(
        e=evaluation,
        frozen=evaluation.frozen,
        verdict=_verdict(evaluation),
        facts=_facts(evaluation),
        rows=_rows(evaluation),
        bars=_has_bars(evaluation),
        earlier=evaluation.frozen.name in COMPARED_SETS,
        ranges_from=_ranges_from(evaluation),
        calibration=calibration,
        coverage=[] if calibration is None else _coverage_rows(evaluation.names, calibration),
        tolerance=f"{OVERALL_POINTS:g}",
        bins=[
            (
                q.replace("_", " ") + (" (estimated)" if q in evaluation.estimated else ""),
                [_bin_row(r) for r in evaluation.bins if r.bin.quantity == q],
            )
            for q in quantities
        ],
        bounds=[
            (name, unit, *(number_text(x) for x in evaluation.frozen.bounds[name]))
            for name, unit in zip(evaluation.frozen.names, evaluation.frozen.units, strict=True)
        ],
        pictures={
            name: f"data:image/png;base64,{base64.b64encode(data).decode()}"
            for name, data in pictures.items()
        },
        command=command,
    )


# What the templates show ------------------------------------------------------------------------------------


def _verdict(evaluation: Evaluation) -> tuple[str, str, list[str]]:
    """Class of the badge, its text, and the reasons."""
    e, calibration = evaluation, evaluation.calibration
    reasons = [f"The mean error is {_percent(e.metrics.mean_mae_percent_of_range)} of the ranges."]
    if e.metrics.violations:
        reasons.append(f"{_share(e.metrics.violations)} of the estimates break a constraint.")
    if _has_bars(e):
        errors = e.metrics.mae_percent_of_range
        missed = [n for n in e.names if n in BALANCED_BARS and errors[n] > BALANCED_BARS[n]]
        reasons.append(
            f"Above the goal: {', '.join(missed)}."
            if missed
            else "Every parameter is within the goal set for it."
        )
    if e.not_estimated:
        reasons.append(f"Not estimated: {', '.join(e.not_estimated)}.")
    if calibration is None:
        return (
            "plain",
            f"Mean error {_percent(e.metrics.mean_mae_percent_of_range)} of the range",
            reasons[1:],
        )
    bad_bins = [r for r in e.bins if r.problems]
    reasons += [f"Coverage of {problem}." for problem in calibration.problems]
    if bad_bins:
        reasons.append(
            f"In {len(bad_bins)} of {len(e.bins)} bins coverage is more than {BIN_POINTS:g} points from nominal, and "
            "more than chance allows."
        )
    if not calibration.control_fails:
        reasons.append(
            "Control: posteriors of half the width pass the same test: it cannot tell anything here."
        )
        return "bad", "Calibration not shown", reasons
    reasons.append("Control: posteriors of half the width fail the same test, as they must.")
    if calibration.problems or bad_bins:
        return "bad", "Not calibrated", [*reasons, *filter(None, [e.frozen.caveat])]
    return (
        "good",
        f"Calibrated: coverage within {calibration.coverage.allowed(OVERALL_POINTS):.3g} points of nominal",
        reasons,
    )


def _facts(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    e = evaluation
    facts = [
        ("Curves", f"{len(e.truth):,}", f"of {e.frozen.size:,} in the set {e.frozen.name}"),
        (
            "Mean error",
            _percent(e.metrics.mean_mae_percent_of_range),
            "of the ranges, mean of all parameters",
        ),
        ("Violations", _share(e.metrics.violations), "estimates that break a constraint"),
        ("Time", f"{_ms(e.timing.point_ms)} a curve", f"{_ms(e.timing.single_point_ms)} one by one"),
    ]
    if e.calibration is not None and e.timing.sample_ms is not None:
        single = "" if e.timing.single_sample_ms is None else f"; {_ms(e.timing.single_sample_ms)} one by one"
        facts.append(
            ("Posterior", f"{_ms(e.timing.sample_ms)} a curve", f"{e.calibration.draws:,} draws{single}")
        )
    return facts + _training_facts(e.training)


def _training_facts(training: Training | None) -> list[tuple[str, str, str]]:
    if training is None:
        return []
    title = f"plan “{training.title}”" if training.title else "plan without a title"
    data = f"{title}: {training.model} on {', '.join(training.data)}"
    seen = "unknown" if training.curves_seen is None else f"{training.curves_seen:,} curves"
    facts = [("Trained on", seen, data)]
    if training.hours is not None:
        cores = training.core_hours
        spent = "" if cores is None else f", {number_text(cores, digits=2)} core-hours"
        seeds = f"seed{'s' if len(training.seeds) > 1 else ''} {', '.join(map(str, training.seeds))}"
        facts.append(("Training", f"{number_text(training.hours, digits=2)} h", f"{seeds}{spent}"))
    return facts


def _ranges_from(evaluation: Evaluation) -> str:
    """Where the ranges come from that errors are given in % of."""
    published, own = evaluation.in_published_ranges, "the bounds of the set’s values"
    if not published:
        return own
    source = "the ranges of the predecessor’s report, which scale errors only"
    if published == evaluation.names:
        return source
    return f"{source}, for {', '.join(published)}, and {own} for the others"


def _rows(evaluation: Evaluation) -> list[dict[str, str]]:
    e, metrics = evaluation, evaluation.metrics
    rows = []
    for name, width, unit in zip(e.names, e.widths.tolist(), e.units, strict=True):
        error, bar = metrics.mae_percent_of_range[name], BALANCED_BARS.get(name)
        rows.append(
            {
                "name": name,
                "mae": _percent(error),
                "range": with_unit(number_text(width, digits=3), unit),
                "absolute": with_unit(number_text(error / 100 * width, digits=3), unit),
                "median": _percent(metrics.median_percent_of_range[name]),
                "r2": f"{metrics.r2[name]:.4f}",
                "within": f"{100 * metrics.within_10_percent[name]:.1f} %",
                "bar": "" if bar is None else f"{bar:g} % {'✓' if error <= bar else '✕'}",
                "v2": f"{V2_ERRORS[name]:g} %" if name in V2_ERRORS else "",
            }
        )
    return rows


def _coverage_rows(names: tuple[str, ...], calibration: Calibration) -> list[dict[str, Any]]:
    rows = []
    for name in (*names, None):
        test = calibration.tarp_test if name is None else calibration.rank_tests[name]
        ratio = None if name is None else calibration.against_bound.get(name)
        rows.append(
            {
                "name": name or "all together (TARP)",
                "levels": _coverage_cells(calibration.coverage, name),
                "control": _coverage_cells(calibration.control, name),
                "ks": chance_text(test.ks_p).removeprefix("p = ").removeprefix("p "),
                "chi2": chance_text(test.chi2_p).removeprefix("p = ").removeprefix("p "),
                "sd": "" if name is None else _percent(calibration.sd_percent_of_range[name]),
                "bound": "" if ratio is None else f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})",
            }
        )
    return rows


def _coverage_cells(coverage: Coverage, name: str | None) -> list[str]:
    shares = coverage.joint if name is None else {level: own[name] for level, own in coverage.of.items()}
    return [f"{100 * share:.1f} %" for share in shares.values()]


def _bin_row(result: BinResult) -> dict[str, Any]:
    worst = (
        ""
        if result.coverage is None
        else (", ".join(result.problems) or f"within {result.coverage.allowed(BIN_POINTS):.3g} points")
    )
    return {
        "range": f"{number_text(result.bin.low)} to {number_text(result.bin.high)}",
        "number": f"{result.bin.number:,}",
        "errors": [_percent(error) for error in result.metrics.mae_percent_of_range.values()],
        "coverage": worst,
    }


def _has_bars(evaluation: Evaluation) -> bool:
    return evaluation.frozen.name == BALANCED_SET


def _percent(value: float) -> str:
    return f"{number_text(value, digits=3)} %"


def _share(share: float) -> str:
    return "0" if share == 0 else f"{number_text(100 * share, digits=2)} %"


def _ms(value: float) -> str:
    return f"{number_text(value, digits=2)} ms"
