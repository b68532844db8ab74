"""The commands `strainscope info`, what was understood of a file, and `import-radmax`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strainscope.cli.files import put

if TYPE_CHECKING:
    from strainscope.readers import RecordedScan


def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An instrument's file, or text.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Print what is understood of a file: its scans, axes, wavelength, counting times, attenuators, counts."""
    from strainscope import readers

    if not readers.is_instrument_file(file):
        _print_text(file, as_json)
        return
    scans = readers.read_file(file)
    if as_json:
        typer.echo(json.dumps({"file": str(file), "scans": [scan.document() for scan in scans]}))
        return
    typer.echo(f"{file}: {scans[0].format}, {len(scans)} scan{'s' if len(scans) > 1 else ''}")
    for number, scan in enumerate(scans, start=1):
        _print_scan(number, scan)


def import_radmax(
    project: Annotated[Path, typer.Argument(metavar="PROJECT", help="The .ini of a RaDMaX project.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Sample file to write; by default stdout.")
    ] = None,
    strain: Annotated[
        Path | None, typer.Option(help="Strain coefficients; by default those that the project names.")
    ] = None,
    disorder: Annotated[Path | None, typer.Option(help="The same of the disorder.")] = None,
    cif: Annotated[str | None, typer.Option(help="CIF of a crystal that is not built in.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Make a sample file of a RaDMaX project: its crystal, its settings, and its strain and disorder as starts."""
    from strainscope.sample import radmax_sample

    text = radmax_sample(project, strain=strain, disorder=disorder, cif=cif)
    if out is None:
        typer.echo(text, nl=False)
        return
    put([(out, text.encode())], force)
    typer.echo(f"{out}: written")


def _print_text(file: Path, as_json: bool) -> None:
    """What there is to say of a file of two or three columns."""
    import numpy as np

    from strainscope.readers import COLUMNS, read_columns

    columns = read_columns(file)
    whole = bool((columns[:, 1] == np.rint(columns[:, 1])).all())
    names = COLUMNS[: columns.shape[1]]
    if as_json:
        ends = {name: [float(x.min()), float(x.max())] for name, x in zip(names, columns.T, strict=True)}
        document = {"format": "text", "points": len(columns), "columns": ends, "whole_numbers": whole}
        typer.echo(json.dumps({"file": str(file), "scans": [document]}))
        return
    typer.echo(f"{file}: text, {len(columns)} points")
    for name, column in zip(names, columns.T, strict=True):
        typer.echo(f"  {name:<20} {column.min():g} to {column.max():g}")
    kind = "whole numbers, so --intensity counts may be right" if whole else "no whole numbers"
    typer.echo(f"  {'note':<20} the intensities are {kind}; the axis is not in the file: name it by --axis")


def _print_scan(number: int, scan: "RecordedScan") -> None:
    found = scan.document()
    lines: list[tuple[str, str]] = [(f"{name} moved", _ends(x, "°")) for name, x in found["axes_deg"].items()]
    lines += [(f"{name} stood at", f"{value:.6g}°") for name, value in found["fixed_deg"].items()]
    lines += [("usable as --axis", ", ".join(found["usable_axes"]) or "none")]
    lines += [("intensity", _intensity_text(found))]
    lines += [("counting time", _ends(found["counting_time_s"], " s"))]
    lines += [("attenuation", _ends(found["attenuation"], ""))]
    lines += [("monitor", _ends(found["monitor"], ""))]
    dead = found["dead_time_s"]
    lines += [("dead time", "not in the file" if dead is None else f"{dead * 1e9:g} ns")]
    lines += [("wavelength", _wavelength_text(found))]
    lines += [("note", text) for text in found["notes"]]
    title = f": {_printable(found['title'])}" if found["title"] else ""
    typer.echo(
        f"scan {number}{title}, {_printable(found['scanned']) or 'kind not named'}, {found['points']} points"
    )
    for words, value in lines:
        typer.echo(f"  {_printable(words):<20} {value}")


def _ends(values: list[float] | None, unit: str) -> str:
    if values is None:
        return "not in the file"
    first, last = values
    return f"{first:.7g}{unit}" if first == last else f"{first:.7g} to {last:.7g}{unit}"


def _intensity_text(found: dict[str, Any]) -> str:
    largest = f"largest {found['largest_intensity']:.7g}"
    if found["largest_counts"] is None:
        return f"{found['intensity']}, {largest}"
    return f"{found['intensity']}, {largest}; raw counts up to {found['largest_counts']:.0f}"


def _wavelength_text(found: dict[str, Any]) -> str:
    lines = ", ".join(f"{name} {value:.7g}" for name, value in found["lines_A"].items())
    if found["wavelength_A"] is None:
        return f"not in the file{f' (lines {lines} Å)' if lines else ''}"
    return f"{found['wavelength_A']:.7g} Å" + (f" ({found['anode']}: {lines} Å)" if lines else "")


def _printable(text: str) -> str:
    """A file's own words, on one line and without what would steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)[:80]
