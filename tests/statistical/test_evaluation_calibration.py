"""Calibration tests on posteriors that are known: the right one passes; too narrow, too wide or shifted ones fail."""

import numpy as np
import pytest

from strainscope.evaluation.calibration import (
    coverage,
    narrowed,
    posterior_sd,
    rank_test,
    ranks,
    tarp,
    tarp_coverage,
)

NAMES = ("first", "second", "third")
CURVES, DRAWS = 10_000, 200
PRIOR_SD = np.array([1.0, 2.0, 5.0])
NOISE_SD = np.array([0.3, 2.0, 20.0])
# Posterior of a normal prior and one measurement with normal noise.
SD = 1 / np.sqrt(1 / PRIOR_SD**2 + 1 / NOISE_SD**2)
# By chance a p-value falls below it once in ten thousand.
SMALL = 1e-4


@pytest.fixture(scope="module")
def problem():
    """Truths and draws of their exact posteriors."""
    rng = np.random.default_rng(11)
    truth = rng.normal(0, PRIOR_SD, (CURVES, 3))
    measured = truth + rng.normal(0, NOISE_SD, truth.shape)
    mean = SD**2 / NOISE_SD**2 * measured
    return truth, mean[:, None] + rng.normal(0, SD, (CURVES, DRAWS, 3))


def measures(truth, samples, weights=None, seed=5):
    rng = np.random.default_rng(seed)
    rank = ranks(samples, truth, rng=rng, weights=weights)
    distance = tarp(samples, truth, low=-3 * PRIOR_SD, high=3 * PRIOR_SD, rng=rng, weights=weights)
    return rank, distance, coverage(NAMES, rank, distance)


def test_the_exact_posterior_passes_everything(problem):
    truth, samples = problem
    rank, distance, covered = measures(truth, samples)
    assert covered.problems(2.0) == []
    tests = [rank_test(rank[:, i]) for i in range(3)] + [rank_test(distance)]
    assert min(min(test.ks_p, test.chi2_p) for test in tests) > SMALL
    np.testing.assert_allclose(posterior_sd(samples).mean(axis=0), SD, rtol=0.01)


def test_few_draws_leave_coverage_unbiased(problem):
    truth, samples = problem
    assert measures(truth, samples[:, :5])[2].problems(2.0) == []


def test_the_exact_posterior_is_calibrated_among_what_it_says_and_not_among_what_is_true(problem):
    truth, samples = problem
    medians = np.median(samples, axis=1)
    for values, holds in ((medians, True), (truth, False)):
        # The third parameter is hardly determined: most of it is prior.
        highest = values[:, 2] > np.quantile(values[:, 2], 0.75)
        covered = measures(truth[highest], samples[highest])[2]
        assert (covered.problems(6.0) == []) is holds


@pytest.mark.parametrize("factor", [0.5, 1.6], ids=["half the width", "1.6 times the width"])
def test_wrong_widths_fail_every_test(problem, factor):
    truth, samples = problem
    rank, distance, covered = measures(truth, narrowed(samples, factor=factor))
    for level in (0.5, 0.9):
        sign = np.sign(factor - 1)
        assert all(sign * (share - level) > 0.03 for share in covered.of[level].values())
    assert sign * (covered.joint[0.9] - 0.9) > 0.03
    tests = [rank_test(rank[:, i]) for i in range(3)] + [rank_test(distance)]
    assert max(max(test.ks_p, test.chi2_p) for test in tests) < SMALL


def test_half_the_width_covers_what_theory_says(problem):
    truth, samples = problem
    covered = measures(truth, narrowed(samples))[2]
    # P(|x| < 1.6449/2) and P(|x| < 0.6745/2) of a standard normal number.
    for level, expected in ((0.9, 0.5892), (0.5, 0.2641)):
        for share in covered.of[level].values():
            assert share == pytest.approx(expected, abs=0.02)


