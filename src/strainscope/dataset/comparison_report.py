"""A comparison as a folder: a page for people, Markdown, CSV, JSON, and the figures; all files or none."""

import base64
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import jinja2

from strainscope import plots
from strainscope.dataset.compare import Comparison
from strainscope.dataset.comparison_document import (
    best_rows,
    chi2_text,
    comparison_document,
    criterion_rows,
    percent_text,
    rows_for_people,
    signed,
    table_csv,
    weight_text,
)
from strainscope.dataset.comparison_figures import MILLION, comparison_figures, detail_name, peak_figure
from strainscope.dataset.judgement import WORDS
from strainscope.dataset.peaks import STUDY_STARTS, PeakVerification
from strainscope.report.document import json_text, plain_data
from strainscope.report.whole import check_whole, write_whole

#: All files that a comparison's folder can hold; the first tells that a folder is one.
COMPARISON_FILES = (
    "report.json",
    "report.html",
    "report.md",
    "table.csv",
    "histograms.png",
    "chi2.png",
    "detail.png",
    "pair-coverage.png",
    "peaks-first.png",
    "peaks-second.png",
)
_KIND = "comparison"


def check_comparison_target(folder: Path, *, force: bool = False) -> None:
    """Refuse a folder that :func:`write_comparison` could not write, before datasets are read.

    Raises:
        FileExistsError: the folder exists and `force` is off, or it holds something other than a comparison.
        OSError: it cannot be written.
    """
    check_whole(folder, COMPARISON_FILES, what=_KIND, force=force)


def write_comparison(
    comparison: Comparison,
    folder: Path,
    *,
    peaks: Sequence[PeakVerification | None] = (None, None),
    force: bool = False,
    command: str | None = None,
) -> None:
    """Write report.html, report.md, table.csv, report.json and the figures: all of them or nothing.

    Args:
        comparison: The two datasets.
        folder: The folder to make; missing parents are made, too.
        peaks: Of the first and the second dataset, where curves were read.
        force: Replace the folder if it is a former comparison.
        command: What to type to repeat it.

    Raises:
        FileExistsError: the folder exists and `force` is off, or it holds something other than a comparison.
        OSError: it cannot be written.
    """
    check_comparison_target(folder, force=force)
    contents = comparison_files(comparison, peaks=peaks, command=command)
    write_whole(folder, contents, COMPARISON_FILES, what=_KIND, force=force)


def comparison_files(
    comparison: Comparison,
    *,
    peaks: Sequence[PeakVerification | None] = (None, None),
    command: str | None = None,
) -> dict[str, bytes]:
    """Contents of all files by name; the same comparison gives the same bytes."""
    figures = dict(comparison_figures(comparison))
    names = (comparison.first.name, comparison.second.name)
    verified = [(name, p) for name, p in zip(names, peaks, strict=True) if p is not None]
    for side, name, p in zip(("first", "second"), names, peaks, strict=True):
        if p is not None:
            figures[f"peaks-{side}"] = peak_figure(p, name=name, start=STUDY_STARTS[0])
    pictures = {f"{name}.png": plots.picture(figure, kind="png") for name, figure in figures.items()}
    document = comparison_document(comparison, peaks=peaks, command=command)
    texts = {
        "report.json": json_text(plain_data(document)),
        "report.html": _render("comparison.html.j2", comparison, verified, pictures, command, html=True),
        "report.md": _render("comparison.md.j2", comparison, verified, pictures, command, html=False),
        "table.csv": table_csv(comparison),
    }
    # A dataset can be named after a file whose name is no valid UTF-8.
    return {name: text.encode("utf-8", "replace") for name, text in texts.items()} | pictures


def _render(
    template: str,
    comparison: Comparison,
    verified: Sequence[tuple[str, PeakVerification]],
    pictures: dict[str, bytes],
    command: str | None,
    *,
    html: bool,
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
    both = (comparison.first, comparison.second)
    equal_size = both[0].size == both[1].size
    return environment.from_string(source).render(
        c=comparison,
        names=[e.name for e in both],
        colours=[plots.OTHERS[0], plots.BEST],
        winner=comparison.name_of(comparison.winner),
        votes=[comparison.votes("first"), comparison.votes("second")],
        sizes=[f"{e.size:,}" for e in both],
        combinations=["continuous" if e.combinations is None else f"{e.combinations:,}" for e in both],
        coverage=[f"{100 * e.coverage:.4g} %" for e in both],
        per_sample="" if equal_size else " a million samples",
        mean=[chi2_text(e.mean_chi2 * (1 if equal_size else MILLION / e.size)) for e in both],
        mean_improvement=percent_text(comparison.mean_improvement),
        weighted="–"
        if comparison.weighted_improvement is None
        else signed(comparison.weighted_improvement, digits=0),
        weights=weight_text(comparison),
        rows=rows_for_people(comparison),
        criteria=criterion_rows(comparison),
        best=best_rows(comparison),
        words=WORDS,
        detail=detail_name(comparison),
        peaks=[(name, p.summary(), [p.verdict(s) for s in STUDY_STARTS]) for name, p in verified],
        pictures={
            name: f"data:image/png;base64,{base64.b64encode(data).decode()}"
            for name, data in pictures.items()
        },
        command=command,
    )
