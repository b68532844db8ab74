"""How far residuals exceed the noise, and how many points stand for one independent one."""

import numpy as np
import pytest

from strainscope.inversion.spread import points_per_independent, spread_of


def spread(residuals, free=10):
    degrees = len(residuals) - free
    return spread_of(residuals, float(residuals @ residuals), degrees, 2 * degrees)


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


def test_noise_within_chance_does_not_widen():
    rng = np.random.default_rng(15)
    found = [spread(rng.normal(size=400)) for _ in range(100)]
    assert np.mean(np.array(found) == 1) > 0.9
    assert np.mean(found) < 1.02
    # Less than the noise that was assumed does not narrow.
    assert spread(0.2 * rng.normal(size=400)) == 1


def test_residuals_beyond_the_noise_widen_by_their_excess():
    rng = np.random.default_rng(16)
    residuals = 2 * rng.normal(size=2000)
    assert spread(residuals) == pytest.approx(4, rel=0.15)


def test_alike_neighbours_widen():
    rng = np.random.default_rng(17)
    runs = np.repeat(rng.normal(size=200), 4)
    assert spread(runs) == pytest.approx(points_per_independent(runs), rel=0.05)
    assert spread(runs) > 2.5
