"""Crystals and reflections: from a crystal structure to χ0, χh, the Bragg angle and the geometry.

Waves go as exp(i(ωt - k·r)), so absorption means Im χ < 0. Lengths are in Å, angles in rad (cell angles
in degrees, as in a CIF). A structure comes from a CIF text or the built-in crystals, with atomic factors

.. math:: f = f_0(\\sin θ/λ) + f' + i |f''|

of xraylib (its `Fii` is negative in this convention, hence the modulus).

References:
    A. Authier, Dynamical Theory of X-ray Diffraction (Oxford, 2001), chapters 2 to 5.
    T. Schoonjans et al., Spectrochim. Acta B 66 (2011) 776, doi:10.1016/j.sab.2011.09.011 (xraylib)
"""

import difflib
import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Literal

import gemmi
import numpy as np
import xraylib
from numpy.typing import NDArray

Polarization = Literal["sigma", "pi"]
Incidence = Literal["grazing", "steep"]
Hkl = tuple[int, int, int]

HC_KEV_ANGSTROM = 12.398419843320026
CLASSICAL_ELECTRON_RADIUS = 2.8179403205e-5  # Å
ARCSEC = math.pi / 648_000.0
WAVELENGTH_RANGE = (0.1, 10.0)  # Å; outside it either the atomic factors or the unit of the number is wrong
# Below this fraction of F_0 no peak can be measured; rounded CIF coordinates (0.3333) leave less than it.
FORBIDDEN_FRACTION = 1e-4
_ALIASES = {"YSZ": "ZrO2", "Gd3Ga5O12": "GGG", "Y3Fe5O12": "YIG", "sapphire": "Al2O3", "STO": "SrTiO3"}
_LINES = {
    "a1": (("KA1_LINE", "L3_SHELL", 1.0),),
    "a2": (("KA2_LINE", "L2_SHELL", 1.0),),
    "a": (("KA1_LINE", "L3_SHELL", 2.0 / 3.0), ("KA2_LINE", "L2_SHELL", 1.0 / 3.0)),
    "b1": (("KB1_LINE", "M3_SHELL", 1.0),),
}


