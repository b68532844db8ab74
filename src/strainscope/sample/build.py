"""From the settings of a sample file to the experiment that they describe."""

import numpy as np
from numpy.typing import NDArray

from strainscope.crystal import (
    ARCSEC,
    Reflection,
    emission_lines,
    expansion_ratio,
    parse_wavelength,
    reflection,
)
from strainscope.diffraction import rocking_curve, stack_from_reflections, uniform_sublayers
from strainscope.experiment import Experiment
from strainscope.instrument import (
    MonochromatorCurve,
    Resolution,
    Spectrum,
    monochromator_polarization,
    spectrum_on_axis,
)
from strainscope.profile import DepthProfile, Normal
from strainscope.sample.families import MonochromatorCurveSettings
from strainscope.sample.messages import at_key
from strainscope.sample.parts import FilmSettings, MonochromatorSettings
from strainscope.sample.settings import SampleSettings

# How far a wavelength may lie from the anode's line: lists of lines differ by 1e-4.
LINE_TOLERANCE = 2e-3
# Planes less inclined than this [rad] are parallel to the surface.
SYMMETRIC = 1e-6
MONOCHROMATOR_RANGE_ARCSEC = 3000.0
MONOCHROMATOR_STEP_ARCSEC = 0.5


def build_experiment(sample: SampleSettings) -> Experiment:
    """The experiment that the settings describe.

    Raises:
        OSError: a file that they name cannot be read.
        ValueError: something that the experiment cannot be built from; the message names the key.
    """
    films = []
    for i, film in enumerate(sample.films):
        with at_key(f"films[{i}]"):
            films.append(_film(film, sample))
    with at_key("strain"):
        strain = sample.strain.build()
    with at_key("disorder"):
        disorder = sample.disorder.build()
    with at_key("spectrum"):
        spectrum = _spectrum(sample)
    with at_key("resolution"):
        resolution = _resolution(sample)
    if sample.miscut and abs(sample.substrate.asymmetry) > SYMMETRIC:
        raise ValueError(
            f"miscut: true is for planes parallel to the surface; those of {sample.reflection} are "
            f"{np.degrees(sample.substrate.asymmetry):.3g}° off it. Leave miscut out"
        )
    return Experiment(
        stack=stack_from_reflections(sample.substrate, tuple(films)),
        profile=DepthProfile(strain=strain, disorder=disorder),
        resolution=resolution,
        spectrum=spectrum,
        polarization_weights=_polarization_weights(sample),
        diffuse=sample.diffuse,
        bragg_law=sample.bragg_law,
        tolerance=sample.tolerance,
        miscut=sample.miscut,
        expansion_ratio=_expansion_ratio(sample),
        shapes=tuple(
            (name, Normal(mean=own.mean, sd=own.sd))
            for name, own in sample.fit.items()
            if own.mean is not None and own.sd is not None
        ),
    )


def _expansion_ratio(sample: SampleSettings) -> float | None:
    """Strain along the normal over the free strain, of the uppermost layer; None without elastic constants."""
    top = sample.films[0] if sample.films else sample
    constants = top.elastic_constants()
    if constants is None:
        return None
    with at_key("films[0].elastic_GPa" if sample.films else "elastic_GPa"):
        return expansion_ratio(top.structure(), sample.surface or sample.reflection, constants)


def _film(film: FilmSettings, sample: SampleSettings) -> tuple[Reflection, float, float]:
    """A film's reflection, mismatch [1] and thickness [Å]."""
    # Only χ is taken from it, which the surface does not change.
    own = _own_reflection(film, sample)
    if film.perpendicular_lattice_A is None:
        return own, float(film.mismatch or 0.0), film.thickness_A
    substrate = _perpendicular_lattice(sample)
    mismatch = film.perpendicular_lattice_A / substrate - 1
    if not -0.2 < mismatch < 0.2:
        raise ValueError(
            f"perpendicular_lattice_A = {film.perpendicular_lattice_A:g} Å is {100 * mismatch:.0f} % "
            f"off the substrate's {substrate:g} Å; give mismatch instead"
        )
    return own, mismatch, film.thickness_A


