r"""Lattice units: one problem for every crystal, reflection and wavelength.

.. math::
    ζ = z \cosψ/d, \quad ε' = ε/(1 + ε), \quad e = 1 - \sinθ'/\sinθ_B, \quad
    G = 2π χ_h d^2/λ^2 \frac{1 + b}{2 \sqrt{b} \cos^2ψ}, \quad
    A = 4π |\mathrm{Im} χ_0| d^2/λ^2 \frac{(1 + b)^2}{4 b \cos^2ψ}

In these a curve depends on wavelength, reflection and crystal through the coupling G, the absorption A and the
polarization factor C alone, but for the slow drift of the direction cosines over the scan.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strainscope.diffraction import Stack
from strainscope.measurement.gridding import lattice_angle

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """Scale of a reflection.

    Attributes:
        plane_A: Depth of one lattice plane, d/cosψ [Å].
        e_per_arcsec: Change of |e| for an arcsec of incidence at the peak.
        coupling: |G| [1] of sigma.
        coupling_phase: Phase of G [rad].
        absorption: A [1].
        polarization: C of pi [1].
    """

    plane_A: float
    e_per_arcsec: float
    coupling: float
    coupling_phase: float
    absorption: float
    polarization: float

    @property
    def settings(self) -> Floats:
        """What a network is told of it, near 0 to 1 each: log10 of G and of A/G, phase, C; shape (4,)."""
        return np.array(
            [
                np.log10(self.coupling) + 4.0,
                np.log10(self.absorption / self.coupling),
                self.coupling_phase,
                self.polarization,
            ]
        )


def lattice_of(stack: Stack) -> Lattice:
    """The scale of a stack's substrate."""
    substrate = stack.layers[-1]
    ratio = np.sin(stack.incidence_angle) / np.sin(stack.bragg_angle + stack.asymmetry)
    cosine = np.cos(stack.asymmetry)
    scale = (stack.d_spacing / stack.wavelength) ** 2
    coupling = 2 * np.pi * np.sqrt(substrate.chi_h * substrate.chi_hbar) * scale
    coupling *= (1 + ratio) / (2 * np.sqrt(ratio) * cosine**2)
    absorption = 4 * np.pi * abs(substrate.chi_0.imag) * scale * (1 + ratio) ** 2 / (4 * ratio * cosine**2)
    return Lattice(
        plane_A=float(stack.d_spacing / cosine),
        e_per_arcsec=float(lattice_angle(-0.5, stack) - lattice_angle(0.5, stack)),
        coupling=float(abs(coupling)),
        coupling_phase=float(np.angle(coupling)),
        absorption=float(absorption),
        polarization=float(stack.polarization_factors[1]),
    )


def to_lattice(values: Floats, units: Sequence[str], lattice: Lattice) -> Floats:
    """Parameters (*, parameter) with lengths in lattice planes and angles as e; other units stay as they are."""
    return values * _scales(units, lattice)


def from_lattice(values: Floats, units: Sequence[str], lattice: Lattice) -> Floats:
    """The inverse of `to_lattice`."""
    return values / _scales(units, lattice)


def _scales(units: Sequence[str], lattice: Lattice) -> Floats:
    known = {"Å": 1 / lattice.plane_A, "arcsec": lattice.e_per_arcsec}
    return np.array([known.get(unit, 1.0) for unit in units])
