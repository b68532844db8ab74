"""The commands `strainscope dataset …`. Whatever takes long to import is imported by the command that needs it."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strainscope.cli.options import DeviceOption, ForceOption, JsonOption, RayOption, assignments, local
from strainscope.cli.progress import progress_bar

if TYPE_CHECKING:
    from strainscope.dataset.evenness import Evenness
    from strainscope.dataset.peaks import PeakVerification
    from strainscope.dataset.plan import Plan

# Exit code of a check that ran and failed.
MISSED = 1

app = typer.Typer(no_args_is_help=True, help="Datasets of simulated curves: make, inspect, judge, export.")

SizeOption = Annotated[int | None, typer.Option(min=1, help="Samples, in place of the plan's.")]
SeedOption = Annotated[int | None, typer.Option(min=0, help="Seed, in place of the plan's.")]
PlanArgument = Annotated[str, typer.Argument(metavar="PLAN", help="A preset's name, or a plan file.")]
DatasetArgument = Annotated[
    str, typer.Argument(metavar="DATASET", help="A Zarr store, such as d.zarr or s3://bucket/d.zarr.")
]


@app.command()
def plans(name: Annotated[str | None, typer.Argument(help="Print this one.")] = None) -> None:
    """List the plans that ship, or print one to start your own from."""
    from strainscope.dataset.plan import load_plan, plan_presets, plan_text

    if name is not None:
        typer.echo(plan_text(name), nl=False)
        return
    for preset in plan_presets():
        plan = load_plan(preset)
        typer.echo(f"{preset:24s} {plan.size:>10,d}  {plan.title}")


@app.command()
def generate(
    plan_name: PlanArgument,
    out: Annotated[
        str, typer.Option("-o", "--out", help="Zarr store to write, a folder or s3://bucket/d.zarr; it must not exist.")
    ],
    size: SizeOption = None,
    seed: SeedOption = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default one a processor.")] = None,
    device: DeviceOption = "cpu",
    ray: RayOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate a dataset, or what is missing of it."""
    from strainscope.dataset.generate import generate as run
    from strainscope.dataset.place import place_of
    from strainscope.dataset.plan import load_plan

    plan = load_plan(plan_name, size=size, seed=seed)
    began = time.perf_counter()
    with progress_bar("simulating") as progress:
        made = run(plan, out, resume=resume, workers=workers, device=device, ray=ray, progress=progress)
    wall = time.perf_counter() - began
    stored = place_of(out).size()
    document = {
        "path": out,
        "size": plan.size,
        "simulated": made,
        "wall_s": wall,
        "curves_per_s": made / wall,
        "bytes": stored,
    }
    if as_json:
        typer.echo(json.dumps(document))
        return
    rate = (
        f"{made:,} simulated in {wall:.1f} s, {made / wall:,.0f} a second; "
        if made
        else "nothing was missing; "
    )
    typer.echo(f"{out}: {plan.size:,} curves ({rate}{stored / plan.size:,.0f} bytes a curve)")


