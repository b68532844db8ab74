"""Sublayers for the engine: cells over depth, chosen from the angular range and the profile's slope."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from strainscope.diffraction.stack import Coefficients, Stack
from strainscope.profile import DepthProfile

# Phase |Y| h / 2 of a cell, at the farthest angle. At π the cells reflect as a superlattice of their own
# (they alias), and the fast engine's polynomials end there; `choose_sublayers` stays well below.
PHASE_BOUND = 3.1
PHASE_LIMIT = 2.1
GAUSS_OFFSET = np.sqrt(3) / 6

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sublayers:
    """Cells from the surface down, with the profile at the two Gauss points of each.

    A batch is padded with cells of no thickness, which change nothing. Below the last cell the crystal is
    perfect.

    Attributes:
        thickness: [Å], shape (*, sublayer).
        strain: ε at the upper and the deeper Gauss point [1], shape (*, sublayer, 2).
        debye_waller: Static Debye-Waller factor E there [1], shape (*, sublayer, 2).
        layer: Index of the stack's layer that holds the cell, shape (*, sublayer).
        upper: Depth of the cell's upper boundary [Å], shape (*, sublayer).
    """

    thickness: Floats
    strain: Floats
    debye_waller: Floats
    layer: NDArray[np.int64]
    upper: Floats


def no_sublayers() -> Sublayers:
    """The undamaged stack: a batch of one with a single cell of no thickness."""
    return Sublayers(
        thickness=np.zeros((1, 1)),
        strain=np.zeros((1, 1, 2)),
        debye_waller=np.ones((1, 1, 2)),
        layer=np.zeros((1, 1), dtype=np.int64),
        upper=np.zeros((1, 1)),
    )


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
    if thickness.size == 0:
        raise ValueError("thickness is empty; for an undamaged stack use no_sublayers().")
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
        upper=np.broadcast_to(edges[:-1], shape),
    )


def _refuse(values: Floats, bad: NDArray[np.bool_], name: str, unit: str, rule: str) -> None:
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        shown = ", ".join(map(str, index))
        raise ValueError(f"{name}[{shown}] = {values[index]:g}{unit}; {rule}.")


# Of the error asked for: what a cell may contribute through each of its causes. Calibrated over random
# profiles in benchmarks/convergence.py: 98 % and more of the curves stay below what was asked.
CHIRP, BEND, FADE = 0.2, 0.07, 0.12
# Where the profile counts as over: strain and 1 - E below these shares of the tolerance.
STRAIN_SHARE, FACTOR_SHARE = 1e-4, 0.03
THICKEST = 250.0
_ROUNDS = 14
MOST_CELLS = 20_000
# Neighbouring cells may differ by this share: where thickness jumps, the cells' errors cease to cancel and
# show where the reflectivity is low.
GROWTH = 0.05
# Where in a cell the profile is looked at: just inside its ends (a step may lie on a boundary) and at the
# two Gauss points.
PLACES = np.array([0.01, 0.5 - GAUSS_OFFSET, 0.5 + GAUSS_OFFSET, 0.99])


def choose_sublayers(
    profile: DepthProfile, values: Floats, angles: Coefficients, stack: Stack, *, tolerance: float = 1e-4
) -> Sublayers:
    """Sublayers for a batch of profiles such that curves err by less than the tolerance.

    The thickness is chosen so that a cell's phase at the farthest angle stays below `PHASE_LIMIT`, and that
    what the fourth-order step leaves out is small enough: the square of the phase that the strain's slope
    adds across the cell, and the part of strain and E that is not linear across it. It then varies smoothly
    over depth; breakpoints of the profile and interfaces of the stack are boundaries.

    Args:
        profile: Strain and disorder families.
        values: Their parameters, shape (curve, parameter).
        angles: Coefficients at the angles that will be simulated.
        stack: The films and the substrate.
        tolerance: Wanted rms error of log10 of the reflectivity [1], where it is above 1e-7; an estimate, not a
            bound.

    Returns:
        Sublayers of shape (curve, sublayer), padded.

    Raises:
        ValueError: a profile that would need more than 20,000 cells.
    """
    n_curve = values.shape[0]
    normalisation = profile.normalisation(values)
    extent = profile.extent(
        values,
        strain_tolerance=STRAIN_SHARE * tolerance,
        factor_tolerance=FACTOR_SHARE * tolerance,
        normalisation=normalisation,
    )
    marks = np.concatenate(
        [
            np.zeros((n_curve, 1)),
            profile.breakpoints(values),
            np.broadcast_to(stack.interfaces, (n_curve, len(stack.interfaces))),
            extent[:, None],
        ],
        axis=1,
    )
    marks = np.sort(np.clip(marks, 0.0, extent[:, None]), axis=1)
    curve, upper, thickness, wanted = _wanted_thickness(
        profile, values, normalisation, marks, angles, stack, tolerance
    )
    if np.bincount(curve, weights=thickness / wanted).max(initial=0) > MOST_CELLS:
        raise ValueError(
            f"a profile needs more than {MOST_CELLS} sublayers (it extends to {extent.max():g} Å); narrow the "
            "angular range or the depth, or raise the tolerance."
        )
    first = np.searchsorted(curve, np.arange(n_curve + 1))
    cells = _grade(first, upper, thickness, wanted, marks)
    shape = cells.shape[:2]
    depth = gauss_depths(cells[..., 0], cells[..., 1])
    strain, factor = profile.evaluate_within(depth.reshape(n_curve, -1), values, normalisation)
    # Beyond a curve's last cell the padding lies at depth 0, where the profile is defined but not used.
    return Sublayers(
        thickness=cells[..., 1],
        strain=strain.reshape(*shape, 2),
        debye_waller=factor.reshape(*shape, 2),
        layer=np.searchsorted(stack.interfaces, cells[..., 0] + 0.5 * cells[..., 1]),
        upper=cells[..., 0],
    )


def _wanted_thickness(
    profile: DepthProfile,
    values: Floats,
    normalisation: Floats,
    marks: Floats,
    angles: Coefficients,
    stack: Stack,
    tolerance: float,
) -> tuple[NDArray[np.int64], Floats, Floats, Floats]:
    """Coarse cells (curve, upper, thickness) in order of depth and the thickness of sublayer wanted in each."""
    n_curve, n_mark = marks.shape
    curve = np.repeat(np.arange(n_curve), n_mark - 1)
    upper, thickness = marks[:, :-1].ravel(), np.diff(marks, axis=1).ravel()
    present = thickness > 1e-6
    curve, upper, thickness = curve[present], upper[present], thickness[present]
    curve, upper, thickness = _divide(
        curve, upper, thickness, np.ceil(thickness / THICKEST).astype(np.int64)
    )
    done: list[tuple[NDArray[np.int64], Floats, Floats, Floats]] = []
    for last in range(_ROUNDS):
        depth = upper[:, None] + thickness[:, None] * PLACES
        strain, factor = profile.evaluate_within(depth, values[curve], normalisation[curve])
        layer = np.searchsorted(stack.interfaces, upper + 0.5 * thickness)
        parts = _parts_needed(strain, factor, thickness, layer, angles, tolerance)
        # A coarse cell stands for a few sublayers; a step inside one never becomes smooth, so there is an end.
        coarse = (parts > 4) if last < _ROUNDS - 1 else np.zeros(len(parts), dtype=np.bool_)
        kept = ~coarse
        done.append(
            (curve[kept], upper[kept], thickness[kept], thickness[kept] / np.maximum(parts[kept], 0.25))
        )
        if not coarse.any():
            break
        pieces = np.ceil(np.minimum(parts[coarse] / 2, 32)).astype(np.int64)
        curve, upper, thickness = _divide(curve[coarse], upper[coarse], thickness[coarse], pieces)
    all_curve, all_upper, all_thickness, wanted = (
        np.concatenate(column) for column in zip(*done, strict=True)
    )
    order = np.lexsort((all_upper, all_curve))
    return all_curve[order], all_upper[order], all_thickness[order], wanted[order]


def _divide(
    curve: NDArray[np.int64], upper: Floats, thickness: Floats, parts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Cells cut into equal parts."""
    owner = np.repeat(np.arange(len(parts)), parts)
    position = np.arange(len(owner)) - np.repeat(np.cumsum(parts) - parts, parts)
    thin = (thickness / parts)[owner]
    return curve[owner], upper[owner] + position * thin, thin


