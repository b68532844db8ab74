"""What counting leaves by chance where the model is right."""

from dataclasses import replace

import numpy as np
import pytest

from strainscope.inversion.chance import deviance_moments, misfit_chance, squares_by_chance
from strainscope.inversion.problem import prepare
from strainscope.inversion.refine import Fit
from strainscope.inversion.spread import noise_spread
from strainscope.sample import load_sample


@pytest.mark.parametrize("expected", [0.05, 0.3, 1.5, 8.0, 1e5])
def test_moments_are_those_of_drawn_counts(expected):
    rng = np.random.default_rng(0)
    counts = rng.poisson(expected, 400_000).astype(float)
    deviance = 2 * (counts * np.log(np.maximum(counts, 1) / expected) - (counts - expected))
    mean, variance = deviance_moments(np.array([expected]))
    assert mean[0] == pytest.approx(deviance.mean(), rel=0.01)
    assert variance[0] == pytest.approx(deviance.var(), rel=0.03)


@pytest.fixture(scope="module")
def weak():
    """A scan whose points are all but the peak's of about one count, and what is expected there."""
    sample = load_sample("ggg444")
    values = sample.simulated_values({"Dmax1": 0.004, "log10_background": 0.0}, counts=2000)
    scan, made = sample.simulate(values, counts=2000, seed=0, step=2.0, span=(-3000, 3000))
    problem = prepare(
        scan, sample.experiment(), bounds=sample.bounds(), held=sample.held(), start=sample.start(), model_error=0.0
    )
    truth = np.array([made[name] for name in problem.prior.names])
    return problem, problem.residuals_with_jacobian(truth)[2]


def fit_of(problem, expected, counts):
    own = problem.measurements[0]
    drawn = replace(own, likelihood=replace(own.likelihood, intensity=counts))
    problem = replace(problem, measurements=(drawn,))
    residuals = drawn.likelihood.residuals(expected)[0]
    chi2, none = float(residuals @ residuals), np.empty(0)
    return problem, Fit(
        values=none, unit=none, cost=chi2, chi2=chi2, residuals=residuals, model=expected, evaluations=0
    )


def test_the_chance_of_the_truth_s_misfit_is_even_at_a_count_a_point(weak):
    problem, expected = weak
    assert np.median(expected) < 2
    # Nothing was fitted here.
    problem = replace(problem, prior=replace(problem.prior, held=dict.fromkeys(problem.prior.names[1:], 0.0)))
    rng = np.random.default_rng(1)
    fits = [fit_of(problem, expected, rng.poisson(expected).astype(float)) for _ in range(400)]
    chance = np.array([misfit_chance(*fit) for fit in fits])
    assert abs(chance.mean() - 0.5) < 4 / np.sqrt(12 * 400)
    assert (chance < 0.1).mean() == pytest.approx(0.1, abs=0.06)
    # So few counts leave more than a normal distribution would: that widens nothing.
    assert np.mean([fit.chi2 for _, fit in fits]) > 1.08 * len(expected)
    assert np.mean([noise_spread(*fit)[0] == 1 for fit in fits]) > 0.97


def test_with_a_model_error_squares_are_taken_for_those_of_normal_noise(weak):
    problem, expected = weak
    granted, fit = fit_of(problem.granting(0.05), expected, expected)
    assert misfit_chance(granted, fit) == pytest.approx(1.0)
    assert misfit_chance(*fit_of(granted, expected, 2 * expected + 5)) < 1e-6
    mean, variance = squares_by_chance(granted, expected)
    assert (mean == 1).all()
    assert (variance == 2).all()