@dataclass(frozen=True, kw_only=True)
class Site:
    """One atom of the unit cell: element symbol, fractional position, occupancy [1] and B_iso [Å²]."""

    element: str
    position: tuple[float, float, float]
    occupancy: float = 1.0
    b_iso: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Crystal:
    """A crystal structure: cell edges [Å], cell angles [degrees] and every atom of the unit cell.

    `without_b_iso` names the atoms whose CIF gives no displacement parameter; they count as B = 0.
    """

    name: str
    a: float
    b: float
    c: float
    alpha: float = 90.0
    beta: float = 90.0
    gamma: float = 90.0
    sites: tuple[Site, ...]
    without_b_iso: tuple[str, ...] = ()

    @property
    def direct_basis(self) -> NDArray[np.float64]:
        """Cell vectors as rows [Å], shape (3, 3): a along x, b in the xy plane."""
        ca, cb, cg = (math.cos(math.radians(angle)) for angle in (self.alpha, self.beta, self.gamma))
        sg = math.sin(math.radians(self.gamma))
        cy = (ca - cb * cg) / sg
        cz = math.sqrt(1.0 - cb * cb - cy * cy)
        rows = ((self.a, 0.0, 0.0), (self.b * cg, self.b * sg, 0.0), (self.c * cb, self.c * cy, self.c * cz))
        return np.array(rows, dtype=np.float64)

    @property
    def volume(self) -> float:
        """Volume of the unit cell [Å³]."""
        return float(np.linalg.det(self.direct_basis))

    @property
    def is_hexagonal(self) -> bool:
        """Whether the cell has hexagonal axes, the ones four Miller-Bravais indices are for."""
        return self.a == self.b and (self.alpha, self.beta, self.gamma) == (90.0, 90.0, 120.0)

    def reciprocal_vector(self, hkl: Sequence[int]) -> NDArray[np.float64]:
        """Cartesian reciprocal-lattice vector h [1/Å], without 2π, shape (3,); its length is 1/d."""
        h = np.linalg.solve(self.direct_basis, np.asarray(self.miller(hkl), dtype=np.float64))
        return np.asarray(h, dtype=np.float64)

    def d_spacing(self, hkl: Sequence[int]) -> float:
        """Distance of the lattice planes, d = 1/|h| [Å]."""
        return 1.0 / float(np.linalg.norm(self.reciprocal_vector(hkl)))

    def structure_factor(
        self, hkl: Sequence[int], *, wavelength: float, debye_waller: bool = True
    ) -> complex:
        """Structure factor of the unit cell [electrons].

        .. math:: F_h = \\sum_j o_j f_j \\exp(-B_j s^2) \\exp(2πi\\, h·r_j), \\quad s = 1/(2d)

        Args:
            hkl: Three Miller indices, or four in a hexagonal cell.
            wavelength: Wavelength [Å], for f' and f''.
            debye_waller: Whether the atoms vibrate; without, every B is 0.
        """
        h = self.miller(hkl)
        s = 0.5 / self.d_spacing(h)
        factors = {site.element: _atomic_factor(site.element, s, wavelength) for site in self.sites}
        b_iso = np.array([site.b_iso for site in self.sites]) * debye_waller
        amplitudes = np.array([site.occupancy * factors[site.element] for site in self.sites])
        return _phase_sum(h, [site.position for site in self.sites], amplitudes * np.exp(-b_iso * s * s))

    def structure_factor_0(self, *, wavelength: float) -> complex:
        """Structure factor in the forward direction, F_0 = Σ (Z + f' + i|f''|) [electrons]."""
        factors = (s.occupancy * _atomic_factor(s.element, 0.0, wavelength) for s in self.sites)
        return complex(sum(factors))

    def with_lattice(
        self, *, a: float | None = None, b: float | None = None, c: float | None = None
    ) -> "Crystal":
        """The same structure with other cell edges [Å]; edges that were equal stay equal unless given."""
        new_a = self.a if a is None else a
        new_b = b if b is not None else new_a if self.b == self.a else self.b
        new_c = c if c is not None else new_a if self.c == self.a else self.c
        for edge, value in (("a", new_a), ("b", new_b), ("c", new_c)):
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"{self.name}: {edge} = {value:g} Å; a cell edge must be > 0 Å.")
        return replace(self, a=float(new_a), b=float(new_b), c=float(new_c))

    def miller(self, indices: Sequence[int]) -> Hkl:
        """Three Miller indices from three, or from four Miller-Bravais indices of a hexagonal cell.

        Raises:
            ValueError: not three or four integers, all zero, i ≠ -(h + k), or four in another cell.
        """
        text = " ".join(str(index) for index in indices)
        try:
            values = [operator.index(index) for index in indices]
        except TypeError:
            raise ValueError(f"Miller indices {text}: every index must be an integer.") from None
        if len(values) not in (3, 4):
            raise ValueError(f"Miller indices {text}: {len(values)} of them; give 3 (h k l) or 4 (h k i l).")
        h, k, l = values[0], values[1], values[-1]  # noqa: E741
        if len(values) == 4 and not self.is_hexagonal:
            raise ValueError(f"Miller indices {text}: {self.name} has no hexagonal axes; give three, h k l.")
        if len(values) == 4 and values[2] != -(h + k):
            raise ValueError(f"Miller indices {text}: i = {values[2]}, but i = -(h + k) = {-(h + k)}.")
        if h == k == l == 0:
            raise ValueError(f"Miller indices {text}: one index must differ from 0.")
        return h, k, l


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
        raise ValueError(f"{label}: wavelength = {wavelength:g} Å; it must be < 2d = {2.0 * d:g} Å.")
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


def crystal_from_cif(text: str, *, name: str) -> Crystal:
    """The crystal that a CIF text describes, with its atoms expanded by the space group.

    Ionic type symbols (O2-, Gd3+) are read as the element. An atom without B or U counts as B = 0 and is
    named in `without_b_iso`. Anisotropic parameters without an isotropic one are averaged.

    Raises:
        ValueError: no readable CIF with one structure, or cell, space group, atoms or elements missing.
    """
    structure = _read_structure(text, name)
    if not structure.sites:
        raise ValueError(f"CIF of {name}: no atoms; it must hold an _atom_site_ loop with fract_x, y, z.")
    if structure.spacegroup is None:
        raise ValueError(f"CIF of {name}: no known space group; give _space_group_name_H-M_alt.")
    for site in structure.sites:
        atom = f"CIF of {name}: atom {site.label}"
        if not 1 <= site.element.atomic_number <= 92:
            raise ValueError(f"{atom} has type {site.type_symbol!r}; it must be an element from H to U.")
        if not 0.0 < site.occ <= 1.0:
            raise ValueError(f"{atom} has occupancy {site.occ:g}; it must be > 0 and at most 1.")
        if not all(map(math.isfinite, site.fract.tolist())):
            raise ValueError(f"{atom} has no complete position; give fract_x, fract_y and fract_z.")
    cell = structure.cell
    sites = tuple(
        Site(
            element=gemmi.Element(site.element.atomic_number).name,  # D becomes H
            position=(site.fract.x, site.fract.y, site.fract.z),
            occupancy=site.occ,
            b_iso=8.0 * math.pi**2 * _u_iso(site, cell),
        )
        for site in structure.get_all_unit_cell_sites()
    )
    edges = {key: getattr(cell, key) for key in ("a", "b", "c", "alpha", "beta", "gamma")}
    missing = dict.fromkeys(site.label for site in structure.sites if _u_iso(site, cell) == 0.0)
    return Crystal(name=name, **edges, sites=sites, without_b_iso=tuple(missing))


