"""Distinct solutions: which fits are one, and what their bands, deviations and weights are."""

from dataclasses import replace

import numpy as np
import pytest

from strainscope.crystal import builtin_crystal, reflection
from strainscope.diffraction import stack_from_reflections
from strainscope.experiment import Experiment
from strainscope.instrument import Gaussian
from strainscope.inversion import modes as module
from strainscope.inversion.likelihood import Likelihood
from strainscope.inversion.modes import describe, gather, points_per_independent
from strainscope.inversion.refine import Fit
from strainscope.inversion.splines import spline_experiment, spline_start
from strainscope.prior import Prior
from strainscope.profile import CubicBSpline, DepthProfile, DoubleGaussian, TiedDisorder

STACK = stack_from_reflections(reflection(builtin_crystal("GGG"), (4, 4, 4), wavelength="CuKa1"))
GAUSSIANS = Experiment(
    stack=STACK,
    profile=DepthProfile(strain=DoubleGaussian(), disorder=TiedDisorder()),
    resolution=Gaussian(),
)
SPLINES = Experiment(
    stack=STACK,
    profile=DepthProfile(
        strain=CubicBSpline(number=4, weight_range=(0.0, 0.02)),
        disorder=CubicBSpline(number=4, quantity="debye_waller"),
    ),
    resolution=Gaussian(),
)
POINTS = 60


def prior_of(experiment, **held):
    return Prior(parameters=experiment.parameters, constraints=experiment.constraints, held=held)


def fit(experiment, *, cost=60.0, stiff=100.0, residuals=None, prior=None, **changed):
    """A fit that ended at the middle of the ranges, changed as given; `stiff` is the residuals' slope."""
    prior = prior or prior_of(experiment)
    values = prior.from_unit(np.full(len(prior.names), 0.5))
    for name, value in changed.items():
        values[prior.names.index(name)] = value
    jacobian = np.zeros((POINTS, len(prior.free)))
    np.fill_diagonal(jacobian, stiff)
    return Fit(
        values=values,
        unit=prior.to_unit(values),
        cost=cost,
        chi2=cost,
        residuals=np.zeros(POINTS) if residuals is None else residuals,
        model=np.full(POINTS, 100.0),
        jacobian=jacobian,
        evaluations=5,
    )


def described(experiment, found, *, prior=None, seed=0):
    intensity = np.full(POINTS, 100.0)
    likelihood = Likelihood(
        intensity=intensity, sigma=None, counts_per_unit=1.0, model_error=0.05, description=""
    )
    return describe(
        experiment, prior or prior_of(experiment), likelihood, found, rng=np.random.default_rng(seed)
    )


# Gathering --------------------------------------------------------------------------------------------------


SHARP = {"Dmax1": 0.010, "D01": 0.003, "D02": 0.003, "Rp1": 2000.0, "L1": 5000.0, "L2": 2500.0}


def gathered(experiment, fits, **settings):
    """(cost, starts) of what is kept, each fit standing for one start."""
    return [(f.cost, n) for f, n in gather(experiment, [(f, 1) for f in fits], **settings)]


def test_fits_of_one_profile_are_one_mode():
    fits = [
        fit(GAUSSIANS, cost=c, **(SHARP | {"Dmax1": d}))
        for c, d in ((61, 0.01001), (60, 0.01), (64, 0.00998))
    ]
    assert gathered(GAUSSIANS, fits) == [(60, 3)]


def test_starts_behind_the_fits_add_up():
    fits = [
        fit(GAUSSIANS, cost=c, **(SHARP | {"Dmax1": d})) for c, d in ((61, 0.01001), (60, 0.01), (63, 0.014))
    ]
    found = gather(GAUSSIANS, list(zip(fits, (4, 2, 3), strict=True)))
    assert [(f.cost, n) for f, n in found] == [(60, 6), (63, 3)]
    assert found[0][0] is fits[1]


def test_instrument_parameters_do_not_make_a_mode():
    fits = [fit(GAUSSIANS), fit(GAUSSIANS, cost=61.0, offset_arcsec=9.0, fwhm_arcsec=12.0)]
    assert gathered(GAUSSIANS, fits) == [(60, 2)]


