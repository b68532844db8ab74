"""Options that several commands have."""

from typing import Annotated

import typer

from strainscope.cli.completion import axis_names, intensity_names, sample_names

AXIS_NAMES = "delta-theta-arcsec, omega-deg or two-theta-deg"

SampleOption = Annotated[
    str, typer.Option("--sample", autocompletion=sample_names, help="A preset's name, or a sample file.")
]
ScanAxisOption = Annotated[
    str | None,
    typer.Option(autocompletion=axis_names, help=f"Scan axis: {AXIS_NAMES}."),
]
IntensityOption = Annotated[
    str | None,
    typer.Option(autocompletion=intensity_names, help="Second column: counts or normalised."),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="Where curves are simulated: cpu, cuda, or auto (cuda if there is a GPU).")
]
RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray", metavar="ADDRESS", help="Ray cluster whose nodes do it: auto, or HOST:PORT; else this machine."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
AxisOption = Annotated[
    str | None,
    typer.Option(autocompletion=axis_names, help=f"Scan axis: {AXIS_NAMES}; else the sample's."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
WidthOption = Annotated[
    str, typer.Option(metavar="WIDTH", help="Of pictures: single (85 mm), double (175 mm), or millimetres.")
]
