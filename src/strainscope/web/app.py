"""The application: the guard around the REST interface and, unless it is left out, the page."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib import metadata

from fastapi import FastAPI

from strainscope.web.api import add_error_handlers, api_router
from strainscope.web.guard import Guard
from strainscope.web.maps import maps_router
from strainscope.web.service import Service
from strainscope.web.settings import ServerSettings


def create_app(settings: ServerSettings, *, page: bool = True) -> FastAPI:
    """The application of a server.

    Args:
        settings: How it runs.
        page: Whether it has the page, of which a process can have one.

    Raises:
        OSError: the data folder cannot be used.
    """
    service = Service(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tidying = asyncio.create_task(service.tidy())
        try:
            yield
        finally:
            tidying.cancel()
            service.close()

    app = FastAPI(
        title="Strainscope",
        version=metadata.version("strainscope"),
        description="X-ray rocking curves to strain and disorder with depth.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    add_error_handlers(app)
    # Before the routes that answer whatever no other does.
    app.include_router(maps_router(settings.maps))
    app.include_router(api_router(service))
    if page:
        from strainscope.web.page import add_page

        add_page(app, service)
    app.add_middleware(Guard, settings=settings)
    return app
