r"""Elastic constants, and what a substrate's clamping makes of a layer's strain.

A damaged layer would swell alike in all directions, by the free strain ε_f. The substrate holds it in the plane, so
it expands the more along the normal; no force acts on the surface. With the normal along 3, i = 1, 2, 3:

.. math:: \sum_k C_{i3k3}\, (1 + [k \ne 3])\, ε_{k3} = ε_f \sum_k C_{i3kk}

and ε_33 is the strain that a diffractometer sees: ε_f (C11 + 2 C12)/C11 for the (001) surface of a cubic crystal.

References:
    J. F. Nye, Physical Properties of Crystals (Oxford, 1985), chapter 8
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from strainscope.crystal.structure import Crystal

Floats = NDArray[np.float64]
Constants = Mapping[str, float]

CUBIC = ("C11", "C12", "C44")
HEXAGONAL = ("C11", "C12", "C13", "C33", "C44")
TRIGONAL = (*HEXAGONAL, "C14")

ELASTIC_GPA: Mapping[str, Constants] = MappingProxyType(
    {
        # McSkimin & Andreatch, J. Appl. Phys. 35 (1964) 2161
        "Si": {"C11": 165.8, "C12": 63.9, "C44": 79.6},
        # McSkimin & Andreatch, J. Appl. Phys. 34 (1963) 651
        "Ge": {"C11": 128.5, "C12": 48.3, "C44": 66.8},
        # Blakemore, J. Appl. Phys. 53 (1982) R123
        "GaAs": {"C11": 118.8, "C12": 53.8, "C44": 59.4},
        # Adachi, Physical Properties of III-V Semiconductor Compounds (1992)
        "InP": {"C11": 101.1, "C12": 56.1, "C44": 45.6},
        # Sinogeikin & Bass, Phys. Earth Planet. Inter. 120 (2000) 43
        "MgO": {"C11": 297.9, "C12": 95.8, "C44": 154.4},
        # Graham & Chang, J. Appl. Phys. 41 (1970) 2247
        "GGG": {"C11": 285.7, "C12": 114.9, "C44": 90.2},
        # Clark & Strakna, J. Appl. Phys. 32 (1961) 1172
        "YIG": {"C11": 268.0, "C12": 110.6, "C44": 76.6},
        # Polian, Grimsditch & Grzegory, J. Appl. Phys. 79 (1996) 3343
        "GaN": {"C11": 390.0, "C12": 145.0, "C13": 106.0, "C33": 398.0, "C44": 105.0},
        # Kamitani, Grimsditch, Nipko, Loong, Okada & Kimura, J. Appl. Phys. 82 (1997) 3152
        "SiC-4H": {"C11": 507.0, "C12": 108.0, "C13": 52.0, "C33": 547.0, "C44": 159.0},
        "SiC-6H": {"C11": 501.0, "C12": 111.0, "C13": 52.0, "C33": 553.0, "C44": 163.0},
        # Goto, Anderson, Ohno & Yamamoto, J. Geophys. Res. 94 (1989) 7588
        "Al2O3": {"C11": 497.3, "C12": 162.8, "C13": 116.0, "C33": 500.9, "C44": 146.8, "C14": -21.9},
    }
)
"""Stiffness constants [GPa] of built-in crystals, at room temperature."""


def expansion_ratio(crystal: Crystal, surface: Sequence[int], constants: Constants) -> float:
    """Strain along the normal over the free strain [1], see above: 1.8 for GGG (111), 1 without clamping.

    Args:
        crystal: Cubic, hexagonal or trigonal (on hexagonal axes).
        surface: Miller indices of the surface.
        constants: [GPa], those of the crystal's system: CUBIC, HEXAGONAL or TRIGONAL.

    Raises:
        ValueError: constants of another system, or none that a stable crystal has.
    """
    stiffness = _tensor(crystal, constants)
    normal = crystal.reciprocal_vector(surface)
    rotation = _with_normal(normal / np.linalg.norm(normal))
    turned = np.einsum("ai,bj,ck,dl,ijkl->abcd", *[rotation] * 4, stiffness)
    left = turned[:, 2, :, 2] * np.array([2.0, 2.0, 1.0])
    right = np.einsum("ikk->i", turned[:, 2])
    return float(np.linalg.solve(left, right)[2])


def check_constants(crystal: Crystal, constants: Constants) -> None:
    """Raise ValueError unless constants are those of a crystal's system, and of a stable crystal."""
    _tensor(crystal, constants)


def _tensor(crystal: Crystal, constants: Constants) -> Floats:
    """C_ijkl [GPa], with x along a, and z along c."""
    wanted = _names(crystal)
    if not set(HEXAGONAL if wanted is TRIGONAL else wanted) <= set(constants) <= set(wanted):
        raise ValueError(
            f"elastic constants {', '.join(constants) or '(none)'}; {crystal.name} needs {', '.join(wanted)} [GPa]"
            f"{', C14 if it is trigonal' if wanted is TRIGONAL else ''}."
        )
    c = dict(constants)
    voigt = np.zeros((6, 6))
    if wanted is CUBIC:
        c |= {"C13": c["C12"], "C33": c["C11"], "C66": c["C44"]}
    else:
        c["C66"] = 0.5 * (c["C11"] - c["C12"])
    voigt[0, 0] = voigt[1, 1] = c["C11"]
    voigt[0, 1] = voigt[1, 0] = c["C12"]
    voigt[:2, 2] = voigt[2, :2] = c["C13"]
    voigt[2, 2] = c["C33"]
    voigt[3, 3] = voigt[4, 4] = c["C44"]
    voigt[5, 5] = c["C66"]
    shear = c.get("C14", 0.0)
    voigt[0, 3] = voigt[3, 0] = voigt[4, 5] = voigt[5, 4] = shear
    voigt[1, 3] = voigt[3, 1] = -shear
    if not np.linalg.eigvalsh(voigt).min() > 0:
        listed = ", ".join(f"{name} = {value:g}" for name, value in constants.items())
        raise ValueError(f"elastic constants {listed} GPa are of no stable crystal; check them.")
    place = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
    return np.asarray(voigt[place[:, :, None, None], place[None, None]])


def _names(crystal: Crystal) -> tuple[str, ...]:
    """Constants of the crystal's system."""
    if crystal.is_hexagonal:
        return TRIGONAL
    angles = (crystal.alpha, crystal.beta, crystal.gamma)
    if crystal.a == crystal.b == crystal.c and angles == (90.0, 90.0, 90.0):
        return CUBIC
    raise ValueError(f"{crystal.name} is neither cubic nor hexagonal; its free strain is not computed.")


def _with_normal(normal: Floats) -> Floats:
    """Rotation whose third axis is the normal, shape (3, 3)."""
    aside = np.eye(3)[int(np.argmin(np.abs(normal)))]
    first = np.cross(aside, normal)
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(normal, first), normal])
