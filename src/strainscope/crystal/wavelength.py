"""Wavelengths: numbers in Å and the emission lines of the anodes."""

import re

import gemmi
import xraylib

HC_KEV_ANGSTROM = 12.398419843320026
WAVELENGTH_RANGE = (0.1, 10.0)  # Å; outside it either the atomic factors or the unit of the number is wrong
_LINES = {
    "a1": (("KA1_LINE", "L3_SHELL", 1.0),),
    "a2": (("KA2_LINE", "L2_SHELL", 1.0),),
    "a": (("KA1_LINE", "L3_SHELL", 2.0 / 3.0), ("KA2_LINE", "L2_SHELL", 1.0 / 3.0)),
    "b1": (("KB1_LINE", "M3_SHELL", 1.0),),
}


def parse_wavelength(value: float | str) -> float:
    """Wavelength [Å] of a number in Å or of a line: "CuKa1", "Cu Kα1", "MoKa" (the weighted mean of Kα).

    Lines are xraylib's energies (0.1 eV steps): Cu Kα1 is 1.540597 Å, Hölzer et al. (1997) have 1.540598.

    Raises:
        ValueError: unknown line, or a wavelength outside 0.1 to 10 Å.
    """
    try:
        wavelength = float(value)
    except ValueError:
        wavelength = sum(weight * line for line, weight, _ in emission_lines(str(value)))
    low, high = WAVELENGTH_RANGE
    if not low <= wavelength <= high:
        raise ValueError(f"wavelength = {wavelength:g} Å; it must be between {low:g} and {high:g} Å.")
    return wavelength


def emission_lines(name: str) -> tuple[tuple[float, float, float], ...]:
    """The lines a name stands for: wavelength [Å], relative weight [1], natural width (FWHM) [Å].

    "Ka" is Kα1 and Kα2 with weights 2/3 and 1/3. The width is the sum of the two levels' widths (Cu Kα1:
    2.10 eV; Hölzer et al. measured 2.29 eV, with an asymmetry this leaves out).

    References:
        G. Hölzer et al., Phys. Rev. A 56 (1997) 4554, doi:10.1103/PhysRevA.56.4554
    """
    plain = name.casefold().translate(str.maketrans("αβ₁₂", "ab12", " -_"))
    plain = plain.replace("alpha", "a").replace("beta", "b")
    match = re.fullmatch(r"([a-z]{1,2})k(a1|a2|a|b1)", plain)
    number = gemmi.Element(match[1].capitalize()).atomic_number if match else 0
    lines = []
    for line, shell, weight in _LINES[match[2]] if match and number else ():
        try:
            energy = float(xraylib.LineEnergy(number, getattr(xraylib, line)))
            shells = (xraylib.K_SHELL, getattr(xraylib, shell))
            width = sum(float(xraylib.AtomicLevelWidth(number, level)) for level in shells)
        except ValueError:  # a light element has no such line
            break
        lines.append((HC_KEV_ANGSTROM / energy, weight, HC_KEV_ANGSTROM * width / energy**2))
    if not lines:
        raise ValueError(
            f"wavelength = {name!r}: no emission line; give an element with Ka1, Ka2, Ka (the mean of both) or Kb1, "
            "such as CuKa1, or a number in Å."
        )
    return tuple(lines)
