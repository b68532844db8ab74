"""Diffraction engine: what it refuses and how it says so, shapes, and the memory it needs."""

import re
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from strainscope.crystal import ARCSEC, builtin_crystal, reflection
from strainscope.diffraction import (
    Layer,
    Stack,
    Sublayers,
    choose_sublayers,
    coefficients,
    jacobian,
    no_sublayers,
    rocking_curve,
    stack_from_reflections,
    uniform_sublayers,
)
from strainscope.diffraction.engine import angle_tables, reflectivities, reflectivity_jacobian
from strainscope.profile import DepthProfile, DoubleGaussian

GGG = reflection(builtin_crystal("GGG"), (4, 4, 4), wavelength="CuKa1")
YIG = reflection(builtin_crystal("YIG"), (4, 4, 4), wavelength="CuKa1")
GAAS = reflection(builtin_crystal("GaAs"), (1, 1, 5), wavelength=1.2, surface=(0, 0, 1))
BARE = stack_from_reflections(GGG)
FILMED = stack_from_reflections(GGG, ((YIG, -4.85e-4, 1000.0),))
THETA = GGG.bragg_angle + np.linspace(-3180, 93, 701) * ARCSEC
GARNET = np.array([0.01305, 0.0017, 5800.0, 3500.0, 0.004845, 4000.0, -500.0])
PROFILE = DepthProfile(strain=DoubleGaussian())


def cells(n=20, thickness=25.0, strain=0.002, stack=BARE):
    return uniform_sublayers(np.full(n, thickness), np.full(n, strain), stack=stack)


class TestAliasing:
    def test_names_the_sublayer_its_thickness_and_the_limit(self):
        thickness = np.array([30.0, 40.0, 100.0, 30.0])
        layers = uniform_sublayers(thickness, np.zeros(4), stack=BARE)
        with pytest.raises(ValueError, match="alias") as error:
            rocking_curve(THETA, BARE, layers)
        message = str(error.value)
        assert "thickness[2] = 100 Å" in message
        assert "choose_sublayers" in message
        limit = float(re.search(r"above ([\d.]+) Å", message)[1])
        # The farthest angle turns a sublayer of the limit by 2 × 3.1 rad, just short of a full turn.
        detuning = np.abs(coefficients(THETA, BARE).detuning.real).max()
        assert limit == pytest.approx(6.2 / detuning, rel=5e-3)
        assert 50 < limit < 60
        rocking_curve(THETA, BARE, cells(thickness=0.999 * limit, strain=0.0))
        with pytest.raises(ValueError, match=r"thickness\[0\]"):
            rocking_curve(THETA, BARE, cells(thickness=1.01 * limit, strain=0.0))

    @pytest.mark.parametrize(
        "options", [{}, {"engine": "reference"}, {"bragg_law": "linear"}, {"dtype": np.float32}]
    )
    def test_every_engine_and_law_refuses(self, options):
        with pytest.raises(ValueError, match="alias"):
            rocking_curve(THETA, BARE, cells(thickness=100.0), **options)
        with pytest.raises(ValueError, match="alias"):
            jacobian(THETA, BARE, cells(thickness=100.0))

    def test_counts_the_strain(self):
        """Expansion brings a sublayer's Bragg angle into the scan, contraction takes it farther away."""
        rocking_curve(THETA, BARE, cells(thickness=50.0, strain=0.0))
        rocking_curve(THETA, BARE, cells(thickness=80.0, strain=0.015))
        with pytest.raises(ValueError, match="alias"):
            rocking_curve(THETA, BARE, cells(thickness=50.0, strain=-0.015))
        with pytest.raises(ValueError, match="alias"):
            rocking_curve(THETA, BARE, cells(thickness=80.0, strain=0.0))

    def test_the_predecessors_sublayers_are_refused(self):
        for dl in (100.0, 400.0):
            n = int(np.ceil(8000 / dl))
            strain = PROFILE.evaluate((np.arange(n) + 0.5) * dl, GARNET)[0]
            with pytest.raises(ValueError, match="alias"):
                rocking_curve(THETA, BARE, uniform_sublayers(np.full(n, dl), strain, stack=BARE))

    def test_chosen_sublayers_never_alias(self):
        wide = GGG.bragg_angle + np.linspace(-12_000, 6000, 400) * ARCSEC
        chosen = choose_sublayers(PROFILE, GARNET[None], coefficients(wide, BARE), BARE)
        assert np.isfinite(rocking_curve(wide, BARE, chosen)).all()


