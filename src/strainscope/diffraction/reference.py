"""The reference engine: the formulas line by line, complex128, one sublayer after the other."""

import numpy as np
from numpy.typing import NDArray

from strainscope.diffraction.stack import Stack, exit_cosine
from strainscope.diffraction.sublayers import Sublayers

Complex = NDArray[np.complex128]
Floats = NDArray[np.float64]


def detuning(theta: Floats, stack: Stack, layer: int, strain: float) -> Complex:
    r"""Deviation from Bragg's law in a sublayer, exact in strain [rad/Å], shape (angle,).

    .. math:: Y = 2π\cosψ/(d (1 + ε)) - K \sqrt{\sin^2θ + χ_0} - K \sqrt{1 + χ_0 - t^2}

    with χ0 of the sublayer itself: it scales with the cell's volume, 1/(1 + ε).
    """
    k = 2 * np.pi / stack.wavelength
    chi_0 = stack.layers[layer].chi_0 / (1 + strain)
    spacing = stack.d_spacing * (1 + stack.layers[layer].mismatch) * (1 + strain)
    t = exit_cosine(theta, stack)
    return np.asarray(
        2 * np.pi * np.cos(stack.asymmetry) / spacing
        - k * np.sqrt(np.sin(theta) ** 2 + chi_0)
        - k * np.sqrt(1 + chi_0 - t**2)
    )


def couplings(
    theta: Floats, stack: Stack, layer: int, strain: float, debye_waller: float, polarization: float
) -> tuple[Complex, Complex]:
    r"""Coupling of the two waves in a sublayer, (σ_h, σ_h̄) [1/Å], each of shape (angle,).

    .. math:: σ_h = π C E χ_h / (λ \sqrt{γ_0 γ_h})
    """
    gamma_0 = np.sin(theta)
    gamma_h = np.sqrt(1 - exit_cosine(theta, stack) ** 2)
    crystal = stack.layers[layer]
    factor = (
        np.pi * polarization * debye_waller / (stack.wavelength * np.sqrt(gamma_0 * gamma_h) * (1 + strain))
    )
    return factor * crystal.chi_h, factor * crystal.chi_hbar


def semi_infinite_amplitude(y: Complex, sigma_h: Complex, sigma_hbar: Complex) -> Complex:
    r"""Amplitude ratio X = v/u of a perfect semi-infinite crystal [1], shape (angle,).

    The fixed point of :math:`X' = i (σ_h + Y X + σ_{h̄} X^2)` that decays with depth, |X| <= 1 for a
    centrosymmetric crystal.
    """
    root = np.sqrt(y * y - 4 * sigma_h * sigma_hbar)
    # The two roots have the product σ_h/σ_h̄; the larger denominator gives the smaller root, the one that decays.
    root = np.where((y * np.conj(root)).real >= 0, root, -root)
    return -2 * sigma_h / (y + root)


def add_sublayer(
    u: Complex,
    v: Complex,
    thickness: float,
    y: tuple[Complex, Complex],
    sigma_h: tuple[Complex, Complex],
    sigma_hbar: tuple[Complex, Complex],
) -> tuple[Complex, Complex]:
    r"""The two amplitudes above a sublayer from those below it, fourth-order Magnus.

    With A(s) the matrix of :math:`(u, v)' = i A (u, v)`, the cell's propagator is exp(i h M),

    .. math::
        M = \bar A + \frac{i\sqrt3}{12} h [A_{upper}, A_{deeper}],

    which for :math:`A = ((-Y/2, -σ_{h̄}), (σ_h, Y/2))` has the entries below. M has no trace, so
    :math:`\exp(ihM) = \cos(w) I + i (\sin(w)/w) h M` with :math:`w^2 = -h^2 \det M`.

    Args:
        u, v: Amplitudes of the incident and the diffracted wave below the sublayer, shape (angle,).
        thickness: h [Å].
        y, sigma_h, sigma_hbar: Values at the (upper, deeper) Gauss point.

    References:
        Iserles & Nørsett, Phil. Trans. R. Soc. A 357 (1999) 983, doi:10.1098/rsta.1999.0362
    """
    mean_y = 0.5 * (y[0] + y[1])
    mean_h = 0.5 * (sigma_h[0] + sigma_h[1])
    mean_hbar = 0.5 * (sigma_hbar[0] + sigma_hbar[1])
    commutator = np.sqrt(3) / 12 * thickness
    diagonal = -0.5 * mean_y + 1j * commutator * (sigma_h[0] * sigma_hbar[1] - sigma_hbar[0] * sigma_h[1])
    upper = -mean_hbar + 1j * commutator * (y[0] * sigma_hbar[1] - sigma_hbar[0] * y[1])
    lower = mean_h + 1j * commutator * (y[0] * sigma_h[1] - sigma_h[0] * y[1])
    w = thickness * np.sqrt(diagonal**2 + upper * lower)
    cosine = np.cos(w)
    sine = 1j * thickness * np.sinc(w / np.pi)
    return (
        (cosine + sine * diagonal) * u + sine * upper * v,
        sine * lower * u + (cosine - sine * diagonal) * v,
    )


def reflectivity(theta: Floats, stack: Stack, sublayers: Sublayers) -> Floats:
    """Reflectivity of one stack for sigma and pi [1], shape (2, angle).

    Args:
        theta: Glancing angles of incidence in vacuum [rad], shape (angle,).
        stack: Films on the substrate.
        sublayers: One set of cells, shape (sublayer,).

    References:
        Bartels, Hornstra & Lobeek, Acta Cryst. A42 (1986) 539, doi:10.1107/S0108767386098768
    """
    return np.array([_one_polarization(theta, stack, sublayers, c) for c in stack.polarization_factors])


def _one_polarization(theta: Floats, stack: Stack, sublayers: Sublayers, polarization: float) -> Floats:
    last = len(stack.layers) - 1
    substrate = couplings(theta, stack, last, 0.0, 1.0, polarization)
    v = semi_infinite_amplitude(detuning(theta, stack, last, 0.0), *substrate)
    u = np.ones_like(v)
    for layer in range(last, -1, -1):
        inside = np.flatnonzero((sublayers.layer == layer) & (sublayers.thickness > 0))
        perfect = stack.layers[layer].thickness - sublayers.thickness[inside].sum()
        if np.isfinite(perfect) and perfect > 1e-9 * stack.layers[layer].thickness:
            y = detuning(theta, stack, layer, 0.0)
            sigma_h, sigma_hbar = couplings(theta, stack, layer, 0.0, 1.0, polarization)
            u, v = add_sublayer(u, v, perfect, (y, y), (sigma_h, sigma_h), (sigma_hbar, sigma_hbar))
            u, v = u / np.abs(u), v / np.abs(u)
        for k in inside[::-1]:
            strains, factors = sublayers.strain[k], sublayers.debye_waller[k]
            ys = [detuning(theta, stack, layer, float(e)) for e in strains]
            pairs = [
                couplings(theta, stack, layer, float(e), float(f), polarization)
                for e, f in zip(strains, factors, strict=True)
            ]
            u, v = add_sublayer(
                u,
                v,
                float(sublayers.thickness[k]),
                (ys[0], ys[1]),
                (pairs[0][0], pairs[1][0]),
                (pairs[0][1], pairs[1][1]),
            )
            # Only the ratio matters; without this a thick stack overflows.
            u, v = u / np.abs(u), v / np.abs(u)
    return np.abs(v / u) ** 2
