"""The command `strainscope invert`."""

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strainscope.cli.options import (
    AxisOption,
    EstimatorOption,
    ForceOption,
    IntensityOption,
    JsonOption,
    ModelErrorOption,
    SampleOption,
    WidthOption,
    local,
)
from strainscope.cli.progress import stage_bar

if TYPE_CHECKING:
    from strainscope.inversion import Result

NEW_FOLDER = "NEW_FOLDER"


def invert(
    context: typer.Context,
    scan_files: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCAN...",
            help="Measured: two or three columns, or an instrument's file. One for each reflection.",
        ),
    ],
    sample: SampleOption,
    out: Annotated[Path, typer.Option("-o", "--out", callback=local, help="Folder for the result; it must not exist.")],
    axis: AxisOption = None,
    intensity: IntensityOption = None,
    scan: Annotated[
        list[int] | None,
        typer.Option(help="Which scan of an instrument's file, from 1; repeat it for several files."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the search; the same seed gives the same result on the same machine.")
    ] = 0,
    draws: Annotated[
        int | None,
        typer.Option(min=1, help="Curves simulated in the search; not in an estimator's place [default: 8192]."),
    ] = None,
    starts: Annotated[
        int | None, typer.Option(min=1, help="Draws of the search that are refined [default: 12].")
    ] = None,
    model_error: ModelErrorOption = None,
    splines: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Refine what was found with so many B-spline weights, whatever the sample's families; 0 for not.",
        ),
    ] = None,
    estimator: EstimatorOption = None,
    gold: Annotated[
        bool,
        typer.Option(
            "--gold", help="Check by nested sampling, with the evidence: minutes instead of seconds."
        ),
    ] = False,
    instrument: Annotated[
        list[Path] | None,
        typer.Option(help="File of `strainscope calibrate`; repeat it for several reflections."),
    ] = None,
    srim: Annotated[
        list[Path] | None,
        typer.Option(
            help="RANGE.txt or VACANCY.txt of SRIM, drawn beside the profile; repeat it for several."
        ),
    ] = None,
    figure_width: WidthOption = "single",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find every strain and disorder profile that explains a scan, without a starting guess.

    Scans of several reflections of one sample share one profile; the sample file names the reflections.
    """
    from strainscope import inversion, report, series
    from strainscope.estimator.named import proposal_of
    from strainscope.readers import read_srim

    search = {"draws": draws, "starts": starts, "splines": splines}
    job = series.Job(
        sample=sample,
        axis=axis,
        intensity=intensity,
        scan=tuple(scan or ()),
        model_error=model_error,
        search=tuple((name, value) for name, value in search.items() if value is not None),
        estimator=estimator,
        seed=seed,
        gold=gold,
        instruments=tuple(map(str, instrument or ())),
    )
    described = job.described()
    job.check_columns(scan_files)
    if gold:
        inversion.require_nested()
    report.check_target(out, force)
    report.width_in(figure_width)
    job.settings()
    ions = tuple(map(read_srim, srim or ()))
    proposal = None if estimator is None else proposal_of(estimator, described)
    with stage_bar() as progress:
        first, *beside = scan_files
        result = series.invert_file(first, job, beside=beside, proposal=proposal, progress=progress)
    result = replace(result, ions=ions)
    command = repeatable(context.obj)
    report.write_result(result, out, force=force, command=command, figure_width=figure_width)
    if as_json:
        typer.echo(json.dumps(report.result_document(result, command=command), allow_nan=False))
    typer.echo(_summary(result, out), err=as_json)


def repeatable(command: str) -> str:
    """The command with NEW_FOLDER as its folder, as the one that it was given with exists by now."""
    words = [word for word in shlex.split(command) if word != "--force"]
    for i, word in enumerate(words):
        if word in ("-o", "--out"):
            words[i + 1] = NEW_FOLDER
        elif word.startswith(("--out=", "-o")):
            words[i] = f"{'--out=' if word.startswith('--') else '-o'}{NEW_FOLDER}"
    return shlex.join(words)


def _summary(result: "Result", out: Path) -> str:
    from strainscope.report import largest_strain_text, number_text, solutions_text

    best = result.best
    strain, low, high, depth = largest_strain_text(best)
    chi2 = number_text(best.reduced_chi2, digits=3, trailing=True)
    error = "" if result.model_error is None else f" (model error {100 * result.model_error:g} %)"
    return "\n".join(
        [
            f"{result.verdict.level}: {' '.join(result.verdict.reasons)}",
            f"maximum strain {strain} % (68 % interval {low} to {high} %) at {depth} nm; {solutions_text(result)}",
            f"rms of log10 {best.rms_log10:.4f}, reduced χ² {chi2}{error}, {result.wall_s:.1f} s",
            f"report: {out / 'report.html'}",
        ]
    )
