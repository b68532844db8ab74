"""Crystals and reflections: from a crystal structure to χ0, χh, the Bragg angle and the geometry.

Waves go as exp(i(ωt - k·r)), so absorption means Im χ < 0. Lengths are in Å, angles in rad (cell angles
in degrees, as in a CIF). A structure comes from a CIF text or the built-in crystals.

References:
    A. Authier, Dynamical Theory of X-ray Diffraction (Oxford, 2001), chapters 2 to 5.
"""

from strainscope.crystal.bragg import ARCSEC, Incidence, Polarization, Reflection, reflection
from strainscope.crystal.builtin import builtin_crystal, builtin_crystals
from strainscope.crystal.cif import crystal_from_cif
from strainscope.crystal.elastic import ELASTIC_GPA, check_constants, expansion_ratio
from strainscope.crystal.figures import reflection_document, reflection_figures
from strainscope.crystal.structure import Crystal, Hkl, Site
from strainscope.crystal.wavelength import HC_KEV_ANGSTROM, emission_lines, parse_wavelength

__all__ = [
    "ARCSEC",
    "ELASTIC_GPA",
    "HC_KEV_ANGSTROM",
    "Crystal",
    "Hkl",
    "Incidence",
    "Polarization",
    "Reflection",
    "Site",
    "builtin_crystal",
    "builtin_crystals",
    "check_constants",
    "crystal_from_cif",
    "emission_lines",
    "expansion_ratio",
    "parse_wavelength",
    "reflection",
    "reflection_document",
    "reflection_figures",
]
