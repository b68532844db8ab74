"""The commands `strainscope info`, what was understood of a file, and `import-radmax`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from strainscope.cli.files import put
from strainscope.cli.options import ForceOption, JsonOption, local


def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An instrument's file, or text.")],
    as_json: JsonOption = False,
) -> None:
    """Print what is understood of a file: its scans, axes, wavelength, counting times, attenuators, counts."""
    from strainscope import readers

    scans = readers.file_documents(file)
    if as_json:
        typer.echo(json.dumps({"file": str(file), "scans": scans}))
        return
    kind, recorded = scans[0]["format"], readers.is_instrument_file(file)
    number = f"{len(scans)} scan{'s' if len(scans) > 1 else ''}" if recorded else f"{scans[0]['points']} points"
    typer.echo(f"{file}: {kind}, {number}")
    for i, found in enumerate(scans, start=1):
        if recorded:
            about = readers.document_heading(found)
            typer.echo(f"scan {i}{': ' if found['title'] else ', '}{about}")
        for words, value in readers.document_lines(found):
            typer.echo(f"  {words:<20} {value}")
    if not recorded:
        whole = "whole numbers, so --intensity counts may be right"
        kind = whole if scans[0]["whole_numbers"] else "no whole numbers"
        typer.echo(f"  {'note':<20} the intensities are {kind}; the axis is not in the file: name it by --axis")


def import_radmax(
    project: Annotated[Path, typer.Argument(metavar="PROJECT", help="The .ini of a RaDMaX project.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", callback=local, help="Sample file to write; by default stdout.")
    ] = None,
    strain: Annotated[
        Path | None, typer.Option(help="Strain coefficients; by default those that the project names.")
    ] = None,
    disorder: Annotated[Path | None, typer.Option(help="The same of the disorder.")] = None,
    cif: Annotated[str | None, typer.Option(help="CIF of a crystal that is not built in.")] = None,
    force: ForceOption = False,
) -> None:
    """Make a sample file of a RaDMaX project: its crystal, its settings, and its strain and disorder as starts."""
    from strainscope.sample import radmax_sample

    text = radmax_sample(project, strain=strain, disorder=disorder, cif=cif)
    if out is None:
        typer.echo(text, nl=False)
        return
    put([(out, text.encode())], force)
    typer.echo(f"{out}: written")
