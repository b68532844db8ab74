"""Diffraction engine: an independent integration, order, fast against reference, stated errors."""

from dataclasses import replace
from itertools import pairwise
from math import cos, exp, log, pi

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize_scalar

from strainscope.crystal import ARCSEC, builtin_crystal, reflection
from strainscope.diffraction import (
    Sublayers,
    choose_sublayers,
    coefficients,
    rocking_curve,
    stack_from_reflections,
    uniform_sublayers,
)
from strainscope.diffraction.sublayers import gauss_depths
from strainscope.profile import DepthProfile, DoubleGaussian, TiedDisorder

GGG = reflection(builtin_crystal("GGG"), (4, 4, 4), wavelength="CuKa1")
YIG = reflection(builtin_crystal("YIG"), (4, 4, 4), wavelength="CuKa1")
GAAS = reflection(builtin_crystal("GaAs"), (1, 1, 5), wavelength=1.2, surface=(0, 0, 1))
STACKS = {
    "bare": stack_from_reflections(GGG),
    "film": stack_from_reflections(GGG, ((YIG, -4.85e-4, 31_500.0),)),
    "thin_film": stack_from_reflections(GGG, ((YIG, -4.85e-4, 2500.0),)),
    "polar_grazing": stack_from_reflections(GAAS),
    "polar_steep": stack_from_reflections(replace(GAAS, asymmetry=-GAAS.asymmetry)),
}
each_stack = pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
GARNET = np.array([0.01305, 0.0017, 5800.0, 3500.0, 0.004845, 4000.0, -500.0])
STRAIN = DepthProfile(strain=DoubleGaussian())
DISORDERED = DepthProfile(strain=DoubleGaussian(), disorder=TiedDisorder())
SCAN = (np.arange(351) * 2 - 680) * 4.671897861 * ARCSEC


def rms(a, b):
    """Rms of log10(a/b) over polarization and angle of each curve."""
    return np.sqrt(np.mean(np.log10(np.asarray(a, dtype=float) / b) ** 2, axis=(-2, -1)))


def random_values(n, profile, *, rng, steep=0.0):
    """Valid parameters drawn over the whole prior; a share of them with L1 only 10 Å below Rp1."""
    lower, upper = (np.array([getattr(s, end) for s in profile.parameters]) for end in ("lower", "upper"))
    drawn = rng.uniform(lower, upper, (4000, len(lower)))
    drawn[: int(4000 * steep), 2] = drawn[: int(4000 * steep), 3] + 10.0
    valid = drawn[~profile.violations(drawn)]
    profile.check(valid)
    share = valid[:, 2] - valid[:, 3] < 10.001
    mixed = np.concatenate([valid[share][: int(n * steep)], valid[~share][: n - int(n * steep)]])
    assert len(mixed) == n
    return mixed


def gauss_cells(profile, values, edges, stack):
    """Cells between given depths with the profile at their Gauss points."""
    depth = gauss_depths(edges[:-1], np.diff(edges))
    strain, factor = profile.evaluate(depth.ravel(), values)
    return Sublayers(
        thickness=np.diff(edges),
        strain=strain.reshape(-1, 2),
        debye_waller=factor.reshape(-1, 2),
        layer=np.searchsorted(stack.interfaces, 0.5 * (edges[1:] + edges[:-1])),
        upper=edges[:-1],
    )


def garnet_in_plain_floats(values):
    """The seven-parameter strain and E = 1 - K (strain/max)^n at one depth, written out anew."""
    dmax1, d01, l1, rp1, d02, l2, rp2, k, n = (float(v) for v in values)
    s1, s2 = (l1 - rp1) ** 2 / log(dmax1 / 1e-4), rp1**2 / log(dmax1 / d01)
    s3 = l2 * (l2 - 2 * rp2) / log(d02 / 1e-4)

    def strain(z):
        first = dmax1 * exp(-((z - rp1) ** 2) / (s1 if z >= rp1 else s2))
        return first + d02 * exp((rp2**2 - (z - rp2) ** 2) / s3)

    largest = -minimize_scalar(lambda z: -strain(z), bounds=(0, rp1), options={"xatol": 1e-9}).fun
    return strain, lambda z: 1 - k * (strain(z) / largest) ** n


