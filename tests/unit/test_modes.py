"""Distinct solutions: which fits are one, and which of them a profile lies nearest to."""

from dataclasses import replace

import numpy as np
import pytest

from strainscope.crystal import builtin_crystal, reflection
from strainscope.diffraction import stack_from_reflections
from strainscope.experiment import Experiment
from strainscope.instrument import Gaussian
from strainscope.inversion.modes import gather, nearest_fit
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


def fit(experiment, *, cost=60.0, **changed):
    """A fit that ended at the middle of the ranges, changed as given."""
    prior = prior_of(experiment)
    values = prior.from_unit(np.full(len(prior.names), 0.5))
    for name, value in changed.items():
        values[prior.names.index(name)] = value
    return Fit(
        values=values,
        unit=prior.to_unit(values),
        cost=cost,
        chi2=cost,
        residuals=np.zeros(POINTS),
        model=np.full(POINTS, 100.0),
        evaluations=5,
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


def test_order_of_the_fits_does_not_matter():
    fits = [fit(GAUSSIANS, cost=60.0 + i, **(SHARP | {"Dmax1": 0.008 * 1.25 ** (i // 2)})) for i in range(6)]
    assert gathered(GAUSSIANS, fits) == gathered(GAUSSIANS, fits[::-1]) == [(60, 2), (62, 2), (64, 2)]


def test_fits_without_strain_are_one_mode():
    flat = {f"weight_{i}": 0.0 for i in range(1, 5)}
    fits = [fit(SPLINES, **flat), fit(SPLINES, cost=61.0, offset_arcsec=1.0, **flat)]
    assert gathered(SPLINES, fits) == [(60, 2)]


# Nearest ----------------------------------------------------------------------------------------------------


def test_a_profile_is_nearest_to_the_fit_that_it_resembles():
    fits = [fit(GAUSSIANS, **(SHARP | {"Dmax1": d})) for d in (0.010, 0.014)] + [
        fit(GAUSSIANS, K=0.95, **SHARP)
    ]
    near = [fit(GAUSSIANS, **(SHARP | {"Dmax1": d})).values for d in (0.0108, 0.0135)]
    near += [fit(GAUSSIANS, K=0.9, **SHARP).values]
    # What the instrument's parameters are makes no difference.
    near += [fit(GAUSSIANS, offset_arcsec=30.0, fwhm_arcsec=90.0, **SHARP).values]
    assert nearest_fit(GAUSSIANS, fits, np.array(near)).tolist() == [0, 1, 2, 0]
    assert nearest_fit(GAUSSIANS, fits[1:2], np.array(near)).tolist() == [0, 0, 0, 0]


def test_without_strain_the_disorder_decides():
    flat = {f"weight_{i}": 0.0 for i in range(1, 5)}
    disorder = [f"disorder_weight_{i}" for i in range(1, 5)]
    fits = [fit(SPLINES, **flat, **dict.fromkeys(disorder, e)) for e in (0.9, 0.5)]
    near = [fit(SPLINES, **flat, **dict.fromkeys(disorder, e)).values for e in (0.55, 0.85)]
    assert nearest_fit(SPLINES, fits, np.array(near)).tolist() == [1, 0]


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
