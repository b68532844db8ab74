"""Diffraction engine: peaks where Bragg's law has them, and the kinematic limit."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar

from strainscope.crystal import ARCSEC, builtin_crystal, reflection
from strainscope.diffraction import (
    Layer,
    coefficients,
    rocking_curve,
    stack_from_reflections,
    uniform_sublayers,
)

GGG = reflection(builtin_crystal("GGG"), (4, 4, 4), wavelength="CuKa1")
YIG = reflection(builtin_crystal("YIG"), (4, 4, 4), wavelength="CuKa1")
GAAS = reflection(builtin_crystal("GaAs"), (1, 1, 5), wavelength=1.2, surface=(0, 0, 1))
STEEP = replace(GAAS, asymmetry=-GAAS.asymmetry)
BARE = stack_from_reflections(GGG)
SCAN = np.arange(-2000, 401, 12.0) * ARCSEC

# Engine and the relative error allowed per curve where the result should be exact: rounding in the
# reference; in the fast engine the second order in coupling and absorption per cell that it leaves out.
ENGINES = {
    "reference": ({"engine": "reference"}, 1e-10),
    "fast": ({}, 2e-5),
    "fast32": ({"dtype": np.float32}, 4e-4),
}
each_engine = pytest.mark.parametrize(("options", "rounding"), ENGINES.values(), ids=ENGINES)
each_geometry = pytest.mark.parametrize("crystal", [GGG, GAAS, STEEP], ids=["GGG", "GaAs", "steep"])


def scan(stack, offsets=SCAN):
    return stack.incidence_angle + offsets


def no_sublayers(stack):
    """One cell of padding, which has no thickness: the stack as it is."""
    one = uniform_sublayers(np.ones(1), np.zeros(1), stack=stack)
    return replace(one, thickness=np.zeros(1))


def perfect(theta, stack, **options):
    return rocking_curve(theta, stack, no_sublayers(stack), **options)


def uniform(stack, thickness, strain, cell=25.0, debye_waller=1.0):
    """A uniformly strained layer at the surface, in equal sublayers."""
    n = int(np.ceil(thickness / cell))
    each = np.ones(n)
    return uniform_sublayers(thickness / n * each, strain * each, debye_waller * each, stack=stack)


def weak_film(crystal, mismatch, thickness, chi_h=1e-9):
    """A film that scatters weakly and does not refract, on a substrate that hardly scatters."""
    film = Layer(chi_0=0j, chi_h=chi_h, chi_hbar=chi_h, mismatch=mismatch, thickness=thickness)
    bed = Layer(chi_0=0j, chi_h=1e-9 * chi_h, chi_hbar=1e-9 * chi_h)
    return replace(stack_from_reflections(crystal), layers=(film, bed))


class TestPositions:
    @staticmethod
    def bragg_incidence(crystal, strain):
        """Incidence angle of a lattice stretched along the normal: h tilts and shrinks."""
        in_plane = np.sin(crystal.asymmetry) / crystal.d_spacing
        normal = np.cos(crystal.asymmetry) / crystal.d_spacing / (1 + strain)
        angle = np.arcsin(0.5 * crystal.wavelength * np.hypot(in_plane, normal))
        return angle - np.arctan2(in_plane, normal)

    @each_geometry
    @pytest.mark.parametrize("strain", [-0.02, -0.004, 0.004, 0.013, 0.027])
    @pytest.mark.parametrize("options", [{}, {"engine": "reference"}], ids=["fast", "reference"])
    def test_peak_obeys_braggs_law(self, crystal, strain, options):
        """A weak layer without refraction peaks where Bragg's law says; expansion at smaller angles."""
        expected = self.bragg_incidence(crystal, strain)
        assert (expected < crystal.incidence_angle) == (strain > 0)
        as_film = weak_film(crystal, strain, 40_000.0)
        as_cells = weak_film(crystal, 0.0, 40_000.0)
        cells = uniform(as_cells, 40_000.0, strain, cell=100.0)

        def brightness(theta, stack, layers):
            return -rocking_curve(np.array([theta]), stack, layers, **options)[0, 0]

        for stack, layers in ((as_film, no_sublayers(as_film)), (as_cells, cells)):
            width = crystal.wavelength / 40_000.0
            found = minimize_scalar(
                brightness, args=(stack, layers), bounds=(expected - width, expected + width),
                method="bounded", options={"xatol": 1e-10},
            )  # fmt: skip
            assert found.x == pytest.approx(expected, abs=2e-8)

        def detuning(theta):
            return coefficients(np.array([theta]), as_film).detuning[0, 0].real

        root = brentq(detuning, 0.99 * expected, 1.01 * expected)
        assert root == pytest.approx(expected, abs=1e-12)

    def test_strain_in_a_film_counts_from_the_films_spacing(self):
        """Film of mismatch m with strain e: spacing d (1 + m)(1 + e)."""
        m, e = 0.004, 0.006
        stack = weak_film(GGG, m, 20_000.0)
        layers = uniform(stack, 20_000.0, e, cell=100.0)
        expected = self.bragg_incidence(GGG, (1 + m) * (1 + e) - 1)
        theta = expected + np.linspace(-3, 3, 601) * ARCSEC
        peak = theta[rocking_curve(theta, stack, layers)[0].argmax()]
        assert peak == pytest.approx(expected, abs=0.01 * ARCSEC)


