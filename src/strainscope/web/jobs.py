"""The queue of inversions: bounded, in worker processes that are killed where one is cancelled or takes too long."""

import contextlib
import multiprocessing
import secrets
import shutil
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from strainscope.series.job import Job
from strainscope.web.settings import ServerSettings
from strainscope.web.store import JobRecord, Store
from strainscope.web.worker import SAMPLE, Done, Failed, Progress, Task, work

CANCELLED = "cancelled"
_POLL_S = 0.1


class TooBusy(ValueError):
    """There are as many inversions as the server takes."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """An inversion that a session asks for, with all that it needs.

    Attributes:
        name: To be shown.
        names: Of the scans' files, as the client calls them.
        scans: The files, one for each reflection of the sample.
        suffixes: Their endings, of those that are taken.
        sample: Text of the sample file.
        cifs: Files that the sample names, by plain names (`CIF_NAME`).
        job: How; its `sample` is replaced by the file made of the text.
        command: What to type to repeat it.
        request: What was asked for, to be shown.
    """

    name: str
    names: tuple[str, ...]
    scans: tuple[bytes, ...]
    suffixes: tuple[str, ...]
    sample: str
    cifs: dict[str, bytes]
    job: Job
    command: str
    request: dict[str, Any]


@dataclass(kw_only=True, eq=False)
class Running:
    """An inversion that is not done.

    Attributes:
        name: To be shown.
        task: What a worker is asked for.
        owner: Session that asked for it.
        stage: What is being done, in words.
        share: Of the whole that is done [0, 1].
        began: When a worker took it; None while it waits.
        cancelled: Whether it is to be given up.
    """

    id: str
    name: str
    owner: str
    task: Task
    stage: str = "waiting"
    share: float = 0.0
    began: float | None = None
    cancelled: bool = False


class JobQueue:
    """Takes inversions and has them done, as many at once as there are workers.

    Args:
        store: Gets what becomes of them.
        settings: How many there may be.
    """

    def __init__(self, store: Store, settings: ServerSettings) -> None:
        self._store, self._settings = store, settings
        self._folder = Path(tempfile.mkdtemp(prefix="strainscope-jobs-"))
        self._changed = threading.Condition()
        self._waiting: deque[Running] = deque()
        self._known: dict[str, Running] = {}
        self._closing = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"worker-{i}", daemon=True)
            for i in range(settings.workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, owner: str, order: Order) -> str:
        """Take an inversion.

        Args:
            owner: Session that asks, see `owner_of`.
            order: What for.

        Returns:
            What names the inversion.

        Raises:
            TooBusy: there are too many.
        """
        with self._changed:
            self._check_room(owner)
            number = secrets.token_urlsafe(12)
            folder = self._folder / number
            folder.mkdir()
            task = _task(folder, order)
            record = JobRecord(
                id=number,
                owner=owner,
                name=order.name,
                state="waiting",
                error=None,
                request=order.request,
                created=time.time(),
                finished=None,
                summary=None,
            )
            self._store.add(record)
            self._known[number] = Running(id=number, name=order.name, owner=owner, task=task)
            self._waiting.append(self._known[number])
            self._changed.notify()
        return number

    def progress(self, job: str, owner: str) -> Running | None:
        """How far an inversion of that session is; None where it is done or there is none."""
        found = self._known.get(job)
        return found if found is not None and found.owner == owner else None

    def place(self, job: str) -> int:
        """How many inversions are before it in the queue, 0 for the next one."""
        with self._changed:
            return next((i for i, own in enumerate(self._waiting) if own.id == job), 0)

    def unfinished(self, owner: str | None = None) -> int:
        """Inversions that wait or run, of a session or of all."""
        return sum(owner in (None, own.owner) for own in list(self._known.values()))

    def cancel(self, job: str, owner: str) -> bool:
        """Give an inversion of that session up; whether there was one."""
        with self._changed:
            found = self.progress(job, owner)
            if found is None:
                return False
            found.cancelled = True
            if found in self._waiting:
                self._waiting.remove(found)
                self._end(found, CANCELLED, None)
        return True

    def close(self) -> None:
        """End the workers and remove their files; what is not done is noted as interrupted."""
        with self._changed:
            self._closing = True
            self._waiting.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=10)
        self._store.interrupt()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _check_room(self, owner: str) -> None:
        most, own = self._settings.most_waiting, self._settings.most_of_a_session
        if len(self._waiting) >= most:
            raise TooBusy(
                f"{len(self._waiting)} inversions are waiting, as many as the server takes; try again later."
            )
        kept = self._store.number(owner)
        if kept >= self._settings.most_results:
            raise TooBusy(
                f"{kept} inversions are kept of this session, as many as a session may have; remove some."
            )
        if self.unfinished(owner) >= own:
            raise TooBusy(
                f"{own} of your inversions are not done, as many as a session may have; cancel one, or wait."
            )

    def _end(self, own: Running, state: str, error: str | None) -> None:
        self._store.set_state(own.id, state, error)
        self._forget(own)

    def _forget(self, own: Running) -> None:
        self._known.pop(own.id, None)
        shutil.rmtree(own.task.folder, ignore_errors=True)

    def _serve(self) -> None:
        """One worker's life: it is started at once, as imports take seconds, and again after it was killed."""
        worker = _Worker()
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if self._closing:
                    worker.kill()
                    return
                own = self._waiting.popleft()
            own.began, own.stage = time.monotonic(), "starting"
            self._store.set_state(own.id, "running")
            if not self._have_done(worker, own):
                worker.kill()
                if self._closing:
                    return
                worker = _Worker()

    def _have_done(self, worker: "_Worker", own: Running) -> bool:
        """Have a worker do a task; whether the worker can take another."""
        try:
            worker.connection.send(own.task)
            while True:
                if own.cancelled or self._closing:
                    if own.cancelled:
                        self._end(own, CANCELLED, None)
                    return False
                if time.monotonic() - (own.began or 0.0) > self._settings.longest_inversion_s:
                    limit = f"{self._settings.longest_inversion_s / 60:g}"
                    self._end(
                        own,
                        "failed",
                        f"{own.name}: took longer than {limit} min, the limit, and was stopped.",
                    )
                    return False
                if worker.connection.poll(_POLL_S) and self._take(own, worker.connection.recv()):
                    return True
        except (EOFError, OSError):
            self._end(
                own,
                "failed",
                f"{own.name}: the process that inverted it ended (out of memory?); try again.",
            )
            return False

    def _take(self, own: Running, message: Progress | Done | Failed) -> bool:
        """Note what a worker says; whether it is the last of this task."""
        if isinstance(message, Progress):
            own.stage, own.share = message.stage, message.share
            return False
        if isinstance(message, Failed):
            self._end(own, "failed", message.reason)
            return True
        self._store.finish(own.id, message.files, message.summary)
        self._forget(own)
        return True


def _task(folder: Path, order: Order) -> Task:
    """Write what a worker needs into the folder of the job."""
    (folder / SAMPLE).write_text(order.sample, encoding="utf-8")
    for name, content in order.cifs.items():
        (folder / name).write_bytes(content)
    scans = tuple(f"scan-{i}{suffix}" for i, suffix in enumerate(order.suffixes, start=1))
    for name, content in zip(scans, order.scans, strict=True):
        (folder / name).write_bytes(content)
    return Task(
        folder=folder,
        scans=scans,
        names=order.names,
        cifs=tuple(order.cifs),
        job=replace(order.job, sample=SAMPLE),
        command=order.command,
    )


class _Worker:
    """A process that inverts, and the server's end of its connection."""

    def __init__(self) -> None:
        # A fresh process: a forked one would inherit threads that are not there.
        context = multiprocessing.get_context("spawn")
        self.connection: Connection
        self.connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=work, args=(theirs,), name="strainscope-worker", daemon=True
        )
        self._process.start()
        theirs.close()

    def kill(self) -> None:
        """End the process, whatever it is at."""
        with contextlib.suppress(ValueError):
            self._process.kill()
            self._process.join(timeout=5)
        self.connection.close()