@app.command()
def inspect(
    target: Annotated[str, typer.Argument(metavar="PLAN|DATASET", help="A plan, or a dataset.")],
    size: SizeOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what a dataset holds, or what a plan would make."""
    document = _plan_document(_plan_of(target, size, seed))
    if _is_store(target):
        from strainscope.dataset.store import Dataset

        dataset = Dataset(target, unfinished=True)
        document |= {
            "path": target,
            "complete": dataset.attributes["complete"],
            "version": dataset.attributes["version"],
            "bytes": dataset.place.size(),
        }
    if as_json:
        typer.echo(json.dumps(document))
        return
    if document["valid_combinations"] is None:
        document["valid_combinations"] = "any within the ranges"
    for key, value in document.items():
        if key == "parameters":
            for name, own in value.items():
                text = ", ".join(f"{k} {v}" for k, v in own.items() if v is not None)
                typer.echo(f"  {name:20s} {text}")
        else:
            typer.echo(f"{key.replace('_', ' '):22s} {_in_words(value)}")


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_in_words(own)}" for key, own in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return (
        f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else str(value)
    )


def _plan_document(plan: "Plan") -> dict[str, Any]:
    ranges = {name: plan.parameters[name].model_dump() for name in plan.names}
    return {
        "title": plan.title,
        "sample": plan.sample,
        "size": plan.size,
        "seed": plan.seed,
        "sampling": plan.sampling.model_dump(mode="json"),
        "stratify": dict(plan.stratify),
        "valid_combinations": plan.draws.count,
        "angles": plan.angles.number,
        "first_angle_arcsec": plan.angles.first,
        "step_arcsec": plan.angles.step,
        "tolerance_rms_log10": plan.tolerance,
        "parameters": {name: {"unit": plan.units[name], **ranges[name]} for name in plan.names},
        "held": plan.held,
    }


def _is_store(target: str) -> bool:
    # Plans have no addresses.
    return "://" in target or Path(target).is_dir()


def _check_is_no_missing_store(target: str) -> None:
    if Path(target).suffix == ".zarr" and not Path(target).exists():
        raise FileNotFoundError(
            f"{target}: there is no such dataset; name a dataset, a plan file, or one of the plans."
        )


def _plan_of(target: str, size: int | None, seed: int | None) -> "Plan":
    """The plan of a name, a plan file, or a dataset."""
    from strainscope.dataset.plan import load_plan
    from strainscope.dataset.store import Dataset

    if _is_store(target):
        return Dataset(target, unfinished=True).plan.with_options(size=size, seed=seed)
    _check_is_no_missing_store(target)
    return load_plan(target, size=size, seed=seed)


@app.command()
def audit(
    dataset: DatasetArgument,
    rows: Annotated[int, typer.Option(min=1, help="Curves that are simulated again.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of their choice.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Simulate some curves again, finer, and say how far the stored ones are off; exit code 1 if too far."""
    from strainscope.dataset.audit import audit as run
    from strainscope.dataset.store import Dataset

    opened = Dataset(dataset)
    found = run(opened, min(rows, opened.size), seed=seed)
    word = "keeps" if found.passed else "MISSES"
    typer.echo(
        json.dumps(found.document())
        if as_json
        else f"{dataset}: {word} its tolerance of {found.tolerance:g} (rms of log10)\n"
        f"rms {found.rms:.2e} over {found.rows:,} curves; of single curves: median {found.rms_median:.2e}, 99 % below "
        f"{found.rms_99:.2e}, largest {found.rms_largest:.2e} (sample {found.worst_row}); "
        f"largest of all points {found.largest:.2e}"
    )
    if not found.passed:
        raise typer.Exit(MISSED)


@app.command()
def export(
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Option("-o", "--out", callback=local, help="File to write: .h5, .hdf5 or .parquet.")],
    start: Annotated[int, typer.Option(min=0, help="Points left out at the large-angle end.")] = 0,
    force: ForceOption = False,
) -> None:
    """Write a dataset, whole curves or a window of them, as one HDF5 or Parquet file."""
    from strainscope.dataset.export import export as run
    from strainscope.dataset.store import Dataset

    opened = Dataset(dataset)
    with progress_bar("writing") as progress:
        run(opened, out, force=force, start=start, progress=lambda done: progress(done, opened.size))
    points = len(opened.angle_arcsec) - start
    typer.echo(f"{out}: {opened.size:,} curves of {points} points, {out.stat().st_size / 1e6:,.1f} MB")


