"""Scans inverted side by side; each result is written whole as soon as it is there, so that a stopped run goes on."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from strainscope.cluster import LOST, check_shared, connected, done_units
from strainscope.dataset.alone import alone
from strainscope.diffraction.engine import use_threads, worker_count
from strainscope.inversion.proposal import Proposal
from strainscope.processes import KILLED, Workers, done_side_by_side
from strainscope.readers import is_instrument_file
from strainscope.report import write_result
from strainscope.report.whole import TEMPORARY
from strainscope.sample import Sample
from strainscope.series.job import Job, invert_file
from strainscope.series.listing import result_names

STATE = "series.json"
SCANS = "scans"
# Between two writings of the state, at least so many times what one takes.
_WRITING = 20


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a scan.

    Attributes:
        file: The scan.
        folder: Its result; None where it failed.
        reason: Why it failed, one line; None where it did not.
        again: Whether the result was there from an earlier run.
    """

    file: Path
    folder: Path | None
    reason: str | None
    again: bool = False


def run_series(
    scans: Sequence[Path],
    jobs: Sequence[Job],
    out: Path,
    *,
    resume: bool = False,
    load_proposal: Callable[[str, Sample], Proposal] | None = None,
    columns: Sequence[str] = (),
    ray: str | None = None,
    progress: Callable[[Outcome, int], None] = lambda outcome, done: None,
) -> list[Outcome]:
    """Invert scans, one a processor at a time; each exactly as alone.

    Args:
        scans: Files.
        jobs: How each is inverted; they differ in axis and intensity alone.
        out: Folder that gets a result for each scan.
        resume: Keep the results that are there, as far as scan, settings and version are the same.
        load_proposal: Loads what the jobs' `estimator` names; has to be a module's function.
        columns: Names of what else is known of each scan; a series that is gone on with needs those of before.
        ray: Address of a Ray cluster whose nodes invert, "auto" or HOST:PORT; None for this machine.
        progress: Called with each outcome and how many there are by then.

    Raises:
        FileExistsError: the folder exists, and it is not to be gone on with.
        ValueError: the settings do not hold for any scan; none of the earlier results is of these settings; columns of
            before are missing; a node of the cluster has other versions.
        OSError: no cluster, a node cannot read or write what all nodes have to, or another process writes the folder.
    """
    jobs[0].settings()
    state = _State(out, resume, columns)
    with nullcontext() if ray is None else connected(ray), alone(out):
        return _run(scans, jobs, out, state, load_proposal, ray is not None, progress)


def _run(
    scans: Sequence[Path],
    jobs: Sequence[Job],
    out: Path,
    state: "_State",
    load_proposal: Callable[[str, Sample], Proposal] | None,
    on_nodes: bool,
    progress: Callable[[Outcome, int], None],
) -> list[Outcome]:
    """As :func:`run_series`, with the cluster connected where there is one."""
    folders = [out / SCANS / name for name in result_names(scans)]
    outcomes: dict[int, Outcome] = {}
    waiting: list[int] = []
    about = {job: _settings_with_files(job) for job in dict.fromkeys(jobs)}
    keys = [_fingerprint(path, job, about[job]) for path, job in zip(scans, jobs, strict=True)]
    for i, (path, folder) in enumerate(zip(scans, folders, strict=True)):
        if state.keys.get(folder.name) == keys[i] is not None and _is_whole(folder / "result.json"):
            outcomes[i] = Outcome(file=path, folder=folder, reason=None, again=True)
        else:
            waiting.append(i)
    if state.keys and not outcomes:
        raise ValueError(
            f"{out}: none of its {len(state.keys)} results is of these scans, settings and version, and all would be "
            "made anew; go on with those of before, or give -o another folder."
        )
    if on_nodes and waiting:
        check_shared(out, [*scans[:1], *(path for job in dict.fromkeys(jobs) for path in job.files())])
    former = state.begin([folders[i].name for i in waiting])
    for done, outcome in enumerate(list(outcomes.values()), start=1):
        progress(outcome, done)
    tasks = [(scans[i], folders[i], jobs[i]) for i in waiting]
    try:
        for i, reason in (_invert_on_nodes if on_nodes else _invert)(tasks, load_proposal):
            number = waiting[i]
            failed = reason is not None
            outcomes[number] = Outcome(
                file=scans[number], folder=None if failed else folders[number], reason=reason
            )
            name = folders[number].name
            # Where nothing new was written an earlier result is still whole.
            state.done(name, former.get(name) if failed else keys[number])
            progress(outcomes[number], len(outcomes))
    finally:
        state.write()
    return [outcomes[i] for i in range(len(scans))]


