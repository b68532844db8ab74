"""The published table of two datasets of a million: all of it from its own rounding, part of it from exact plans."""

import numpy as np
import pytest

from strainscope.dataset.compare import compare
from strainscope.dataset.evenness import drawn_blocks, measure_evenness
from strainscope.dataset.judgement import chi2_moments
from strainscope.dataset.plan import load_plan

# chi² and bias of "not balanced" and "balanced".
PUBLISHED = {
    "Dmax1": ((162_016, 6.0), (160_591, 6.0)),
    "D01": ((636_697, 100.3), (637_296, 99.0)),
    "L1": ((449_869, 49.7), (548_555, 125.1)),
    "Rp1": ((40_280, 2.0), (28_762, 1.8)),
    "D02": ((115_847, 5.5), (115_812, 5.5)),
    "L2": ((26_322, 1.6), (0, 1.0)),
    "Rp2": ((1, 1.0), (18, 1.0)),
}
# chi² per million and bias with exact, inclusive constraints.
EXACT = {"Dmax1": (167_700, 6.4), "D01": (604_000, 50.0), "D02": (78_600, 2.9)}
LOST_TO_ROUNDING = tuple(EXACT)
SIDES = ("random-1m", "balanced-1m")
SIGMAS = 4.0
PUBLISHED_SIZE = 1_000_000


@pytest.fixture(scope="module", params=["", "-report"], ids=["exact", "report"])
def drawn(request):
    """Both datasets of a million samples, drawn."""
    plans = [load_plan(f"{name}{request.param}") for name in SIDES]
    return request.param, [measure_evenness(plan, drawn_blocks(plan)) for plan in plans]


def distances(plan_name, side):
    """Published chi² minus the plan's expectation, in standard deviations of chance, by parameter."""
    draws = load_plan(plan_name).draws
    result = {}
    for name, figures in PUBLISHED.items():
        mean, sd, _ = chi2_moments(draws.expected(name, PUBLISHED_SIZE))
        # Published figures are whole numbers.
        result[name] = max(abs(figures[side][0] - mean) - 0.5, 0.0) / max(sd, 1e-9)
    return result


@pytest.mark.parametrize("side", [0, 1], ids=SIDES)
def test_the_reports_rounding_gives_all_seven_rows(side):
    assert max(distances(f"{SIDES[side]}-report", side).values()) < SIGMAS


@pytest.mark.parametrize("side", [0, 1], ids=SIDES)
def test_exact_plans_give_the_rows_that_rounding_left_alone_and_no_others(side):
    for name, distance in distances(SIDES[side], side).items():
        if name in LOST_TO_ROUNDING:
            assert distance > 2.5 * SIGMAS
        else:
            assert distance < SIGMAS


@pytest.mark.parametrize("side", [0, 1], ids=SIDES)
def test_exact_rows(side):
    draws = load_plan(SIDES[side]).draws
    for name, (chi2, bias) in EXACT.items():
        expected = draws.expected(name, PUBLISHED_SIZE)
        assert expected.chi2 == pytest.approx(chi2, rel=2e-3)
        assert expected.mean.max() / expected.mean.min() == pytest.approx(bias, rel=6e-3)


def test_drawn_datasets_match_their_plans_and_the_table(drawn):
    suffix, both = drawn
    for side, evenness in enumerate(both):
        assert evenness.size == PUBLISHED_SIZE
        assert evenness.coverage == 1
        for p in evenness.parameters:
            judgement = p.judgement
            assert judgement.word != "bias"
            assert abs(judgement.z) < SIGMAS
            if suffix or p.name not in LOST_TO_ROUNDING:
                chi2, bias = PUBLISHED[p.name][side]
                # The published draw and this one scatter, each by its own.
                assert abs(p.chi2 - chi2) <= SIGMAS * np.sqrt(2) * judgement.sd_chi2 + 0.5
                assert p.bias == pytest.approx(bias, abs=0.05 + SIGMAS * bias * np.sqrt(2 / p.fewest))


def test_judging_the_reports_rounding_by_the_exact_plan_is_bias():
    rounded, exact = load_plan("random-1m-report"), load_plan("random-1m")
    evenness = measure_evenness(exact, drawn_blocks(rounded))
    words = {p.name: p.judgement.word for p in evenness.parameters}
    assert {name for name, word in words.items() if word == "bias"} == set(LOST_TO_ROUNDING)


def test_the_published_weighted_improvement(drawn):
    _, both = drawn
    comparison = compare(*both, weighted_names=["L2", "L1", "Rp1"])
    assert comparison.weighted_improvement == pytest.approx(583, abs=SIGMAS * comparison.weighted_sd + 1)
    assert comparison.weighted_sd < 5
    assert comparison.rows[-1].improvement is None
    assert comparison.mean_improvement == pytest.approx(-4.2, abs=0.5)


def test_the_datasets_are_far_from_the_most_even_ones(drawn):
    _, both = drawn
    for evenness in both:
        assert sum(evenness.best.repeated.values()) < 1e-3
        once = sum(evenness.best.once.values()) / 7
        assert 0.1 * evenness.mean_chi2 < once < 0.8 * evenness.mean_chi2
