"""Ways into the arms of a posterior, on a small simulated scan."""

import numpy as np
import pytest

from strainscope.inversion.arms import arms
from strainscope.inversion.levels import Levels
from strainscope.inversion.problem import prepare
from strainscope.inversion.target import Target, log_density
from strainscope.sample import load_sample

# The second Gaussian lies beyond the surface, and is hardly seen.
PROFILE = {"Dmax1": 0.012, "D01": 0.004, "L1": 3000.0, "Rp1": 1800.0, "D02": 0.0005, "L2": 600.0, "Rp2": -4500.0}
COUNTS = 1e5


@pytest.fixture(scope="module")
def known():
    sample = load_sample("ggg444")
    values = sample.simulated_values(PROFILE, counts=COUNTS)
    values.update(log10_background=1.0, diffuse_amplitude=1e-4)
    scan, values = sample.simulate(values, counts=COUNTS, seed=1, step=8.0)
    problem = prepare(
        scan,
        sample.experiment(),
        bounds={**sample.bounds(), "log10_background": (-1.0, 3.0)},
        held=sample.held(),
        start=sample.start(),
        model_error=0.0,
    )
    names = list(problem.prior.names)
    truth = problem.base.copy()
    for name, value in PROFILE.items():
        truth[names.index(name)] = value
    target = Target(problem)
    peak = target.climb(target.place(truth[None])[0])
    return problem, target, peak, arms(Levels(problem), peak[None])


def misfit(target, z):
    return -2 * log_density(z, target.residuals(z))


def free_names(target):
    return [target.problem.prior.names[k] for k in target.problem.prior.free]


def test_all_lie_inside_the_bulk(known):
    _, target, peak, found = known
    assert len(found) >= 3
    assert (misfit(target, found) <= misfit(target, peak[None])[0] + 2 * target.dimension + 1e-6).all()


def test_a_gaussian_that_is_not_seen_is_followed_to_both_ends(known):
    _, target, _, found = known
    middle = found[:, free_names(target).index("Rp2")]
    assert middle.min() < -1.5
    assert middle.max() > 1.5


def test_what_the_curve_determines_is_not_held_elsewhere(known):
    _, target, peak, found = known
    for name in ("offset_arcsec", "log10_scale", "fwhm_arcsec"):
        k = free_names(target).index(name)
        assert np.abs(found[:, k] - peak[k]).max() < 0.3


def test_diffuse_scattering_stands_for_background(known):
    problem, target, peak, found = known
    background = problem.prior.names.index("log10_background")
    best = target.values(peak[None])[0, background]
    assert target.values(found)[:, background].min() < best - 0.25
