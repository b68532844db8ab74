"""The command `strainscope crystal`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from strainscope.cli.indices import indices
from strainscope.cli.options import JsonOption


def crystal(
    reflection: Annotated[
        str,
        typer.Option("-r", "--reflection", metavar="H K L", help="Three indices, or four: 4 4 4, 1 1 -2 4."),
    ],
    name: Annotated[str | None, typer.Argument(help="A built-in crystal, such as GGG.")] = None,
    wavelength: Annotated[
        str, typer.Option("-w", "--wavelength", help="Å, or a line such as CuKa1.")
    ] = "CuKa1",
    surface: Annotated[
        str | None, typer.Option(metavar="H K L", help="Surface; by default parallel to the planes.")
    ] = None,
    incidence: Annotated[str, typer.Option(help="Onto inclined planes: grazing or steep.")] = "grazing",
    debye_waller: Annotated[
        bool, typer.Option("--debye-waller/--no-debye-waller", help="Thermal vibration.")
    ] = True,
    cif: Annotated[Path | None, typer.Option(help="A CIF in place of NAME.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print what a reflection of a perfect crystal is like."""
    from strainscope import crystal as crystals
    from strainscope.readers import read_text
    from strainscope.sample import LARGEST_CIF_BYTES

    if (name is None) == (cif is None):
        raise ValueError("give either the NAME of a built-in crystal or --cif FILE.")
    if cif is None:
        structure = crystals.builtin_crystal(str(name))
    else:
        text = read_text(cif, what="CIF", limit_bytes=LARGEST_CIF_BYTES)
        structure = crystals.crystal_from_cif(text, name=cif.stem)
    if incidence not in ("grazing", "steep"):
        raise ValueError(f"--incidence = {incidence!r}; it must be grazing or steep.")
    own = crystals.reflection(
        structure,
        indices("--reflection", reflection),
        wavelength=wavelength,
        surface=None if surface is None else indices("--surface", surface),
        incidence="grazing" if incidence == "grazing" else "steep",
        debye_waller=debye_waller,
    )
    if as_json:
        typer.echo(json.dumps(crystals.reflection_document(own)))
        return
    typer.echo(f"{own.crystal} {' '.join(map(str, own.hkl))}")
    for words, value, unit in crystals.reflection_figures(own).values():
        typer.echo(f"{words:<30} {_number(value)} {unit}".rstrip())


def _number(value: float | complex) -> str:
    if not isinstance(value, complex):
        return f"{value:.6g}"
    return f"{value.real:.5g} {'-' if value.imag < 0 else '+'} {abs(value.imag):.5g}i"
