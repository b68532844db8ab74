"""Options that several commands have."""

from typing import Annotated

import typer

from strainscope.cli.completion import axis_names, intensity_names, sample_names

SampleOption = Annotated[
    str, typer.Option("--sample", autocompletion=sample_names, help="A preset's name, or a sample file.")
]
ScanAxisOption = Annotated[
    str | None,
    typer.Option(autocompletion=axis_names, help="Scan axis: delta-theta-arcsec, omega-deg or two-theta-deg."),
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
