"""Searches put together, on a small simulated scan."""

from dataclasses import replace

import numpy as np
import pytest

from strainscope.inversion.levels import Levels
from strainscope.inversion.problem import prepare
from strainscope.inversion.refine import Fit
from strainscope.inversion.settings import SearchSettings
from strainscope.inversion.solutions import (
    Descended,
    explains,
    missing_mass,
    refine_all,
    starts_of_weight,
    together,
)
from strainscope.inversion.target import Target
from strainscope.sample import load_sample

PROFILE = {"Dmax1": 0.012, "D01": 0.004, "L1": 3000.0, "Rp1": 1800.0, "D02": 0.002, "L2": 1500.0, "Rp2": -500.0}
COUNTS = 1e5


@pytest.fixture(scope="module")
def problem_and_searches():
    """A search from beside the truth, and one from a profile half as strained, of two starts and one."""
    sample = load_sample("ggg444")
    values = sample.simulated_values(PROFILE, counts=COUNTS)
    scan, values = sample.simulate(values, counts=COUNTS, seed=1, step=8.0)
    problem = prepare(
        scan, sample.experiment(), bounds=sample.bounds(), held=sample.held(), start=sample.start(), model_error=0.0
    )
    names = list(problem.prior.names)
    truth = problem.base.copy()
    for name, value in values.items():
        if name in names and names.index(name) in problem.prior.free:
            truth[names.index(name)] = value
    wrong = truth.copy()
    wrong[names.index("Dmax1")] *= 0.5
    settings = SearchSettings(model_error=0.0)
    right = refine_all(Levels(problem), np.array([truth, truth]), settings)
    other = refine_all(Levels(problem), wrong[None], SearchSettings(model_error=0.0, coarse_steps=1, steps=1))
    return problem, right, other


def test_starts_of_the_same_solution_add_up(problem_and_searches):
    problem, right, _ = problem_and_searches
    both = together(Target(problem), [right, right])
    assert len(both.fits) == 1
    assert both.fits[0][1] == 2 * right.fits[0][1]
    assert len(both.peaks) == len(right.peaks)
    assert both.evaluations == 2 * right.evaluations


def test_the_best_of_all_searches_leads_whatever_their_order(problem_and_searches):
    problem, right, other = problem_and_searches
    assert not explains(problem, other)
    for found in ([right, other], [other, right]):
        both = together(Target(problem), found)
        assert explains(problem, both)
        assert both.fits[0][0].cost == right.fits[0][0].cost
        # What lies far above is no part of the posterior.
        assert both.misfits.max() <= right.misfits.min() + 40


@pytest.mark.parametrize(
    ("found", "share"),
    [
        ([(100.0, 1)], 1.0),
        ([(100.0, 2)], 0.0),
        ([(100.0, 6), (103.0, 1), (104.0, 1), (109.0, 2)], 0.2),
        # What explains the scan much worse says nothing.
        ([(100.0, 4), (111.0, 1), (130.0, 1)], 0.0),
    ],
)
def test_starts_that_end_alone_tell_of_solutions_unknown_as_yet(found, share):
    none = np.empty(0)
    fits = [
        (Fit(values=none, unit=none, cost=cost, chi2=cost, residuals=none, model=none, evaluations=0), starts)
        for cost, starts in found
    ]
    descended = Descended(fits=fits, peaks=np.empty((0, 1)), misfits=none, spread=1.0, evaluations=0)
    assert missing_mass(descended) == pytest.approx(share)
    assert starts_of_weight(descended).sum() == sum(starts for cost, starts in found if cost <= found[0][0] + 10)
    # Where the noise is ten times the assumed one, solutions ten times as far above the best may have weight.
    wide = [(replace(fit, cost=100 + 10 * (fit.cost - 100)), starts) for fit, starts in fits]
    assert missing_mass(replace(descended, fits=wide, spread=10.0)) == pytest.approx(share)
