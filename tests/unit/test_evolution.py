"""Evolution with niches: descends, stays in bounds, keeps several optima."""

import numpy as np
import pytest

from strainscope.inversion.evolution import evolve

OPTIMA = np.array([[0.2, 0.25, 0.5], [0.8, 0.7, 0.5]])


def two_wells(x):
    """Two equal minima of 0 with a ridge between."""
    distance = np.linalg.norm(x[:, None] - OPTIMA, axis=-1)
    return np.minimum(distance.min(axis=1), 0.5)


def start(n=200, seed=1):
    unit = np.random.default_rng(seed).uniform(size=(n, 3))
    return unit, two_wells(unit)


def test_both_optima_are_kept():
    unit, scores = start()
    unit, scores = evolve(two_wells, unit, scores, 60, rng=np.random.default_rng(0))
    for optimum in OPTIMA:
        assert np.linalg.norm(unit - optimum, axis=1).min() < 0.01
        # Not one survivor by chance: a good part of the population lives there.
        assert (np.linalg.norm(unit - optimum, axis=1) < 0.1).sum() > 40


def test_no_member_gets_worse_and_scores_belong_to_their_members():
    unit, scores = start()
    evolved, found = evolve(two_wells, unit, scores, 5, rng=np.random.default_rng(0))
    assert (found <= scores).all()
    assert found.sum() < 0.8 * scores.sum()
    np.testing.assert_allclose(found, two_wells(evolved))


def test_members_stay_between_0_and_1():
    """The minimum lies in a corner: steps beyond it are reflected."""
    unit, _ = start()
    seen = []

    def corner(x):
        seen.append((x.min(), x.max()))
        return x.sum(axis=1)

    evolved, _ = evolve(corner, unit, unit.sum(axis=1), 30, rng=np.random.default_rng(0))
    assert np.min(seen) >= 0
    assert np.max(seen) <= 1
    assert evolved.min() < 0.01


@pytest.mark.parametrize("size", [1, 2, 5])
def test_small_populations_do(size):
    unit, scores = start(size)
    evolved, found = evolve(two_wells, unit, scores, 3, rng=np.random.default_rng(0))
    assert evolved.shape == (size, 3)
    assert (found <= scores).all()


def test_no_generations_change_nothing():
    unit, scores = start()
    evolved, _ = evolve(two_wells, unit, scores, 0, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(evolved, unit)
