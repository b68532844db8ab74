"""A crystal structure: cell and atoms, and the structure factors that they give.

Atomic factors are xraylib's,

.. math:: f = f_0(\\sin θ/λ) + f' + i |f''|

(its `Fii` is negative in this convention, hence the modulus).

References:
    T. Schoonjans et al., Spectrochim. Acta B 66 (2011) 776, doi:10.1016/j.sab.2011.09.011 (xraylib)
"""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xraylib
from numpy.typing import NDArray

from strainscope.crystal.wavelength import HC_KEV_ANGSTROM

Hkl = tuple[int, int, int]


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
