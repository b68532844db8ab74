"""What a reflection of a perfect crystal is like, in figures for people and for programs."""

from typing import Any

from strainscope.crystal.bragg import ARCSEC, Reflection


def reflection_figures(own: Reflection) -> dict[str, tuple[str, float | complex, str]]:
    """Words, value and unit of each figure, by its key in `reflection_document`."""
    degrees = 3600 * ARCSEC
    return {
        "wavelength_A": ("wavelength", own.wavelength, "Å"),
        "d_spacing_A": ("plane distance d", own.d_spacing, "Å"),
        "bragg_angle_deg": ("Bragg angle", own.bragg_angle / degrees, "°"),
        "incidence_angle_deg": ("angle of incidence", own.incidence_angle / degrees, "°"),
        "asymmetry_deg": ("planes off the surface", own.asymmetry / degrees, "°"),
        "chi_0": ("χ0", own.chi_0, ""),
        "chi_h": ("χh", own.chi_h, ""),
        "chi_h_modulus": ("|χh|", abs(own.chi_h), ""),
        "extinction_length_A": ("extinction length (sigma)", own.extinction_length, "Å"),
        "absorption_length_A": ("absorption length", own.absorption_length, "Å"),
        "darwin_width_sigma_arcsec": ("Darwin width, sigma", own.darwin_width() / ARCSEC, "arcsec"),
        "darwin_width_pi_arcsec": ("Darwin width, pi", own.darwin_width("pi") / ARCSEC, "arcsec"),
        "refraction_shift_arcsec": ("shift by refraction", own.refraction_shift / ARCSEC, "arcsec"),
        "strain_per_arcsec": ("strain that one arcsec means", own.strain_per_arcsec, ""),
    }


def reflection_document(own: Reflection) -> dict[str, Any]:
    """Crystal, indices and figures as plain data for JSON, complex numbers as [real, imaginary]."""
    numbers = {
        key: [value.real, value.imag] if isinstance(value, complex) else value
        for key, (_, value, _) in reflection_figures(own).items()
    }
    return {"crystal": own.crystal, "reflection": own.hkl, **numbers}
