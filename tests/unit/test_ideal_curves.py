"""Noise-free curves of a known instrument: what is simulated, its derivatives, and fits to it."""

import numpy as np
import pytest
from benchmarks import ideal_curves as module
from benchmarks.ideal_curves import IdealCurves, fit_curves
from scipy.sparse import csr_array

from strainscope.experiment import ScanModel
from strainscope.sample import Sample

HELD = {
    "fwhm_arcsec": 25.0,
    "offset_arcsec": 3.0,
    "log10_scale": 0.2,
    "log10_background": -4.0,
    "background_slope": 0.4,
}
SETTINGS = {
    "crystal": "GGG",
    "reflection": [4, 4, 4],
    "wavelength": 1.54056,
    "resolution": "gaussian",
    "background": "linear",
    "disorder": "none",
    "fit": {
        "Dmax1": {"bounds": [0.004, 0.016]},
        "L1": {"bounds": [2000, 5000]},
        **{name: {"value": value, "held": True} for name, value in HELD.items()},
    },
}
POSITION = np.arange(-1500.0, 240.0, 15.0)


def curves_of(**changes):
    sample = Sample.model_validate(SETTINGS | changes)
    model = ScanModel(
        experiment=sample.experiment(),
        position=POSITION,
        fringe_depth=5000.0,
        narrowest_fwhm_arcsec=25.0,
        widest_fwhm_arcsec=25.0,
        offset_range=(-5.0, 5.0),
    )
    return IdealCurves(model=model, prior=sample.prior())


@pytest.fixture(scope="module")
def ideal():
    return curves_of()


@pytest.fixture(scope="module")
def unit(ideal):
    """More places than are worked on together, so that there are two blocks."""
    return np.random.default_rng(0).uniform(0.05, 0.95, (module._TOGETHER + 3, len(ideal.prior.free)))


@pytest.fixture(scope="module")
def curves(ideal, unit):
    return ideal.log10(unit)


# Curves -----------------------------------------------------------------------------------------------------


def test_curves_are_the_model_s_one_by_one(ideal, unit, curves):
    assert curves.shape == (len(unit), len(POSITION))
    assert curves.dtype == np.float64
    values = ideal.values(unit)
    for row in (0, 1, len(unit) - 1):
        # Sublayers are chosen for a batch: those for one curve may be others, within the tolerance.
        alone = ideal.log10(unit[row : row + 1])[0]
        np.testing.assert_allclose(alone, np.log10(ideal.model.expected(values[row])), rtol=0, atol=1e-9)
        assert np.sqrt(np.mean((alone - curves[row]) ** 2)) < ideal.model.experiment.tolerance


def test_scale_and_sloped_background_are_in_the_curves(unit, curves):
    fit = SETTINGS["fit"] | {"log10_scale": {"value": 0.7, "held": True}}
    stronger = curves_of(fit=fit).log10(unit[:2])
    background = 10.0 ** HELD["log10_background"] * (1 + HELD["background_slope"] * np.linspace(-1, 1, len(POSITION)))
    signal, more = 10.0 ** curves[:2] - background, 10.0**stronger - background
    np.testing.assert_allclose(more, 10.0**0.5 * signal, rtol=1e-3)


def test_values_hold_what_is_held_and_go_back_to_their_coordinates(ideal, unit):
    values = ideal.values(unit)
    names = list(ideal.prior.names)
    for name, value in HELD.items():
        np.testing.assert_array_equal(values[:, names.index(name)], value)
    np.testing.assert_allclose(ideal.unit(values), unit, atol=1e-12)
    outside = values.copy()
    outside[:, names.index("Dmax1")] = 0.02
    assert ideal.unit(outside).max() == 1.0


@pytest.mark.parametrize("every", [1, 4])
def test_quick_curves_are_near_the_exact_ones(ideal, unit, curves, every):
    quick = ideal.log10_float32(unit, every=every)
    assert quick.dtype == np.float32
    assert quick.shape == (len(unit), len(POSITION[::every]))
    # Their sublayers err by 2e-2 before the resolution.
    assert np.sqrt(np.mean((quick - curves[:, ::every]) ** 2, axis=1)).max() < 1e-2


