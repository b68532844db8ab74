"""The command `strainscope batch`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strainscope.cli.options import (
    AxisOption,
    EstimatorOption,
    IntensityOption,
    JsonOption,
    ModelErrorOption,
    RayOption,
    SampleOption,
    local,
)

if TYPE_CHECKING:
    from strainscope.series import Outcome


def batch(
    places: Annotated[list[Path], typer.Argument(metavar="SCAN...", help="Scans, or folders of scans.")],
    sample: SampleOption,
    out: Annotated[Path, typer.Option("-o", "--out", callback=local, help="Folder for table, report and results.")],
    table: Annotated[
        Path | None,
        typer.Option(
            help="CSV with a column `file` and what else is known of each scan; axis and intensity go before --axis "
            "and --intensity."
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Column that results are drawn against, such as dose.")
    ] = None,
    axis: AxisOption = None,
    intensity: IntensityOption = None,
    scan: Annotated[
        int | None, typer.Option(help="Which scan of instruments' files that hold several, from 1.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of every scan's search.")] = 0,
    draws: Annotated[int | None, typer.Option(min=1, help="Curves simulated in each search.")] = None,
    starts: Annotated[int | None, typer.Option(min=1, help="Draws that are refined.")] = None,
    model_error: ModelErrorOption = None,
    estimator: EstimatorOption = None,
    instrument: Annotated[
        Path | None, typer.Option(help="File of `strainscope calibrate`, for all scans.")
    ] = None,
    ray: RayOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the series in the folder.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Invert many scans of one sample, side by side: one table, one report.

    A scan that fails is a row with its reason. Every scan's own result is in OUT/scans. A series that was stopped goes
    on with --resume: what was done with the same scan, settings and version is kept.
    """
    from strainscope import series
    from strainscope.estimator.named import proposal_of
    from strainscope.report import plain_data

    scans = series.find_scans(places, but=table)
    columns = {} if table is None else series.read_columns(table, scans)
    if against is not None and against not in columns:
        raise ValueError(
            f"--against {against}: no such column; --table gives {', '.join(columns) or 'none'}."
        )
    if against is not None:
        series.check_numbers(against, columns[against], scans)
    search = {"draws": draws, "starts": starts}
    job = series.Job(
        sample=sample,
        axis=axis,
        intensity=intensity,
        scan=() if scan is None else (scan,),
        model_error=model_error,
        search=tuple((name, value) for name, value in search.items() if value is not None),
        estimator=estimator,
        seed=seed,
        instruments=() if instrument is None else (str(instrument),),
    )
    known = list(columns)
    jobs, columns = series.jobs_for(scans, job, columns)
    together = jobs[0].described().by_reflection()
    if len(together) > 1:
        names = ", ".join(own.label for own in together)
        raise ValueError(
            f"{sample}: has several reflections, {names}; batch takes samples of one. Give each its own sample file, "
            "or invert the scans of each sample by themselves."
        )
    if estimator is not None:
        # Refused at once rather than for every scan.
        proposal_of(estimator, jobs[0].described())

    def tell(outcome: "Outcome", done: int) -> None:
        what = outcome.reason or ("kept" if outcome.again else "done")
        what = what.removeprefix(f"{outcome.file}: ")
        typer.echo(f"{done} of {len(scans)}: {outcome.file}: {what}", err=True)

    try:
        outcomes = series.run_series(
            scans, jobs, out, resume=resume, load_proposal=proposal_of, columns=known, ray=ray, progress=tell
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"; go on by the same command with --resume: {out}") from None
    rows = series.series_table(outcomes, columns)
    series.write_table(rows, out)
    series.write_series_report(outcomes, rows, out, against=against, title=f"{len(scans)} scans of {sample}")
    failed = sum(outcome.reason is not None for outcome in outcomes)
    if as_json:
        document = {"scans": len(scans), "failed": failed, "report": out / "report.html"}
        typer.echo(json.dumps(plain_data(document | {"rows": rows.to_pylist()}), allow_nan=False))
    typer.echo(f"{len(scans) - failed} of {len(scans)} scans inverted; report: {out / 'report.html'}", err=as_json)
    if failed == len(scans):
        raise ValueError(f"no scan could be inverted; {outcomes[0].reason}")