class TestAngles:
    @pytest.mark.parametrize(
        ("theta", "message"),
        [
            (np.array([0.4, -0.1]), r"theta\[1\] = -5\.7\d*°"),
            (np.array([0.4, 0.45, np.nan]), r"theta\[2\] = nan°"),
            (np.array([25.0]), r"theta\[0\]"),  # degrees given as radians
            (np.full((2, 3), 0.4), r"shape \(2, 3\)"),
            (np.empty(0), r"shape \(0,\)"),
        ],
        ids=["negative", "nan", "degrees", "two axes", "empty"],
    )
    def test_refused(self, theta, message):
        with pytest.raises(ValueError, match=message):
            rocking_curve(theta, BARE, cells())
        with pytest.raises(ValueError, match=message):
            jacobian(theta, BARE, cells())

    def test_reflected_beam_must_leave_the_surface(self):
        stack = replace(stack_from_reflections(GAAS), asymmetry=-GAAS.asymmetry)
        leaving = stack.incidence_angle + np.array([0.0, -0.1])
        with pytest.raises(ValueError, match=r"theta\[1\] = .* leave the surface"):
            rocking_curve(leaving, stack, cells(stack=stack))


class TestOptions:
    def test_unknown_engine_dtype_and_law(self):
        with pytest.raises(ValueError, match="'fsat'; known are fast, reference"):
            rocking_curve(THETA, BARE, cells(), engine="fsat")
        with pytest.raises(ValueError, match="float32 or numpy.float64"):
            rocking_curve(THETA, BARE, cells(), dtype=np.float16)
        with pytest.raises(ValueError, match="'cubic'; known are exact, linear"):
            rocking_curve(THETA, BARE, cells(), bragg_law="cubic")
        with pytest.raises(ValueError, match="exact law only"):
            rocking_curve(THETA, BARE, cells(), engine="reference", bragg_law="linear")

    def test_jacobian_takes_one_set(self):
        batch = uniform_sublayers(np.full(3, 25.0), np.zeros((2, 3)), stack=BARE)
        with pytest.raises(ValueError, match=r"shape \(2, 3\); jacobian takes one set"):
            jacobian(THETA, BARE, batch)


