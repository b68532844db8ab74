"""The command `strainscope serve`."""

import os
from pathlib import Path
from typing import Annotated

import typer

TOKEN_VARIABLE = "STRAINSCOPE_TOKEN"


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen at; others than this machine's need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for any that is free.")] = 8080,
    data: Annotated[
        Path | None, typer.Option(help="Folder for results; by default ~/.local/state/strainscope.")
    ] = None,
    maps: Annotated[
        Path | None,
        typer.Option(help="Folder of results of `strainscope map`, shown to everybody who may use the server."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Inversions at once; by default one a processor.")
    ] = None,
    upload_mb: Annotated[float, typer.Option(help="Largest scan that is taken [MB].")] = 10.0,
    keep_days: Annotated[float, typer.Option(help="Results older than that are removed.")] = 30.0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open one, where there is one.")
    ] = True,
) -> None:
    """Serve the web page and the REST interface.

    A token that every user has to know is taken from the environment variable STRAINSCOPE_TOKEN.
    """
    try:
        import fastapi  # noqa: F401
        import nicegui  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"serve needs {error.name}, which is not installed; run: pip install 'strainscope[web]'"
        ) from None
    from strainscope.diffraction.engine import worker_count
    from strainscope.web.server import serve as run
    from strainscope.web.settings import ServerSettings, usual_data_folder

    settings = ServerSettings(
        host=host,
        port=port,
        token=os.environ.get(TOKEN_VARIABLE) or None,
        data=usual_data_folder() if data is None else data,
        maps=maps,
        workers=worker_count() if workers is None else workers,
        largest_upload_mb=upload_mb,
        keep_days=keep_days,
    )
    run(settings, browser=browser, say=typer.echo)
