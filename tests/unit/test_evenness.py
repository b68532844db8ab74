"""Evenness of small samples with counts known by hand, its judgement, and the best that is possible."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from strainscope.dataset.best_evenness import LARGEST_PROBLEM, best_evenness
from strainscope.dataset.draw import Expectation
from strainscope.dataset.evenness import drawn_blocks, measure_evenness
from strainscope.dataset.judgement import chi2_moments, judge
from strainscope.dataset.plan import checked, load_plan

ANGLES = {"first": -200.0, "step": 5.0, "number": 81}
FIXED = {"Dmax1": 0.01, "D01": 0.005, "L1": 3000, "Rp1": 490, "D02": 0.005, "L2": 2000, "Rp2": -10}


def plan_of(parameters, **more):
    fixed = {name: value for name, value in FIXED.items() if name not in parameters}
    data = {"sample": "ggg444-ideal", "parameters": parameters, "fixed": fixed, "angles": ANGLES}
    return checked({"title": "small", "size": 3, **data, **more}, source="test")


def two_lengths(one=(1000, 2000), other=(1000, 2000), **more):
    """L2 ≤ L1 on small grids."""
    grids = {
        name: {"start": values[0], "stop": values[-1], "step": 1000}
        for name, values in (("L1", one), ("L2", other))
    }
    return plan_of(grids, **more)


ROWS = np.array([[1000, 1000]] * 1 + [[2000, 1000]] * 5 + [[2000, 2000]] * 2, dtype=float)


def test_counts_chi2_bias_and_entropy_by_hand():
    evenness = measure_evenness(two_lengths(), [ROWS])
    one, other = evenness.parameters
    assert evenness.size == 8
    assert evenness.names == ("L1", "L2")
    np.testing.assert_array_equal(one.counts, [1, 7])
    np.testing.assert_array_equal(other.counts, [6, 2])
    # (1-4)²/4 + (7-4)²/4 and (6-4)²/4 + (2-4)²/4
    assert (one.chi2, other.chi2) == (4.5, 2.0)
    assert (one.bias, other.bias) == (7.0, 3.0)
    assert (one.fewest, one.most, one.unique) == (1, 7, 2)
    assert other.entropy == pytest.approx(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)))
    assert evenness.mean_chi2 == 3.25
    assert evenness.worst_bias == 7.0


def test_blocks_add_up():
    whole = measure_evenness(two_lengths(), [ROWS])
    parts = measure_evenness(two_lengths(), iter([ROWS[:3], ROWS[3:3], ROWS[3:]]))
    for a, b in zip(whole.parameters, parts.parameters, strict=True):
        np.testing.assert_array_equal(a.counts, b.counts)
    np.testing.assert_array_equal(whole.pairs[0].counts, parts.pairs[0].counts)


def test_an_empty_level_counts_in_chi2_and_makes_the_bias_infinite():
    plan = two_lengths(one=(1000, 2000, 3000), other=(1000, 2000))
    (one, _) = measure_evenness(plan, [np.array([[1000.0, 1000], [2000, 1000]])]).parameters
    assert one.unique == 2
    assert one.bias == math.inf
    # Even count 2/3: 2 (1/3)² / (2/3) + (2/3)²/(2/3).
    assert one.chi2 == pytest.approx(1.0)


def test_pair_coverage_counts_valid_cells_only():
    (pair,) = measure_evenness(two_lengths(), [ROWS]).pairs
    np.testing.assert_array_equal(pair.valid, [[True, False], [True, True]])
    np.testing.assert_array_equal(pair.counts, [[1, 0], [5, 2]])
    assert (pair.coverage, pair.fewest, pair.invalid) == (1.0, 1, 0)
    (pair,) = measure_evenness(two_lengths(), [ROWS[:3], [[1000.0, 2000.0]]]).pairs
    assert pair.coverage == pytest.approx(2 / 3)
    assert (pair.fewest, pair.invalid) == (0, 1)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([], "no samples"),
        ([ROWS[:, :1]], r"shape \(8, 1\); it must be \(sample, 2\): L1, L2"),
        ([ROWS, [[1000.0, 1400.0]]], "L2 = 1400 in sample 8 is on no value of its grid"),
        ([[[np.nan, 1000.0]]], "L1 = nan in sample 0"),
        ([[[9000.0, 1000.0]]], "L1 = 9000 in sample 0"),
    ],
)
def test_samples_that_are_not_the_plans_are_refused(blocks, message):
    with pytest.raises(ValueError, match=message):
        measure_evenness(two_lengths(), blocks)


def test_continuous_parameters_are_judged_in_bins():
    plan = plan_of({"Rp2": {"low": -1000.0, "high": 0.0}})
    plan_values = np.linspace(-995.0, -5.0, 100)[:, None]
    evenness = measure_evenness(plan, [plan_values])
    np.testing.assert_array_equal(evenness.parameters[0].counts, np.full(10, 10))
    assert evenness.parameters[0].judgement.word == "even"
    assert (evenness.best, evenness.combinations, evenness.coverage) == (None, None, 1.0)
    with pytest.raises(ValueError, match="Rp2 = 50 in sample 0 is outside its range, -1000 to 0"):
        measure_evenness(plan, [np.array([[50.0]])])


# Judgement --------------------------------------------------------------------------------------------------


def multinomial(share, size):
    return Expectation(mean=size * share, variance=size * share * (1 - share))


EVEN = np.full(10, 0.1)
SLOPE = np.arange(1, 11) / 55


@pytest.mark.parametrize("share", [EVEN, SLOPE, np.array([0.5, 0.5]), np.array([0.01, 0.04, 0.95])])
def test_moments_of_chi2_are_those_of_drawn_counts(share):
    size, draws = 5000, 20_000
    counts = np.random.default_rng(3).multinomial(size, share, draws)
    even = size / len(share)
    chi2 = ((counts - even) ** 2).sum(axis=1) / even
    mean, sd, skewness = chi2_moments(multinomial(share, size))
    assert mean == pytest.approx(chi2.mean(), abs=4.5 * sd / math.sqrt(draws))
    assert sd == pytest.approx(chi2.std(), rel=0.05)
    assert skewness == pytest.approx(((chi2 - mean) ** 3).mean() / sd**3, rel=0.2, abs=0.1)


def test_chance_is_not_called_bias():
    rng = np.random.default_rng(5)
    for share, word in ((EVEN, "chance"), (SLOPE, "plan")):
        expected = multinomial(share, 20_000)
        words = [judge(rng.multinomial(20_000, share), expected).word for _ in range(300)]
        assert set(words) <= {word, "even"}


def test_an_uneven_set_is_called_biased():
    rng = np.random.default_rng(6)
    tilted = EVEN * np.linspace(0.9, 1.1, 10)
    expected = multinomial(EVEN, 20_000)
    judged = [judge(rng.multinomial(20_000, tilted), expected) for _ in range(50)]
    assert {j.word for j in judged} == {"bias"}
    assert min(j.z for j in judged) > 5


def test_the_wrong_unevenness_is_called_biased_though_its_chi2_is_right():
    counts = (20_000 * SLOPE).round().astype(int)
    expected = multinomial(SLOPE, 20_000)
    assert judge(counts, expected).word == "plan"
    mirrored = judge(counts[::-1], expected)
    assert abs(mirrored.z) < 1
    assert mirrored.word == "bias"


def test_a_rare_value_that_occurs_once_is_no_bias():
    share = np.array([0.0005, 0.4995, 0.5])
    counts = np.array([1, 99, 100])
    assert judge(counts, multinomial(share, 200)).word == "plan"
    assert judge(np.array([9, 91, 100]), multinomial(share, 200)).word == "bias"


def test_strata_that_leave_no_room_for_chance():
    fixed = Expectation(mean=np.array([50.0, 50.0]), variance=np.zeros(2))
    assert judge(np.array([50, 50]), fixed).word == "even"
    off = judge(np.array([51, 49]), fixed)
    assert (off.word, off.z) == ("bias", math.inf)


def test_a_plan_without_expectation_is_not_judged():
    plan = load_plan("targeted-gaussian-100k").with_options(size=500)
    evenness = measure_evenness(plan, drawn_blocks(plan))
    assert {p.judgement.word for p in evenness.parameters} == {"unknown"}
    assert evenness.parameters[0].chi2_sd > 0


# The best that is possible ----------------------------------------------------------------------------------


def best(plan, size):
    return best_evenness(plan.draws.space, size)


def test_best_of_three_combinations():
    # (1000, 1000), (2000, 1000), (2000, 2000): two samples can be even in both, three different ones cannot.
    two, three, four = (best(two_lengths(), size) for size in (2, 3, 4))
    assert sum(two.repeated.values()) == pytest.approx(0, abs=1e-9)
    assert sum(two.once.values()) == pytest.approx(0, abs=1e-9)
    assert sum(three.repeated.values()) == pytest.approx(0, abs=1e-9)
    assert three.once == pytest.approx({"L1": 1 / 3, "L2": 1 / 3}, abs=1e-5)
    assert four.once is None
    assert two.support == {("L1", "L2"): (2, 3)}


def test_best_where_a_constraint_forbids_a_value():
    # L2 = 3000 exceeds every L1: at best half of the samples have each of the other two.
    plan = two_lengths(one=(1000, 2000), other=(1000, 2000, 3000))
    assert best(plan, 2).repeated == pytest.approx({"L1": 0.0, "L2": 1.0}, abs=1e-9)


def test_no_set_of_different_combinations_beats_the_bound():
    plan = two_lengths(one=(1000, 2000, 3000), other=(1000, 2000, 3000))
    rows = plan.draws.space.components[0].rows
    for size in range(1, 7):
        found = min(
            sum(
                ((np.bincount(rows[list(which), i], minlength=3) - size / 3) ** 2).sum() / (size / 3)
                for i in (0, 1)
            )
            for which in combinations(range(len(rows)), size)
        )
        bound = sum(best(plan, size).once.values())
        assert bound <= found + 1e-5
        if size in (3, 6):  # where whole samples can do what shares can
            assert bound == pytest.approx(found, abs=1e-4)


def test_best_without_repeats_agrees_with_another_solver():
    plan = load_plan("random-1m")
    part = next(c for c in plan.draws.space.components if c.axes[0].name == "L1")
    lengths = [len(axis) for axis in part.axes]
    rows = [math.sqrt(k) * (part.rows[:, i] == np.arange(k)[:, None]) for i, k in enumerate(lengths)]
    matrix = np.vstack([*rows, np.full(len(part.rows), 1e3)])
    goal = np.concatenate([np.full(k, 1 / math.sqrt(k)) for k in lengths] + [np.array([1e3])])
    limit = plan.draws.count / len(part.rows) / plan.size
    other = lsq_linear(matrix, goal, bounds=(0, limit), tol=1e-12)
    ours = best(plan, plan.size).once
    assert sum(ours[axis.name] for axis in part.axes) == pytest.approx(2e6 * other.cost, rel=1e-4)


def test_too_large_a_problem_is_left_out():
    grid = {"start": 10, "stop": 1500, "step": 10}
    plan = plan_of({"L1": grid, "L2": grid | {"stop": 2000}}, size=3)
    assert plan.draws.count < LARGEST_PROBLEM
    assert best(plan, 3) is not None
    plan = plan_of({"L1": grid | {"stop": 2500}, "L2": grid | {"stop": 2500}}, size=3)
    assert plan.draws.count > LARGEST_PROBLEM
    assert best(plan, 3) is None
