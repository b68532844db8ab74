"""A server in a process of its own and Debian's Chromium, headless; both end with the tests."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")
EXAMPLE = Path(__file__).parents[2] / "examples/ggg444-simulated.xy"
# Nothing but the page is asked for; the sandbox does not work for root.
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    *(["--no-sandbox"] if os.geteuid() == 0 else []),
]
START_S = 60


@pytest.fixture(scope="session")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra test")
    pytest.importorskip("nicegui", reason="needs the extra web")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing; install Debian's package chromium.")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


class Server:
    """`strainscope serve` on a free port."""

    def __init__(self, data, *arguments, **environment):
        self._command = [sys.executable, "-m", "strainscope", "serve", "--port", "0", "--data", str(data)]
        self._command += ["--no-browser", *arguments]
        self._environment = os.environ | environment
        self.start()

    def start(self):
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, text=True, env=self._environment
        )
        line = self._process.stdout.readline()
        self.place = re.match(r"(http://\S+?)[; ]", line)[1]

    def stop(self):
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(timeout=START_S)
        self._process.stdout.close()
        return code


@pytest.fixture(scope="session")
def server(browser, tmp_path_factory):
    own = Server(tmp_path_factory.mktemp("data"))
    yield own
    own.stop()


@pytest.fixture
def visitor(browser):
    """Opens a place in a browser session of its own; a script that fails there fails the test."""
    contexts, problems = [], []

    def opened(place, **options):
        context = browser.new_context(**({"viewport": {"width": 1300, "height": 900}} | options))
        contexts.append(context)
        context.set_default_timeout(30_000)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(place)
        page.get_by_role("button", name="Use the example").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def look(request):
    """Keeps a screenshot for whoever looks at them, in the folder that STRAINSCOPE_SHOTS names."""
    folder = os.environ.get("STRAINSCOPE_SHOTS")

    def kept(page, name):
        if folder:
            page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    return kept
