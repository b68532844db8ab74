"""Diffraction engine: limits, invariances and positions that hold exactly, whatever the profile."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from strainscope.crystal import ARCSEC, builtin_crystal, reflection
from strainscope.diffraction import (
    Layer,
    Stack,
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


class TestPerfectCrystal:
    @each_geometry
    @pytest.mark.parametrize("polarization", [0, 1])
    def test_lossless_darwin_plateau_reflects_everything(self, crystal, polarization):
        coupling = abs(crystal.chi_h)
        stack = replace(
            stack_from_reflections(crystal),
            layers=(Layer(chi_0=complex(crystal.chi_0.real), chi_h=coupling, chi_hbar=coupling),),
        )
        factor = stack.polarization_factors[polarization]
        lossless = replace(crystal, chi_h=coupling + 0j, chi_hbar=coupling + 0j)
        half = 0.5 * lossless.darwin_width(("sigma", "pi")[polarization])
        centre = crystal.incidence_angle + crystal.refraction_shift
        width = 2 * factor * coupling / np.sqrt(crystal.asymmetry_ratio) / np.sin(2 * crystal.bragg_angle)
        assert 2 * half == pytest.approx(width, rel=1e-12)

        def curve(theta):
            return perfect(np.atleast_1d(theta), stack, engine="reference")[polarization]

        # Beside the plateau R = 1 - O(√distance), so a millionth of the width beyond its edge shows.
        edges = [
            brentq(lambda x: 0.9999 - curve(centre + x * half)[0], sign * 0.5, sign * 1.5) * half + centre
            for sign in (-1, 1)
        ]
        assert edges[1] - edges[0] == pytest.approx(2 * half, rel=3e-4)
        assert 0.5 * (edges[0] + edges[1]) == pytest.approx(centre, abs=3e-3 * half)
        inside = np.linspace(edges[0], edges[1], 203)[1:-1]
        np.testing.assert_allclose(curve(inside)[5:-5], 1, rtol=0, atol=1e-12)
        beyond = np.geomspace(1e-3, 90, 50) * half
        outside = np.concatenate([edges[0] - beyond, edges[1] + beyond])
        assert (curve(outside) < 0.99991).all()

    @each_engine
    def test_absorption_takes_from_every_angle(self, options, rounding):
        values = perfect(scan(BARE, np.arange(-400, 401, 0.5) * ARCSEC), BARE, **options)
        assert values.max() < 0.95
        assert values.min() > 0

    @each_engine
    def test_pi_is_sigma_with_the_coupling_times_c(self, options, rounding):
        c = BARE.polarization_factors[1]
        assert c == abs(np.cos(2 * GGG.bragg_angle))
        scaled = replace(GGG, chi_h=c * GGG.chi_h, chi_hbar=c * GGG.chi_hbar)
        theta, weak = scan(BARE), stack_from_reflections(scaled)
        pi = rocking_curve(theta, BARE, uniform(BARE, 800, 0.008), **options)[1]
        sigma = rocking_curve(theta, weak, uniform(weak, 800, 0.008), **options)[0]
        np.testing.assert_allclose(pi, sigma, rtol=rounding)

    @each_engine
    def test_friedel_pair_of_a_polar_crystal(self, options, rounding):
        """χ_h and χ_h̄ exchanged: the curve keeps its shape and is |χ_h/χ_h̄|² as high."""
        stack = stack_from_reflections(GAAS)
        swapped = stack_from_reflections(replace(GAAS, chi_h=GAAS.chi_hbar, chi_hbar=GAAS.chi_h))
        contrast = abs(GAAS.chi_h / GAAS.chi_hbar) ** 2
        assert abs(contrast - 1) > 0.015
        there, back = (rocking_curve(scan(s), s, uniform(s, 700, 0.006), **options) for s in (stack, swapped))
        np.testing.assert_allclose(there / back, contrast, rtol=rounding)


class TestInvariances:
    @each_engine
    @each_geometry
    def test_no_strain_is_the_perfect_crystal(self, crystal, options, rounding):
        stack = stack_from_reflections(crystal)
        theta = scan(stack)
        layers = uniform(stack, 4000, 0.0)
        np.testing.assert_allclose(
            rocking_curve(theta, stack, layers, **options),
            perfect(theta, stack, **options),
            rtol=2 * rounding,
        )

    @each_engine
    @settings(max_examples=25, deadline=None)
    @given(data=st.data())
    def test_splitting_a_sublayer_changes_nothing(self, options, rounding, data):
        stack = stack_from_reflections(GAAS)
        strain = np.array(data.draw(st.lists(st.floats(-0.02, 0.02), min_size=4, max_size=4)))
        factor = np.array(data.draw(st.lists(st.floats(0, 1), min_size=4, max_size=4)))
        cut = data.draw(st.floats(0.01, 0.99))
        whole = uniform_sublayers(np.full(4, 30.0), strain, factor, stack=stack)
        parts = np.tile([30 * cut, 30 * (1 - cut)], 4)
        split = uniform_sublayers(parts, np.repeat(strain, 2), np.repeat(factor, 2), stack=stack)
        theta = scan(stack)
        np.testing.assert_allclose(
            rocking_curve(theta, stack, split, **options),
            rocking_curve(theta, stack, whole, **options),
            rtol=2 * rounding,
            atol=rounding * 1e-5,
        )

    @each_engine
    @each_geometry
    def test_thick_absorbing_film_becomes_the_substrate(self, crystal, options, rounding):
        """On whatever substrate: here one of another mismatch, strength and absorption."""
        other = Layer(chi_0=0.7 * crystal.chi_0, chi_h=1.3 * crystal.chi_h, chi_hbar=1.2 * crystal.chi_hbar)
        film = Layer(
            chi_0=crystal.chi_0,
            chi_h=crystal.chi_h,
            chi_hbar=crystal.chi_hbar,
            mismatch=0.001,
            thickness=40 * crystal.absorption_length,
        )
        base = stack_from_reflections(crystal)
        on_it = replace(base, layers=(film, other))
        alone = replace(base, layers=(replace(film, thickness=np.inf),))
        theta = scan(base)
        np.testing.assert_allclose(
            perfect(theta, on_it, **options), perfect(theta, alone, **options), rtol=max(rounding, 1e-9)
        )

    @each_engine
    def test_film_of_the_substrates_own_material_is_the_substrate(self, options, rounding):
        filmed = stack_from_reflections(GGG, ((GGG, 0.0, 7000.0), (GGG, 0.0, 12345.0)))
        theta = scan(BARE)
        np.testing.assert_allclose(
            perfect(theta, filmed, **options), perfect(theta, BARE, **options), rtol=rounding
        )
        edges = np.append(np.full(40, 25.0), np.full(280, 25.0))
        strain = 0.01 * np.exp(-(((np.cumsum(edges) - 4000) / 1500) ** 2))
        layers = [uniform_sublayers(edges, strain, stack=s) for s in (filmed, BARE)]
        curves = [
            rocking_curve(theta, s, l_, **options) for s, l_ in zip((filmed, BARE), layers, strict=True)
        ]
        np.testing.assert_allclose(curves[0], curves[1], rtol=rounding)

    @each_engine
    @each_geometry
    @pytest.mark.parametrize("strain", [-0.006, 0.004])
    def test_uniform_film_is_many_thin_strained_sublayers(self, crystal, strain, options, rounding):
        base = stack_from_reflections(crystal)
        share = 1 / (1 + strain)
        film = Layer(
            chi_0=share * crystal.chi_0,
            chi_h=share * crystal.chi_h,
            chi_hbar=share * crystal.chi_hbar,
            mismatch=strain,
            thickness=3000.0,
        )
        filmed = replace(base, layers=(film, *base.layers))
        theta = scan(base)
        np.testing.assert_allclose(
            rocking_curve(theta, base, uniform(base, 3000.0, strain), **options),
            perfect(theta, filmed, **options),
            rtol=20 * rounding,
            atol=1e-8 * rounding,
        )

    @each_engine
    @each_geometry
    def test_amorphous_layer_only_attenuates(self, crystal, options, rounding):
        """E = 0: Beer's law along the way in and the way out, at whatever strain."""
        stack = stack_from_reflections(crystal)
        theta = scan(stack)
        covered = rocking_curve(theta, stack, uniform(stack, 2000.0, 0.0, debye_waller=0.0), **options)
        exit_angle = np.arccos(np.cos(theta) - 2 * np.sin(crystal.bragg_angle) * np.sin(crystal.asymmetry))
        path = 2000.0 * (1 / np.sin(theta) + 1 / np.sin(exit_angle))
        attenuated = perfect(theta, stack, **options) * np.exp(-path / crystal.absorption_length)
        np.testing.assert_allclose(covered, attenuated, rtol=max(rounding, 1e-4))

    @each_engine
    def test_batch_is_its_curves(self, options, rounding):
        """Curves of a batch, padding included, are worked out alone."""
        # In float32 where they lie in memory decides the last digit.
        last_digit = 1e-6 if options.get("dtype") is np.float32 else 0.0
        alike = partial(np.testing.assert_allclose, rtol=last_digit)
        strains = np.array([[0.01, 0.004, 0.0], [0.0, 0.0, 0.0], [-0.01, 0.02, 0.003]])
        theta = scan(BARE)
        batch = uniform_sublayers(np.full(3, 25.0), strains, stack=BARE)
        together = rocking_curve(theta, BARE, batch, **options)
        for i, strain in enumerate(strains):
            alone = uniform_sublayers(np.full(3, 25.0), strain, stack=BARE)
            alike(together[i], rocking_curve(theta, BARE, alone, **options))
        padded = uniform_sublayers(np.full(3, 25.0), strains, stack=BARE)
        padded = replace(padded, thickness=np.where(np.arange(3) < 2, padded.thickness, 0.0))
        short = uniform_sublayers(np.full(2, 25.0), strains[:, :2], stack=BARE)
        alike(rocking_curve(theta, BARE, padded, **options), rocking_curve(theta, BARE, short, **options))


def test_stack_from_reflections_keeps_order_and_geometry():
    stack = stack_from_reflections(GAAS, ((YIG, 0.001, 500.0), (GGG, -0.002, 300.0)))
    assert [layer.chi_h for layer in stack.layers] == [YIG.chi_h, GGG.chi_h, GAAS.chi_h]
    np.testing.assert_array_equal(stack.interfaces, [500.0, 800.0])
    assert isinstance(stack, Stack)
    assert stack.incidence_angle == GAAS.bragg_angle - GAAS.asymmetry
    assert stack.layers[-1].mismatch == 0
