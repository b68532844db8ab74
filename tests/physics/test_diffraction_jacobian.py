"""Diffraction engine: exact derivatives against central differences, with a study of the step."""

from dataclasses import replace

import numpy as np
import pytest

from strainscope.crystal import ARCSEC, builtin_crystal, reflection
from strainscope.diffraction import (
    choose_sublayers,
    coefficients,
    diffuse_scattering,
    jacobian,
    rocking_curve,
    stack_from_reflections,
    uniform_sublayers,
)
from strainscope.diffraction.engine import angle_tables, reflectivities, reflectivity_jacobian
from strainscope.diffraction.sublayers import gauss_depths
from strainscope.profile import DepthProfile, DoubleGaussian, TiedDisorder

GGG = reflection(builtin_crystal("GGG"), (4, 4, 4), wavelength="CuKa1")
YIG = reflection(builtin_crystal("YIG"), (4, 4, 4), wavelength="CuKa1")
GAAS = reflection(builtin_crystal("GaAs"), (1, 1, 5), wavelength=1.2, surface=(0, 0, 1))
STACKS = {
    "bare": stack_from_reflections(GGG),
    "damage_in_film": stack_from_reflections(GGG, ((YIG, -4.85e-4, 31_500.0),)),
    "damage_through_films": stack_from_reflections(GGG, ((YIG, -4.85e-4, 1500.0), (YIG, 2e-3, 1300.0))),
    "polar_grazing": stack_from_reflections(GAAS),
    "polar_steep": stack_from_reflections(replace(GAAS, asymmetry=-GAAS.asymmetry)),
}
PROFILE = DepthProfile(strain=DoubleGaussian(), disorder=TiedDisorder())
VALUES = np.array([0.01305, 0.0017, 5800.0, 3500.0, 0.004845, 4000.0, -500.0, 0.6, 1.5])
SCAN = np.linspace(-2600, 150, 130) * ARCSEC  # not a multiple of any vector width

each_stack = pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
each_law = pytest.mark.parametrize("bragg_law", ["exact", "linear"])


def best_difference(function, values, exact, steps=(1e-4, 1e-5, 1e-6, 1e-7)):
    """Smallest difference, over the steps, to `exact`, in units of its largest magnitude, per value.

    `exact` has the values on its first axis; the function's result is compared with the rest.
    """
    found = np.full(len(values), np.inf)
    for step in steps:
        for i in range(len(values)):
            shift = np.zeros_like(values)
            shift[i] = step * abs(values[i])
            slope = (function(values + shift) - function(values - shift)) / (2 * shift[i])
            found[i] = min(found[i], np.abs(slope - exact[i]).max() / np.abs(exact[i]).max())
    return found


def at_gauss_points(cells, values):
    """Strain and E of a profile in cells that stay where they are."""
    depth = gauss_depths(cells.upper[0], cells.thickness[0]).ravel()
    strain, factor = PROFILE.evaluate(depth, values)
    shape = (1, -1, 2)
    return replace(cells, strain=strain.reshape(shape), debye_waller=factor.reshape(shape))


def slopes_at_gauss_points(cells, values):
    depth = gauss_depths(cells.upper[0], cells.thickness[0]).ravel()
    d_strain, d_factor = PROFILE.gradient(depth, values)
    shape = (1, cells.thickness.shape[1], 2, len(values))
    return d_strain.reshape(shape), d_factor.reshape(shape)


def chosen(stack, theta, values):
    return choose_sublayers(PROFILE, values[None], coefficients(theta, stack), stack)


