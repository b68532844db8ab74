"""What the page and the REST interface do for a session; both say the same."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from strainscope.readers import file_documents
from strainscope.sample import preset_text, presets
from strainscope.scan import UNITS
from strainscope.web.archive import series_archive, zipped
from strainscope.web.curves import at_points, at_usual_angles
from strainscope.web.jobs import JobQueue
from strainscope.web.live import Asked, LiveModel, LiveModels, scan_text
from strainscope.web.messages import with_names
from strainscope.web.orders import covering, order_of
from strainscope.web.requests import InvertRequest, JobReply, SampleRequest, SimulateReply, SimulateRequest
from strainscope.web.samples import read_sample, with_columns
from strainscope.web.sessions import Session, Sessions, Upload
from strainscope.web.settings import DATABASE, LARGEST_CIF_BYTES, SCAN_SUFFIXES, ServerSettings
from strainscope.web.store import JobRecord, Store, locked

EXAMPLE = "ggg444-simulated.xy"
EXAMPLE_SAMPLE, EXAMPLE_INTENSITY = "ggg444", "counts"
SIMULATED_COUNTS = 1e5
_TIDY_S = 600.0
# Curves that are simulated at once; more would only share the processors.
_THREADS = 2
_Found = TypeVar("_Found")


class NotThere(LookupError):
    """The session has nothing of that name."""


class Service:
    """One server's sessions, live models and inversions.

    Args:
        settings: How it runs.

    Raises:
        OSError: the data folder cannot be used, or another server uses it.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self._lock = locked(settings.data)
        self.store = Store(settings.data / DATABASE)
        self.store.interrupt()
        self.sessions = Sessions(settings)
        self.models = LiveModels()
        self.jobs = JobQueue(self.store, settings)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="live")
        self._pool.submit(_warm_up)

    def close(self) -> None:
        """End workers, remove what is temporary."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.jobs.close()
        self.sessions.close()
        self.store.close()
        self._lock.close()

    async def tidy(self) -> None:
        """Remove, now and then, what nobody has asked for for long."""
        while True:
            self.sessions.remove_idle()
            self.store.remove_older(time.time() - 24 * 3600 * self.settings.keep_days)
            await asyncio.sleep(_TIDY_S)

    async def aside(self, work: Callable[[], _Found]) -> _Found:
        """What comes of work that would hold up others, done in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    # Scans ------------------------------------------------------------------------------------------------------

    def upload(self, session: Session, name: str, content: bytes) -> Upload:
        """Keep a scan of a client; whether it is one is seen when it is read, as that needs to know its axis."""
        return self.sessions.keep(session, name, content)

    def example(self, session: Session) -> Upload:
        """The scan that ships, as if it had been uploaded."""
        known = [own for own in session.uploads.values() if own.name == EXAMPLE]
        content = resources.files("strainscope").joinpath("samples", EXAMPLE).read_bytes()
        return known[0] if known else self.sessions.keep(session, EXAMPLE, content, simulated=True)

    def simulated(self, session: Session, request: SampleRequest) -> list[Upload]:
        """Simulated scans of a sample, one for each reflection, with counting noise, as if they had been uploaded.

        Raises:
            ValueError: what is wrong with the sample.
        """
        asked = read_sample(request.sample, session.cif_paths())
        made = []
        for described in with_columns(asked, request.axis, request.intensity).by_reflection():
            counts = SIMULATED_COUNTS if described.scan.intensity == "counts" else None
            scan, _ = described.simulate(described.simulated_values({}, counts=counts), counts=counts)
            number = 1 + sum(own.simulated for own in session.uploads.values())
            name = f"simulated-{described.label}-{number}.xy"
            content = scan_text(scan, "simulated by Strainscope, not measured").encode()
            made.append(self.sessions.keep(session, name, content, simulated=True))
        return made

    def understood(self, upload: Upload) -> list[dict[str, Any]]:
        """What is understood of each scan in an uploaded file.

        Raises:
            ValueError: it is no file of scans.
        """
        found = _understood(upload.path)
        if isinstance(found, str):
            raise ValueError(with_names(found, [(upload.name, upload.path)]))
        return found

    def estimators(self, session: Session, request: SampleRequest) -> tuple[str, ...]:
        """The estimators that ship and serve a sample.

        Raises:
            ValueError: what is wrong with the sample, or networks are not installed.
        """
        return covering(read_sample(request.sample, session.cif_paths()))

    def scan(self, session: Session, scan: str) -> Upload:
        """An uploaded scan.

        Raises:
            NotThere: this session has none of that name.
        """
        if scan not in session.uploads:
            raise NotThere(f"this session has no scan {scan[:40]!r}; upload it (again).")
        return session.uploads[scan]

    def model(self, session: Session, request: SimulateRequest) -> LiveModel:
        """The model of an uploaded scan, prepared.

        Raises:
            NotThere: this session has none of that name.
            ValueError: what is wrong with sample or scan.
        """
        own = self.scan(session, str(request.scan))
        asked = Asked(
            sample=request.sample,
            cifs=session.cif_paths(),
            reflection=None if request.reflection is None else tuple(request.reflection),
            axis=request.axis,
            intensity=request.intensity,
            path=own.path,
            number=request.number,
            name=own.name,
        )
        return self.models.of(asked)

    def simulate(self, session: Session, request: SimulateRequest) -> SimulateReply:
        """A curve, at the points of an uploaded scan or as `strainscope simulate` has it.

        Raises:
            NotThere: this session has no such scan.
            ValueError: what is wrong with sample, scan or values.
        """
        began = time.perf_counter()
        if request.scan is None:
            reply = at_usual_angles(request, session.cif_paths())
        else:
            reply = at_points(self.model(session, request), request)
        return reply.model_copy(update={"server_ms": 1000 * (time.perf_counter() - began)})

    # Inversions -------------------------------------------------------------------------------------------------

    def invert(self, session: Session, request: InvertRequest) -> JobReply:
        """Take an inversion into the queue.

        Raises:
            NotThere: this session has no such scan.
            TooBusy: there are too many.
            ValueError: what is wrong with the sample or the settings.
        """
        named = request.scan if isinstance(request.scan, list) else [request.scan]
        scans = [self.scan(session, scan) for scan in named]
        number = self.jobs.submit(session.owner, order_of(request, session, scans))
        return self.job(session, number)

    def job(self, session: Session, job: str) -> JobReply:
        """How an inversion stands.

        Raises:
            NotThere: this session has none of that name.
        """
        record = self.store.job(job, session.owner)
        if record is None:
            raise NotThere(f"this session has no inversion {job[:40]!r}.")
        return self._reply(record)

    def all_jobs(self, session: Session) -> list[JobReply]:
        """Inversions of a session, the newest first."""
        return [self._reply(record) for record in self.store.jobs(session.owner)]

    def remove_job(self, session: Session, job: str) -> None:
        """Give an inversion up, or forget its result.

        Raises:
            NotThere: this session has none of that name.
        """
        self.job(session, job)
        if not self.jobs.cancel(job, session.owner):
            self.store.remove(job, session.owner)

    def file(self, session: Session, job: str, name: str) -> bytes:
        """A file of a result.

        Raises:
            NotThere: this session has no such result or file.
        """
        found = self.store.file(job, session.owner, name)
        if found is None:
            state = self.job(session, job)
            why = state.error or f"it is {state.state}."
            raise NotThere(
                f"{state.name}: there is no {name[:40]}" + ("." if state.state == "done" else f": {why}")
            )
        return found

    def archive(self, session: Session, job: str) -> bytes:
        """All files of a result in one ZIP.

        Raises:
            NotThere: this session has no such result.
        """
        self.file(session, job, "result.json")
        names = self.store.file_names(job, session.owner)
        return zipped((name, self.file(session, job, name)) for name in names)

    def series(
        self, session: Session, jobs: Sequence[str], against: str | None, numbers: Sequence[float] | None
    ) -> bytes:
        """Several results as a series in one ZIP.

        Raises:
            NotThere: this session has no such result.
            ValueError: they make no series.
        """
        replies = [self.job(session, job) for job in jobs]
        for own in replies:
            self.file(session, own.job, "result.json")
        return series_archive(
            replies, lambda job, name: self.file(session, job, name), against=against, numbers=numbers
        )

    def _reply(self, record: JobRecord) -> JobReply:
        own = self.jobs.progress(record.id, record.owner)
        done = record.state == "done"
        return JobReply(
            job=record.id,
            name=record.name,
            state=record.state,  # type: ignore[arg-type]
            stage=None if own is None else own.stage,
            progress=1.0 if done else 0.0 if own is None else own.share,
            waiting=self.jobs.place(record.id) if record.state == "waiting" else None,
            error=record.error,
            created=record.created,
            finished=record.finished,
            request=record.request,
            summary=record.summary,
            files=self.store.file_names(record.id, record.owner) if done else [],
        )


@lru_cache(maxsize=256)
def _understood(path: Path) -> list[dict[str, Any]] | str:
    """What is understood, or why nothing is; either costs the reading of the file."""
    try:
        return file_documents(path)
    except (ValueError, OSError) as error:
        return str(error)


def formats(settings: ServerSettings) -> dict[str, Any]:
    """What the server takes."""
    return {
        "scan_suffixes": list(SCAN_SUFFIXES),
        "largest_scan_bytes": settings.largest_upload_bytes,
        "largest_cif_bytes": LARGEST_CIF_BYTES,
        "axes": list(UNITS),
        "intensities": ["counts", "normalised"],
        "samples": {name: preset_text(name) for name in presets()},
    }


def _warm_up() -> None:
    """Compile, or load, what the first curve needs: ten seconds that no visitor should wait."""
    described = with_columns(read_sample(EXAMPLE_SAMPLE), None, None)
    scan, _ = described.simulate(described.simulated_values({}))
    LiveModel(described, scan).curve({})