def test_coarse_curves_are_nearly_the_exact_ones_and_cheaper(ideal, unit, curves):
    coarse = ideal.coarse
    rms = np.sqrt(np.mean((coarse.log10(unit) - curves) ** 2, axis=1))
    assert np.median(rms) < 1e-4
    assert rms.max() < 1e-3
    assert len(coarse.model.grid.node_arcsec) < len(ideal.model.grid.node_arcsec)
    own = ideal.values(unit)[:, ideal.model.experiment.slices["profile"]]
    assert coarse.model.sublayers(own).thickness.size < ideal.model.sublayers(own).thickness.size
    # What is coarser already stays as it is.
    again = coarse.coarse.model
    assert again.points_per_fringe == coarse.model.points_per_fringe
    assert again.experiment.tolerance == coarse.model.experiment.tolerance


# Derivatives ------------------------------------------------------------------------------------------------


def test_the_jacobian_equals_finite_differences(ideal, unit):
    some, step = unit[:2], 1e-5
    curve, jacobian = ideal.log10_with_jacobian(some)
    assert jacobian.shape == (*curve.shape, unit.shape[1])
    np.testing.assert_allclose(curve, ideal.log10(some), rtol=0, atol=1e-12)
    for k in range(unit.shape[1]):
        ends = np.concatenate([some, some])
        ends[:2, k] += step
        ends[2:, k] -= step
        # All at once: the same number of sublayers for all. Where these lie follows the profile, which is no part of
        # the derivatives.
        moved = ideal.log10(ends)
        difference = (moved[:2] - moved[2:]) / (2 * step)
        largest = np.abs(difference).max(axis=1, keepdims=True)
        np.testing.assert_allclose(jacobian[..., k] / largest, difference / largest, rtol=0, atol=5e-4)


def test_many_jacobians_are_those_of_the_blocks(ideal, unit):
    curve, jacobian = ideal.log10_with_jacobian(unit)
    last = slice(module._TOGETHER, None)
    own_curve, own_jacobian = ideal.log10_with_jacobian(unit[last])
    np.testing.assert_allclose(curve[last], own_curve, rtol=0, atol=1e-12)
    np.testing.assert_allclose(jacobian[last], own_jacobian, rtol=0, atol=1e-9)


# Fits -------------------------------------------------------------------------------------------------------


def near(unit, size, seed=1):
    return np.clip(unit + size * np.random.default_rng(seed).standard_normal(unit.shape), 0.02, 0.98)


def test_a_near_start_comes_back_to_the_truth(ideal, unit, curves):
    few = slice(0, 4)
    found = fit_curves(ideal, curves[few], near(unit[few], 0.01), iterations=40)
    assert found.rms.max() < 1e-4
    values, truth = ideal.values(found.unit), ideal.values(unit[few])
    names = list(ideal.prior.names)
    for name in ("Dmax1", "L1", "Rp1"):
        np.testing.assert_allclose(
            values[:, names.index(name)], truth[:, names.index(name)], rtol=3e-3, err_msg=name
        )
    reached = np.sqrt(np.mean((ideal.log10(found.unit) - curves[few]) ** 2, axis=1))
    np.testing.assert_allclose(reached, found.rms, rtol=1e-6, atol=1e-6)


def test_a_fit_that_is_solved_ends_at_once(ideal, unit, curves):
    found = fit_curves(ideal, curves[:2], unit[:2], iterations=20, solved=1e-3)
    assert found.iterations == 2
    np.testing.assert_allclose(found.unit, unit[:2], atol=1e-3)


def test_no_more_jacobians_are_worked_out_than_allowed(ideal, unit, curves):
    found = fit_curves(ideal, curves[:2], near(unit[:2], 0.05), iterations=3, solved=0.0)
    assert found.iterations <= 6


def test_a_fit_never_ends_worse_than_it_began_and_within_the_bounds(ideal, unit, curves):
    # Far from the truth the first steps lead astray, and are not taken.
    start = np.random.default_rng(3).uniform(0, 1, (30, unit.shape[1]))
    before = np.sqrt(np.mean((ideal.log10(start) - curves[:30]) ** 2, axis=1))
    found = fit_curves(ideal, curves[:30], start, iterations=2)
    assert (found.rms <= before + 1e-9).all()
    assert (found.rms < 0.99 * before).any()
    assert (found.unit >= 0).all()
    assert (found.unit <= 1).all()


