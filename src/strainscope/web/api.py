"""The REST interface under /api: thin routes over what a service does for a session."""

from collections.abc import Callable
from pathlib import PurePath
from typing import Annotated, Any
from urllib.parse import quote

import orjson
from fastapi import APIRouter, FastAPI, File, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from strainscope.crystal import builtin_crystal, builtin_crystals, reflection, reflection_document
from strainscope.web.guard import error_response
from strainscope.web.jobs import TooBusy
from strainscope.web.messages import line_of, line_of_request
from strainscope.web.orders import stem_of
from strainscope.web.requests import (
    CifReply,
    InvertRequest,
    JobReply,
    Problem,
    SampleRequest,
    ScanReply,
    SimulateReply,
    SimulateRequest,
    UnderstoodReply,
)
from strainscope.web.service import NotThere, Service, formats
from strainscope.web.sessions import Session, Upload
from strainscope.web.settings import LARGEST_CIF_BYTES

_TYPES = {
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".yaml": "application/yaml; charset=utf-8",
}
# What a result holds runs nothing and loads nothing, wherever it is opened.
_NOTHING_RUNS = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "What is wrong, in one line."},
    401: {"model": Problem, "description": "The server needs a token."},
    404: {"model": Problem, "description": "This session has nothing of that name."},
    413: {"model": Problem, "description": "Too large."},
    429: {"model": Problem, "description": "As many inversions as the server takes."},
}


def session_of(request: Request, service: Service) -> Session:
    """The session that a request belongs to."""
    return service.sessions.of(request.state.secret)


def api_router(service: Service) -> APIRouter:
    """The routes of a service."""
    router = APIRouter(prefix="/api", responses=_PROBLEMS)
    _add_knowledge(router, service)
    _add_scans(router, service)
    _add_samples(router, service)
    _add_jobs(router, service)

    @router.api_route("/{rest:path}", methods=["GET", "POST", "PUT", "DELETE"], include_in_schema=False)
    def nothing(rest: str) -> Response:
        raise NotThere(f"/api/{rest}: there is no such thing; see /api/openapi.json.")

    return router


def _add_knowledge(router: APIRouter, service: Service) -> None:
    @router.get("/formats")
    def what_is_taken() -> dict[str, Any]:
        """Endings and size of scans, axes, kinds of intensity, and the sample files that ship."""
        return formats(service.settings)

    @router.get("/crystals")
    def crystals() -> list[str]:
        """Names of the built-in crystals."""
        return list(builtin_crystals())

    @router.get("/crystals/{name}")
    def crystal(
        name: str,
        reflection_: Annotated[str, Query(alias="reflection", description="Miller indices: 4,4,4")],
        wavelength: Annotated[str, Query(description="Å, or a line such as CuKa1")] = "CuKa1",
    ) -> dict[str, Any]:
        """What a reflection of a perfect crystal is like; complex numbers are [real, imaginary]."""
        try:
            indices = [int(word) for word in reflection_.split(",")]
        except ValueError:
            raise ValueError(
                f"reflection = {reflection_[:40]!r}; give whole numbers, such as 4,4,4."
            ) from None
        return reflection_document(reflection(builtin_crystal(name), indices, wavelength=wavelength))


def _add_scans(router: APIRouter, service: Service) -> None:
    @router.post("/scans", status_code=201)
    def upload(request: Request, file: Annotated[UploadFile, File(description="A scan.")]) -> ScanReply:
        """Upload a scan; it is kept until the session ends."""
        content = file.file.read(service.settings.largest_upload_bytes + 1)
        return ScanReply(**_scan(service.upload(session_of(request, service), file.filename or "", content)))

    @router.get("/scans")
    def scans(request: Request) -> list[ScanReply]:
        """The session's scans."""
        return [ScanReply(**_scan(own)) for own in session_of(request, service).uploads.values()]

    @router.get("/scans/{scan}")
    def understood(request: Request, scan: str) -> UnderstoodReply:
        """What is understood of an uploaded file: its scans, axes, wavelength, counting times, attenuators."""
        own = service.scan(session_of(request, service), scan)
        return UnderstoodReply(**_scan(own), scans=service.understood(own))

    @router.delete("/scans/{scan}", status_code=204)
    def remove(request: Request, scan: str) -> None:
        """Remove a scan."""
        session = session_of(request, service)
        service.scan(session, scan)
        service.sessions.remove(session, scan)

    @router.post("/simulate", response_model=SimulateReply)
    async def simulate(request: Request, asked: SimulateRequest) -> Response:
        """Simulate a curve: at the points of a scan, or as `strainscope simulate` does."""
        session = session_of(request, service)
        reply = await service.aside(lambda: service.simulate(session, asked))
        return Response(orjson.dumps(reply.model_dump()), media_type="application/json")


