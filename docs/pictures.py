"""The pictures of README and docs that show a result: python docs/pictures.py (chromium takes those of pages)."""

import io
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import strainscope
from strainscope import plots

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
WINDOW, SERVER_WINDOW = (900, 1250), (1300, 1000)
# Until a note that the page shows for a while is gone.
SETTLED_MS = 9000
COLOURS = 64


def small_png(content: bytes, path: Path, *, width: int) -> None:
    """Write a picture with few colours, which is what figures have."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    picture.thumbnail((width, 10 * width))
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def page_picture(address: str, window: tuple[int, int], *, press: str | None = None) -> bytes:
    """The first screen of a page, as chromium shows it, after a button was pressed."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("no chromium to take the pictures of pages with; install it.")
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
        opened = playwright.chromium.launch(executable_path=browser, args=options)
        page = opened.new_page(viewport={"width": window[0], "height": window[1]})
        page.goto(address)
        if press is not None:
            page.get_by_role("button", name=press).click()
            page.wait_for_function("() => strainscope.latencies.length > 0 && strainscope.idle()")
            page.wait_for_timeout(SETTLED_MS)
        content = page.screenshot()
        opened.close()
    return content


def server_picture() -> bytes:
    """The page of the server with the example on it."""
    command = [sys.executable, "-m", "strainscope", "serve", "--port", "0", "--no-browser"]
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen([*command, "--data", folder], stdout=subprocess.PIPE, text=True)
        try:
            address = re.match(r"(http://\S+?)[; ]", server.stdout.readline() if server.stdout else "")
            if address is None:
                raise SystemExit("the server did not say where it listens.")
            return page_picture(address[1], SERVER_WINDOW, press="Use the example")
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=60)


def main() -> None:
    """Invert the example and write the pictures."""
    result = strainscope.invert(ROOT / "examples/ggg444-simulated.xy", "ggg444", intensity="counts")
    sys.stdout.write(f"{result!r}\n")
    small_png(plots.picture(result.plot(), kind="png"), IMAGES / "report.png", width=1400)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result"
        strainscope.write_result(result, out)
        report = page_picture((out / "report.html").as_uri(), WINDOW)
        small_png(report, IMAGES / "report-page.png", width=WINDOW[0])
    small_png(server_picture(), IMAGES / "web-page.png", width=SERVER_WINDOW[0])


if __name__ == "__main__":
    main()