def test_what_lies_beyond_a_bound_ends_on_it(ideal, unit, curves):
    names = list(ideal.prior.names)
    fit = SETTINGS["fit"] | {"Dmax1": {"bounds": [0.004, 0.95 * ideal.values(unit[:1])[0, names.index("Dmax1")]]}}
    narrow = curves_of(fit=fit)
    start = narrow.unit(ideal.values(unit[:1]))
    assert start[0, 0] == 1.0
    found = fit_curves(narrow, curves[:1], start, iterations=15)
    assert found.unit[0, 0] == pytest.approx(1.0, abs=1e-6)
    assert found.rms[0] > 3e-4
    # A start outside is moved to the bound.
    outside = fit_curves(narrow, curves[:1], start + np.eye(1, unit.shape[1]), iterations=0)
    np.testing.assert_array_equal(outside.unit, start)


def test_a_coordinate_that_is_pressed_to_its_bound_stays_there_while_the_others_move():
    jacobian = np.array([[[1.0, 0.5], [0.5, 1.0], [0.2, 0.1]]])
    residual = np.array([[-1.0, 0.2, 0.1]])
    damping = np.array([1e-3])

    def tried(place, curvature=(0.0, 0.0)):
        damped = module._Damped.of(np.array([place]), 0.01 * residual, jacobian, damping)
        return damped.tried(np.array([curvature]))

    assert (tried((0.5, 0.5))[0, :, 0] > 0.5).all()
    pressed = tried((1.0, 0.5), curvature=(-1.0, 0.0))
    np.testing.assert_array_equal(pressed[0, :, 0], 1.0)
    # As if the first were no parameter at all.
    slope, square = jacobian[0, :, 1] @ residual[0] * 0.01, jacobian[0, :, 1] @ jacobian[0, :, 1]
    expected = 0.5 - slope / (square * (1 + 1e-3 * module._TRIED))
    np.testing.assert_allclose(pressed[0, :, 1], expected, rtol=1e-12)


def test_a_step_bends_as_the_residuals_do():
    """Residuals x and y - x²: the whole step from (1, 1) to the bottom ends beside it, the bent one nearer."""
    jacobian = np.array([[[1.0, 0.0], [-2.0, 1.0]]])
    residual = np.array([[1.0, 0.0]])
    unit = np.array([[1.0, 1.0]])
    damped = module._Damped.of(unit, residual, jacobian, np.array([1e-9]))
    # Along the step (-1, -2) the second residual bends by -2.
    probed = damped.probe()
    curvature = module._curvature(
        residual,
        jacobian,
        np.stack([probed[:, 0], probed[:, 1] - probed[:, 0] ** 2], axis=1),
        probed - unit,
    )
    np.testing.assert_allclose(curvature, jacobian[:, 1] * -2.0, rtol=1e-6)
    bent, straight = damped.tried(curvature)[0, 0], damped.tried(0 * curvature)[0, 0]
    assert np.hypot(*bent) < np.hypot(*straight)


# Smoothing --------------------------------------------------------------------------------------------------


def smoother(width):
    offset = POSITION[:, None] - POSITION
    weights = np.exp(-0.5 * (offset / width) ** 2)
    return csr_array(weights / weights.sum(axis=1, keepdims=True))


def test_smoothing_is_taken_over_the_points_of_curves_and_of_derivatives(ideal, unit):
    curve, jacobian = ideal.log10_with_jacobian(unit[:2])
    dense = smoother(60.0).toarray()
    np.testing.assert_allclose(module._smooth(curve, smoother(60.0)), curve @ dense.T, atol=1e-12)
    np.testing.assert_allclose(
        module._smooth(jacobian, smoother(60.0)), np.einsum("qp,npk->nqk", dense, jacobian), atol=1e-12
    )
    assert module._smooth(curve, None) is curve


def test_a_smoothed_fit_says_the_misfit_of_what_is_smoothed(ideal, unit, curves):
    smoothing, start = smoother(60.0), near(unit[:2], 0.01)
    found = fit_curves(ideal, curves[:2], start, iterations=1, smoothing=smoothing)
    left = module._smooth(ideal.log10(found.unit) - curves[:2], smoothing)
    np.testing.assert_allclose(found.rms, np.sqrt(np.mean(left**2, axis=1)), rtol=1e-6)
    plain = np.sqrt(np.mean((ideal.log10(found.unit) - curves[:2]) ** 2, axis=1))
    assert (found.rms < plain).all()
    # With derivatives that are not smoothed it would be at 1e-3 by then.
    assert fit_curves(ideal, curves[:2], start, iterations=4, smoothing=smoothing).rms.max() < 1e-6
