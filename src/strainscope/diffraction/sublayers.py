"""Sublayers for the engine: cells over depth, chosen from the angular range and the profile's slope."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strainscope.diffraction.stack import Stack

# Largest phase |Y| h / 2 of a cell. At π the cells reflect as a superlattice of their own (they alias),
# and the fast engine's polynomials end there.
PHASE_LIMIT = 3.1
GAUSS_OFFSET = np.sqrt(3) / 6

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Sublayers:
    """Cells from the surface down, with the profile at the two Gauss points of each.

    A batch is padded with cells of no thickness, which change nothing. Below the last cell the crystal is
    perfect.

    Attributes:
        thickness: [Å], shape (*, sublayer).
        strain: ε at the upper and the deeper Gauss point [1], shape (*, sublayer, 2).
        debye_waller: Static Debye-Waller factor E there [1], shape (*, sublayer, 2).
        layer: Index of the stack's layer that holds the cell, shape (*, sublayer).
    """

    thickness: Floats
    strain: Floats
    debye_waller: Floats
    layer: NDArray[np.int64]


def gauss_depths(edges_upper: Floats, thickness: Floats) -> Floats:
    """Depths of the two Gauss points of cells [Å], shape (*, 2)."""
    centre = edges_upper + 0.5 * thickness
    shift = GAUSS_OFFSET * thickness
    return np.stack([centre - shift, centre + shift], axis=-1)


def uniform_sublayers(
    thickness: Floats, strain: Floats, debye_waller: Floats | None = None, *, stack: Stack
) -> Sublayers:
    """Sublayers that are uniform inside, as a caller gives them.

    Args:
        thickness: [Å], shape (sublayer,), surface first.
        strain: ε [1], shape (*, sublayer).
        debye_waller: E [1], shape (*, sublayer); 1 if not given.
        stack: Its interfaces must coincide with cell boundaries (1e-6 Å).

    Raises:
        ValueError: thickness not above 0 Å, E outside [0, 1], strain not finite or <= -1, a cell astride an
            interface.
    """
    thickness = np.asarray(thickness, dtype=np.float64)
    strain = np.asarray(strain, dtype=np.float64)
    e = np.ones_like(strain) if debye_waller is None else np.asarray(debye_waller, dtype=np.float64)
    if thickness.ndim != 1 or strain.shape[-1:] != thickness.shape or e.shape != strain.shape:
        raise ValueError(
            f"thickness {thickness.shape}, strain {strain.shape} and debye_waller {e.shape} must share the "
            "sublayer axis; thickness has that axis alone."
        )
    _refuse(thickness, ~(thickness > 0), "thickness", " Å", "every sublayer must be > 0 Å")
    _refuse(strain, ~(strain > -1) | ~np.isfinite(strain), "strain", "", "strain must be finite and > -1")
    _refuse(e, ~((e >= 0) & (e <= 1)), "debye_waller", "", "E must lie in [0, 1]")
    edges = np.concatenate([[0.0], np.cumsum(thickness)])
    layer = np.searchsorted(stack.interfaces, 0.5 * (edges[1:] + edges[:-1]))
    for z in stack.interfaces:
        if z < edges[-1] and np.abs(edges - z).min() > 1e-6:
            raise ValueError(f"the interface at {z:g} Å lies inside a sublayer; put a boundary there.")
    shape = strain.shape
    return Sublayers(
        thickness=np.broadcast_to(thickness, shape),
        strain=np.repeat(strain[..., None], 2, axis=-1),
        debye_waller=np.repeat(e[..., None], 2, axis=-1),
        layer=np.broadcast_to(layer, shape),
    )


def _refuse(values: Floats, bad: NDArray[np.bool_], name: str, unit: str, rule: str) -> None:
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        shown = ", ".join(map(str, index))
        raise ValueError(f"{name}[{shown}] = {values[index]:g}{unit}; {rule}.")
