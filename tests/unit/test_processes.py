"""Units side by side in processes, of which some are ended from outside."""

import multiprocessing
from pathlib import Path

import pytest

from strainscope.processes import KILLED, Workers, done_side_by_side


@pytest.fixture
def own(monkeypatch):
    """What the processes call; they look for it where this process does."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import processes_of_tests

    return processes_of_tests


@pytest.fixture
def workers(own):
    return Workers(number=2, begin=own.begin, given=(10,))


def test_each_unit_is_done_once(own, workers):
    done = dict(done_side_by_side(own.times, [(n,) for n in range(5)], workers))
    assert done == {n: 10 * n for n in range(5)}


def test_a_unit_that_always_ends_its_process_is_told_and_no_other_is_lost(own, workers):
    done = dict(done_side_by_side(own.times_or_killed, [(n, 2) for n in range(5)], workers))
    assert done.pop(2) is KILLED
    assert done == {n: 10 * n for n in (0, 1, 3, 4)}


def test_what_was_under_way_beside_it_is_done_again(own, workers, tmp_path):
    found = list(done_side_by_side(own.times_or_killed_once, [(n, str(tmp_path)) for n in range(4)], workers))
    assert sorted(found) == [(n, 10 * n) for n in range(4)]
    assert sorted(place.name for place in tmp_path.iterdir()) == ["0-0", "0-1", "1-0", "1-1", "2-0", "3-0"]


def test_what_the_beginning_raises_is_raised(own):
    wrong = Workers(number=2, begin=own.begin_wrong, given=(10,))
    with pytest.raises(PermissionError, match="what-is-begun-with"):
        list(done_side_by_side(own.times, [(0,), (1,)], wrong))


def test_who_has_enough_may_stop(own, workers):
    before = set(multiprocessing.active_children())
    done = done_side_by_side(own.times, [(n,) for n in range(20)], workers)
    next(done)
    assert set(multiprocessing.active_children()) > before
    done.close()
    assert set(multiprocessing.active_children()) <= before


def test_what_the_function_raises_is_raised(own, workers):
    with pytest.raises(PermissionError, match="Permission denied"):
        list(done_side_by_side(own.refused, [(0,), (1,)], workers))


def test_nothing_is_started_for_nothing(own, workers):
    assert list(done_side_by_side(own.times, [], workers)) == []