def _is_whole(document: Path) -> bool:
    try:
        json.loads(document.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _invert(
    tasks: Sequence[tuple[Path, Path, Job]],
    load_proposal: Callable[[str, Sample], Proposal] | None,
) -> Iterator[tuple[int, str | None]]:
    """Number of each task as it is done, and why it failed if it did."""
    workers = min(worker_count(), len(tasks))
    if not tasks or worker_count() == 1:
        proposal = _loaded(tasks[0][2], load_proposal) if tasks else None
        for i, (path, folder, job) in enumerate(tasks):
            yield i, _one(path, folder, job, proposal)
        return
    processes = Workers(number=workers, begin=_begin, given=(tasks[0][2], load_proposal))
    try:
        for i, reason in done_side_by_side(_in_worker, tasks, processes):
            if reason is KILLED:
                reason = f"{tasks[i][0]}: its process was ended from outside twice, perhaps for want of memory."
            yield i, reason
    finally:
        _remove_begun(tasks)


def _invert_on_nodes(
    tasks: Sequence[tuple[Path, Path, Job]],
    load_proposal: Callable[[str, Sample], Proposal] | None,
) -> Iterator[tuple[int, str | None]]:
    """As :func:`_invert`, on the connected cluster; each node writes what it finds."""
    if not tasks:
        return
    for i, reason in done_units(_on_node, (tasks[0][2], load_proposal), tasks):
        if reason is LOST:
            reason = f"{tasks[i][0]}: its workers were killed again and again, perhaps for want of memory."
        yield i, reason
    _remove_begun(tasks)


def _remove_begun(tasks: Sequence[tuple[Path, Path, Job]]) -> None:
    """What workers that died had begun to write."""
    for begun in tasks[0][1].parent.glob(f"{TEMPORARY}*"):
        shutil.rmtree(begun, ignore_errors=True)


def _on_node(
    shared: tuple[Job, Callable[[str, Sample], Proposal] | None], task: tuple[Path, Path, Job]
) -> str | None:
    _begin_once(*shared)
    return _in_worker(*task)


@cache
def _begin_once(job: Job, load_proposal: Callable[[str, Sample], Proposal] | None) -> None:
    threadpool_limits(1)
    _begin(job, load_proposal)


_proposal: list[Proposal | None] = []


def _begin(job: Job, load_proposal: Callable[[str, Sample], Proposal] | None) -> None:
    use_threads(1)
    _proposal[:] = [_loaded(job, load_proposal)]


def _loaded(job: Job, load_proposal: Callable[[str, Sample], Proposal] | None) -> Proposal | None:
    if job.estimator is None or load_proposal is None:
        return None
    return load_proposal(job.estimator, job.described())


def _in_worker(path: Path, folder: Path, job: Job) -> str | None:
    return _one(path, folder, job, _proposal[0])


def _one(path: Path, folder: Path, job: Job, proposal: Proposal | None) -> str | None:
    """Invert a scan and write its result; why not, if it failed."""
    try:
        result = invert_file(path, job, proposal=proposal)
        write_result(result, folder, force=(folder / "result.json").exists())
    except (ValueError, OSError) as error:
        return " ".join(str(error).split())
    except MemoryError:
        return f"{path}: too little memory for it; invert it by itself, or fewer scans side by side."
    except Exception as error:  # One scan's surprise is no end of a series.
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return f"{path}: an error of the program ({said}); please report it."
    return None


def _settings_with_files(job: Job) -> dict[str, Any]:
    """Settings of the sample as the job has it, and digests of the files that they and the estimator name."""
    settings = job.described().settings()
    named = [*_texts(settings), *([job.estimator] if job.estimator else [])]
    files = [hashlib.sha256(Path(p).read_bytes()).hexdigest() for p in named if Path(p).is_file()]
    return {"sample": settings, "files": files}


def _fingerprint(path: Path, job: Job, about_job: dict[str, Any]) -> str | None:
    """Of all that decides a result; None for a scan that cannot be read."""
    try:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
    # Axis and intensity are the sample's settings by now, wherever they were said; an instrument's file asks for its
    # axis by itself.
    about = asdict(replace(job, axis=job.axis if is_instrument_file(path) else None, intensity=None))
    about |= {"scan": content, "version": metadata.version("strainscope")} | about_job
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()


def _texts(settings: Any) -> Iterator[str]:  # noqa: ANN401
    """Every text in nested settings; some name files."""
    if isinstance(settings, str):
        yield settings
    elif isinstance(settings, dict):
        for own in settings.values():
            yield from _texts(own)
    elif isinstance(settings, list | tuple):
        for own in settings:
            yield from _texts(own)


class _State:
    """Which results of a folder are whole, and by which settings."""

    def __init__(self, out: Path, resume: bool, columns: Sequence[str]) -> None:
        self._out, self._path, self._columns = out, out / STATE, list(columns)
        self.keys: dict[str, str] = {}
        self._next = 0.0
        if out.exists() and not resume:
            raise FileExistsError(f"{out}: exists; name another folder, or go on with it by --resume.")
        if resume and not self._path.exists():
            raise FileNotFoundError(f"{out}: holds no series to go on with; leave --resume out.")
        if resume:
            self.keys, before = _read_state(self._path)
            missing = [name for name in before if name not in columns]
            if missing:
                raise ValueError(
                    f"{out}: was begun with a --table that has {', '.join(missing)}; give it again, or name another "
                    "folder."
                )

    def begin(self, anew: Sequence[str]) -> dict[str, str]:
        """Make the folder, with its state: results that are made anew are not known to be whole until they are.

        Returns:
            What those were made by so far, by name.
        """
        (self._out / SCANS).mkdir(parents=True, exist_ok=True)
        former = {name: self.keys.pop(name) for name in anew if name in self.keys}
        self.write()
        return former

    def done(self, name: str, key: str | None) -> None:
        """Note a result that is whole; the file follows as soon as may be."""
        if key is not None:
            self.keys[name] = key
            # It holds all names each time: with a million of them it would otherwise take all the time there is.
            if time.monotonic() >= self._next:
                self.write()

    def write(self) -> None:
        """Put what is noted on the disk."""
        began = time.monotonic()
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({"results": self.keys, "columns": self._columns}, indent=1), encoding="utf-8")
        os.replace(fresh, self._path)
        ended = time.monotonic()
        self._next = ended + _WRITING * (ended - began)


def _read_state(path: Path) -> tuple[dict[str, str], list[str]]:
    """What each result was made by, and the columns that were known."""
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(key) for name, key in document["results"].items()}, document.get("columns", [])
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: is damaged ({error}); remove it to begin anew.") from None
