"""The crystals that ship, as CIFs in `data`."""

import difflib
from importlib import resources

from strainscope.crystal.cif import crystal_from_cif
from strainscope.crystal.structure import Crystal

_FOLDER = resources.files("strainscope").joinpath("crystal", "data")
_ALIASES = {
    "YSZ": "ZrO2",
    "Gd3Ga5O12": "GGG",
    "Y3Fe5O12": "YIG",
    "sapphire": "Al2O3",
    "STO": "SrTiO3",
    "3C-SiC": "SiC-3C",
    "4H-SiC": "SiC-4H",
    "6H-SiC": "SiC-6H",
}


def builtin_crystals() -> tuple[str, ...]:
    """Names of the built-in crystals, sorted."""
    names = (entry.name.removesuffix(".cif") for entry in _FOLDER.iterdir() if entry.name.endswith(".cif"))
    return tuple(sorted(names, key=str.casefold))


def builtin_crystal(name: str) -> Crystal:
    """A built-in crystal by its name (upper and lower case alike) or another name in use, such as YSZ.

    Raises:
        ValueError: unknown name; the message lists the known ones and the closest.
    """
    known = {stem.casefold(): stem for stem in builtin_crystals()}
    known |= {alias.casefold(): stem for alias, stem in _ALIASES.items()}
    stem = known.get(name.strip().casefold())
    if stem is None:
        word = name.strip().casefold()
        # Its polytypes, where the name of a compound has several.
        close = [stem for stem in builtin_crystals() if word and stem.casefold().startswith(f"{word}-")]
        close = close or [known[key] for key in difflib.get_close_matches(word, known, n=1, cutoff=0.5)]
        hint = (
            f" Did you mean {' or '.join((', '.join(close[:-1]), close[-1]) if close[1:] else close)}?"
            if close
            else ""
        )
        names = ", ".join(builtin_crystals())
        raise ValueError(f"crystal = {name!r} is not built in; give its CIF or one of {names}.{hint}")
    text = _FOLDER.joinpath(f"{stem}.cif").read_text(encoding="utf-8")
    return crystal_from_cif(text, name=stem)