def _parts_needed(
    strain: Floats,
    factor: Floats,
    thickness: Floats,
    layer: NDArray[np.int64],
    angles: Coefficients,
    tolerance: float,
) -> Floats:
    """How many sublayers each cell stands for (may be below 1), from the profile at `PLACES`."""
    response = np.abs(angles.strain_response.real).max(axis=1)[layer]
    lowest, highest = angles.detuning.real.min(axis=1)[layer], angles.detuning.real.max(axis=1)[layer]
    delta = strain / (1 + strain)
    shift = response * delta.mean(axis=1)
    farthest = np.maximum(np.abs(lowest - shift), np.abs(highest - shift))
    phase = 0.5 * farthest * thickness
    across = 1 / (PLACES[3] - PLACES[0])
    chirp = response * thickness * np.abs(delta[:, 3] - delta[:, 0]) * across / 8
    bend = response * thickness * np.abs(delta[:, 0] + delta[:, 3] - delta[:, 1] - delta[:, 2])
    amplitude = factor * (1 - delta)
    fade = np.abs(amplitude[:, 0] + amplitude[:, 3] - amplitude[:, 1] - amplitude[:, 2])
    fade = fade * np.minimum(phase, 1.0) ** 2 + np.abs(amplitude[:, 3] - amplitude[:, 0]) * chirp
    # Half of what was asked: the causes add up.
    root = np.sqrt(0.5 * tolerance)
    result: Floats = np.maximum.reduce(
        [
            phase / PHASE_LIMIT,
            np.sqrt(chirp / (CHIRP * root)),
            np.cbrt(bend / (BEND * root)),
            np.cbrt(fade / (FADE * root)),
        ]
    )
    return result


