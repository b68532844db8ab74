"""The commands. Whatever takes long to import is imported by the command that needs it."""

import sys
from importlib import metadata
from typing import Annotated

import typer

from strainscope.cli import (
    calibration,
    crystals,
    dataset,
    estimator,
    inversion,
    maps,
    recorded,
    series,
    simulation,
    sweep,
    web,
)
from strainscope.cli.group import Commands

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="X-ray rocking curves to strain and disorder with depth.",
)

app.command()(crystals.crystal)
app.command()(simulation.samples)
app.command()(simulation.example)
app.command()(simulation.simulate)
app.command()(inversion.invert)
app.command()(series.batch)
app.command(name="map")(maps.map_scans)
app.command()(calibration.calibrate)
app.add_typer(dataset.app, name="dataset")
app.command()(estimator.train)
app.command()(sweep.sweep)
app.command()(estimator.evaluate)
app.command()(recorded.info)
app.command(name="import-radmax")(recorded.import_radmax)
app.command()(web.serve)


def main() -> None:
    """Entry point of the program."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show χ shows a question mark, and no traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app(prog_name="strainscope")


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"strainscope {metadata.version('strainscope')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