def test_one_strain_with_different_disorder_is_two_modes():
    fits = [fit(GAUSSIANS), fit(GAUSSIANS, cost=61.0, K=0.95)]
    assert gathered(GAUSSIANS, fits) == [(60, 1), (61, 1)]


@pytest.mark.parametrize("change", [{"Dmax1": 0.013}, {"Rp1": 3100.0}, {"L1": 6500.0}])
def test_different_profiles_are_kept_apart_best_first(change):
    fits = [fit(GAUSSIANS, cost=65.0, **(SHARP | change)), fit(GAUSSIANS, cost=60.0, **SHARP)]
    assert gathered(GAUSSIANS, fits) == [(60, 1), (65, 1)]


def test_fits_far_worse_than_the_best_are_dropped():
    fits = [
        fit(GAUSSIANS, cost=c, **(SHARP | {"Dmax1": d})) for c, d in ((60, 0.010), (89, 0.015), (91, 0.025))
    ]
    assert gathered(GAUSSIANS, fits) == [(60, 1), (89, 1)]
    assert gathered(GAUSSIANS, fits, worst_ratio=1.52) == [(60, 1), (89, 1), (91, 1)]
    assert gathered(GAUSSIANS, fits, worst_ratio=1.2) == [(60, 1)]


def test_order_of_the_fits_does_not_matter():
    fits = [fit(GAUSSIANS, cost=60.0 + i, **(SHARP | {"Dmax1": 0.008 * 1.25 ** (i // 2)})) for i in range(6)]
    assert gathered(GAUSSIANS, fits) == gathered(GAUSSIANS, fits[::-1]) == [(60, 2), (62, 2), (64, 2)]


def test_fits_without_strain_are_one_mode():
    flat = {f"weight_{i}": 0.0 for i in range(1, 5)}
    fits = [fit(SPLINES, **flat), fit(SPLINES, cost=61.0, offset_arcsec=1.0, **flat)]
    assert gathered(SPLINES, fits) == [(60, 2)]


# Description ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("experiment", [GAUSSIANS, SPLINES], ids=["gaussians", "splines"])
@pytest.mark.parametrize("stiff", [0.0, 5.0, 200.0])
def test_bands_hold_the_best_profile_and_obey_the_bounds(experiment, stiff):
    (mode,) = described(experiment, [(fit(experiment, stiff=stiff), 3)])
    bands = mode.bands
    for best, narrow, wide in (
        (bands.strain, bands.strain_68, bands.strain_95),
        (bands.debye_waller, bands.debye_waller_68, bands.debye_waller_95),
    ):
        assert (wide[0] <= narrow[0]).all()
        assert (narrow[0] <= best).all()
        assert (best <= narrow[1]).all()
        assert (narrow[1] <= wide[1]).all()
    assert (bands.strain_95[0] >= 0).all()
    assert (bands.strain_95[1] <= (0.02 if experiment is SPLINES else 0.06) + 1e-12).all()
    assert (bands.debye_waller_95[0] >= 0).all()
    assert (bands.debye_waller_95[1] <= 1 + 1e-12).all()
    assert bands.depth[0] == 0
    assert bands.strain[-1] < 2e-4
    assert mode.maximum_strain[0] == pytest.approx(bands.strain.max(), rel=1e-3)


def test_a_stiffer_fit_has_narrower_bands():
    widths = []
    for stiff in (5.0, 50.0, 500.0):
        (mode,) = described(SPLINES, [(fit(SPLINES, stiff=stiff), 1)])
        widths.append(np.ptp(mode.bands.strain_95, axis=0).max())
    assert widths[0] > 3 * widths[1] > 9 * widths[2] > 0


def test_deviation_is_that_of_the_least_squares():
    # A slope of 200 over the room makes a deviation of room/200; the coordinates are linear on that scale.
    (mode,) = described(SPLINES, [(fit(SPLINES, stiff=200.0, cost=1.0), 1)])
    for parameter in mode.parameters:
        room = parameter.upper - parameter.lower
        assert parameter.sd == pytest.approx(room / 200, rel=0.15)  # of 400 draws: 3.5 %
        assert parameter.determined
    np.testing.assert_allclose(np.sqrt(np.diag(mode.covariance)), [p.sd for p in mode.parameters], rtol=0.01)


def test_a_poor_fit_widens_the_bands():
    n = len(prior_of(SPLINES).free)
    poor = described(SPLINES, [(fit(SPLINES, stiff=500.0, cost=9.0 * (POINTS - n)), 1)])[0]
    good = described(SPLINES, [(fit(SPLINES, stiff=500.0, cost=0.5 * (POINTS - n)), 1)])[0]
    ratio = [a.sd / b.sd for a, b in zip(poor.parameters, good.parameters, strict=True)]
    np.testing.assert_allclose(ratio, 3.0, rtol=0.1)
    # A fit better than the noise does not narrow them.
    exact = described(SPLINES, [(fit(SPLINES, stiff=500.0, cost=1.0 * (POINTS - n)), 1)])[0]
    np.testing.assert_allclose([p.sd for p in exact.parameters], [p.sd for p in good.parameters])


def test_residuals_that_follow_their_neighbours_count_less():
    # Runs of four equal residuals: a quarter of the points say something, so the deviations double.
    rng = np.random.default_rng(11)
    runs = np.repeat(rng.normal(size=POINTS // 4), 4)
    white = described(SPLINES, [(fit(SPLINES, stiff=500.0, cost=1.0), 1)])[0]
    alike = described(SPLINES, [(fit(SPLINES, stiff=500.0, cost=1.0, residuals=runs), 1)])[0]
    ratio = np.array([a.sd / b.sd for a, b in zip(alike.parameters, white.parameters, strict=True)])
    np.testing.assert_allclose(ratio, np.sqrt(points_per_independent(runs)), rtol=0.05)
    assert 1.4 < ratio.mean() < 2.8


def test_points_per_independent_is_one_for_white_residuals():
    rng = np.random.default_rng(12)
    found = [points_per_independent(rng.normal(size=500)) for _ in range(50)]
    assert min(found) >= 1
    assert np.mean(found) < 1.05
    assert points_per_independent(np.zeros(50)) == 1
    # Residuals that alternate are not worth more than independent ones.
    assert points_per_independent(np.tile([1.0, -1.0], 100)) == 1


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
def test_points_per_independent_of_a_known_sequence(share):
    # First-order autoregression: the sum of autocorrelations is (1 + a)/(1 - a).
    rng = np.random.default_rng(13)
    kicks = np.sqrt(1 - share**2) * rng.normal(size=20_000)
    row = np.zeros_like(kicks)
    for i in range(1, len(row)):
        row[i] = share * row[i - 1] + kicks[i]
    assert points_per_independent(row) == pytest.approx((1 + share) / (1 - share), rel=0.15)


def test_one_wild_residual_does_not_decide_how_many_are_independent():
    rng = np.random.default_rng(14)
    runs = np.repeat(rng.normal(size=100), 5)
    spiked = runs.copy()
    spiked[250] = 1e4
    assert points_per_independent(spiked) == pytest.approx(points_per_independent(runs), rel=0.2)


def test_what_the_curve_leaves_open_is_not_determined():
    (mode,) = described(SPLINES, [(fit(SPLINES, stiff=0.0), 1)])
    for parameter in mode.parameters:
        # About a uniform distribution over the bounds.
        assert parameter.sd == pytest.approx((parameter.upper - parameter.lower) / np.sqrt(12), rel=0.2)
        assert not parameter.determined


def test_held_parameters_have_no_deviation():
    prior = prior_of(SPLINES, background_slope=0.0, weight_2=0.01)
    (mode,) = described(SPLINES, [(fit(SPLINES, prior=prior), 1)], prior=prior)
    assert mode.parameter("weight_2").sd is None
    assert mode.parameter("weight_2").value == 0.01
    assert mode.parameter("weight_2").determined
    assert not mode.parameter("weight_2").at_bound
    assert "weight_2" not in mode.fitted_names
    assert mode.covariance.shape == (len(mode.fitted_names),) * 2


def test_a_parameter_on_its_bound_is_marked_and_its_band_reaches_inside():
    own = fit(SPLINES, weight_3=0.02, disorder_weight_1=0.0)
    (mode,) = described(SPLINES, [(own, 1)])
    assert [p.name for p in mode.parameters if p.at_bound] == ["weight_3", "disorder_weight_1"]
    assert mode.parameter("weight_3").sd > 0
    bands = mode.bands
    assert (bands.strain_95[0] <= bands.strain).all()
    assert (bands.strain <= bands.strain_95[1]).all()


def test_weights_share_one_and_follow_the_cost():
    fits = [(fit(SPLINES, cost=30.0 + c, weight_1=0.002 + 0.003 * c), 1) for c in (0, 2, 4)]
    found = described(SPLINES, fits)
    weights = [m.weight for m in found]
    assert sum(weights) == pytest.approx(1)
    assert weights[0] > weights[1] > weights[2]
    # The same curvature: a cost higher by 2 makes a factor of e, where the spread is 1.
    middle = [(fit(SPLINES, cost=30.0 + c), 1) for c in (0, 2)]
    weights = [m.weight for m in described(SPLINES, middle)]
    assert weights[0] / weights[1] == pytest.approx(np.e, rel=1e-6)


def test_contraction_keeps_its_sign():
    experiment = replace(
        GAUSSIANS, profile=DepthProfile(strain=DoubleGaussian(sign=-1), disorder=TiedDisorder())
    )
    (mode,) = described(experiment, [(fit(experiment), 1)])
    assert mode.maximum_strain[0] < 0
    assert mode.maximum_strain[0] == pytest.approx(mode.bands.strain.min(), rel=1e-3)
    assert (mode.bands.strain_95[1] <= 0).all()


def test_the_seed_decides_the_bands():
    found = [(fit(SPLINES, stiff=20.0), 1)]
    a, b, c = (described(SPLINES, found, seed=s)[0].bands.strain_95 for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_the_meaning_of_the_bands_states_their_number_of_draws():
    assert f"({module.BAND_DRAWS} draws)" in module.BAND_MEANING


# Free-form refinement ---------------------------------------------------------------------------------------


def test_splines_of_the_sample_keep_their_ranges_and_others_give_way():
    found = spline_experiment(SPLINES, 9).profile
    assert found.strain == replace(SPLINES.profile.strain, number=9)
    assert found.disorder == replace(SPLINES.profile.disorder, number=9)
    found = spline_experiment(GAUSSIANS, 5).profile
    assert found.strain == CubicBSpline(number=5)
    assert found.disorder == CubicBSpline(number=5, quantity="debye_waller")


def test_a_profile_is_carried_over_into_splines_of_ranges_of_their_own():
    profile = DepthProfile(
        strain=CubicBSpline(number=4, depth_range=(4000.0, 7000.0)),
        disorder=CubicBSpline(number=4, quantity="debye_waller", depth_range=(500.0, 2000.0)),
    )
    free = spline_experiment(replace(GAUSSIANS, profile=profile), 12)
    prior = prior_of(free)
    source = fit(GAUSSIANS, Dmax1=0.01, D01=0.004, L1=5000.0, Rp1=3000.0, D02=0.003, L2=2500.0, Rp2=-500.0)
    values = spline_start(GAUSSIANS, source.values, prior)
    lower = np.array([s.lower for s in prior.parameters])
    upper = np.array([s.upper for s in prior.parameters])
    assert ((lower <= values) & (values <= upper)).all()
    depth = np.linspace(0, 5000, 50)[None]
    want = GAUSSIANS.profile.evaluate(depth, source.values[None, GAUSSIANS.slices["profile"]])[0]
    have = free.profile.evaluate(depth, values[None, free.slices["profile"]])[0]
    np.testing.assert_allclose(have, want, atol=4e-4)
