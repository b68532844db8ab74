"""The commands `strainscope samples`, `example` and `simulate`."""

import json
import re
from dataclasses import replace
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strainscope.cli.completion import sample_names
from strainscope.cli.files import PICTURES, check_new, check_picture, put
from strainscope.cli.indices import indices
from strainscope.cli.options import (
    AXIS_NAMES,
    AxisOption,
    DeviceOption,
    ForceOption,
    JsonOption,
    OutFileOption,
    WidthOption,
    assignments,
)

if TYPE_CHECKING:
    from strainscope.sample import Sample
    from strainscope.scan import Scan

EXAMPLE = "ggg444-simulated.xy"


def samples(
    name: Annotated[
        str | None,
        typer.Argument(autocompletion=sample_names, help="Print this one, to start a file of your own."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the sample files that ship, or print one."""
    from strainscope.sample import load_sample, preset_text, presets

    if name is not None:
        settings = load_sample(name).settings() if as_json else None
        typer.echo(preset_text(name) if settings is None else json.dumps(settings), nl=as_json)
        return
    found = {preset: re.search(r"^title: (.*)$", preset_text(preset), re.MULTILINE) for preset in presets()}
    titles = {preset: title[1] if title else "" for preset, title in found.items()}
    if as_json:
        typer.echo(json.dumps(titles))
        return
    for preset, title in titles.items():
        typer.echo(f"{preset:<19} {title}".rstrip())


def example(
    out: OutFileOption = None,
    force: ForceOption = False,
) -> None:
    """Write the example: a simulated scan of implanted GGG, with counting noise."""
    content = resources.files("strainscope").joinpath("samples", EXAMPLE).read_bytes()
    if out is None:
        typer.echo(content.decode(), nl=False)
        return
    put([(out, content)], force)
    typer.echo(f"{out}: written")


def simulate(
    context: typer.Context,
    sample: Annotated[
        str,
        typer.Argument(autocompletion=sample_names, help="A preset's name, a sample file, or a result."),
    ],
    reflection: Annotated[
        str | None,
        typer.Option("-r", "--reflection", metavar="H K L", help="Another reflection of the same sample."),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter's value; for several repeat it."),
    ] = None,
    counts: Annotated[
        float | None, typer.Option(help="Counts at the strongest point: adds counting noise.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise.")] = 0,
    span: Annotated[
        tuple[float, float] | None,
        typer.Option("--range", metavar="FIRST LAST", help="First and last angle, in the axis's unit."),
    ] = None,
    step: Annotated[float | None, typer.Option(help="In the axis's unit.")] = None,
    axis: AxisOption = None,
    out: OutFileOption = None,
    plot: Annotated[Path | None, typer.Option(help="Draw it into this .png, .svg or .pdf, too.")] = None,
    figure_width: WidthOption = "double",
    device: DeviceOption = "cpu",
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="SCAN", help="A measured scan: only the instrument is fitted to it, and the misfit is told."
        ),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Simulate a scan of a sample, or of what an inversion found, also at another reflection.

    Parameters that neither --set nor the sample file gives are taken as usual (instrument) or as the middle of
    their priors (profile); stderr says which.
    """
    from strainscope.diffraction import use_device
    from strainscope.inversion.predict import predict
    from strainscope.report import width_in
    from strainscope.sample import is_result, load_sample, read_result, values_at
    from strainscope.scan import UNITS

    use_device(device)
    hkl = None if reflection is None else tuple(indices("--reflection", reflection))
    if hkl is not None and len(hkl) not in (3, 4):
        raise ValueError(f"--reflection = {reflection!r}: {len(hkl)} of them; give three, such as 4 4 4, or four.")
    found, known = (load_sample(sample), {}) if not is_result(sample) else read_result(sample)
    found = found.with_options(axis=axis)
    described = found if hkl is None else found.at_reflection(hkl)
    known = values_at(described, found, known)
    if described.scan.axis is None:
        raise ValueError(
            f"{sample}: no scan axis; give --axis {AXIS_NAMES}, or scan: axis in the sample file."
        )
    given = known | assignments("--set", values or (), "Dmax1=0.01")
    if against is not None and not (counts is None and span is None and step is None):
        raise ValueError("--against has the angles and the noise of its scan; leave --counts, --range and --step out.")
    settings = described.simulated_values(given, counts=counts)
    for path in (out, plot):
        check_new(path, force)
    check_picture(plot)
    width = width_in(figure_width)
    measured = None if against is None else described.read_scan(against, axis=axis)
    if measured is None:
        scan, settings = described.simulate(settings, counts=counts, seed=seed, span=span, step=step)
    else:
        predicted = predict(
            measured,
            described.experiment(),
            profile=given,
            bounds=described.bounds(),
            held=described.held(),
            start=described.start(),
            model_error=described.model_error,
        )
        # Expected counts are not whole.
        scan = replace(measured, intensity=predicted.fitted, intensity_kind="normalised", sigma=None)
        settings = dict(predicted.values)
    units = {spec.name: spec.unit.replace("1", "") for spec in described.prior().parameters}
    noise = "no noise" if counts is None else f"Poisson counting noise, seed {seed}"
    # A result is no sample that a scan could be inverted with.
    named = "" if is_result(sample) else f"--sample {sample} "
    lines = [
        f"# simulated by Strainscope {metadata.version('strainscope')}, not measured",
        f"# {noise}; as a scan: {named}--axis {scan.axis} --intensity {scan.intensity_kind}",
        f"# {context.obj}",
        *(f"# {name} = {value:.10g} {units[name]}".rstrip() for name, value in settings.items()),
        f"# {scan.axis}   {scan.intensity_kind}",
        *(f"{x:.10g} {y:.10g}" for x, y in zip(scan.angle, scan.intensity, strict=True)),
    ]
    text = "\n".join([*lines, ""])
    # Drawn before anything is written, and written together: both files or none.
    files = [] if out is None else [(out, text.encode())]
    if plot is not None:
        picture = _picture(scan, measured, f"{described.title or sample}: simulated", plot.suffix.lower(), width)
        files.append((plot, picture))
    put(files, force)
    if measured is None:
        for note in described.simulation_notes(settings, given=given, counts=counts):
            typer.echo(f"strainscope: note: {note}", err=True)
    else:
        typer.echo(
            f"{against}: the profile, with only the instrument fitted to it, leaves an rms of log10 of "
            f"{predicted.rms_log10:.4f}, reduced χ² {predicted.reduced_chi2:.3g}",
            err=True,
        )
        measured_there = described.label in [own.label for own in found.by_reflection()]
        if not measured_there and described.experiment().resolution.parameters:
            typer.echo(f"strainscope: note: {_instrument_note(described, found)}", err=True)
    if out is None:
        typer.echo(text, nl=False)
    else:
        ends = f"{scan.angle[0]:.6g} to {scan.angle[-1]:.6g} {UNITS[scan.axis]}"
        typer.echo(f"{out}: {scan.angle.size} points, {ends}, {scan.intensity_kind}")


def _instrument_note(described: "Sample", found: "Sample") -> str:
    """Whose resolution a prediction has."""
    return (
        f"the resolution is of the same family as at {found.label} ({described.resolution.family}), its parameters "
        "fitted to this scan: where the prediction misses the substrate's peak alone, the instrument differs, not the "
        "profile."
    )


def _picture(scan: "Scan", measured: "Scan | None", title: str, suffix: str, width: float) -> bytes:
    """The scan in log scale, as a file of that suffix; over the measured one where there is one."""
    from strainscope import plots

    if measured is None:
        figure = plots.scan_figure(scan, title=title, width_in=width)
    else:
        figure = plots.scan_figure(
            measured, title=measured.name, fitted=scan.intensity, called="predicted", width_in=width
        )
    return plots.picture(figure, kind=PICTURES[suffix])
