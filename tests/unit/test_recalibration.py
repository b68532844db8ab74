"""Posteriors that are too wide where they are sharp are made right, and those that are right stay."""

import numpy as np
import pytest

from strainscope.estimator.recalibration import LEAST_DRAWS, learnt_recalibration, recalibration_from


def posteriors(number, *, seed, error):
    """Draws (number, 200, 2) around noisy estimates, and the truth; the first parameter's widths are off by `error`."""
    rng = np.random.default_rng(seed)
    sd = np.exp(rng.uniform(np.log(0.01), 0.0, (number, 2)))
    truth = rng.standard_normal((number, 2))
    centre = truth + sd * rng.standard_normal((number, 2))
    wide = sd.copy()
    wide[:, 0] *= error(sd[:, 0])
    return centre[:, None] + wide[:, None] * rng.standard_normal((number, 200, 2)), truth


def coverage(free, truth, level):
    low, high = np.quantile(free, [0.5 - level / 2, 0.5 + level / 2], axis=1)
    return ((truth > low) & (truth < high)).mean(axis=0)


def too_wide(sd):
    return np.where(sd < 0.1, 1.5, 1.0)


def test_widths_are_made_right_class_by_class():
    found = learnt_recalibration(*posteriors(6000, seed=0, error=too_wide))
    free, truth = posteriors(6000, seed=1, error=too_wide)
    assert coverage(free, truth, 0.5)[0] > 0.57
    better = found.apply(free)
    for level in (0.5, 0.9):
        np.testing.assert_allclose(coverage(better, truth, level), level, atol=0.025)
    # Sharp ones are drawn together, the others stay.
    width = np.quantile(free, 0.75, axis=1) - np.quantile(free, 0.25, axis=1)
    ratio = (np.quantile(better, 0.75, axis=1) - np.quantile(better, 0.25, axis=1)) / width
    sharp = width[:, 0] < 0.05
    assert np.median(ratio[sharp, 0]) == pytest.approx(1 / 1.5, abs=0.06)
    np.testing.assert_allclose(np.median(ratio[:, 1]), 1.0, atol=0.05)


def test_medians_stay_where_they_are():
    free, truth = posteriors(2000, seed=2, error=too_wide)
    better = learnt_recalibration(free, truth).apply(free)
    np.testing.assert_allclose(np.median(better, axis=1), np.median(free, axis=1), atol=1e-12)


def test_it_comes_back_from_plain_data():
    free, truth = posteriors(1000, seed=3, error=too_wide)
    found = learnt_recalibration(free, truth)
    again = recalibration_from(found.document())
    np.testing.assert_array_equal(again.apply(free), found.apply(free))
    assert recalibration_from(None) is None


def test_a_few_draws_tell_no_width():
    free, truth = posteriors(1000, seed=4, error=too_wide)
    found = learnt_recalibration(free, truth)
    with pytest.raises(ValueError, match=f"10 draws; at least {LEAST_DRAWS}"):
        found.apply(free[:, :10])
