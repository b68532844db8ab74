"""What is reported of a posterior: bands, deviations, quantiles, weights."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from strainscope.crystal import builtin_crystal, reflection
from strainscope.diffraction import stack_from_reflections
from strainscope.experiment import Experiment
from strainscope.instrument import Gaussian
from strainscope.inversion.describe import describe
from strainscope.inversion.posterior import ModePosterior
from strainscope.inversion.refine import Fit
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


def problem_of(experiment, **held):
    prior = Prior(parameters=experiment.parameters, constraints=experiment.constraints, held=held)
    # Counting noise by itself is a half of what is granted.
    plain = SimpleNamespace(residuals=lambda model: (np.full(len(model), 2.0), None))
    likelihood = SimpleNamespace(intensity=np.full(POINTS, 100.0))
    return SimpleNamespace(
        granting=lambda error: SimpleNamespace(measurements=(SimpleNamespace(likelihood=plain),)),
        model=SimpleNamespace(experiment=experiment),
        prior=prior,
        likelihood=likelihood,
        measurements=(SimpleNamespace(likelihood=likelihood),),
        split=lambda points: (points,),
    )


def mode_of(problem, *, width=0.05, draws=4000, weight=1.0, share=None, seed=0, **changed):
    """A mode around the middle of the ranges, changed as given, normal of some width in the prior's coordinates."""
    prior = problem.prior
    values = prior.from_unit(np.full(len(prior.names), 0.5))
    for name, value in changed.items():
        values[prior.names.index(name)] = value
    unit = prior.to_unit(values)
    rng = np.random.default_rng(seed)
    middle = ndtri(np.clip(unit[prior.free], 1e-3, 1 - 1e-3))
    z = middle + width * rng.standard_normal((draws, len(prior.free)))
    drawn = np.broadcast_to(unit, (draws, len(unit))).copy()
    drawn[:, prior.free] = ndtr(z)
    fit = Fit(
        values=values,
        unit=unit,
        cost=60.0,
        chi2=55.0,
        residuals=np.zeros(POINTS),
        model=np.full(POINTS, 100.0),
        evaluations=5,
    )
    share = np.full(draws, 1 / draws) if share is None else share
    return ModePosterior(
        fit=fit,
        starts=3,
        z=z,
        values=prior.from_unit(drawn),
        share=share,
        weight=weight,
        effective=float(1 / (share**2).sum()),
        pareto=0.2,
    )


