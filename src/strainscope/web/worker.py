"""What a process of its own does: does one inversion after another and tells how far it is.

It may be killed at any time: whatever it was at is in the folder of its job, which the server removes.
"""

import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strainscope.series.job import Job
from strainscope.web.messages import with_names

if TYPE_CHECKING:
    from strainscope.inversion import Result
    from strainscope.inversion.proposal import Proposal
    from strainscope.scan import Scan

# Live curves go before inversions.
NICENESS = 10
RESULT, SAMPLE = "result", "sample.yaml"


@dataclass(frozen=True, kw_only=True)
class Task:
    """An inversion that a worker is asked for.

    Attributes:
        folder: The job's own, with the sample, its CIFs and the scans; for whatever the worker writes.
        scans: Files in it that the server named, one for each reflection of the sample.
        names: Of the scans, as the client calls them; never paths.
        cifs: Files in it that the sample names.
        job: How; its sample is the file in the folder.
        command: What to type to repeat it.
    """

    folder: Path
    scans: tuple[str, ...]
    names: tuple[str, ...]
    cifs: tuple[str, ...]
    job: Job
    command: str


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far an inversion is."""

    stage: str
    share: float


@dataclass(frozen=True, kw_only=True)
class Done:
    """A result: its files by name, and a few figures of it, called as in result.json."""

    files: dict[str, bytes]
    summary: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Failed:
    """Why a scan could not be inverted, one line."""

    reason: str


def work(connection: Connection) -> None:
    """Take tasks from a connection until it closes; the entry point of a worker process."""
    # Ctrl-C goes to the whole group of processes; it is the server that ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(AttributeError, OSError):
        os.nice(NICENESS)
    # Imported before the first task comes: that takes seconds.
    import strainscope.report.corner  # noqa: F401
    from strainscope.diffraction.engine import use_threads

    use_threads(1)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            task: Task = connection.recv()
            connection.send(
                _answer(task, lambda stage, share: connection.send(Progress(stage=stage, share=share)))
            )


def _answer(task: Task, progress: Callable[[str, float], None]) -> Done | Failed:
    try:
        return inverted(task, progress)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except (ValueError, OSError) as error:
        return Failed(reason=shown(str(error), task))
    except Exception as error:  # A defect: the page says so, and the next scan is served.
        return Failed(reason=f"the inversion broke down ({type(error).__name__}: {shown(str(error), task)}).")


def shown(message: str, task: Task) -> str:
    """A message in one line, with the client's names in place of the server's files."""
    line = " ".join(message.split())
    return with_names(line, [*zip(task.names, task.scans, strict=True), ("sample", task.job.sample)])


def inverted(task: Task, progress: Callable[[str, float], None]) -> Done:
    """Invert scans and make the files of the result: the command line's, the corner plot, and what was given.

    Raises:
        ValueError: the files are no scans of this kind.
        OSError: one cannot be read.
    """
    from strainscope.report import write_result
    from strainscope.report.corner import corner_pictures
    from strainscope.series.job import invert_file

    # What a result says of its files is what the client said, not where the server keeps them.
    with contextlib.chdir(task.folder):
        proposal = _proposal(task.job)
        first, *beside = map(Path, task.scans)
        result = invert_file(
            first,
            task.job,
            beside=beside,
            proposal=proposal,
            progress=lambda stage, share: progress(stage, 0.98 * share),
        )
        result = _named(result, task)
        progress("writing report and figures", 0.99)
        write_result(result, RESULT, command=task.command)
        files = {path.name: path.read_bytes() for path in sorted(Path(RESULT).iterdir())}
        files |= corner_pictures(result)
        files |= {name: Path(name).read_bytes() for name in (SAMPLE, *task.cifs)}
    maximum_strain, depth = result.best.maximum_strain
    return Done(
        files=files,
        summary={
            "verdict": result.verdict.level,
            "maximum_strain": maximum_strain,
            "maximum_strain_depth_A": depth,
            "rms_log10": result.best.rms_log10,
            "wall_s": result.wall_s,
        },
    )


def _proposal(job: Job) -> "Proposal | None":
    from strainscope.estimator.named import proposal_of

    return None if job.estimator is None else proposal_of(job.estimator, job.described())


def _named(result: "Result", task: Task) -> "Result":
    """The result with its scans called after the client's files, as the command line calls them."""

    def named(scan: "Scan", i: int) -> "Scan":
        # What follows the file's name is the number of the scan in it.
        number = scan.name.removeprefix(Path(task.scans[i]).stem)
        return replace(scan, name=Path(task.names[i]).stem + number)

    beside = [replace(own, scan=named(own.scan, i)) for i, own in enumerate(result.beside, start=1)]
    return replace(result, scan=named(result.scan, 0), beside=tuple(beside))
