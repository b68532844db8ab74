"""`strainscope serve`: refusals in one line, and no browser where there is none."""

import socket
import sys

import pytest

pytest.importorskip("nicegui", reason="needs the extra web")

from strainscope import cli
from strainscope.web import server


@pytest.fixture
def serve(capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("STRAINSCOPE_DEBUG", raising=False)
    monkeypatch.delenv("STRAINSCOPE_TOKEN", raising=False)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.app(["serve", "--data", str(tmp_path), "--no-browser", *arguments], prog_name="strainscope")
        return ended.value.code, capsys.readouterr().err

    return run


def test_a_public_address_without_a_token_is_refused(serve):
    code, line = serve("--host", "0.0.0.0")
    assert (code, line.count("\n")) == (2, 1)
    assert "--host 0.0.0.0 can be reached from other machines, and there is no token" in line


def test_a_port_in_use_is_named(serve):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, line = serve("--port", str(taken.getsockname()[1]))
    assert (code, "cannot be listened at (Address already in use)" in line) == (2, True)


def test_without_its_packages_it_says_what_to_install(serve, monkeypatch):
    monkeypatch.setitem(sys.modules, "nicegui", None)
    code, line = serve()
    assert (
        code,
        "serve needs nicegui, which is not installed; run: pip install 'strainscope[web]'" in line,
    ) == (2, True)


def test_a_browser_is_opened_in_windows_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    assert not server.has_browser()
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(server.webbrowser, "get", lambda: object())
    assert server.has_browser()
