"""Angles at which a scan is simulated: fine at the peaks of substrate and films, coarser away from them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, identity

from strainscope.crystal import ARCSEC
from strainscope.diffraction import Stack
from strainscope.instrument.grid import cardinal_weights

Floats = NDArray[np.float64]

# Points of local interpolation between simulated angles.
_STENCIL = 6
# Simulated angles across the narrowest Bragg plateau.
_PER_PLATEAU = 48


@dataclass(frozen=True, kw_only=True, eq=False)
class AngleGrid:
    """A uniform grid fine enough for the resolution, and the angles on it that are simulated.

    Attributes:
        start_arcsec, step_arcsec, number: The uniform grid.
        node_arcsec: Positions of the simulated angles [arcsec], shape (node,).
        fill: From the nodes to the grid, (number, node): local interpolation, and what kernels will see of it from the
            grid's points.
    """

    start_arcsec: float
    step_arcsec: float
    number: int
    node_arcsec: Floats
    fill: csr_array


def angle_grid(
    stack: Stack,
    *,
    first_arcsec: float,
    last_arcsec: float,
    finest_arcsec: float,
    fringe_depth: float,
    points_per_fringe: float,
) -> AngleGrid:
    """A grid from first to last: fine at the peaks of substrate and films, coarser away from them.

    Away from the peaks the spacing resolves the fringes of the damaged depth; near them it grows with the
    distance, as the curve becomes smoother.

    Args:
        stack: Sets the peaks and their widths.
        first_arcsec, last_arcsec: Range [arcsec].
        finest_arcsec: Step of the uniform grid [arcsec], from the resolution.
        fringe_depth: Largest depth whose fringes matter [Å].
        points_per_fringe: Simulated angles for each of those fringes.
    """
    peaks, widths = layer_peaks(stack)
    number = max(int(np.ceil((last_arcsec - first_arcsec) / finest_arcsec)) + 1, 2 * _STENCIL)
    # A plateau's sharp edges need nodes between the grid's points.
    parts = 2 * int(np.ceil(0.5 * finest_arcsec / (widths.min() / _PER_PLATEAU)))
    fine = finest_arcsec / parts
    positions = first_arcsec + fine * np.arange((number - 1) * parts + 1, dtype=np.float64)
    coarsest = _fringe(stack, fringe_depth) / points_per_fringe
    distance = np.min(np.maximum(np.abs(positions[:, None] - peaks) - widths, 0), axis=1)
    spacing = np.minimum(coarsest, fine + 0.2 * distance)
    films = sum(layer.thickness for layer in stack.layers[:-1])
    if films:
        # Fringes of the films' full thickness matter near the peaks, where they are strong.
        film_spacing = _fringe(stack, films) / points_per_fringe
        spacing = np.minimum(spacing, max(film_spacing, fine) + 0.01 * distance)
    nodes = _spread(np.maximum(spacing / fine, 1.0))
    return AngleGrid(
        start_arcsec=first_arcsec,
        step_arcsec=finest_arcsec,
        number=number,
        node_arcsec=np.asarray(positions[nodes], dtype=np.float64),
        fill=csr_array(_projection(number, parts) @ _interpolation(nodes, len(positions))),
    )


def _fringe(stack: Stack, depth: float) -> float:
    """Period [arcsec] of the fringes of a depth [Å]."""
    return float(stack.wavelength / (2 * depth * np.cos(stack.bragg_angle)) / ARCSEC)


def _spread(stride: Floats) -> NDArray[np.int64]:
    """Indices from first to last, each at most its own and its follower's stride from the one before."""
    last = len(stride) - 1
    chosen = [0]
    while chosen[-1] < last:
        here = chosen[-1]
        step = max(1, int(stride[here]))
        # The spacing ahead may be finer.
        while step > 1 and stride[min(here + step, last)] < 0.7 * step:
            step -= max(1, step // 8)
        chosen.append(min(here + step, last))
    return np.array(chosen, dtype=np.int64)


def _projection(number: int, parts: int) -> csr_array:
    """From the fine points to the grid's: integrals times the functions that interpolate between the grid's points.

    A kernel that is smooth on the grid then sees what lies between its points, with its place, exactly up to
    polynomials of degree five.
    """
    if parts <= 1:
        return csr_array(identity(number, format="csr"))
    offsets = np.arange(1 - 3 * parts, 3 * parts)
    below, inside = np.divmod(offsets, parts)
    # The function of the grid's point 0 at a place `inside` beyond the point `below`.
    weights = cardinal_weights(inside / parts)[2 - below, np.arange(len(offsets))] / parts
    rows = np.repeat(np.arange(number), len(offsets))
    columns = np.clip(rows * parts + np.tile(offsets, number), 0, (number - 1) * parts)
    shape = (number, (number - 1) * parts + 1)
    return csr_array((np.tile(weights, number), (rows, columns)), shape=shape)


def layer_peaks(stack: Stack) -> tuple[Floats, Floats]:
    """Positions and plateau widths [arcsec] of the Bragg peaks of the layers, refraction included."""
    gamma_0, gamma_h = np.sin(stack.incidence_angle), np.sin(stack.bragg_angle + stack.asymmetry)
    asymmetry = gamma_0 / gamma_h
    sine = np.sin(2 * stack.bragg_angle)
    positions, widths = [], []
    for layer in stack.layers:
        refraction = -layer.chi_0.real * (1 + 1 / asymmetry) / (2 * sine)
        shift = -layer.mismatch * np.cos(stack.asymmetry) * np.sin(stack.bragg_angle) * 2 * gamma_h / sine
        positions.append((refraction + shift) / ARCSEC)
        coupling = abs(np.sqrt(layer.chi_h * layer.chi_hbar))
        widths.append(2 * coupling / (np.sqrt(asymmetry) * sine) / ARCSEC)
    return np.array(positions), np.array(widths)


def _interpolation(nodes: NDArray[np.int64], number: int) -> csr_array:
    """Lagrange interpolation of `_STENCIL` points from the nodes to every grid point."""
    grid = np.arange(number)
    cell = np.clip(np.searchsorted(nodes, grid, side="right") - 1, 0, len(nodes) - 2)
    first = np.clip(cell - _STENCIL // 2 + 1, 0, len(nodes) - _STENCIL)
    columns = first[:, None] + np.arange(_STENCIL)
    places = nodes[columns].astype(np.float64)
    weights = np.ones_like(places)
    for i in range(_STENCIL):
        for j in range(_STENCIL):
            if i != j:
                weights[:, i] *= (grid - places[:, j]) / (places[:, i] - places[:, j])
    rows = np.repeat(grid, _STENCIL)
    return csr_array((weights.ravel(), (rows, columns.ravel())), shape=(number, len(nodes)))