class TestProfileParameters:
    @each_stack
    @each_law
    def test_equal_central_differences(self, stack, bragg_law):
        theta = stack.incidence_angle + SCAN
        cells = chosen(stack, theta, VALUES)
        tables = angle_tables(theta, stack, dtype=np.float64, bragg_law=bragg_law)
        curve, slopes = reflectivity_jacobian(tables, cells, *slopes_at_gauss_points(cells, VALUES))

        def simulate(values):
            return reflectivities(tables, at_gauss_points(cells, values))[0]

        # Its own upward sweep agrees with the forward kernel to the second order that both leave out.
        np.testing.assert_allclose(curve[0], simulate(VALUES), rtol=2e-5)
        exact = np.moveaxis(slopes[0], 1, 0)
        assert best_difference(simulate, VALUES, exact).max() < 1e-6

    def test_equal_differences_of_the_reference(self):
        """Derivatives of the curve as the reference engine has it, to the fast engine's accuracy."""
        stack = STACKS["damage_through_films"]
        theta = stack.incidence_angle + SCAN
        cells = chosen(stack, theta, VALUES)
        tables = angle_tables(theta, stack, dtype=np.float64)
        _, slopes = reflectivity_jacobian(tables, cells, *slopes_at_gauss_points(cells, VALUES))

        def simulate(values):
            return rocking_curve(theta, stack, at_gauss_points(cells, values), engine="reference")[0]

        exact = np.moveaxis(slopes[0], 1, 0)
        assert best_difference(simulate, VALUES, exact, steps=(1e-5,)).max() < 1e-4

    def test_float32_is_float64_rounded(self):
        stack = STACKS["bare"]
        theta = stack.incidence_angle + SCAN
        cells = chosen(stack, theta, VALUES)
        slopes = slopes_at_gauss_points(cells, VALUES)
        (_, double), (_, single) = (
            reflectivity_jacobian(angle_tables(theta, stack, dtype=dtype), cells, *slopes)
            for dtype in (np.float64, np.float32)
        )
        assert single.dtype == np.float32
        largest = np.abs(double).max(axis=(-1, -3), keepdims=True)
        assert (np.abs(single - double) / largest).max() < 2e-4

    def test_batch_is_its_curves(self):
        """Also where profiles of unequal depth are padded."""
        stack = STACKS["damage_in_film"]
        theta = stack.incidence_angle + SCAN
        other = np.array([0.008, 0.003, 2200.0, 900.0, 0.006, 1500.0, -3000.0, 0.3, 2.5])
        values = np.array([VALUES, other] * 9)  # more than a worker takes at once
        cells = choose_sublayers(PROFILE, values, coefficients(theta, stack), stack)
        assert (cells.thickness[1] == 0).any()
        tables = angle_tables(theta, stack, dtype=np.float64)
        depth = gauss_depths(cells.upper, cells.thickness)
        d_strain, d_factor = PROFILE.gradient(depth.reshape(18, -1), values)
        shape = (*depth.shape, values.shape[1])
        d_strain, d_factor = d_strain.reshape(shape), d_factor.reshape(shape)
        curves, slopes = reflectivity_jacobian(tables, cells, d_strain, d_factor)
        for i in (0, 1, 16, 17):
            alone = chosen(stack, theta, values[i])
            curve, slope = reflectivity_jacobian(tables, alone, *slopes_at_gauss_points(alone, values[i]))
            np.testing.assert_allclose(curves[i], curve[0], rtol=1e-9)
            largest = np.abs(slope[0]).max()
            np.testing.assert_allclose(slopes[i], slope[0], rtol=1e-7, atol=1e-10 * largest)


