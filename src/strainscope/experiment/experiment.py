"""A sample with unknown profile in an instrument: families, their parameters, where each stands."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from strainscope.diffraction import BRAGG_LAWS, Stack
from strainscope.instrument import Resolution, Spectrum
from strainscope.profile import UNIFORM, Constraint, DepthProfile, LogUniform, ParameterSpec, PriorShape


def _spec(
    name: str, unit: str, lower: float, upper: float, description: str, shape: PriorShape = UNIFORM
) -> ParameterSpec:
    return ParameterSpec(name=name, unit=unit, lower=lower, upper=upper, description=description, shape=shape)


# Amplitudes below this share of the usual ones are as good as none.
_NEGLIGIBLE_AMPLITUDE = 1e-4


DIFFUSE_PARAMETERS = (
    _spec(
        "diffuse_amplitude",
        "1",
        0.0,
        10.0,
        "strength of the diffuse scattering of the disordered layer",
        LogUniform(_NEGLIGIBLE_AMPLITUDE),
    ),
    _spec("correlation_length", "Å", 20.0, 2000.0, "correlation length of the disorder", LogUniform()),
)
SCALE_PARAMETERS = (
    _spec("offset_arcsec", "arcsec", -60.0, 60.0, "position of the scan's zero on the angle of incidence"),
    _spec("log10_scale", "1", -12.0, 12.0, "log10 of the intensity that a reflectivity of 1 would give"),
    _spec("log10_background", "1", -15.0, 12.0, "log10 of the background at the middle of the scan"),
    _spec("background_slope", "1", -1.0, 1.0, "relative change of the background from the middle to the end"),
)
LARGEST_MISCUT_DEG = 1.0
MISCUT_PARAMETERS = (
    _spec(
        "miscut_deg",
        "deg",
        -LARGEST_MISCUT_DEG,
        LARGEST_MISCUT_DEG,
        "inclination of the surface beyond the nominal one, positive towards grazing incidence",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A sample with unknown profile in an instrument.

    Attributes:
        stack: Films and substrate at one reflection and wavelength.
        profile: Families of strain and disorder.
        resolution: Resolution function.
        spectrum: Lines of the source as they appear on the axis; None for one sharp line.
        polarization_weights: Shares of sigma and pi in the incident beam, sum 1.
        diffuse: Whether the disordered layer scatters diffusely.
        bragg_law: "exact" or "linear".
        tolerance: rms error of log10 reflectivity that the sublayers may cause.
        miscut: Whether the surface may be inclined by a small unknown angle, see `stretch`.
        expansion_ratio: Strain of the damaged layer along the normal over its free strain, see `crystal.elastic`; None
            where elastic constants are not known.
        shapes: Names of parameters and shapes of their priors, in place of the families'.
    """

    stack: Stack
    profile: DepthProfile
    resolution: Resolution
    spectrum: Spectrum | None = None
    polarization_weights: tuple[float, float] = (0.5, 0.5)
    diffuse: bool = False
    bragg_law: str = "exact"
    tolerance: float = 3e-4
    miscut: bool = False
    expansion_ratio: float | None = None
    shapes: tuple[tuple[str, PriorShape], ...] = ()

    def __post_init__(self) -> None:
        if self.bragg_law not in BRAGG_LAWS:
            raise ValueError(f"bragg_law = {self.bragg_law!r}; known are {', '.join(BRAGG_LAWS)}.")
        weights = self.polarization_weights
        if min(weights) < 0 or abs(sum(weights) - 1) > 1e-9:
            raise ValueError(f"polarization_weights = {weights}; they must be >= 0 and sum to 1.")
        if not 0 < self.tolerance <= 0.1:
            raise ValueError(f"tolerance = {self.tolerance:g}; it must lie in (0, 0.1] (rms of log10).")

    @cached_property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Profile, diffuse scattering (if any), resolution, offset, scale and background, then miscut (if any)."""
        diffuse = DIFFUSE_PARAMETERS if self.diffuse else ()
        miscut = MISCUT_PARAMETERS if self.miscut else ()
        specs = self.profile.parameters + diffuse + self.resolution.parameters + SCALE_PARAMETERS + miscut
        shapes = dict(self.shapes)
        return tuple(replace(spec, shape=shapes.get(spec.name, spec.shape)) for spec in specs)

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """Those of the profile's families."""
        return self.profile.constraints

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Where profile, diffuse, resolution, scale and miscut parameters stand."""
        counts = {
            "profile": len(self.profile.parameters),
            "diffuse": len(DIFFUSE_PARAMETERS) if self.diffuse else 0,
            "resolution": len(self.resolution.parameters),
            "scale": len(SCALE_PARAMETERS),
            "miscut": len(MISCUT_PARAMETERS) if self.miscut else 0,
        }
        stops = np.cumsum(list(counts.values()))
        return {name: slice(int(s) - n, int(s)) for (name, n), s in zip(counts.items(), stops, strict=True)}

    def stretch(self, miscut_deg: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        r"""How many times farther from the Bragg position a point lies than without miscut, and the derivative by it.

        .. math:: \frac{\cosψ \sin(θ_B + ψ)}{\cos(ψ + δ) \sin(θ_B + ψ + δ)}

        To first order in a small miscut δ of a symmetric reflection this is all that it does: the detuning for one
        radian of the axis changes, and with it the strain that a place on the scan means.

        Args:
            miscut_deg: δ [°], shape (*).
        """
        stack, delta = self.stack, np.radians(miscut_deg)
        inclined, leaving = stack.asymmetry + delta, stack.bragg_angle + stack.asymmetry + delta
        nominal = np.cos(stack.asymmetry) * np.sin(stack.bragg_angle + stack.asymmetry)
        factor = nominal / (np.cos(inclined) * np.sin(leaving))
        return factor, factor * (np.tan(inclined) - 1 / np.tan(leaving)) * np.radians(1.0)


def debye_waller_power(reference: Experiment, other: Experiment, exponent: float) -> float:
    r"""Power to which a reflection raises the static Debye-Waller factor that another one is the reference for.

    .. math:: E_b = E_a^{(H_b/H_a)^p}, \qquad H = 1/d

    Args:
        reference: a.
        other: b.
        exponent: p, 2 for small random displacements, 1.5 for dislocation loops and the like.

    References:
        Krivoglaz, X-Ray and Neutron Diffraction in Nonideal Crystals (1996), on defects of both kinds
    """
    spacing = [own.stack.d_spacing for own in (reference, other)]
    return float((spacing[0] / spacing[1]) ** exponent)
