"""A Bragg-case reflection of a crystal: geometry, susceptibilities and what follows from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from strainscope.crystal.structure import Crystal, Hkl
from strainscope.crystal.wavelength import parse_wavelength

Polarization = Literal["sigma", "pi"]
Incidence = Literal["grazing", "steep"]

ARCSEC = math.pi / 648_000.0
CLASSICAL_ELECTRON_RADIUS = 2.8179403205e-5  # Å
# Below this fraction of F_0 no peak can be measured; rounded CIF coordinates (0.3333) leave less than it.
FORBIDDEN_FRACTION = 1e-4


@dataclass(frozen=True, kw_only=True)
class Reflection:
    """A Bragg-case reflection: its plane distance d [Å], angles [rad] and susceptibilities [1].

    `asymmetry` is ψ, the angle between planes and surface: the ray falls in at θ_B - ψ and leaves at
    θ_B + ψ, so ψ > 0 is grazing incidence. `chi_h` scatters the incident into the diffracted wave,
    `chi_hbar` back.
    """

    crystal: str
    hkl: Hkl
    wavelength: float
    d_spacing: float
    bragg_angle: float
    asymmetry: float
    chi_0: complex
    chi_h: complex
    chi_hbar: complex

    @property
    def incidence_angle(self) -> float:
        """Angle between the incident ray and the surface, θ_B - ψ [rad]."""
        return self.bragg_angle - self.asymmetry

    @property
    def exit_angle(self) -> float:
        """Angle between the diffracted ray and the surface, θ_B + ψ [rad]."""
        return self.bragg_angle + self.asymmetry

    @property
    def asymmetry_ratio(self) -> float:
        """b = γ0/γh = sin(θ_B - ψ)/sin(θ_B + ψ) [1], a magnitude; 1 when symmetric."""
        return math.sin(self.incidence_angle) / math.sin(self.exit_angle)

    @property
    def extinction_length(self) -> float:
        """Depth at which mid-plateau the sigma wave's amplitude is down to 1/e: λ√(γ0 γh)/(π|χ_h|) [Å]."""
        gammas = math.sin(self.incidence_angle) * math.sin(self.exit_angle)
        return self.wavelength * math.sqrt(gammas) / (math.pi * abs(self._coupling.real))

    @property
    def refraction_shift(self) -> float:
        """How far the plateau's centre lies above θ_B: |Re χ0| (1 + 1/b)/(2 sin 2θ_B) [rad]."""
        shift = -self.chi_0.real / math.sin(2.0 * self.bragg_angle)
        return 0.5 * (1.0 + 1.0 / self.asymmetry_ratio) * shift

    @property
    def strain_per_arcsec(self) -> float:
        """Out-of-plane strain whose peak lies one arcsec of incidence angle from θ_B [1/arcsec].

        .. math:: δε = δθ \\cos θ_B/(\\cos ψ \\sin(θ_B + ψ))

        for a lattice that keeps its in-plane spacing; cot θ_B when symmetric. Positive strain lies below θ_B.
        """
        lever = math.cos(self.asymmetry) * math.sin(self.exit_angle)
        return ARCSEC * math.cos(self.bragg_angle) / lever

    @property
    def absorption_length(self) -> float:
        """Path over which absorption alone brings the intensity to 1/e: λ/(2π|Im χ0|) [Å]."""
        return self.wavelength / (2.0 * math.pi * abs(self.chi_0.imag))

    def darwin_width(self, polarization: Polarization = "sigma") -> float:
        """Full width of the plateau of total reflection on the incidence scale [rad].

        .. math:: w = 2 C |Re \\sqrt{χ_h χ_{\\bar h}}| / (\\sqrt{b} \\sin 2θ_B)

        References:
            A. Authier, Dynamical Theory of X-ray Diffraction (Oxford, 2001), eq. 4.24 and 5.9.
        """
        if polarization not in ("sigma", "pi"):
            raise ValueError(f"polarization = {polarization!r}; it must be 'sigma' or 'pi'.")
        factor = 1.0 if polarization == "sigma" else abs(math.cos(2.0 * self.bragg_angle))
        width = 2.0 * factor * abs(self._coupling.real)
        return width / (math.sqrt(self.asymmetry_ratio) * math.sin(2.0 * self.bragg_angle))

    @property
    def _coupling(self) -> complex:
        """√(χ_h χ_h̄) [1], |χ_h| for a centrosymmetric crystal without absorption."""
        return complex(np.sqrt(self.chi_h * self.chi_hbar))


