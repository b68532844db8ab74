"""Maps that `strainscope map` made, from a folder of the server: everybody who may use the server sees them."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from starlette.responses import FileResponse, Response

from strainscope.web.service import NotThere

REPORT, DATA = "report.html", "map.nxs"
# What of a map's folder is given away.
_FILES = re.compile(rf"{re.escape(REPORT)}|{re.escape(DATA)}|page/\d{{5}}\.js|pictures/[\w-]+\.png")
# The map's page runs what it brings and loads the files beside it, nothing else.
_HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline'; frame-ancestors 'self'",
    "x-frame-options": "SAMEORIGIN",
    "cache-control": "no-cache",
}


def map_names(folder: Path | None) -> list[str]:
    """Names of the maps in a folder that are done, in order; none where there is no folder."""
    if folder is None or not folder.is_dir():
        return []
    return sorted(own.name for own in folder.iterdir() if (own / REPORT).is_file() and (own / DATA).is_file())


def place_of(name: str, file: str) -> str:
    """Where a file of a map is."""
    return f"/maps/{quote(name, safe='')}/{file}"


def maps_router(folder: Path | None) -> APIRouter:
    """The routes of the maps in a folder."""
    router = APIRouter()

    @router.get("/api/maps")
    def maps() -> list[dict[str, Any]]:
        """Maps that the server shows: name, and where the page and the file with everything are."""
        return [
            {"map": name, "page": place_of(name, REPORT), "file": place_of(name, DATA)}
            for name in map_names(folder)
        ]

    @router.get("/maps/{name}/{file:path}", include_in_schema=False)
    def a_file(name: str, file: str) -> Response:
        # Both are looked up among what is there: no path that a client made reaches the disk.
        known = folder is not None and name in map_names(folder) and _FILES.fullmatch(file)
        path = folder / name / file if folder is not None and known else None
        if path is None or not path.is_file():
            raise NotThere(f"/maps/{name}/{file}: there is no such thing; see /api/maps.")
        return FileResponse(path, headers=_HEADERS)

    return router
