"""What outlasts the server, in SQLite: inversions, the files of their results, each session's last settings.

Sessions are known by a digest of their secret: whoever reads the database cannot take one over.
"""

import fcntl
import hashlib
import json
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

STATES = ("waiting", "running", "done", "failed", "cancelled")
UNFINISHED = ("waiting", "running")
INTERRUPTED = "the server was stopped before this inversion was done; invert the scan again."
_TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, error TEXT,
  request TEXT NOT NULL, created REAL NOT NULL, finished REAL, summary TEXT
);
CREATE INDEX IF NOT EXISTS jobs_of_owner ON jobs (owner, created);
CREATE TABLE IF NOT EXISTS files (
  job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, name TEXT NOT NULL, content BLOB NOT NULL,
  PRIMARY KEY (job, name)
);
CREATE TABLE IF NOT EXISTS sessions (owner TEXT PRIMARY KEY, settings TEXT NOT NULL, changed REAL NOT NULL);
"""


def owner_of(session: str) -> str:
    """By what the database knows a session."""
    return hashlib.sha256(session.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """An inversion as the database has it.

    Attributes:
        id: Names it.
        owner: Session that asked for it, see `owner_of`.
        name: Of the scan.
        state: One of STATES.
        error: Why it failed, one line.
        request: What was asked for: sample, axis, seed, ...
        created, finished: Times [s since 1970]; the latter None while it is not.
        summary: A few figures of the result.
    """

    id: str
    owner: str
    name: str
    state: str
    error: str | None
    request: dict[str, Any]
    created: float
    finished: float | None
    summary: dict[str, Any] | None


class Store:
    """The database.

    Args:
        path: Of the file; it and its folder are made for this user alone.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._lock = threading.Lock()
        try:
            self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._base.row_factory = sqlite3.Row
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA foreign_keys = ON")
            self._base.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            raise OSError(f"{path}: is no database of results ({error}); move it away.") from None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    def add(self, job: JobRecord) -> None:
        """Note a new inversion."""
        self._do(
            "INSERT INTO jobs (id, owner, name, state, request, created) VALUES (?, ?, ?, ?, ?, ?)",
            (job.id, job.owner, job.name, job.state, json.dumps(job.request), job.created),
        )

    def set_state(self, job: str, state: str, error: str | None = None) -> None:
        """Note what has become of an inversion."""
        finished = None if state in UNFINISHED else time.time()
        self._do(
            "UPDATE jobs SET state = ?, error = ?, finished = ? WHERE id = ?", (state, error, finished, job)
        )

    def finish(self, job: str, files: Mapping[str, bytes], summary: Mapping[str, Any]) -> None:
        """Note a result with its files, all or nothing."""
        rows = [(job, name, zlib.compress(content)) for name, content in files.items()]
        with self._lock:
            self._base.execute("BEGIN")
            try:
                self._base.executemany("INSERT INTO files (job, name, content) VALUES (?, ?, ?)", rows)
                self._base.execute(
                    "UPDATE jobs SET state = 'done', finished = ?, summary = ? WHERE id = ?",
                    (time.time(), json.dumps(summary), job),
                )
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    def job(self, job: str, owner: str) -> JobRecord | None:
        """An inversion of that session; None where it has none of that name."""
        found = self._do("SELECT * FROM jobs WHERE id = ? AND owner = ?", (job, owner))
        return _record(found[0]) if found else None

    def jobs(self, owner: str) -> list[JobRecord]:
        """Inversions of a session, the newest first."""
        rows = self._do("SELECT * FROM jobs WHERE owner = ? ORDER BY created DESC, rowid DESC", (owner,))
        return [_record(row) for row in rows]

    def number(self, owner: str) -> int:
        """How many inversions a session has."""
        return int(self._do("SELECT count(*) FROM jobs WHERE owner = ?", (owner,))[0][0])

    def file(self, job: str, owner: str, name: str) -> bytes | None:
        """A file of a result of that session; None where there is none."""
        found = self._do(
            "SELECT content FROM files JOIN jobs ON files.job = jobs.id "
            "WHERE jobs.id = ? AND jobs.owner = ? AND files.name = ?",
            (job, owner, name),
        )
        return zlib.decompress(found[0]["content"]) if found else None

    def file_names(self, job: str, owner: str) -> list[str]:
        """Files of a result of that session."""
        rows = self._do(
            "SELECT files.name FROM files JOIN jobs ON files.job = jobs.id "
            "WHERE jobs.id = ? AND jobs.owner = ? ORDER BY files.rowid",
            (job, owner),
        )
        return [row["name"] for row in rows]

    def remove(self, job: str, owner: str) -> None:
        """Forget an inversion of that session, with its result."""
        self._do("DELETE FROM jobs WHERE id = ? AND owner = ?", (job, owner))

    def remove_older(self, before: float) -> None:
        """Forget inversions and settings older than a time [s since 1970]."""
        self._do("DELETE FROM jobs WHERE created < ? AND finished IS NOT NULL", (before,))
        self._do("DELETE FROM sessions WHERE changed < ?", (before,))

    def interrupt(self) -> None:
        """Note that what was not done when the server stopped will not be."""
        self._do(
            "UPDATE jobs SET state = 'failed', error = ?, finished = ? WHERE state IN ('waiting', 'running')",
            (INTERRUPTED, time.time()),
        )

    def settings(self, owner: str) -> dict[str, Any] | None:
        """A session's last settings."""
        found = self._do("SELECT settings FROM sessions WHERE owner = ?", (owner,))
        return None if not found else dict(json.loads(found[0]["settings"]))

    def keep_settings(self, owner: str, settings: Mapping[str, Any]) -> None:
        """Note a session's settings."""
        self._do(
            "INSERT INTO sessions (owner, settings, changed) VALUES (?, ?, ?) ON CONFLICT (owner) DO UPDATE "
            "SET settings = excluded.settings, changed = excluded.changed",
            (owner, json.dumps(settings), time.time()),
        )

    def _do(self, statement: str, values: tuple[Any, ...]) -> list[sqlite3.Row]:
        with self._lock:
            return self._base.execute(statement, values).fetchall()


def locked(folder: Path) -> IO[bytes]:
    """A folder for this server alone, until what is returned is closed; made where it is missing.

    Raises:
        OSError: it cannot be used, or another server uses it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened = open(folder / "lock", "ab")
    except OSError as error:
        why = error.strerror or error
        raise OSError(
            f"{folder}: cannot be used for results ({why}); name another folder by --data."
        ) from None
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        opened.close()
        if isinstance(error, BlockingIOError):
            raise OSError(
                f"{folder}: another server uses this folder; stop it, or name another by --data."
            ) from None
        raise OSError(
            f"{folder}: cannot be locked ({error.strerror or error}); name another folder by --data."
        ) from None
    return opened


def _record(row: sqlite3.Row) -> JobRecord:
    fields = dict(row)
    fields["request"] = json.loads(fields["request"])
    fields["summary"] = None if fields["summary"] is None else json.loads(fields["summary"])
    return JobRecord(**fields)
