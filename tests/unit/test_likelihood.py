"""Residuals: of unit variance for counts few and many, with exact derivatives, and none that breaks."""

import numpy as np
import pytest
from scipy import stats

from strainscope.inversion.likelihood import Likelihood, likelihood_of, rms_log10
from strainscope.scan import Scan

DRAWS = 40_000


def likelihood(intensity, *, sigma=None, counts_per_unit=1.0, model_error=0.05):
    return Likelihood(
        intensity=np.asarray(intensity, dtype=np.float64),
        sigma=None if sigma is None else np.asarray(sigma, dtype=np.float64),
        counts_per_unit=counts_per_unit,
        model_error=model_error,
        description="",
    )


def residuals(counts, expected, **settings):
    own = likelihood(counts, **settings)
    return own.residuals(np.full(own.intensity.shape, float(expected)))[0]


@pytest.mark.parametrize("expected", [3.0, 10.0, 100.0, 1e4, 1e6])
def test_residuals_of_counts_have_unit_variance(expected):
    rng = np.random.default_rng(20)
    found = residuals(rng.poisson(expected, DRAWS), expected, model_error=1e-6)
    # Anscombe's root is unbiased to 1/(4 √N), and its variance 1 to 1/(16 N²): a few per cent at 3 counts.
    assert abs(found.mean()) < 4.5 / np.sqrt(DRAWS) + 0.25 / np.sqrt(expected)
    assert found.var() == pytest.approx(1.0, abs=4.5 * np.sqrt(2 / DRAWS) + 0.3 / expected**1.5)


@pytest.mark.parametrize("expected", [0.5, 1.0, 2.0])
def test_residuals_of_few_counts_are_never_overweighted(expected):
    # Below some three counts no transform keeps the variance; too small a one is on the safe side.
    rng = np.random.default_rng(21)
    found = residuals(rng.poisson(expected, DRAWS), expected, model_error=1e-6)
    assert abs(found.mean()) < 0.25
    assert 0.4 < found.var() < 1.08


@pytest.mark.parametrize("expected", [0.5, 3.0, 30.0, 400.0, 1e4, 1e6])
def test_model_error_is_granted_on_top_of_the_counting_noise(expected):
    rng = np.random.default_rng(22)
    error = 0.07
    true = expected * rng.gamma(1 / error**2, error**2, DRAWS)
    found = residuals(rng.poisson(true), expected, model_error=error)
    assert abs(found.mean()) < 0.25
    # A third moment of order f: 7 % of the variance at most.
    allowed = (0.4, 1.1) if expected < 3 else (0.9, 1.1)
    assert allowed[0] < found.var() < allowed[1]
    if expected >= 400:
        # Without it the same residuals would be several deviations wide.
        bare = residuals(rng.poisson(true), expected, model_error=1e-6)
        assert bare.var() > 2


def test_without_a_model_error_the_likelihood_is_poisson_s():
    counts = np.array([0.0, 0.0, 1.0, 7.0, 300.0, 1e5, 4e7])
    one, other = np.array([0.2, 3.0, 1.4, 6.0, 310.0, 0.99e5, 4e7]), counts + 0.5
    own = likelihood(counts, model_error=0.0)
    found = 0.5 * (own.residuals(one)[0] ** 2 - own.residuals(other)[0] ** 2)
    expected = stats.poisson.logpmf(counts, other) - stats.poisson.logpmf(counts, one)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7)
    # For many models at once, too.
    both, slopes = own.residuals(np.stack([one, other]))
    np.testing.assert_array_equal(both[1], own.residuals(other)[0])
    assert slopes.shape == both.shape


def test_counts_per_unit_scales_the_noise():
    # The same counts in two units: the same residuals, and derivatives in proportion.
    counts, expected = np.array([0.0, 4.0, 90.0, 1.2e4]), np.array([1.0, 5.0, 70.0, 1.3e4])
    own, slope = likelihood(counts).residuals(expected)
    scaled, scaled_slope = likelihood(counts / 2500, counts_per_unit=2500).residuals(expected / 2500)
    np.testing.assert_allclose(scaled, own, rtol=1e-12)
    np.testing.assert_allclose(scaled_slope, 2500 * slope, rtol=1e-12)


def test_many_counts_are_compared_as_logarithms_and_few_as_roots():
    found = residuals([2e9, 1e9], 1e9, model_error=0.05)
    np.testing.assert_allclose(found, [np.log(2) / 0.05, 0.0], rtol=1e-6, atol=1e-9)
    found = residuals([9.0], 4.0, model_error=1e-6)
    np.testing.assert_allclose(found, [2 * (np.sqrt(9.375) - np.sqrt(4.375))], rtol=1e-6)


@pytest.mark.parametrize("sigma", [None, 3.0])
@pytest.mark.parametrize("model_error", [0.0, 1e-3, 0.05, 0.3])
def test_derivative_is_the_finite_difference(sigma, model_error):
    measured = np.array([0.0, 0.0, 1.0, 7.0, 300.0, 1e5])
    model = np.array([0.2, 30.0, 1.4, 6.0, 410.0, 0.9e5])
    own = likelihood(
        measured,
        sigma=None if sigma is None else np.full(6, sigma),
        counts_per_unit=1.7,
        model_error=model_error,
    )
    slope = own.residuals(model)[1]
    step = 1e-5 * model
    difference = (own.residuals(model + step)[0] - own.residuals(model - step)[0]) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=1e-6)
    assert (slope < 0).all()


