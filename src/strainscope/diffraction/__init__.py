"""Dynamical diffraction of strained crystals: two-beam Takagi-Taupin, Bragg case, one dimension.

`rocking_curve` and `jacobian` take sublayers, from `choose_sublayers` (of a profile, to a stated error) or
`uniform_sublayers` (the caller's own). Waves go as exp(i(ωt - k·r)); depth runs from the surface down.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from strainscope.diffraction import engine as _engine
from strainscope.diffraction import reference as _reference
from strainscope.diffraction.device import DEVICES, chosen_device, use_device
from strainscope.diffraction.diffuse import diffuse_scattering
from strainscope.diffraction.polynomials import DType
from strainscope.diffraction.stack import (
    BRAGG_LAWS,
    Layer,
    Stack,
    check_theta,
    coefficients,
    stack_from_reflections,
)
from strainscope.diffraction.sublayers import (
    PHASE_BOUND,
    Sublayers,
    choose_sublayers,
    no_sublayers,
    uniform_sublayers,
)

__all__ = [
    "BRAGG_LAWS",
    "DEVICES",
    "Layer",
    "Stack",
    "Sublayers",
    "choose_sublayers",
    "chosen_device",
    "coefficients",
    "diffuse_scattering",
    "jacobian",
    "no_sublayers",
    "rocking_curve",
    "stack_from_reflections",
    "uniform_sublayers",
    "use_device",
]

Floats = NDArray[np.float64]
ENGINES = ("fast", "reference")


def rocking_curve(
    theta: ArrayLike,
    stack: Stack,
    sublayers: Sublayers,
    *,
    engine: str = "fast",
    dtype: DType = np.float64,
    bragg_law: str = "exact",
    device: str | None = None,
) -> NDArray[Any]:
    """Reflectivity for sigma and pi polarization [1], shape (*, 2, angle).

    Args:
        theta: Glancing angles of incidence in vacuum [rad], shape (angle,).
        stack: Films on a substrate, at one reflection and wavelength.
        sublayers: The disturbed part, arrays of shape (*, sublayer).
        engine: "fast", or "reference" (slow, complex128, exact law only).
        dtype: np.float32 or np.float64, of the fast engine.
        bragg_law: "exact", or "linear" in angle and strain, to reproduce other programs.
        device: "cpu", "cuda" or "auto" (cuda where there is a device), of the fast engine; by default what
            `use_device` said, else cpu.

    Raises:
        ValueError: an angle outside (0, 90)°, an unknown engine, law or device, "cuda" without a device,
            sublayers too thick for the angular range (they would reflect as a superlattice of their own), or
            sublayers thicker than their film.

    References:
        Takagi, J. Phys. Soc. Jpn 26 (1969) 1239, doi:10.1143/JPSJ.26.1239
    """
    theta = check_theta(theta, stack)
    if engine not in ENGINES:
        raise ValueError(f"engine = {engine!r}; known are {', '.join(ENGINES)}.")
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype = {dtype!r}; the fast engine works in numpy.float32 or numpy.float64.")
    if engine == "reference" and device not in (None, "cpu"):
        raise ValueError(f"device = {device!r}; the reference engine runs on the cpu only.")
    batch = _as_batch(sublayers)
    tables = _engine.angle_tables(theta, stack, dtype=dtype, bragg_law=bragg_law, device=device)
    _check_sublayers(tables, batch)
    if engine == "reference":
        if bragg_law != "exact":
            raise ValueError(f"bragg_law = {bragg_law!r}; the reference engine knows the exact law only.")
        rows = [_reference.reflectivity(theta, stack, _row(batch, i)) for i in range(len(batch.thickness))]
        result = np.array(rows)
    else:
        result = _engine.reflectivities(tables, batch)
    return result.reshape((*sublayers.thickness.shape[:-1], 2, theta.size))


def jacobian(
    theta: ArrayLike,
    stack: Stack,
    sublayers: Sublayers,
    *,
    bragg_law: str = "exact",
    device: str | None = None,
) -> tuple[Floats, Floats, Floats]:
    """Reflectivity and its exact derivatives in the strain and in E of every sublayer.

    A sublayer's strain (or E) stands for both of its Gauss points: the derivative is for a change of the
    whole sublayer by the same amount. `engine.reflectivity_jacobian` takes any chain rule instead.

    Args:
        theta: Glancing angles of incidence in vacuum [rad], shape (angle,).
        stack: Films on a substrate.
        sublayers: One set, arrays of shape (sublayer,).
        bragg_law: "exact" or "linear".
        device: As `rocking_curve`.

    Returns:
        Reflectivity (2, angle), ∂R/∂strain and ∂R/∂E, each (2, sublayer, angle).
    """
    theta = check_theta(theta, stack)
    batch = _as_batch(sublayers)
    if len(batch.thickness) != 1:
        raise ValueError(
            f"sublayers has shape {sublayers.thickness.shape}; jacobian takes one set, (sublayer,)."
        )
    tables = _engine.angle_tables(theta, stack, dtype=np.float64, bragg_law=bragg_law, device=device)
    _check_sublayers(tables, batch)
    n = batch.thickness.shape[1]
    identity = np.repeat(np.eye(n)[:, None, :], 2, axis=1)
    nothing = np.zeros_like(identity)
    r, slopes = _engine.reflectivity_jacobian(
        tables,
        batch,
        np.concatenate([identity, nothing], axis=-1)[None],
        np.concatenate([nothing, identity], axis=-1)[None],
    )
    return r[0], slopes[0, :, :n], slopes[0, :, n:]


def _as_batch(sublayers: Sublayers) -> Sublayers:
    n = sublayers.thickness.shape[-1]
    return Sublayers(
        thickness=np.ascontiguousarray(sublayers.thickness.reshape(-1, n)),
        strain=np.ascontiguousarray(sublayers.strain.reshape(-1, n, 2)),
        debye_waller=np.ascontiguousarray(sublayers.debye_waller.reshape(-1, n, 2)),
        layer=np.ascontiguousarray(sublayers.layer.reshape(-1, n)),
        upper=np.ascontiguousarray(sublayers.upper.reshape(-1, n)),
    )


def _row(batch: Sublayers, i: int) -> Sublayers:
    return replace(
        batch,
        thickness=batch.thickness[i],
        strain=batch.strain[i],
        debye_waller=batch.debye_waller[i],
        layer=batch.layer[i],
        upper=batch.upper[i],
    )


def _check_sublayers(tables: _engine.AngleTables, batch: Sublayers) -> None:
    """Refuse sublayers that alias, and sublayers that overfill a film."""
    detuning = tables.exact.detuning.real
    response = tables.exact.strain_response.real
    strain = batch.strain.mean(axis=-1)
    delta = strain if tables.linear else strain / (1 + strain)
    farthest = np.zeros_like(strain)
    for edge in (detuning.argmin(axis=1), detuning.argmax(axis=1)):
        rows = np.arange(len(edge))
        at_edge = detuning[rows, edge][batch.layer] + delta * response[rows, edge][batch.layer]
        farthest = np.maximum(farthest, np.abs(at_edge))
    bad = 0.5 * farthest * batch.thickness > PHASE_BOUND
    if bad.any():
        i, k = (int(n) for n in np.argwhere(bad)[0])
        limit = 2 * PHASE_BOUND / farthest[i, k]
        raise ValueError(
            f"thickness[{k}] = {batch.thickness[i, k]:g} Å; over this angular range sublayers above {limit:.3g} Å "
            "alias (they reflect as a superlattice of their own). Use thinner ones, or choose_sublayers()."
        )
    for layer, film in enumerate(tables.stack.layers[:-1]):
        filled = np.where(batch.layer == layer, batch.thickness, 0).sum(axis=1)
        if (filled > film.thickness * (1 + 1e-9)).any():
            raise ValueError(
                f"sublayers fill {filled.max():g} Å of layer {layer}, which is {film.thickness:g} Å thick; "
                "put a boundary at its interface."
            )