def test_a_shifted_mean_fails(problem):
    truth, samples = problem
    rank, distance, covered = measures(truth, samples + 0.7 * SD)
    assert len(covered.problems(3.0)) >= 6
    tests = [rank_test(rank[:, i]) for i in range(3)] + [rank_test(distance)]
    assert max(test.ks_p for test in tests) < SMALL


def test_a_small_shift_shows_in_ranks_before_it_shows_in_coverage(problem):
    truth, samples = problem
    rank, _, covered = measures(truth, samples + 0.15 * SD)
    assert covered.problems(3.0) == []
    assert max(rank_test(rank[:, i]).ks_p for i in range(3)) < SMALL


def test_the_prior_for_a_posterior_passes_as_it_is_calibrated(problem):
    truth, _ = problem
    samples = np.random.default_rng(1).normal(0, PRIOR_SD, (CURVES, DRAWS, 3))
    assert measures(truth, samples)[2].problems(2.0) == []


def test_only_the_joint_test_finds_a_wrong_correlation():
    rng = np.random.default_rng(2)
    common = rng.normal(size=(CURVES, 1))
    truth = 0.2 * rng.normal(size=(CURVES, 3)) + common
    # Each parameter by itself is right; together they lack their correlation.
    samples = np.sqrt(1.04) * rng.normal(size=(CURVES, DRAWS, 3))
    rank = ranks(samples, truth, rng=rng)
    distance = tarp(samples, truth, low=np.full(3, -3.0), high=np.full(3, 3.0), rng=rng)
    assert min(rank_test(rank[:, i]).ks_p for i in range(3)) > SMALL
    assert rank_test(distance).ks_p < SMALL


def test_weights_make_a_wide_proposal_calibrated(problem):
    truth, samples = problem
    mean = samples.mean(axis=1, keepdims=True)
    wide = mean + 1.5 * (samples - mean)
    log = (-((wide - mean) ** 2) * (1 - 1 / 1.5**2) / (2 * SD**2)).sum(axis=-1)
    weights = np.exp(log - log.max(axis=1, keepdims=True))
    assert measures(truth, wide)[2].problems(3.0)
    assert measures(truth, wide, weights=weights)[2].problems(3.0) == []


def test_few_curves_are_judged_by_what_chance_leaves(problem):
    truth, samples = problem
    alarms = [
        bool(measures(truth[i : i + 50], samples[i : i + 50], seed=i)[2].problems(3.0))
        for i in range(0, 5000, 50)
    ]
    assert sum(alarms) <= 6
    assert measures(truth[:200], narrowed(samples[:200]))[2].problems(3.0)


def test_tarp_is_algorithm_2_of_its_paper(problem):
    truth, samples = (part[:500] for part in problem)
    low, high = -3 * PRIOR_SD, 3 * PRIOR_SD
    ours = tarp(samples, truth, low=low, high=high, rng=np.random.default_rng(8))
    points = np.random.default_rng(8).uniform(0, 1, truth.shape) * (high - low) + low
    for own, draws, point, number in zip(truth, samples, points, ours, strict=True):
        distances = [np.linalg.norm((draw - point) / PRIOR_SD) for draw in draws]
        closer = sum(distance < np.linalg.norm((own - point) / PRIOR_SD) for distance in distances)
        assert closer / (DRAWS + 1) <= number <= (closer + 1) / (DRAWS + 1)


def test_tarp_agrees_with_that_of_sbi(problem):
    diagnostics = pytest.importorskip("sbi.diagnostics.tarp")
    torch = pytest.importorskip("torch")
    truth, samples = (torch.as_tensor(part / PRIOR_SD) for part in problem)
    narrow = torch.as_tensor(narrowed(samples.numpy()))
    references = torch.as_tensor(np.random.default_rng(5).uniform(-3, 3, truth.shape))
    expected, alpha = diagnostics.run_tarp_from_posterior_samples(
        truth, narrow.swapaxes(0, 1), references=references, num_bins=50, z_score_theta=False
    )
    distance = measures(problem[0], narrowed(problem[1]))[1]
    ours = [tarp_coverage(distance, float(level)) for level in alpha]
    np.testing.assert_allclose(ours, expected.numpy(), atol=0.03)