def reflection(
    crystal: Crystal,
    hkl: Sequence[int],
    *,
    wavelength: float | str,
    surface: Sequence[int] | None = None,
    incidence: Incidence = "grazing",
    debye_waller: bool = True,
) -> Reflection:
    """The reflection hkl of a crystal cut parallel to the lattice planes `surface`.

    .. math:: χ_h = -\\frac{r_e λ^2}{π V} F_h, \\quad \\sin θ_B = λ/(2d)

    Args:
        crystal: The structure.
        hkl: Three Miller indices, or four (h k i l) in a hexagonal cell.
        wavelength: Wavelength [Å] or a line name such as "CuKa1".
        surface: Miller indices of the surface; by default the reflection's own, a symmetric reflection.
        incidence: Of the two ways to fall on an inclined plane, the "grazing" one (ψ > 0) or the "steep" one.
        debye_waller: Whether thermal vibration weakens χ_h.

    Raises:
        ValueError: wrong indices, wavelength > 2d, forbidden reflection, or not a Bragg case.
    """
    wavelength = parse_wavelength(wavelength)
    h = crystal.miller(hkl)
    label = f"{crystal.name} {' '.join(map(str, h))}"
    d = crystal.d_spacing(h)
    if wavelength >= 2.0 * d:
        raise ValueError(
            f"{label}: wavelength = {wavelength:g} Å; it must be < 2d = {2.0 * d:g} Å. "
            "Choose lower indices or a shorter wavelength."
        )
    if incidence not in ("grazing", "steep"):
        raise ValueError(f"incidence = {incidence!r}; it must be 'grazing' or 'steep'.")
    bragg_angle = math.asin(wavelength / (2.0 * d))
    inclination = 0.0 if surface is None else _angle_between(crystal, h, surface)
    if inclination >= bragg_angle:
        raise ValueError(
            f"{label}: planes lie {math.degrees(inclination):.3f}° off the surface, Bragg angle "
            f"{math.degrees(bragg_angle):.3f}°; the first must be smaller (Bragg case). "
            "Choose another reflection, surface or wavelength."
        )
    f_0 = crystal.structure_factor_0(wavelength=wavelength)
    f_h = crystal.structure_factor(h, wavelength=wavelength, debye_waller=debye_waller)
    f_hbar = crystal.structure_factor([-i for i in h], wavelength=wavelength, debye_waller=debye_waller)
    if math.sqrt(abs(f_h * f_hbar)) < FORBIDDEN_FRACTION * abs(f_0):
        limit = f"|F_h| < {FORBIDDEN_FRACTION:g} |F_0|"
        raise ValueError(f"{label} is forbidden: {limit}; choose another reflection.")
    scale = -CLASSICAL_ELECTRON_RADIUS * wavelength**2 / (math.pi * crystal.volume)
    return Reflection(
        crystal=crystal.name,
        hkl=h,
        wavelength=wavelength,
        d_spacing=d,
        bragg_angle=bragg_angle,
        asymmetry=inclination if incidence == "grazing" else -inclination,
        chi_0=scale * f_0,
        chi_h=scale * f_h,
        chi_hbar=scale * f_hbar,
    )


def _angle_between(crystal: Crystal, hkl: Hkl, surface: Sequence[int]) -> float:
    """Angle between the normals of two lattice planes [rad]; exactly 0 for parallel ones."""
    normal, h = crystal.reciprocal_vector(surface), crystal.reciprocal_vector(hkl)
    # The arctangent keeps full precision where the arccosine of a rounded 1 would lose half the digits.
    angle = math.atan2(float(np.linalg.norm(np.cross(normal, h))), float(normal @ h))
    return 0.0 if angle < 1e-12 else angle
