"""The command `strainscope calibrate`."""

import json
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strainscope.cli.files import PICTURES, check_new, check_picture, put
from strainscope.cli.options import (
    AxisOption,
    ForceOption,
    IntensityOption,
    JsonOption,
    ModelErrorOption,
    SampleOption,
    local,
)

if TYPE_CHECKING:
    from strainscope.inversion import Calibration


def calibrate(
    context: typer.Context,
    scan_file: Annotated[Path, typer.Argument(metavar="SCAN", help="Of a crystal that nothing was done to.")],
    sample: SampleOption,
    out: Annotated[
        Path, typer.Option("-o", "--out", callback=local, help="Instrument file to write, such as instrument.yaml.")
    ],
    axis: AxisOption = None,
    intensity: IntensityOption = None,
    scan: Annotated[
        int | None, typer.Option(help="Which scan of an instrument's file that holds several, from 1.")
    ] = None,
    model_error: ModelErrorOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of starts and draws.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Draw scan and fit into this .png, .svg or .pdf.")] = None,
    figure_width: Annotated[
        str, typer.Option(metavar="WIDTH", help="Of --plot: single (85 mm), double (175 mm), or millimetres.")
    ] = "double",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fit the resolution to a reference, and hand it on: invert and batch take the file by --instrument.

    The sample file is that of the scans to come: its crystal, reflection, monochromator and resolution count, its
    strain and disorder do not.
    """
    from strainscope import inversion, plots, series
    from strainscope.report import plain_data, width_in
    from strainscope.sample import at_key, instrument_text

    job = series.Job(sample=sample, axis=axis, intensity=intensity, model_error=model_error, seed=seed)
    described = job.described()
    job.check_columns([scan_file])
    for path in (out, plot):
        check_new(path, force)
    check_picture(plot)
    width = width_in(figure_width)
    if described.reflections:
        names = ", ".join(own.label for own in described.by_reflection())
        raise ValueError(f"{sample}: has several reflections, {names}; calibrate with a sample file of one.")
    measured = described.read_scan(scan_file, number=scan, axis=axis)
    with at_key(str(scan_file)):
        found = inversion.calibrate(
            measured,
            described.experiment(),
            bounds=described.bounds(),
            held=described.held(),
            start=described.start(),
            model_error=described.model_error,
            seed=seed,
        )
    about = [f"Instrument, fitted by Strainscope {metadata.version('strainscope')} to {scan_file.name}"]
    about += [_shown(found), context.obj]
    means = {name: (own.mean, own.sd) for name, own in found.parameters.items()}
    files = [(out, instrument_text(described, means, about="\n".join(about + list(found.doubts))).encode())]
    if plot is not None:
        figure = plots.scan_figure(measured, title=scan_file.name, fitted=found.fitted, width_in=width)
        files.append((plot, plots.picture(figure, kind=PICTURES[plot.suffix.lower()])))
    put(files, force)
    for doubt in found.doubts:
        typer.echo(f"strainscope: note: {doubt}", err=True)
    if as_json:
        typer.echo(json.dumps(plain_data(_document(found)), allow_nan=False))
    typer.echo(f"{out}: {_shown(found)}", err=as_json)


def _document(found: "Calibration") -> dict[str, Any]:
    """The parameters and how well they fit, for programs."""
    return {
        "parameters": {
            name: {"mean": own.mean, "sd": own.sd, "unit": own.unit} for name, own in found.parameters.items()
        },
        "rms_log10": found.rms_log10,
        "reduced_chi2": found.reduced_chi2,
        "likelihood": found.likelihood,
        "notes": found.doubts,
    }


def _shown(found: "Calibration") -> str:
    """The parameters and how well they fit, in a line."""
    parts = [
        f"{name} {own.mean:.4g} ± {own.sd:.2g} {own.unit.replace('1', '')}".rstrip()
        for name, own in found.parameters.items()
    ]
    return (
        f"{', '.join(parts)}; rms of log10 {found.rms_log10:.4f}, reduced χ² {found.reduced_chi2:.3g}; "
        f"{found.likelihood}"
    )