def _own_reflection(part: FilmSettings | MonochromatorSettings, sample: SampleSettings) -> Reflection:
    """The symmetric reflection of another crystal than the substrate."""
    return reflection(
        part.structure(),
        part.reflection or sample.reflection,
        wavelength=sample.wavelength,
        debye_waller=sample.debye_waller,
    )


def _perpendicular_lattice(sample: SampleSettings) -> float:
    """The substrate's lattice parameter along the surface normal [Å]: a if cubic, c if along c."""
    crystal = sample.structure()
    if crystal.a == crystal.b == crystal.c and {crystal.alpha, crystal.beta, crystal.gamma} == {90.0}:
        return crystal.a
    normal = sample.surface or sample.reflection
    if crystal.miller(normal)[:2] == (0, 0):
        return crystal.c
    raise ValueError("perpendicular_lattice_A needs a cubic substrate, or one cut along c; give mismatch")


def _monochromator_reflection(sample: SampleSettings, *, wanted_by: str) -> Reflection:
    if sample.monochromator is None:
        raise ValueError(f"{wanted_by} needs monochromator: its crystal and reflection")
    with at_key("monochromator"):
        return _own_reflection(sample.monochromator, sample)


def _polarization_weights(sample: SampleSettings) -> tuple[float, float]:
    if sample.monochromator is None or sample.monochromator.polarization == "none":
        return (0.5, 0.5)
    own = _monochromator_reflection(sample, wanted_by="polarization")
    return monochromator_polarization(own.bragg_angle, sample.monochromator.polarization)


def _spectrum(sample: SampleSettings) -> Spectrum | None:
    if sample.spectrum.lines == "sharp":
        return None
    wavelength = parse_wavelength(sample.wavelength)
    lines = emission_lines(f"{sample.spectrum.anode}{'Ka1' if sample.spectrum.lines == 'natural' else 'Ka'}")
    if abs(wavelength / lines[0][0] - 1) > LINE_TOLERANCE:
        raise ValueError(
            f"anode = {sample.spectrum.anode}, whose Kα1 is {lines[0][0]:.5f} Å, but wavelength = "
            f"{wavelength:g} Å; name the anode (spectrum: anode), or use lines: sharp"
        )
    # Kα1 lies where the sample's wavelength says, whatever list that is from.
    factor = wavelength / lines[0][0]
    mono = None
    if sample.spectrum.setting != "none":
        mono = _monochromator_reflection(sample, wanted_by=f"setting: {sample.spectrum.setting}").bragg_angle
    return spectrum_on_axis(
        [(factor * line, weight, factor * width) for line, weight, width in lines],
        reference_wavelength=wavelength,
        bragg_angle=sample.substrate.bragg_angle,
        monochromator_bragg_angle=mono,
        dispersive=sample.spectrum.setting == "dispersive",
    )


def _resolution(sample: SampleSettings) -> Resolution:
    if not isinstance(sample.resolution, MonochromatorCurveSettings):
        return sample.resolution.build()
    own = _monochromator_reflection(sample, wanted_by="family: monochromator-curve")
    if sample.monochromator is not None and sample.monochromator.polarization != "dynamical":
        raise ValueError(
            "family: monochromator-curve holds the polarization of a perfect crystal; "
            "give monochromator.polarization: dynamical"
        )
    offset, reflectivity = monochromator_table(own)
    return MonochromatorCurve(
        offset_arcsec=tuple(offset.tolist()),
        reflectivity=(tuple(reflectivity[0].tolist()), tuple(reflectivity[1].tolist())),
        fwhm_range=sample.resolution.fwhm_range_arcsec,
        wings=sample.resolution.wings,
    )


def monochromator_table(own: Reflection) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reflection curve of a perfect monochromator crystal.

    Args:
        own: Its reflection.

    Returns:
        Offsets from its Bragg position [arcsec], shape (m,), and reflectivity for sigma and pi, (2, m).
    """
    stack = stack_from_reflections(own)
    number = round(MONOCHROMATOR_RANGE_ARCSEC / MONOCHROMATOR_STEP_ARCSEC)
    offset = MONOCHROMATOR_STEP_ARCSEC * np.arange(-number, number + 1.0)
    perfect = uniform_sublayers(np.array([1.0]), np.array([0.0]), stack=stack)
    curve = rocking_curve(stack.incidence_angle + ARCSEC * offset, stack, perfect)
    return offset, np.asarray(curve, dtype=np.float64)