def _add_samples(router: APIRouter, service: Service) -> None:
    @router.post("/cifs", status_code=201)
    def upload(request: Request, file: Annotated[UploadFile, File(description="A CIF.")]) -> CifReply:
        """Upload a CIF that samples name (`cif: NAME.cif`); it is kept until the session ends."""
        content = file.file.read(LARGEST_CIF_BYTES + 1)
        own = service.sessions.keep_cif(session_of(request, service), file.filename or "", content)
        return CifReply(name=own.name, bytes=own.size)

    @router.get("/cifs")
    def cifs(request: Request) -> list[CifReply]:
        """The session's CIFs."""
        known = session_of(request, service).cifs.values()
        return [CifReply(name=own.name, bytes=own.size) for own in known]

    @router.delete("/cifs/{name}", status_code=204)
    def remove(request: Request, name: str) -> None:
        """Remove a CIF."""
        if not service.sessions.remove_cif(session_of(request, service), name):
            raise NotThere(f"this session has no CIF {name[:40]!r}.")

    @router.post("/estimators")
    async def estimators(request: Request, asked: SampleRequest) -> list[str]:
        """The estimators that ship and can propose profiles for a sample."""
        session = session_of(request, service)
        return list(await service.aside(lambda: service.estimators(session, asked)))


def _add_jobs(router: APIRouter, service: Service) -> None:
    @router.post("/jobs", status_code=202)
    def invert(request: Request, asked: InvertRequest) -> JobReply:
        """Invert a scan: it waits for its turn, and is done in a process of its own."""
        return service.invert(session_of(request, service), asked)

    @router.get("/jobs")
    def jobs(request: Request) -> list[JobReply]:
        """The session's inversions, the newest first."""
        return service.all_jobs(session_of(request, service))

    @router.get("/jobs/{job}")
    def job(request: Request, job: str) -> JobReply:
        """How an inversion stands."""
        return service.job(session_of(request, service), job)

    @router.delete("/jobs/{job}", status_code=204)
    def remove(request: Request, job: str) -> None:
        """Cancel an inversion, or forget its result."""
        service.remove_job(session_of(request, service), job)

    @router.get("/jobs/{job}/result", responses={200: {"content": {"application/json": {}}}})
    def result(request: Request, job: str) -> Response:
        """The result, as result.json of the command line."""
        content = service.file(session_of(request, service), job, "result.json")
        return Response(content, media_type="application/json")

    @router.get("/jobs/{job}/archive", responses={200: {"content": {"application/zip": {}}}})
    def archive(request: Request, job: str) -> Response:
        """All files of a result."""
        session = session_of(request, service)
        stem = stem_of(service.job(session, job).name)
        return _download(service.archive(session, job), f"{stem}.zip", "application/zip", attached=True)

    @router.get("/series", responses={200: {"content": {"application/zip": {}}}})
    def series(
        request: Request,
        jobs: Annotated[str, Query(description="Results, separated by commas.")],
        against: Annotated[str | None, Query(max_length=60, description="What the numbers are.")] = None,
        numbers: Annotated[str | None, Query(description="One for each result, separated by commas.")] = None,
    ) -> Response:
        """Report and table of several results, as `strainscope batch` writes them."""
        session = session_of(request, service)
        known = None if numbers is None else _numbers(numbers)
        content = service.series(session, jobs.split(","), against, known)
        return _download(content, "series.zip", "application/zip", attached=True)

    @router.get("/jobs/{job}/files/{name}", responses={200: {"content": {"*/*": {}}}})
    def file(request: Request, job: str, name: str, download: bool = False) -> Response:
        """A file of a result; `download` names it after the scan."""
        session = session_of(request, service)
        content = service.file(session, job, name)
        kind = _TYPES.get(PurePath(name).suffix, "application/octet-stream")
        stem = stem_of(service.job(session, job).name)
        return _download(content, f"{stem}-{name}", kind, attached=download)


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise ValueError(f"numbers = {text[:40]!r}; give numbers separated by commas.") from None


def _scan(own: Upload) -> dict[str, Any]:
    return {"scan": own.id, "name": own.name, "bytes": own.size}


def _download(content: bytes, name: str, kind: str, *, attached: bool) -> Response:
    how = "attachment" if attached else "inline"
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)
    named = f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"
    return Response(
        content,
        media_type=kind,
        headers={"content-disposition": named, "content-security-policy": _NOTHING_RUNS},
    )


def add_error_handlers(app: FastAPI) -> None:
    """Have every error of the REST interface answered by one line."""

    def of(status: int, words: Callable[[Any], str] = line_of) -> Callable[[Request, Any], Response]:
        return lambda request, error: error_response(status, words(error))

    app.add_exception_handler(RequestValidationError, of(400, line_of_request))
    app.add_exception_handler(TooBusy, of(429))
    app.add_exception_handler(NotThere, of(404, lambda error: str(error.args[0])))
    app.add_exception_handler(ValueError, of(400))
    app.add_exception_handler(OSError, of(400))
    app.add_exception_handler(
        HTTPException,
        lambda request, error: error_response(error.status_code, f"{error.detail}."),
    )