class TestUniformSublayers:
    @pytest.mark.parametrize(
        ("thickness", "strain", "factor", "message"),
        [
            ([25, 0.0], [0, 0], None, r"thickness\[1\] = 0 Å; every sublayer must be > 0 Å"),
            ([25, -3.0], [0, 0], None, r"thickness\[1\] = -3 Å"),
            ([25, np.nan], [0, 0], None, r"thickness\[1\] = nan Å"),
            ([25, 25], [0, np.nan], None, r"strain\[1\] = nan; strain must be finite"),
            ([25, 25], [[0, 0], [0, -1.0]], None, r"strain\[1, 1\] = -1; strain must be finite and > -1"),
            ([25, 25], [np.inf, 0], None, r"strain\[0\] = inf"),
            ([25, 25], [0, 0], [1, 1.2], r"debye_waller\[1\] = 1\.2; E must lie in \[0, 1\]"),
            ([25, 25], [0, 0], [-0.1, 1], r"debye_waller\[0\] = -0\.1"),
            ([25, 25], [0, 0], [1, np.nan], r"debye_waller\[1\] = nan"),
            ([25, 25], [0, 0, 0], None, r"must share the sublayer axis"),
            ([25, 25], [0, 0], [1, 1, 1], r"must share the sublayer axis"),
            ([[25, 25]], [[0, 0]], None, r"must share the sublayer axis"),
        ],
    )
    def test_refused(self, thickness, strain, factor, message):
        with pytest.raises(ValueError, match=message):
            uniform_sublayers(np.array(thickness), np.array(strain), factor, stack=BARE)

    def test_interfaces_are_boundaries(self):
        with pytest.raises(ValueError, match="interface at 1000 Å lies inside a sublayer"):
            uniform_sublayers(np.full(30, 35.0), np.zeros(30), stack=FILMED)
        made = uniform_sublayers(np.full(30, 40.0), np.zeros(30), stack=FILMED)
        np.testing.assert_array_equal(made.layer, np.repeat([0, 1], [25, 5]))
        np.testing.assert_array_equal(made.upper, np.arange(30) * 40.0)

    def test_a_stack_of_other_films_is_refused(self):
        made = uniform_sublayers(np.full(30, 40.0), np.zeros(30), stack=FILMED)
        thinner = stack_from_reflections(GGG, ((YIG, -4.85e-4, 900.0),))
        with pytest.raises(ValueError, match="fill 1000 Å of layer 0, which is 900 Å thick"):
            rocking_curve(THETA, thinner, made)


class TestStack:
    @pytest.mark.parametrize(
        ("thicknesses", "mismatch", "message"),
        [
            ([], 0.0, "layers is empty"),
            ([100.0, 200.0], 0.0, r"layers\[-1\]\.thickness = 200 Å; the last layer is the substrate"),
            ([np.inf, np.inf], 0.0, r"layers\[0\]\.thickness = inf Å; every film must be > 0 Å and finite"),
            ([100.0, 0.0, np.inf], 0.0, r"layers\[1\]\.thickness = 0 Å"),
            ([-5.0, np.inf], 0.0, r"layers\[0\]\.thickness = -5 Å"),
            ([np.nan, np.inf], 0.0, r"layers\[0\]\.thickness = nan Å"),
            ([100.0, np.inf], -0.6, r"layers\[0\]\.mismatch = -0\.6; it must be > -0\.5"),
            ([100.0, np.inf], np.nan, r"layers\[0\]\.mismatch = nan"),
        ],
    )
    def test_refused(self, thicknesses, mismatch, message):
        chi = {"chi_0": GGG.chi_0, "chi_h": GGG.chi_h, "chi_hbar": GGG.chi_hbar}
        layers = tuple(Layer(**chi, thickness=t, mismatch=mismatch) for t in thicknesses)
        with pytest.raises(ValueError, match=message):
            Stack(wavelength=1.54, d_spacing=1.79, bragg_angle=0.4455, asymmetry=0.0, layers=layers)


def test_choose_sublayers_says_when_a_profile_needs_too_many():
    long = np.array([0.02, 0.001, 4e6, 3e6, 0.005, 2e6, -500.0])
    with pytest.raises(ValueError, match="needs more than 20000 sublayers"):
        choose_sublayers(PROFILE, long[None], coefficients(THETA, BARE), BARE)


def test_no_sublayers_at_all_is_the_perfect_crystal():
    bare = rocking_curve(THETA, BARE, no_sublayers())
    np.testing.assert_allclose(bare[0], rocking_curve(THETA, BARE, cells(strain=0.0)), rtol=1e-4)
    with pytest.raises(ValueError, match="no_sublayers"):
        uniform_sublayers(np.empty(0), np.empty(0), stack=BARE)