def takagi_taupin(theta, stack, strain_at, factor_at, breaks, depth):
    """Reflectivity (2, angle) by an adaptive integrator, from the equations in their textbook form.

    d(u, v)/ds = i [[-Y/2, -σ_h̄], [σ_h, Y/2]] (u, v), so X = v/u has X' = i (σ_h + Y X + σ_h̄ X²), s upwards.
    """
    k, lam = 2 * pi / stack.wavelength, stack.wavelength
    t = np.cos(theta) - 2 * np.sin(stack.bragg_angle) * np.sin(stack.asymmetry)
    squares = np.sin(theta) ** 2, 1 - t * t
    common = pi / lam / np.sqrt(np.sin(theta) * np.sqrt(1 - t * t))
    common = np.array([common, common * abs(cos(2 * stack.bragg_angle))])

    def terms(crystal, strain, factor):
        chi_0 = crystal.chi_0 / (1 + strain)
        d = stack.d_spacing * (1 + crystal.mismatch) * (1 + strain)
        y = 2 * pi * cos(stack.asymmetry) / d
        y = y - k * (np.sqrt(squares[0] + chi_0) + np.sqrt(squares[1] + chi_0))
        scale = common * (factor / (1 + strain))
        return y, scale * crystal.chi_h, scale * crystal.chi_hbar

    y, sigma_h, sigma_hbar = terms(stack.layers[-1], 0.0, 1.0)
    roots = [(-y + sign * np.sqrt(y * y - 4 * sigma_h * sigma_hbar)) / (2 * sigma_hbar) for sign in (1, -1)]
    # A deviation from a root grows upwards as exp(i (Y + 2 σ_h̄ X) s): forgotten where that has Im > 0.
    x = np.where((y + 2 * sigma_hbar * roots[0]).imag > 0, *roots)
    bounds = sorted({0.0, depth, *breaks, *(float(z) for z in stack.interfaces if z < depth)}, reverse=True)
    for deeper, upper in pairwise(bounds):
        crystal = stack.layers[int(np.searchsorted(stack.interfaces, 0.5 * (deeper + upper)))]

        def slope(s, flat, deeper=deeper, crystal=crystal):
            z, x = deeper - s, flat.reshape(2, -1)
            y, sigma_h, sigma_hbar = terms(crystal, strain_at(z), factor_at(z))
            return (1j * (sigma_h + y * x + sigma_hbar * x * x)).ravel()

        solved = solve_ivp(slope, (0.0, deeper - upper), x.ravel(), method="DOP853", rtol=1e-10, atol=1e-14)
        assert solved.success
        x = solved.y[:, -1].reshape(2, -1)
    return np.abs(x) ** 2


class TestAgainstAnIndependentIntegration:
    @pytest.mark.parametrize("name", ["bare", "thin_film", "polar_grazing", "polar_steep"])
    def test_strain_and_disorder_varying(self, name):
        stack, values = STACKS[name], np.array([0.01305, 0.0017, 2900, 1750, 0.004845, 2000, -250, 0.6, 1.5])
        theta = stack.incidence_angle + np.array([-2900, -1540, -310, 3, 60.0]) * ARCSEC
        strain, factor = garnet_in_plain_floats(values)
        expected = takagi_taupin(theta, stack, strain, factor, [1750.0], 4000.0)
        cells = gauss_cells(DISORDERED, values, np.arange(0, 4001, 2.5), stack)
        for engine, tolerance in (("reference", 1e-7), ("fast", 3e-6)):
            found = rocking_curve(theta, stack, cells, engine=engine)
            np.testing.assert_allclose(found, expected, rtol=tolerance)


