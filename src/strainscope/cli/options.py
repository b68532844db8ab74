"""Options that several commands have."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from strainscope.cli.completion import axis_names, intensity_names, sample_names

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.IGNORECASE)


def local(path: Path | None) -> Path | None:
    """A file or folder to write, as it was given.

    Raises:
        ValueError: it is the address of a store, which only datasets go to.
    """
    address = _ADDRESS.fullmatch(str(path))
    if address:
        raise ValueError(
            f"{address[1]}://{address[2]}: is the address of a store; only dataset generate writes to one. Name a "
            "file or folder here (nodes of a cluster need one that all share)."
        )
    return path


AXIS_NAMES = "delta-theta-arcsec, omega-deg or two-theta-deg"

SampleOption = Annotated[
    str, typer.Option("--sample", autocompletion=sample_names, help="A preset's name, or a sample file.")
]
AxisOption = Annotated[
    str | None,
    typer.Option(autocompletion=axis_names, help=f"Scan axis: {AXIS_NAMES}; else the sample's."),
]
IntensityOption = Annotated[
    str | None,
    typer.Option(
        autocompletion=intensity_names, help="Second column: counts or normalised; else the sample's."
    ),
]
ModelErrorOption = Annotated[
    float | None, typer.Option(help="Relative error granted to the model; else the sample's.")
]
EstimatorOption = Annotated[
    str | None,
    typer.Option(help="Proposes profiles in place of the search: one that ships, or a weights file."),
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
OutFileOption = Annotated[
    Path | None, typer.Option("-o", "--out", callback=local, help="File to write; by default stdout.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
WidthOption = Annotated[
    str, typer.Option(metavar="WIDTH", help="Of pictures: single (85 mm), double (175 mm), or millimetres.")
]


def assignments(option: str, texts: Sequence[str], like: str) -> dict[str, float]:
    """Values by name of an option's texts such as Dmax1=0.01.

    Args:
        option: What messages call it.
        texts: As they were given.
        like: An example, for messages.

    Raises:
        ValueError: a text is no assignment, or a name is given twice.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, _, number = (part.strip() for part in text.partition("="))
        if name in found:
            raise ValueError(f"{option} {name} is given twice, {found[name]:g} and {number}; give it once.")
        try:
            found[name] = float(number)
        except ValueError:
            raise ValueError(f"{option} {text}: write NAME=VALUE, such as {like}.") from None
    return found