class TestShapes:
    @pytest.mark.parametrize("options", [{}, {"engine": "reference"}], ids=["fast", "reference"])
    @pytest.mark.parametrize("lead", [(), (1,), (3,), (2, 3)])
    def test_leading_axes_are_kept(self, lead, options):
        strain = np.broadcast_to(np.linspace(0.002, 0.006, 4), (*lead, 4))
        layers = uniform_sublayers(np.full(4, 25.0), strain, stack=BARE)
        curves = rocking_curve(THETA[:77], BARE, layers, **options)
        assert curves.shape == (*lead, 2, 77)
        flat = curves.reshape(-1, 2, 77)
        np.testing.assert_array_equal(flat, np.broadcast_to(flat[:1], flat.shape))

    @pytest.mark.parametrize("n_angle", [1, 2, 15, 16, 17, 63, 64, 65, 175, 176, 177, 255, 256, 257, 353])
    def test_any_number_of_angles(self, n_angle):
        """Blocks and vector widths leave no trace: a part of a scan is that part of the curve."""
        layers = cells(12, strain=0.006)
        whole = rocking_curve(THETA, BARE, layers)
        part = rocking_curve(THETA[:n_angle], BARE, layers)
        np.testing.assert_allclose(part, whole[:, :n_angle], rtol=1e-12)
        curve, slopes, _ = jacobian(THETA[:n_angle], BARE, layers)
        all_curve, all_slopes, _ = jacobian(THETA, BARE, layers)
        np.testing.assert_allclose(curve, all_curve[:, :n_angle], rtol=1e-12)
        absolute = 1e-12 * np.abs(slopes).max()
        np.testing.assert_allclose(slopes, all_slopes[..., :n_angle], rtol=1e-9, atol=absolute)

    @pytest.mark.parametrize("n_curve", [15, 16, 17, 33])
    def test_any_number_of_curves(self, n_curve):
        """Blocks of curves that go to several workers give what one worker gives."""
        strain = np.linspace(-0.01, 0.02, n_curve)[:, None] * np.ones(7)
        layers = uniform_sublayers(np.full(7, 30.0), strain, stack=BARE)
        curves = rocking_curve(THETA[::10], BARE, layers)
        for i in range(n_curve):
            alone = uniform_sublayers(np.full(7, 30.0), strain[i], stack=BARE)
            np.testing.assert_array_equal(curves[i], rocking_curve(THETA[::10], BARE, alone))


class TestMemory:
    """Curves stream: beside its output a batch needs a few buffers a worker, whatever its size."""

    @staticmethod
    def batch(n_curve, n_cell=40):
        one = cells(n_cell, strain=0.005)
        return Sublayers(**{k: np.repeat(getattr(one, k)[None], n_curve, axis=0) for k in vars(one)})

    @staticmethod
    def extra(function):
        """Most memory in use at a time beyond what is left at the end [bytes]."""
        function()
        tracemalloc.start()
        try:
            kept = function()
            left, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept is not None
        return peak - left

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_does_not_grow_with_the_batch(self, dtype):
        tables = angle_tables(THETA[::2], BARE, dtype=dtype)
        small, large = self.batch(64), self.batch(2048)
        few, many = (self.extra(lambda b=b: reflectivities(tables, b)) for b in (small, large))
        output = 2048 * 2 * len(THETA[::2]) * np.dtype(dtype).itemsize
        assert many < few + 0.1 * output
        assert many < 2e6

    def test_writes_where_it_is_told(self):
        tables = angle_tables(THETA[::5], BARE, dtype=np.float32)
        batch = self.batch(512)
        out = np.full((512, 2, len(THETA[::5])), np.nan, dtype=np.float32)
        assert reflectivities(tables, batch, out) is out
        assert np.isfinite(out).all()
        assert self.extra(lambda: reflectivities(tables, batch, out)) < 2e6

    def test_jacobian_does_not_grow_either(self):
        tables = angle_tables(THETA[::5], BARE, dtype=np.float64)

        def sweep(n_curve):
            batch = self.batch(n_curve)
            slopes = np.ones((n_curve, 40, 2, 7))
            return self.extra(lambda: reflectivity_jacobian(tables, batch, slopes, slopes))

        few, many = sweep(32), sweep(512)
        output = 512 * 2 * 7 * len(THETA[::5]) * 8
        assert many < few + 0.1 * output