class TestSublayers:
    @each_stack
    @each_law
    def test_equal_central_differences(self, stack, bragg_law):
        """Strain and E of single sublayers, film and substrate, E = 0 and contraction among them."""
        n = 150
        thickness = np.full(n, 20.0)
        z = (np.arange(n) + 0.5) * 20
        strain = 0.012 * np.exp(-(((z - 1200) / 500) ** 2)) - 0.004 * np.exp(-z / 300)
        factor = np.clip(1 - 1.2 * np.exp(-(((z - 900) / 300) ** 2)), 0, 1)
        assert factor.min() == 0
        theta = stack.incidence_angle + SCAN
        cells = uniform_sublayers(thickness, strain, factor, stack=stack)
        curve, by_strain, by_factor = jacobian(theta, stack, cells, bragg_law=bragg_law)
        np.testing.assert_allclose(curve, rocking_curve(theta, stack, cells, bragg_law=bragg_law), rtol=2e-5)

        def simulate(strains, factors):
            varied = replace(
                cells,
                strain=np.repeat(strains[:, None], 2, axis=1),
                debye_waller=np.repeat(factors[:, None], 2, axis=1),
            )
            return rocking_curve(theta, stack, varied, bragg_law=bragg_law)

        for k in (0, 44, 45, 75, 76, n - 1):
            unit = np.eye(n)[k]
            for exact, vary in (
                (by_strain[:, k], lambda s: simulate(strain + s * unit, factor)),  # noqa: B023
                (by_factor[:, k], lambda s: simulate(strain, factor + s * unit)),  # noqa: B023
            ):
                slopes = [(vary(s) - vary(-s)) / (2 * s) for s in (1e-4, 1e-5, 1e-6)]
                errors = [np.abs(slope - exact).max() / np.abs(exact).max() for slope in slopes]
                assert min(errors) < 1e-6, (k, errors)

    def test_strain_of_all_sublayers_is_their_sum(self):
        """One more check without any step: the derivative to a common strain is the sum over sublayers."""
        stack = STACKS["bare"]
        theta = stack.incidence_angle + SCAN
        cells = uniform_sublayers(np.full(61, 25.0), 0.008 * np.cos(np.arange(61) / 20.0), stack=stack)
        _, by_strain, _ = jacobian(theta, stack, cells)
        together = np.ones((1, 61, 2, 1))
        tables = angle_tables(theta, stack, dtype=np.float64)
        batch = replace(cells, **{k: getattr(cells, k)[None] for k in vars(cells)})
        _, slopes = reflectivity_jacobian(tables, batch, together, np.zeros_like(together))
        absolute = 1e-12 * np.abs(slopes).max()
        np.testing.assert_allclose(by_strain.sum(axis=1), slopes[0, :, 0], rtol=1e-9, atol=absolute)


class TestDiffuseScattering:
    @each_law
    def test_equals_its_formula(self, bragg_law):
        """Σ 2|σ|² t (1 - E²) τ exp(-(τ q)²/π) over the Gauss points, half of a cell's thickness each."""
        stack, tau = STACKS["damage_through_films"], 180.0
        theta = stack.incidence_angle + SCAN
        cells = chosen(stack, theta, VALUES)
        tables = angle_tables(theta, stack, dtype=np.float64, bragg_law=bragg_law)
        one = replace(cells, **{k: getattr(cells, k)[0] for k in vars(cells)})
        found, _ = diffuse_scattering(tables, one, tau)
        exact = coefficients(theta, stack, bragg_law=bragg_law)
        expected = np.zeros(theta.size)
        cellwise = zip(one.thickness, one.strain, one.debye_waller, one.layer, strict=True)
        for t, strains, factors, m in cellwise:
            for e, f in zip(strains, factors, strict=True):
                delta = e if bragg_law == "linear" else e / (1 + e)
                q = (exact.detuning[m] + delta * exact.strain_response[m]).real
                sigma = np.abs(exact.coupling[m])
                expected += sigma**2 * t * (1 - f * f) * tau * np.exp(-((tau * q) ** 2) / np.pi)
        assert found.max() > 0
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-8 * expected.max())

    @each_stack
    def test_derivatives_equal_central_differences(self, stack):
        theta = stack.incidence_angle + SCAN
        cells = chosen(stack, theta, VALUES)
        tables = angle_tables(theta, stack, dtype=np.float64)

        def simulate(values):
            moved = at_gauss_points(cells, values[:-1])
            one = replace(moved, **{k: getattr(moved, k)[0] for k in vars(moved)})
            return diffuse_scattering(tables, one, values[-1])[0]

        values = np.array([*VALUES, 150.0])
        d_strain, d_factor = slopes_at_gauss_points(cells, VALUES)
        one = replace(cells, **{k: getattr(cells, k)[0] for k in vars(cells)})
        _, slopes = diffuse_scattering(tables, one, 150.0, d_strain[0], d_factor[0])
        assert slopes.shape == (len(values), theta.size)
        assert best_difference(simulate, values, slopes).max() < 1e-6

    def test_a_perfect_lattice_scatters_nothing(self):
        stack = STACKS["bare"]
        theta = stack.incidence_angle + SCAN
        cells = uniform_sublayers(np.full(40, 25.0), np.full(40, 0.01), stack=stack)
        found, slopes = diffuse_scattering(angle_tables(theta, stack, dtype=np.float64), cells, 100.0)
        np.testing.assert_array_equal(found, 0)
        np.testing.assert_array_equal(slopes, 0)