class TestOrder:
    """Errors against a curve with cells four times finer than the finest tested, boundaries at Rp1."""

    @staticmethod
    def errors(profile, values, counts, scan, stack=STACKS["bare"], **options):
        theta = stack.incidence_angle + scan
        *coarse, fine = (
            gauss_cells(profile, values, np.linspace(0, 8000, n + 1), stack)
            for n in (*counts, 4 * counts[-1])
        )
        converged = rocking_curve(theta, stack, fine, engine="reference")
        curves = [rocking_curve(theta, stack, cells, **options) for cells in coarse]
        return np.array([rms(curve, converged) for curve in curves])

    @pytest.mark.parametrize(
        ("profile", "values"),
        [(STRAIN, GARNET), (DISORDERED, [*GARNET, 0.6, 2.0])],
        ids=["strain", "disorder"],
    )
    @pytest.mark.parametrize("engine", ["reference", "fast"])
    @pytest.mark.parametrize("name", ["bare", "polar_grazing"])
    def test_is_four(self, profile, values, engine, name):
        # Narrow enough that the coarsest cells are in the asymptotic range.
        scan = np.linspace(-1600, 300, 60) * ARCSEC
        errors = self.errors(profile, np.array(values), (160, 320, 640), scan, STACKS[name], engine=engine)
        orders = np.log2(errors[:-1] / errors[1:])
        if engine == "reference":
            assert ((orders > 3.75) & (orders < 4.3)).all(), (errors, orders)
        else:
            # It keeps the order down to what its first-order exponential leaves out.
            floor = 1e-6
            assert (errors[1:] < np.maximum(errors[:-1] / 2**3.4, floor)).all(), (errors, orders)

    def test_midpoint_is_two(self):
        stack, profile = STACKS["bare"], STRAIN
        scan = np.linspace(-1600, 300, 60) * ARCSEC
        theta = stack.incidence_angle + scan
        fine = gauss_cells(profile, GARNET, np.linspace(0, 8000, 5121), stack)
        converged = rocking_curve(theta, stack, fine, engine="reference")
        errors = []
        for n in (320, 640, 1280):
            h = 8000 / n
            strain = profile.evaluate((np.arange(n) + 0.5) * h, GARNET)[0]
            cells = uniform_sublayers(np.full(n, h), strain, stack=stack)
            errors.append(rms(rocking_curve(theta, stack, cells, engine="reference"), converged))
        orders = np.log2(np.array(errors[:-1]) / errors[1:])
        assert ((orders > 1.9) & (orders < 2.1)).all(), (errors, orders)

    def test_fifty_angstrom_cells_on_the_predecessors_scan(self):
        """The brief's table: 2.6e-5 rms and 9.5e-5 at most, where midpoint cells have 1.2e-3 and 1.3e-2."""
        stack = STACKS["bare"]
        theta = stack.incidence_angle + (20 - np.arange(701)) * 4.671897861 * ARCSEC
        n = 160
        fine = gauss_cells(STRAIN, GARNET, np.linspace(0, 8000, 1601), stack)
        converged = rocking_curve(theta, stack, fine, engine="reference")
        cells = gauss_cells(STRAIN, GARNET, np.linspace(0, 8000, n + 1), stack)
        for options in ({}, {"engine": "reference"}, {"dtype": np.float32}):
            curve = rocking_curve(theta, stack, cells, **options)
            assert rms(curve, converged) < 3e-5
            assert np.abs(np.log10(curve / converged)).max() < 3e-4
        strain = STRAIN.evaluate((np.arange(n) + 0.5) * 50.0, GARNET)[0]
        midpoint = rocking_curve(theta, stack, uniform_sublayers(np.full(n, 50.0), strain, stack=stack))
        assert rms(midpoint, converged) > 1e-3


class TestFastAgainstReference:
    @each_stack
    @pytest.mark.parametrize("profile", [STRAIN, DISORDERED], ids=["strain", "disorder"])
    def test_random_profiles(self, stack, profile):
        values = random_values(6, profile, rng=np.random.default_rng(11), steep=0.34)
        theta = stack.incidence_angle + SCAN
        cells = choose_sublayers(profile, values, coefficients(theta, stack), stack)
        reference = rocking_curve(theta, stack, cells, engine="reference")
        double = rocking_curve(theta, stack, cells)
        single = rocking_curve(theta, stack, cells, dtype=np.float32)
        assert double.dtype == np.float64
        assert single.dtype == np.float32
        assert rms(double, reference).max() < 1e-5
        assert rms(single, reference).max() < 1e-4
