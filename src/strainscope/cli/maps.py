"""The command `strainscope map`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from strainscope.cli.options import (
    AxisOption,
    IntensityOption,
    JsonOption,
    ModelErrorOption,
    SampleOption,
    local,
)


def map_scans(
    stack: Annotated[
        Path, typer.Argument(metavar="STACK", help="HDF5 file with a stack over y, x and angle, or a folder.")
    ],
    sample: SampleOption,
    out: Annotated[Path, typer.Option("-o", "--out", callback=local, help="Folder for the maps.")],
    axis: AxisOption = None,
    intensity: IntensityOption = None,
    dataset: Annotated[
        str | None, typer.Option(help="Path of the intensities in the file, where there are several.")
    ] = None,
    shape: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="ROWS COLUMNS", help="Of a folder, whose scans fill row after row by name."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="Of a folder: CSV with the columns file, y and x.")
    ] = None,
    instrument: Annotated[Path | None, typer.Option(help="File of `strainscope calibrate`.")] = None,
    model_error: ModelErrorOption = None,
    draws: Annotated[int, typer.Option(min=64, max=200_000, help="Curves simulated for first guesses.")] = 8192,
    seed: Annotated[int, typer.Option(min=0, help="Of the first guesses.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the map in the folder.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Invert a scan at every place of a sample: maps of every parameter, its sd and the verdict.

    Neighbours' solutions are tried as starts, and taken where the exact likelihood is better. A map that was stopped
    goes on with --resume: tiles that are done are kept.
    """
    from strainscope import maps
    from strainscope.maps.folder import stack_folder
    from strainscope.maps.output import FILE
    from strainscope.sample import load_sample

    if not stack.exists():
        raise FileNotFoundError(f"{stack}: no such file or folder.")
    told: list[tuple[str, int]] = []

    def tell(stage: str, share: float) -> None:
        # A line for every tenth.
        now = (stage, int(10 * share))
        if told[-1:] != [now]:
            told.append(now)
            typer.echo(f"{stage}: {10 * now[1]} %", err=True)

    said = load_sample(sample).scan
    source = stack
    if stack.is_dir():
        if dataset is not None:
            raise ValueError("--dataset: is for HDF5 files; leave it out for a folder.")
        if out.exists() and not resume:
            raise FileExistsError(f"{out}: exists; name another folder, or go on with it by --resume.")
        source = out.with_name(out.name + ".stack.h5")
        out.parent.mkdir(parents=True, exist_ok=True)
        # Read again to go on, too: scans that have changed are another map.
        stack_folder(
            stack,
            source,
            axis=axis,
            intensity=intensity,
            said=said,
            table=table,
            shape=shape,
            progress=lambda share: tell("reading", share),
        )
        axis = intensity = None
    elif shape is not None or table is not None:
        raise ValueError("--shape and --table are for folders; a stack's file says where its scans are.")
    found = maps.open_stack(source, dataset=dataset, axis=axis, intensity=intensity, said=said)
    job = maps.MapJob(
        sample=sample,
        instrument=None if instrument is None else str(instrument),
        model_error=model_error,
        draws=draws,
        seed=seed,
    )
    try:
        outcome = maps.invert_map(found, job, out, resume=resume, progress=tell)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"; go on by the same command with --resume: {out}") from None
    for note in outcome.survey.notes:
        typer.echo(f"note: {note}", err=True)
    if as_json:
        document = {
            "pixels": int(outcome.survey.pixels.sum()),
            "verdicts": outcome.verdicts,
            "notes": list(outcome.survey.notes),
            "map": str(out / FILE),
        }
        typer.echo(json.dumps(document, allow_nan=False))
    words = ", ".join(f"{count} {name}" for name, count in outcome.verdicts.items() if count)
    typer.echo(f"{words}; maps: {out / FILE}", err=as_json)
