"""Ways into the bulk of a posterior, on a small simulated scan."""

import numpy as np
import pytest

from strainscope.inversion.entries import entries
from strainscope.inversion.levels import Levels
from strainscope.inversion.problem import prepare
from strainscope.inversion.target import Target, log_density
from strainscope.sample import load_sample

PROFILE = {"Dmax1": 0.012, "D01": 0.004, "L1": 3000.0, "Rp1": 1800.0, "D02": 0.002, "L2": 1500.0, "Rp2": -500.0}
COUNTS = 1e6


@pytest.fixture(scope="module")
def problem_and_truth():
    sample = load_sample("ggg444")
    values = sample.simulated_values(PROFILE, counts=COUNTS)
    scan, values = sample.simulate(values, counts=COUNTS, seed=1, step=8.0)
    problem = prepare(
        scan,
        sample.experiment(),
        bounds=sample.bounds(),
        held=sample.held(),
        start=sample.start(),
        model_error=0.0,
    )
    names = list(problem.prior.names)
    truth = problem.base.copy()
    for name, value in values.items():
        if name in names and names.index(name) in problem.prior.free:
            truth[names.index(name)] = value
    return problem, truth


def misfit(target, z):
    return -2 * log_density(z, target.residuals(z))


def test_places_near_the_truth_come_in_and_keep_apart(problem_and_truth):
    problem, truth = problem_and_truth
    target = Target(problem)
    peak = target.climb(target.place(truth[None])[0])
    rng = np.random.default_rng(0)
    near = target.values(peak + 0.05 * rng.standard_normal((6, target.dimension)))
    found = entries(Levels(problem), near, peak[None])
    assert len(found) >= 3
    enough = misfit(target, peak[None])[0] + 2 * target.dimension
    assert (misfit(target, found) <= enough).all()
    # They are no maxima: a descent would have brought all to one place.
    assert np.ptp(found, axis=0).max() > 0.05


def test_what_does_not_come_near_is_dropped(problem_and_truth):
    problem, truth = problem_and_truth
    target = Target(problem)
    peak = target.climb(target.place(truth[None])[0])
    far = peak.copy()
    far[:3] += 3.0
    assert len(entries(Levels(problem), target.values(far[None]), peak[None])) == 0


def test_model_errors_fall_to_the_own_one_and_stop_where_counts_hide_them(problem_and_truth):
    problem, _ = problem_and_truth
    errors = problem.model_errors()
    assert errors[-1] == 0.0
    assert list(errors) == sorted(errors, reverse=True)
    # A relative error of 1/√N is no more than the noise of the highest point.
    assert min(errors[:-1]) > 1 / np.sqrt(problem.measurements[0].scan.intensity.max())
    assert problem.granting(0.07).model_errors() == (0.07,)