def builtin_crystals() -> tuple[str, ...]:
    """Names of the built-in crystals, sorted."""
    folder = resources.files("strainscope").joinpath("crystals")
    names = (entry.name.removesuffix(".cif") for entry in folder.iterdir() if entry.name.endswith(".cif"))
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
        close = difflib.get_close_matches(name.strip().casefold(), known, n=1, cutoff=0.5)
        hint = f" Did you mean {known[close[0]]}?" if close else ""
        names = ", ".join(builtin_crystals())
        raise ValueError(f"crystal = {name!r} is not built in; give its CIF or one of {names}.{hint}")
    text = resources.files("strainscope").joinpath("crystals", f"{stem}.cif").read_text(encoding="utf-8")
    return crystal_from_cif(text, name=stem)


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
        raise ValueError(f"wavelength = {name!r}: no emission line; give one (CuKa1) or a number in Å.")
    return tuple(lines)


def _phase_sum(hkl: Hkl, positions: Sequence[Sequence[float]], amplitudes: NDArray[np.complex128]) -> complex:
    """Σ_j A_j exp(+2πi h·r_j) over atoms at fractional positions r_j, shape (atom, 3)."""
    phases = np.asarray(positions, dtype=np.float64) @ np.asarray(hkl, dtype=np.float64)
    return complex(np.sum(amplitudes * np.exp(2j * np.pi * phases)))


def _atomic_factor(element: str, s: float, wavelength: float) -> complex:
    """Scattering factor f0(s) + f' + i|f''| [electrons] at s = sinθ/λ [1/Å]."""
    number = xraylib.SymbolToAtomicNumber(element)
    energy = HC_KEV_ANGSTROM / wavelength
    real = float(xraylib.FF_Rayl(number, s)) + float(xraylib.Fi(number, energy))
    return complex(real, abs(float(xraylib.Fii(number, energy))))


def _angle_between(crystal: Crystal, hkl: Hkl, surface: Sequence[int]) -> float:
    """Angle between the normals of two lattice planes [rad]; exactly 0 for parallel ones."""
    normal, h = crystal.reciprocal_vector(surface), crystal.reciprocal_vector(hkl)
    # The arctangent keeps full precision where the arccosine of a rounded 1 would lose half the digits.
    angle = math.atan2(float(np.linalg.norm(np.cross(normal, h))), float(normal @ h))
    return 0.0 if angle < 1e-12 else angle


def _read_structure(text: str, name: str) -> gemmi.SmallStructure:
    """The one block of a CIF text that has a cell, as gemmi's small structure."""
    try:
        document = gemmi.cif.read_string(text)
    except ValueError as error:
        raise ValueError(f"CIF of {name}: not readable ({error}).") from None
    blocks = [block for block in document if block.find_value("_cell_length_a")]
    if len(blocks) != 1:
        raise ValueError(f"CIF of {name}: {len(blocks)} blocks with a cell; it must hold exactly one.")
    structure = gemmi.make_small_structure_from_block(blocks[0])
    tags = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    values = [gemmi.cif.as_number(blocks[0].find_value(f"_cell_{tag}") or "?") for tag in tags]
    if not all(value > 0.0 for value in values) or not structure.cell.volume > 0.0:
        raise ValueError(f"CIF of {name}: no complete cell; give _cell_length_a, b, c, _cell_angle_alpha, ….")
    return structure


def _u_iso(site: gemmi.SmallStructure.Site, cell: gemmi.UnitCell) -> float:
    """Isotropic displacement U [Å²]; where the CIF has only a tensor, Σ U_ij a*_i a*_j a_i·a_j / 3."""
    if site.u_iso != 0.0 or not site.aniso.nonzero():
        return float(site.u_iso)
    vectors = np.array(cell.orth.mat.tolist()).T
    lengths = np.linalg.norm(np.linalg.inv(vectors), axis=0)
    tensor = np.array(site.aniso.as_mat33().tolist())
    return float(np.sum(tensor * np.outer(lengths, lengths) * (vectors @ vectors.T)) / 3.0)
