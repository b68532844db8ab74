"""Proposals around places of the posterior, on a small simulated scan."""

import numpy as np
import pytest

from strainscope.inversion import centres
from strainscope.inversion.centres import Centres
from strainscope.inversion.problem import prepare
from strainscope.inversion.target import Described, Target
from strainscope.sample import load_sample

PROFILE = {"Dmax1": 0.012, "D01": 0.004, "L1": 3000.0, "Rp1": 1800.0, "D02": 0.002, "L2": 1500.0, "Rp2": -500.0}
COUNTS = 1e6


@pytest.fixture(scope="module")
def at_the_maximum():
    sample = load_sample("ggg444")
    values = sample.simulated_values(PROFILE, counts=COUNTS)
    scan, made = sample.simulate(values, counts=COUNTS, seed=1, step=8.0)
    problem = prepare(
        scan, sample.experiment(), bounds=sample.bounds(), held=sample.held(), start=sample.start(), model_error=0.0
    )
    truth = np.array([made[name] for name in problem.prior.names])
    target = Target(problem)
    peak = target.climb(target.place(truth[None])[0])
    features = target.features(peak)
    return Centres(target, features, peak[None]), features


def test_places_that_were_found_are_where_the_straight_coordinates_are_as_wanted(at_the_maximum):
    around, features = at_the_maximum
    goal = np.random.default_rng(0).standard_normal((200, around.place.shape[1]))
    z, found = around.solve(np.zeros(200, dtype=np.int64), goal)
    assert found.mean() > 0.5
    straight = around.straight(Described(z[found], features))
    np.testing.assert_allclose(straight, goal[found], atol=2e-3)


def test_goals_that_one_leap_misses_are_followed(at_the_maximum, monkeypatch):
    around, _ = at_the_maximum
    rng = np.random.default_rng(1)
    goal = 1.5 * rng.standard_normal((600, around.place.shape[1]))
    number = []
    for share, iterations in ((2.0, 1), (centres._LEAST_SHARE, centres._FOLLOWED), (1e-5, 2000)):
        monkeypatch.setattr(centres, "_LEAST_SHARE", share)
        monkeypatch.setattr(centres, "_FOLLOWED", iterations)
        number.append(around.solve(np.zeros(600, dtype=np.int64), goal)[1].sum())
    leap, usual, finer = number
    # The density claims all that has a solution.
    assert usual > 1.2 * leap
    assert usual > 0.97 * finer


def test_a_normal_distribution_around_a_place_has_its_integral(at_the_maximum):
    around, features = at_the_maximum
    each = 4000
    z, _ = around.draw(each, rng=np.random.default_rng(2))
    v = around.start[0] + (z - around.place[0]) @ around.triangle[0].T
    log_normal = -0.5 * (v**2).sum(axis=1) - 0.5 * z.shape[1] * np.log(2 * np.pi)
    log_normal += np.log(np.abs(np.diag(around.triangle[0]))).sum()
    weight = np.exp(log_normal - around.log_density(Described(z, features)))
    error = weight.std() / np.sqrt(each)
    assert weight.sum() / each == pytest.approx(1.0, abs=3.5 * error)
    assert error < 0.05
