"""What the beam meets: a semi-infinite substrate and the films on it, as susceptibilities and spacings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from strainscope.crystal import Reflection

BRAGG_LAWS = ("exact", "linear")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One perfect crystal of the stack.

    Attributes:
        chi_0: Mean susceptibility [1], Im < 0.
        chi_h: Fourier component of the susceptibility for h [1].
        chi_hbar: The same for -h [1].
        mismatch: Measured perpendicular mismatch of the spacing to the substrate's, Δd/d [1].
        thickness: Thickness [Å]; infinite for the substrate.
    """

    chi_0: complex
    chi_h: complex
    chi_hbar: complex
    mismatch: float = 0.0
    thickness: float = np.inf


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Films on a substrate at one reflection and one wavelength.

    Attributes:
        wavelength: Wavelength λ in vacuum [Å].
        d_spacing: Spacing d of the substrate's reflecting planes [Å].
        bragg_angle: Kinematic Bragg angle of the substrate [rad].
        asymmetry: Angle ψ between planes and surface [rad]; ψ > 0 is grazing incidence.
        layers: Films surface first, then the substrate.

    Raises:
        ValueError: no substrate, a film that is not finite, or a substrate that is.
    """

    wavelength: float
    d_spacing: float
    bragg_angle: float
    asymmetry: float
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("layers is empty; a stack needs at least its substrate.")
        if np.isfinite(self.layers[-1].thickness):
            raise ValueError(
                f"layers[-1].thickness = {self.layers[-1].thickness:g} Å; the last layer is the substrate "
                "and must be infinite."
            )
        for i, film in enumerate(self.layers[:-1]):
            if not (np.isfinite(film.thickness) and film.thickness > 0):
                raise ValueError(
                    f"layers[{i}].thickness = {film.thickness:g} Å; every film must be > 0 Å and finite."
                )
            if not film.mismatch > -0.5:
                raise ValueError(f"layers[{i}].mismatch = {film.mismatch:g}; it must be > -0.5.")

    @property
    def incidence_angle(self) -> float:
        """Glancing angle of incidence at the kinematic Bragg condition, θ_B - ψ [rad]."""
        return self.bragg_angle - self.asymmetry

    @property
    def incidence_limits(self) -> tuple[float, float]:
        """Angles of incidence between which both beams are above the surface [rad]."""
        drop = 2 * np.sin(self.bragg_angle) * np.sin(self.asymmetry)
        low, high = np.arccos(np.clip([1 + drop, max(drop - 1, 0.0)], -1.0, 1.0))
        return float(low), float(high)

    @property
    def interfaces(self) -> NDArray[np.float64]:
        """Depths of the lower boundaries of the films [Å], shape (film,)."""
        return np.cumsum([film.thickness for film in self.layers[:-1]], dtype=np.float64)

    @property
    def polarization_factors(self) -> NDArray[np.float64]:
        """C of sigma and pi [1], shape (2,)."""
        return np.array([1.0, abs(np.cos(2 * self.bragg_angle))])


def stack_from_reflections(
    substrate: Reflection, films: tuple[tuple[Reflection, float, float], ...] = ()
) -> Stack:
    """A stack from the substrate's reflection and (reflection, mismatch, thickness [Å]) of each film.

    Args:
        substrate: Sets wavelength, geometry and the reference spacing.
        films: Surface first; mismatch is the perpendicular Δd/d to the substrate [1].
    """
    layers = [
        Layer(chi_0=r.chi_0, chi_h=r.chi_h, chi_hbar=r.chi_hbar, mismatch=mismatch, thickness=thickness)
        for r, mismatch, thickness in films
    ]
    layers.append(Layer(chi_0=substrate.chi_0, chi_h=substrate.chi_h, chi_hbar=substrate.chi_hbar))
    return Stack(
        wavelength=substrate.wavelength,
        d_spacing=substrate.d_spacing,
        bragg_angle=substrate.bragg_angle,
        asymmetry=substrate.asymmetry,
        layers=tuple(layers),
    )


def check_theta(theta: ArrayLike, stack: Stack) -> NDArray[np.float64]:
    """Angles of incidence as a float64 array, or an error that names the first bad one.

    Raises:
        ValueError: not one-dimensional, not finite, outside (0, 90°), or no reflected beam leaves the surface.
    """
    theta = np.asarray(theta, dtype=np.float64)
    if theta.ndim != 1 or theta.size == 0:
        raise ValueError(
            f"theta has shape {theta.shape}; one axis (angle,) with at least one angle is needed."
        )
    t = exit_cosine(theta, stack)
    bad = ~((theta > 0) & (theta < np.pi / 2) & (np.abs(t) < 1))
    if bad.any():
        i = int(np.argmax(bad))
        raise ValueError(
            f"theta[{i}] = {np.degrees(theta[i]):g}°; angles of incidence must lie in (0, 90)° and let the "
            "reflected beam leave the surface. Is the scan's axis named rightly?"
        )
    return theta


def exit_cosine(theta: NDArray[np.float64], stack: Stack) -> NDArray[np.float64]:
    """Cosine t = cosθ - 2 sinθ_B sinψ of the exit angle [1], shape (angle,)."""
    return np.asarray(np.cos(theta) - 2 * np.sin(stack.bragg_angle) * np.sin(stack.asymmetry))


@dataclass(frozen=True, kw_only=True, eq=False)
class Coefficients:
    r"""The detuning Y and the coupling σ of each layer, reduced to what varies with angle alone.

    .. math:: Y = P + δ Q, \qquad σ = C S E (1 - δ), \qquad δ = ε/(1 + ε)

    with ε the strain. The term Q is Y's derivative in δ at δ = 0; what it leaves out is of second order in
    χ0 δ (below 1e-12 of K). With the linear law δ stands for ε itself.

    Attributes:
        detuning: P [rad/Å], complex, shape (layer, angle).
        strain_response: Q [rad/Å], complex, shape (layer, angle).
        coupling: S with √(χ_h χ_h̄) [1/Å], complex, shape (layer, angle).
        asymmetry_ratio: r = χ_h / √(χ_h χ_h̄) [1] of each layer, complex, shape (layer,).
    """

    detuning: NDArray[np.complex128]
    strain_response: NDArray[np.complex128]
    coupling: NDArray[np.complex128]
    asymmetry_ratio: NDArray[np.complex128]


def coefficients(theta: NDArray[np.float64], stack: Stack, *, bragg_law: str = "exact") -> Coefficients:
    r"""Coefficients of every layer of the stack at the angles of incidence.

    .. math::
        Y = 2π \cosψ/(d (1 + ε)) - K \sqrt{\sin^2θ + χ_0} - K \sqrt{1 + χ_0 - t^2}, \qquad
        S = π χ_h / (λ \sqrt{γ_0 γ_h})

    The linear law (kept to reproduce other programs) has
    :math:`\mathrm{Re}\,Y = (2π \sin 2θ_B/(λ γ_h)) (θ_B' - θ) - (2π \cosψ/d) ε`, θ_B' refraction-corrected.

    Args:
        theta: Glancing angles of incidence in vacuum [rad], shape (angle,).
        stack: The layers.
        bragg_law: "exact" or "linear".

    References:
        Takagi, J. Phys. Soc. Jpn 26 (1969) 1239; Taupin, Bull. Soc. fr. Minéral. 87 (1964) 469;
        Authier, Dynamical Theory of X-ray Diffraction (2001), ch. 11.
    """
    if bragg_law not in BRAGG_LAWS:
        raise ValueError(f"bragg_law = {bragg_law!r}; known are {', '.join(BRAGG_LAWS)}.")
    k = 2 * np.pi / stack.wavelength
    gamma_0 = np.sin(theta)
    gamma_h = np.sqrt(1 - exit_cosine(theta, stack) ** 2)
    detuning, response, coupling, ratio = [], [], [], []
    for layer in stack.layers:
        spacing_term = 2 * np.pi * np.cos(stack.asymmetry) / (stack.d_spacing * (1 + layer.mismatch))
        root_0 = np.sqrt(gamma_0**2 + layer.chi_0)
        root_h = np.sqrt(gamma_h**2 + layer.chi_0)
        y = spacing_term - k * (root_0 + root_h)
        y_response = k * layer.chi_0 * 0.5 * (1 / root_0 + 1 / root_h) - spacing_term
        if bragg_law == "linear":
            y, y_response = _linear_law(theta, stack, layer)
        s = np.sqrt(layer.chi_h * layer.chi_hbar)
        detuning.append(y)
        response.append(y_response)
        coupling.append(np.pi * s / (stack.wavelength * np.sqrt(gamma_0 * gamma_h)))
        ratio.append(layer.chi_h / s)
    return Coefficients(
        detuning=np.array(detuning),
        strain_response=np.array(response),
        coupling=np.array(coupling),
        asymmetry_ratio=np.array(ratio),
    )


def _linear_law(
    theta: NDArray[np.float64], stack: Stack, layer: Layer
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """P and Q of the law linear in angle and in strain, expanded about the substrate's Bragg angle."""
    k = 2 * np.pi / stack.wavelength
    gamma_0 = np.sin(stack.incidence_angle)
    gamma_h = np.sin(stack.bragg_angle + stack.asymmetry)
    per_angle = k * np.sin(2 * stack.bragg_angle) / gamma_h
    per_strain = 2 * np.pi * np.cos(stack.asymmetry) / stack.d_spacing
    refraction = -0.5 * k * layer.chi_0 * (1 / gamma_0 + 1 / gamma_h)
    y = per_angle * (stack.incidence_angle - theta) - per_strain * layer.mismatch + refraction
    return y, np.full(theta.shape, -per_strain + 0j)
