"""The server as a program: listens, says where, opens a browser where there is one, ends cleanly."""

import contextlib
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable

import uvicorn

from strainscope.web.app import create_app
from strainscope.web.settings import ServerSettings

_BACKLOG = 2048
_END_S = 3


def serve(settings: ServerSettings, *, browser: bool, say: Callable[[str], None]) -> None:
    """Serve until interrupted.

    Args:
        settings: How.
        browser: Whether to open one, if there is one.
        say: Called with what to tell whoever started the server.

    Raises:
        OSError: the address cannot be listened at, or the data folder cannot be used.
    """
    listening = _listen(settings)
    try:
        app = create_app(settings)
        port = listening.getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        place = f"http://{host}:{port}"
        token = " (whoever opens it is asked for the token)" if settings.token else ""
        say(f"{place}{token}; Ctrl-C stops it")
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=_END_S)
        if browser and settings.loopback and has_browser():
            threading.Timer(1.0, webbrowser.open, [place]).start()
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()


def has_browser() -> bool:
    """Whether a browser would open in a window: one in the terminal would take it from the server."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return False
    with contextlib.suppress(webbrowser.Error):
        return bool(webbrowser.get())
    return False


def _listen(settings: ServerSettings) -> socket.socket:
    host = settings.host.strip("[]")
    with contextlib.ExitStack() as closing:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            opened = closing.enter_context(socket.socket(family, kind, protocol))
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(address)
            opened.listen(_BACKLOG)
        except OSError as error:
            why = error.strerror or error
            raise OSError(
                f"--host {settings.host} --port {settings.port}: cannot be listened at ({why}); choose another port, "
                "or 0 for any that is free."
            ) from None
        closing.pop_all()
    return opened