@pytest.mark.parametrize("model_error", [0.0, 0.05])
@pytest.mark.parametrize("sigma", [None, np.ones(4)])
def test_zeros_on_either_side_are_finite(sigma, model_error):
    own = likelihood([0.0, 0.0, 5.0, 5.0], sigma=sigma, model_error=model_error)
    found, slope = own.residuals(np.array([0.0, 3.0, 1e-12, 5.0]))
    assert np.isfinite(found).all()
    assert np.isfinite(slope).all()
    # Without a model error a model of nought counts as the least that is expected anywhere.
    assert found[0] == pytest.approx(0.0 if model_error else -np.sqrt(2e-3))
    assert found[1] < 0
    assert found[2] > 0
    assert found[3] == 0


def test_a_sigma_column_sets_the_width():
    rng = np.random.default_rng(23)
    true = np.geomspace(10, 1e6, DRAWS)
    sigma = 0.03 * true
    measured = true + sigma * rng.normal(size=DRAWS)
    found = likelihood(measured, sigma=sigma, model_error=1e-6).residuals(true)[0]
    assert found.var() == pytest.approx(1.0, rel=0.03)
    # Both errors add as squares: 3 % and 4 % make 5 %.
    measured = true * np.exp(0.05 * rng.normal(size=DRAWS))
    found = likelihood(measured, sigma=0.03 * measured, model_error=0.04).residuals(true)[0]
    assert found.var() == pytest.approx(1.0, rel=0.03)


def test_zero_intensity_with_sigma_has_the_unit_of_the_others():
    zero = likelihood([0.0], sigma=[2.0], model_error=0.07).residuals(np.array([5.0]))
    plain = likelihood([0.0], model_error=0.07).residuals(np.array([5.0]))
    np.testing.assert_allclose(zero, plain)


def test_a_scan_with_sigma_means_the_same_in_any_unit():
    counts = np.random.default_rng(3).poisson(np.geomspace(2, 1e5, 60)).astype(np.float64)
    sigma = np.sqrt(np.maximum(counts, 1))
    raw = likelihood_of(scan(counts, sigma=sigma), 0.07)
    scaled = likelihood_of(scan(counts / 1e5, kind="normalised", sigma=sigma / 1e5), 0.07)
    assert scaled.counts_per_unit == pytest.approx(1e5 * raw.counts_per_unit)
    np.testing.assert_allclose(
        scaled.residuals(1.1 * counts / 1e5)[0], raw.residuals(1.1 * counts)[0], rtol=1e-9, atol=1e-9
    )


def scan(intensity, *, kind="counts", sigma=None):
    return Scan(
        angle=np.linspace(-1000, 500, len(intensity)),
        intensity=np.asarray(intensity, dtype=np.float64),
        sigma=sigma,
        axis="delta-theta-arcsec",
        intensity_kind=kind,
        name="test",
    )


def curve():
    x = np.linspace(-1000, 500, 400)
    return 20 + 5e4 * np.exp(-((x / 60) ** 2)) + 600 * np.exp(-(((x + 500) / 300) ** 2))


def test_counts_are_taken_as_they_are():
    own = likelihood_of(scan(np.rint(curve())), 0.03)
    assert own.counts_per_unit == 1.0
    assert own.sigma is None
    assert own.model_error == 0.03
    assert own.description.startswith("counting statistics of the raw counts, a model error of 3 %")


def test_normalised_counts_are_estimated():
    noisy = np.random.default_rng(24).poisson(curve()) * 1.93e-5
    own = likelihood_of(scan(noisy, kind="normalised"), 0.05)
    assert own.counts_per_unit == pytest.approx(1 / 1.93e-5, rel=0.3)
    assert "estimated from the scatter of neighbouring points" in own.description


def test_a_curve_without_noise_is_granted_many_counts():
    own = likelihood_of(scan(curve() / 5e4, kind="normalised"), 0.05)
    assert own.counts_per_unit * own.intensity.max() == pytest.approx(1e9)
    assert own.description.startswith("no counting noise is seen")


def test_standard_deviations_of_the_file_come_first():
    own = likelihood_of(scan(np.rint(curve()), sigma=np.sqrt(curve())), 0.05)
    assert own.sigma is not None
    np.testing.assert_array_equal(own.sigma, np.sqrt(curve()))
    assert own.description.startswith("the standard deviations of the file")


def test_rms_log10():
    assert rms_log10(np.array([1.0, 10.0, 100.0]), np.array([10.0, 10.0, 100.0])) == pytest.approx(3**-0.5)
    # Points measured as zero do not count, and a model of zero is finite.
    assert rms_log10(np.array([0.0, 10.0]), np.array([5.0, 1.0])) == pytest.approx(1.0)
    assert np.isfinite(rms_log10(np.array([1.0]), np.array([0.0])))
