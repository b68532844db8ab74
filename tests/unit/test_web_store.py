"""What outlasts the server, and to whom it is given."""

import errno
import fcntl
import os
import stat
import time

import pytest

pytest.importorskip("nicegui", reason="needs the extra web")

from strainscope.dataset.alone import alone
from strainscope.web.store import INTERRUPTED, JobRecord, Store, locked, owner_of

OURS, THEIRS = owner_of("ours"), owner_of("theirs")


@pytest.fixture
def place(tmp_path):
    return tmp_path / "data" / "web.sqlite"


def job(number, state="waiting", owner=OURS, created=1.0):
    return JobRecord(
        id=number,
        owner=owner,
        name="scan.xy",
        state=state,
        error=None,
        request={"seed": 0},
        created=created,
        finished=None,
        summary=None,
    )


def test_a_restart_loses_nothing_that_was_finished(place):
    store = Store(place)
    for number in ("done", "running", "waiting"):
        store.add(job(number))
    store.set_state("running", "running")
    store.finish("done", {"result.json": b"{}", "fit.csv": b"x"}, {"verdict": "check"})
    store.keep_settings(OURS, {"sample": "ggg444"})
    store.close()
    again = Store(place)
    again.interrupt()
    assert again.job("done", OURS).state == "done"
    assert again.job("done", OURS).summary == {"verdict": "check"}
    assert again.file_names("done", OURS) == ["result.json", "fit.csv"]
    assert again.file("done", OURS, "fit.csv") == b"x"
    assert again.settings(OURS) == {"sample": "ggg444"}
    for number in ("running", "waiting"):
        assert (again.job(number, OURS).state, again.job(number, OURS).error) == ("failed", INTERRUPTED)
    again.close()


def test_nothing_is_given_to_another_session(place):
    store = Store(place)
    store.add(job("a"))
    store.finish("a", {"result.json": b"{}"}, {})
    assert store.job("a", THEIRS) is None
    assert store.jobs(THEIRS) == []
    assert store.file("a", THEIRS, "result.json") is None
    assert store.file_names("a", THEIRS) == []
    assert store.settings(THEIRS) is None
    store.remove("a", THEIRS)
    assert store.file("a", OURS, "result.json") == b"{}"
    store.remove("a", OURS)
    assert store.file("a", OURS, "result.json") is None
    store.close()


def test_the_database_holds_no_secret_and_is_for_its_user_alone(place):
    store = Store(place)
    store.add(job("a", owner=owner_of("a-secret-of-a-session")))
    store.close()
    assert b"a-secret-of-a-session" not in place.read_bytes()
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700


def test_what_is_old_is_forgotten_and_what_runs_is_not(place):
    store = Store(place)
    for number, created in (("old", 1.0), ("new", time.time())):
        store.add(job(number, created=created))
        store.finish(number, {"result.json": b"{}"}, {})
    store.add(job("waiting", created=1.0))
    store.remove_older(time.time() - 60)
    assert {own.id for own in store.jobs(OURS)} == {"new", "waiting"}
    assert store.file("old", OURS, "result.json") is None
    store.close()


def test_a_result_is_stored_whole_or_not_at_all(place):
    store = Store(place)
    store.add(job("a"))
    with pytest.raises(TypeError):
        store.finish("a", {"result.json": b"{}"}, {"not": object()})
    assert store.job("a", OURS).state == "waiting"
    assert store.file_names("a", OURS) == []
    store.close()


def test_what_is_no_database_is_refused_in_a_line(place):
    place.parent.mkdir()
    place.write_text("no database at all, but longer than its header would be" * 20)
    with pytest.raises(OSError, match="is no database of results"):
        Store(place)


def test_one_server_a_folder(tmp_path):
    with locked(tmp_path), pytest.raises(OSError, match="another server uses this folder"):
        locked(tmp_path)
    locked(tmp_path).close()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot be used for results"):
        locked(tmp_path / "file" / "data")


def test_a_folder_that_cannot_be_locked_is_said_so(tmp_path, monkeypatch):
    def refused(handle, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(OSError, match=r"cannot be locked \(No locks available\); name another folder by --data"):
        locked(tmp_path)
    with pytest.raises(OSError, match=r"cannot be locked \(No locks available\)"), alone(tmp_path):
        pass
