"""Which starts a search that is tried again descends from."""

import importlib
from dataclasses import replace

import numpy as np
import pytest

from strainscope.inversion import SearchSettings
from strainscope.inversion.levels import Levels
from strainscope.inversion.problem import prepare
from strainscope.inversion.proposal import Proposed
from strainscope.sample import load_sample

searching = importlib.import_module("strainscope.inversion.invert")
SETTINGS = SearchSettings(draws=64, population=16, generations=1, starts=2, coarse_steps=1, steps=1, model_error=0.0)


@pytest.fixture(scope="module")
def measured():
    sample = load_sample("ggg444")
    scan, _ = sample.simulate(sample.simulated_values({}, counts=1e5), counts=1e5, seed=3, step=20.0)
    problem = prepare(
        scan, sample.experiment(), bounds=sample.bounds(), held=sample.held(), start=sample.start(), model_error=0.0
    )
    return scan, Levels(problem)


def searched(measured, monkeypatch, *, explained, proposal=None):
    """The kinds of starts in the order in which they were asked for, with their numbers, if no search is settled."""
    scan, levels = measured
    asked = []

    def told(kind, found):
        def starts(*given, **named):
            wanted = named.get("starts") or given[-1].starts
            asked.append((kind, wanted))
            return found(np.tile(levels.problem.base, (wanted, 1)))

        return starts

    monkeypatch.setattr(searching, "find_starts", told("draws", lambda values: values))
    monkeypatch.setattr(searching, "rearranged_starts", told("rearranged", lambda values: values))
    monkeypatch.setattr(searching, "proposed_starts", told("proposed", lambda values: Proposed(values, values)))
    outcomes = iter(explained)
    monkeypatch.setattr(searching, "explains", lambda problem, found: next(outcomes))
    monkeypatch.setattr(searching, "missing_mass", lambda found: 1.0)
    searching._searched(
        levels, scan, SETTINGS, proposal, rng=np.random.default_rng(0), progress=lambda stage, share: None
    )
    return asked


def test_a_search_that_does_not_explain_the_scan_is_tried_three_times(measured, monkeypatch):
    asked = searched(measured, monkeypatch, explained=(False, False, False))
    assert asked == [("draws", 2), ("draws", 8), ("rearranged", 4), ("draws", 8), ("rearranged", 4)]


def test_one_that_may_have_missed_solutions_is_tried_once_more(measured, monkeypatch):
    asked = searched(measured, monkeypatch, explained=(True, True))
    assert asked == [("draws", 2), ("draws", 8), ("rearranged", 4)]


def test_the_last_search_does_without_the_estimator(measured, monkeypatch):
    asked = searched(measured, monkeypatch, explained=(False, False, False), proposal=object())
    kinds = [kind for kind, _ in asked]
    assert kinds == ["proposed", "proposed", "rearranged", "draws", "rearranged"]
    assert asked[1][1] == 4 * asked[0][1]


def spoilt(counts=1e5, change=lambda scan: scan):
    sample = load_sample("ggg444").with_options(axis="delta-theta-arcsec", intensity="counts")
    scan, _ = sample.simulate(sample.simulated_values({}, counts=counts), counts=counts, seed=3, step=20.0)
    scan = change(scan)
    problem = prepare(
        scan, sample.experiment(), bounds=sample.bounds(), held=sample.held(), start=sample.start(), model_error=0.0
    )
    return scan, Levels(problem)


def turned(scan):
    return replace(scan, angle=-scan.angle[::-1], intensity=scan.intensity[::-1])


def saturated(scan):
    return replace(scan, intensity=np.minimum(scan.intensity, np.floor(0.05 * scan.intensity.max())))


@pytest.mark.parametrize(("change", "once"), [(turned, True), (saturated, True), (lambda scan: scan, False)])
def test_where_the_scan_says_why_nothing_explains_it_no_more_is_searched(change, once, monkeypatch):
    asked = searched(spoilt(change=change), monkeypatch, explained=(False, False, False))
    assert (len(asked) == 1) is once


def test_a_saturated_scan_that_is_explained_is_searched_as_any_other(monkeypatch):
    asked = searched(spoilt(change=saturated), monkeypatch, explained=(True, True))
    assert len(asked) == 3


def test_a_scan_of_too_few_counts_is_searched_once(monkeypatch):
    asked = searched(spoilt(counts=30), monkeypatch, explained=(True, True))
    assert len(asked) == 1