def described(problem, *modes, seed=0):
    return describe(problem, modes, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("experiment", [GAUSSIANS, SPLINES], ids=["gaussians", "splines"])
@pytest.mark.parametrize("width", [1.0, 0.2, 0.01])
def test_bands_hold_the_best_profile_and_obey_the_bounds(experiment, width):
    problem = problem_of(experiment)
    (mode,) = described(problem, mode_of(problem, width=width))
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


def test_deviation_and_quantiles_are_those_of_the_draws():
    problem = problem_of(SPLINES)
    own = mode_of(problem, width=0.1)
    (mode,) = described(problem, own)
    for i, parameter in enumerate(mode.parameters):
        column = own.values[:, i]
        assert parameter.sd == pytest.approx(column.std())
        assert parameter.mean == pytest.approx(column.mean())
        assert parameter.median == pytest.approx(np.median(column), abs=0.05 * column.std())
        ends = np.quantile(column, [0.05, 0.95])
        np.testing.assert_allclose(parameter.interval_90, ends, atol=0.05 * column.std())
        assert parameter.determined
    np.testing.assert_allclose(np.sqrt(np.diag(mode.covariance)), [p.sd for p in mode.parameters], rtol=0.01)


def test_the_misfit_by_counting_noise_alone_is_told():
    problem = problem_of(SPLINES)
    (mode,) = described(problem, mode_of(problem))
    degrees = POINTS - len(problem.prior.free)
    assert mode.counting_chi2 == pytest.approx(4 * POINTS / degrees)
    assert mode.scans[0].counting_chi2 == pytest.approx(mode.counting_chi2)


def test_a_single_draw_has_no_deviation():
    (mode,) = described(problem_of(SPLINES), mode_of(problem_of(SPLINES), draws=1))
    assert (mode.covariance == 0).all()
    assert {parameter.sd for parameter in mode.parameters} == {0.0}


def test_draws_count_by_their_weights():
    problem = problem_of(SPLINES)
    own = mode_of(problem, width=0.3)
    column = problem.prior.names.index("weight_2")
    share = (own.values[:, column] > own.fit.values[column]).astype(float)
    (mode,) = described(problem, replace(own, share=share / share.sum()))
    parameter = mode.parameter("weight_2")
    assert parameter.interval_90[0] > own.fit.values[column]
    assert parameter.mean > own.fit.values[column] + 0.5 * parameter.sd
    (plain,) = described(problem, own)
    assert (mode.bands.strain_68[0] - plain.bands.strain_68[0]).max() > 0.3 * parameter.sd


def test_what_the_curve_leaves_open_is_not_determined():
    problem = problem_of(SPLINES)
    (mode,) = described(problem, mode_of(problem, width=1.0))
    for parameter in mode.parameters:
        # About a uniform distribution over the bounds.
        assert parameter.sd == pytest.approx((parameter.upper - parameter.lower) / np.sqrt(12), rel=0.1)
        assert not parameter.determined
    (mode,) = described(problem, mode_of(problem, width=0.6))
    assert all(parameter.determined for parameter in mode.parameters)


def test_a_posterior_on_the_other_bound_than_its_best_value_says_which():
    problem = problem_of(SPLINES)
    own = mode_of(problem, width=0.1, weight_2=0.004)
    column = problem.prior.names.index("weight_2")
    place = problem.prior.free.tolist().index(column)
    z, values = own.z.copy(), own.values.copy()
    z[: len(z) // 3, place], values[: len(z) // 3, column] = 3.0, problem.prior.parameters[column].upper
    (mode,) = described(problem, replace(own, z=z, values=values))
    assert mode.parameter("weight_2").bound == "upper"
    assert mode.parameter("weight_1").bound == ""


def test_held_parameters_have_no_deviation():
    problem = problem_of(SPLINES, background_slope=0.0, weight_2=0.01)
    (mode,) = described(problem, mode_of(problem, weight_2=0.01))
    held = mode.parameter("weight_2")
    assert (held.sd, held.mean, held.median, held.interval_90) == (None,) * 4
    assert held.value == 0.01
    assert held.determined
    assert not held.at_bound
    assert "weight_2" not in mode.fitted_names
    assert mode.covariance.shape == (len(mode.fitted_names),) * 2


def test_a_parameter_on_its_bound_is_marked_and_its_band_reaches_inside():
    problem = problem_of(SPLINES)
    (mode,) = described(problem, mode_of(problem, weight_3=0.02, disorder_weight_1=0.0))
    bounds = {p.name: p.bound for p in mode.parameters if p.at_bound}
    assert bounds == {"weight_3": "upper", "disorder_weight_1": "lower"}
    assert mode.parameter("weight_3").sd > 0
    bands = mode.bands
    assert (bands.strain_95[0] <= bands.strain).all()
    assert (bands.strain <= bands.strain_95[1]).all()


def test_weights_and_what_is_known_of_the_draws_are_passed_on():
    problem = problem_of(SPLINES)
    own = [mode_of(problem, weight=w, weight_1=0.002 + 0.01 * w) for w in (0.7, 0.3)]
    first, second = described(problem, *own)
    assert (first.weight, second.weight) == (0.7, 0.3)
    assert first.effective_draws == pytest.approx(4000)
    assert first.pareto_k == 0.2
    assert first.starts == 3
    assert first.chi2 == 55.0
    # All modes on the same depths.
    np.testing.assert_array_equal(first.bands.depth, second.bands.depth)


def test_contraction_keeps_its_sign():
    profile = DepthProfile(strain=DoubleGaussian(sign=-1), disorder=TiedDisorder())
    problem = problem_of(replace(GAUSSIANS, profile=profile))
    (mode,) = described(problem, mode_of(problem))
    assert mode.maximum_strain[0] < 0
    assert mode.maximum_strain[0] == pytest.approx(mode.bands.strain.min(), rel=1e-3)
    assert (mode.bands.strain_95[1] <= 0).all()


def test_the_seed_decides_the_bands():
    problem = problem_of(SPLINES)
    own = mode_of(problem, width=0.3)
    a, b, c = (described(problem, own, seed=s)[0].bands.strain_95 for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_says_below_which_depth_the_curve_says_nothing():
    problem = problem_of(SPLINES, depth=8000.0, disorder_depth=8000.0)
    free = [problem.prior.names[i] for i in problem.prior.free]
    shallow = [name.endswith(("weight_1", "weight_2")) for name in free]

    def known_to(width):
        mode = mode_of(problem, width=width, share=None)
        return describe(problem, [mode], rng=np.random.default_rng(0))[0].known_to

    assert known_to(np.full(len(free), 0.05)) is None
    assert known_to(np.full(len(free), 1.0)) == 0.0
    # The weights are independent: where the shallow ones' splines make half of the variance of all.
    depth = np.linspace(0, 8000, 8001)
    values = np.concatenate([[8000.0], np.full(4, 0.01)])
    parts = SPLINES.profile.strain.gradient(depth, values)[:, 1:] ** 2
    expected = depth[np.flatnonzero(parts[:, :2].sum(axis=1) > 0.5 * parts.sum(axis=1))[-1]]
    assert known_to(np.where(shallow, 0.05, 1.0)) == pytest.approx(expected, abs=150)