class TestKinematicLimit:
    @each_engine
    @each_geometry
    def test_weak_layer_is_the_kinematic_integral(self, crystal, options, rounding):
        r"""\|∫ σ e^{iΦ} dz\|², Φ the phase gathered from the surface, absorption and refraction included."""
        thickness, n = 1200.0, 60
        chi_h, chi_hbar = 1e-4 * crystal.chi_h, 1e-4 * crystal.chi_hbar
        film = Layer(chi_0=crystal.chi_0, chi_h=chi_h, chi_hbar=chi_hbar, thickness=thickness)
        bed = replace(film, chi_h=1e-12 * chi_h, chi_hbar=1e-12 * chi_hbar, thickness=np.inf)
        stack = replace(stack_from_reflections(crystal), layers=(film, bed))
        strain = 0.012 * np.cos(np.arange(n) / 9.0) ** 2
        factor = 0.5 + 0.5 * np.sin(np.arange(n) / 7.0) ** 2
        theta = scan(stack)
        layers = uniform_sublayers(np.full(n, thickness / n), strain, factor, stack=stack)
        found = rocking_curve(theta, stack, layers, **options)[0]

        t = np.cos(theta) - 2 * np.sin(crystal.bragg_angle) * np.sin(crystal.asymmetry)
        k, gamma_h = 2 * np.pi / crystal.wavelength, np.sqrt(1 - t**2)
        amplitude, phase, h = np.zeros(theta.size, complex), np.zeros(theta.size, complex), thickness / n
        for e, f in zip(strain, factor, strict=True):
            chi_0 = crystal.chi_0 / (1 + e)
            y = 2 * np.pi * np.cos(crystal.asymmetry) / (crystal.d_spacing * (1 + e))
            y = y - k * np.sqrt(np.sin(theta) ** 2 + chi_0) - k * np.sqrt(1 + chi_0 - t**2)
            sigma = np.pi * f * chi_h / (1 + e) / (crystal.wavelength * np.sqrt(np.sin(theta) * gamma_h))
            amplitude += sigma * np.exp(1j * phase) * (np.exp(1j * y * h) - 1) / (1j * y)
            phase += y * h
        kinematic = np.abs(amplitude) ** 2
        absolute = max(rounding, 1e-7) * kinematic.max()
        np.testing.assert_allclose(found, kinematic, rtol=max(10 * rounding, 1e-6), atol=absolute)

    def test_reflectivity_is_quadratic_in_the_coupling(self):
        stacks = [weak_film(GGG, 0.005, 500.0, chi_h) for chi_h in (1e-9, 3e-9)]
        small, large = (perfect(scan(s), s) for s in stacks)
        np.testing.assert_allclose(large, 9 * small, rtol=1e-6)