@njit(nogil=True, cache=True)
def _grade(first, upper, thickness, wanted, marks):  # type: ignore[no-untyped-def]
    """Sublayers (upper boundary, thickness) of smoothly varying thickness, shape (curve, sublayer, 2), padded.

    Between two marks the sublayers are placed so that each holds the same share of ∫ dz / wanted.
    """
    n_curve = len(first) - 1
    for i in range(n_curve):
        for c in range(first[i] + 1, first[i + 1]):
            reach = GROWTH * 0.5 * (thickness[c] + thickness[c - 1])
            wanted[c] = min(wanted[c], wanted[c - 1] + reach)
        for c in range(first[i + 1] - 2, first[i] - 1, -1):
            reach = GROWTH * 0.5 * (thickness[c] + thickness[c + 1])
            wanted[c] = min(wanted[c], wanted[c + 1] + reach)
    cells = np.zeros((n_curve, 64, 2))
    # Halves of the coarse cells of one segment: lower end and share of cells, cumulated.
    for i in range(n_curve):
        n = 0
        c = first[i]
        for m in range(marks.shape[1] - 1):
            start = c
            while c < first[i + 1] and upper[c] + 0.5 * thickness[c] < marks[i, m + 1]:
                c += 1
            count = c - start
            if count == 0:
                continue
            end = np.empty(2 * count + 1)
            share = np.empty(2 * count + 1)
            end[0] = upper[start]
            share[0] = 0.0
            for k in range(count):
                here = wanted[start + k]
                above = here if k == 0 else 0.5 * (here + wanted[start + k - 1])
                below = here if k == count - 1 else 0.5 * (here + wanted[start + k + 1])
                half = 0.5 * thickness[start + k]
                end[2 * k + 1] = upper[start + k] + half
                end[2 * k + 2] = upper[start + k] + 2 * half
                share[2 * k + 1] = share[2 * k] + half * 2 / (above + here)
                share[2 * k + 2] = share[2 * k + 1] + half * 2 / (here + below)
            total = share[2 * count]
            number = max(1, int(np.ceil(total - 1e-6)))
            if n + number > cells.shape[1]:
                larger = np.zeros((n_curve, max(n + number, cells.shape[1] * 3 // 2), 2))
                larger[:, : cells.shape[1]] = cells
                cells = larger
            at = 0
            z = end[0]
            for k in range(1, number + 1):
                goal = total * k / number
                while at < 2 * count - 1 and share[at + 1] < goal:
                    at += 1
                z_next = end[at] + (end[at + 1] - end[at]) * (goal - share[at]) / (share[at + 1] - share[at])
                if k == number:
                    z_next = end[2 * count]
                cells[i, n, 0] = z
                cells[i, n, 1] = z_next - z
                z = z_next
                n += 1
    longest = 1
    for i in range(n_curve):
        n = cells.shape[1]
        while n > longest and cells[i, n - 1, 1] == 0:
            n -= 1
        longest = max(longest, n)
    return cells[:, :longest].copy()
