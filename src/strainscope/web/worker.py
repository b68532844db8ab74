"""What a process of its own does: inverts one scan after another and tells how far it is.

It may be killed at any time: whatever it was at is in the folder of its job, which the server removes.
"""

import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from strainscope.series.job import Job

# Live curves go before inversions.
NICENESS = 10
RESULT = "result"


@dataclass(frozen=True, kw_only=True)
class Task:
    """An inversion that a worker is asked for.

    Attributes:
        scan: A file that the server made.
        name: Of the scan, as the client calls it; never a path.
        job: How; its sample is a file that the server made, too.
        command: What to type to repeat it.
        folder: The job's own, for whatever the worker writes.
    """

    scan: Path
    name: str
    job: Job
    command: str
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far an inversion is."""

    stage: str
    share: float


@dataclass(frozen=True, kw_only=True)
class Done:
    """A result: its files by name, and a few figures of it."""

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
    import strainscope.web.corner  # noqa: F401
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
    return line.replace(str(task.scan), task.name).replace(task.job.sample, "sample")


def inverted(task: Task, progress: Callable[[str, float], None]) -> Done:
    """Invert a scan and make the files of its result, the same as the command line would.

    Raises:
        ValueError: the file is no scan of this kind.
        OSError: it cannot be read.
    """
    from strainscope.report import largest_strain_text, write_result
    from strainscope.series.job import invert_file
    from strainscope.web.corner import corner_pictures

    result = invert_file(task.scan, task.job, progress=lambda stage, share: progress(stage, 0.98 * share))
    result = replace(result, scan=replace(result.scan, name=Path(task.name).stem))
    progress("writing report and figures", 0.99)
    folder = task.folder / RESULT
    write_result(result, folder, command=task.command)
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    files |= corner_pictures(result) | {"sample.yaml": Path(task.job.sample).read_bytes()}
    strain, low, high, depth = largest_strain_text(result.best)
    return Done(
        files=files,
        summary={
            "verdict": result.verdict.level,
            "modes": len(result.modes),
            "rms_log10": result.best.rms_log10,
            "maximum_strain_percent": strain,
            "maximum_strain_68_percent": [low, high],
            "maximum_strain_depth_nm": depth,
            "wall_s": result.wall_s,
        },
    )