@app.command()
def evenness(
    target: Annotated[str, typer.Argument(metavar="PLAN|DATASET", help="A plan, or a dataset.")],
    size: SizeOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print how evenly a dataset, or what a plan would draw, covers its parameters."""
    from strainscope.dataset.comparison_document import evenness_document
    from strainscope.report.document import plain_data

    found = _evenness(target, size, seed)
    if as_json:
        typer.echo(json.dumps(plain_data(evenness_document(found))))
        return
    typer.echo(
        f"{'parameter':20s} {'values':>6s} {'χ²':>12s} {'expected':>12s} {'bias':>8s} {'entropy':>8s}  word"
    )
    for own in found.parameters:
        judged = own.judgement
        expected = "" if own.expectation is None else f"{own.expectation.chi2:,.1f}"
        typer.echo(
            f"{own.name:20s} {own.unique:6d} {own.chi2:12,.1f} {expected:>12s} {own.bias:8.2f} {own.entropy:8.4f}  "
            f"{judged.word}"
        )
    typer.echo(f"mean χ² {found.mean_chi2:,.1f}; pair coverage {100 * found.coverage:.2f} %")


@app.command()
def compare(
    context: typer.Context,
    first: Annotated[str, typer.Argument(metavar="FIRST", help="A plan, or a dataset.")],
    second: Annotated[str, typer.Argument(metavar="SECOND", help="Another one with the same parameters.")],
    out: Annotated[Path, typer.Option("-o", "--out", callback=local, help="Folder for the report; it must not exist.")],
    weight: Annotated[
        list[str] | None, typer.Option("--weight", metavar="NAME=VALUE", help="Weight of an improvement.")
    ] = None,
    weighted: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Parameters that are weighted: L2,L1,Rp1; else all.")
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Judge which of two datasets (or plans) is better, and for what; with a report."""
    from strainscope.dataset.compare import compare as run
    from strainscope.dataset.comparison_document import comparison_document
    from strainscope.dataset.comparison_report import check_comparison_target, write_comparison
    from strainscope.report.document import plain_data

    check_comparison_target(out, force=force)
    found = run(
        _evenness(first, None, None),
        _evenness(second, None, None),
        weights=assignments("--weight", weight or (), "L2=5.86") or None,
        weighted_names=_names(weighted),
    )
    peaks = [_peaks(target) if _is_store(target) else None for target in (first, second)]
    write_comparison(found, out, peaks=peaks, force=force, command=context.obj)
    if as_json:
        typer.echo(json.dumps(plain_data(comparison_document(found))))
    votes = (found.votes("first"), found.votes("second"))
    winner = found.name_of(found.winner)
    typer.echo(
        f"better, by {max(votes)} criteria to {min(votes)}: {winner}\nreport: {out / 'report.html'}",
        err=as_json,
    )


@app.command()
def peaks(
    dataset: DatasetArgument,
    start: Annotated[int, typer.Option(min=0, help="Window start that is judged.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Say where the strongest point of every curve is, and what a window would cut off."""
    from strainscope.dataset.peaks import STUDY_STARTS
    from strainscope.dataset.store import Dataset
    from strainscope.report.document import plain_data

    points = len(Dataset(dataset).angle_arcsec)
    if start >= points:
        raise ValueError(
            f"--start {start}: the curves have {points} points; it must lie in 0 to {points - 1}."
        )
    found = _peaks(dataset)
    if as_json:
        typer.echo(json.dumps(plain_data(found.document())))
        return
    typer.echo(found.summary())
    for index in sorted({start, *STUDY_STARTS}, reverse=True):
        typer.echo(found.verdict(index))


def _evenness(target: str, size: int | None, seed: int | None) -> "Evenness":
    from strainscope.dataset.evenness import drawn_blocks, measure_evenness
    from strainscope.dataset.store import Dataset

    if _is_store(target):
        dataset = Dataset(target)
        return measure_evenness(dataset.plan, dataset.parameter_blocks(), name=dataset.place.name)
    plan = _plan_of(target, size, seed)
    return measure_evenness(plan, drawn_blocks(plan), name=target)


def _peaks(path: str) -> "PeakVerification":
    from strainscope.dataset.peaks import verify_peaks
    from strainscope.dataset.store import Dataset

    dataset = Dataset(path)
    return verify_peaks(dataset.curve_blocks(), dataset.angle_arcsec)


def _names(text: str | None) -> list[str] | None:
    if text is None:
        return None
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise ValueError(f"--weighted {text!r}: names no parameter; write names, such as L2,L1,Rp1.")
    return found
