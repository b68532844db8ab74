"""Counting statistics: drawn counts have the Poisson distribution's moments and deviance."""

import numpy as np
import pytest

from strainscope.instrument import counts, poisson_deviance, sigma_of_counts

DRAWS = 20_000
EXPECTED = np.array([0.0, 0.05, 1.0, 7.5, 200.0, 1e5, 1e9])


def draw(expected=EXPECTED):
    return counts(np.broadcast_to(expected, (DRAWS, expected.size)), rng=np.random.default_rng(2024))


def test_mean_and_variance_are_the_expectation():
    drawn = draw()
    assert drawn.dtype == np.int64
    standard_error = np.sqrt(EXPECTED / DRAWS)
    assert (abs(drawn.mean(axis=0) - EXPECTED) <= 4.5 * standard_error).all()
    # Variance of the sample variance of a Poisson variable: (μ + 2 μ²)/n to leading order.
    error = np.sqrt((EXPECTED + 2 * EXPECTED**2) / DRAWS)
    assert (abs(drawn.var(axis=0, ddof=1) - EXPECTED) <= 4.5 * error).all()


def test_third_moment_tells_it_from_a_gaussian():
    drawn = draw(np.array([7.5]))[:, 0] - 7.5
    error = np.sqrt(15.0 * 7.5**3 / DRAWS)
    assert abs((drawn**3).mean() - 7.5) < 4.5 * error
    gaussian = np.random.default_rng(1).normal(0, np.sqrt(7.5), DRAWS)
    assert abs((gaussian**3).mean() - 7.5) > 4.5 * error


def test_deviance_is_chi_squared_for_many_counts():
    expected = np.array([200.0, 1e5, 1e9])
    deviance = poisson_deviance(draw(expected), expected)
    # Mean 1 + 1/(6 μ), variance about 2.
    assert (abs(deviance.mean(axis=0) - 1 - 1 / (6 * expected)) < 4.5 * np.sqrt(2 / DRAWS)).all()
    assert deviance.var(axis=0) == pytest.approx(np.full(3, 2.0), rel=0.1)


def test_a_wrong_expectation_shows_in_the_deviance():
    expected = np.array([1e5])
    deviance = poisson_deviance(draw(expected), 1.005 * expected)
    assert deviance.mean() > 1 + 4.5 * np.sqrt(2 / DRAWS)


def test_sigma_covers_as_a_standard_deviation_does():
    drawn = draw(np.array([200.0]))
    inside = abs(drawn - 200) <= sigma_of_counts(drawn)
    assert inside.mean() == pytest.approx(0.683, abs=0.04)


def test_the_same_seed_gives_the_same_counts():
    np.testing.assert_array_equal(draw(), draw())


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_expectations_that_cannot_be_are_refused(bad):
    with pytest.raises(ValueError, match="must be finite and >= 0"):
        counts([1.0, bad], rng=np.random.default_rng(0))
