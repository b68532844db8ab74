"""The pictures of README and docs that show a result: python docs/pictures.py (chromium takes the one of the page)."""

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

import strainscope
from strainscope import plots

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
WINDOW = (900, 1250)
COLOURS = 64


def small_png(content: bytes, path: Path, *, width: int) -> None:
    """Write a picture with few colours, which is what figures have."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    picture.thumbnail((width, 10 * width))
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def page_picture(page: Path) -> bytes:
    """The first screen of a page, as chromium shows it."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit(
            "no chromium to take the picture of the report with; install it, or leave that picture."
        )
    target = page.with_suffix(".png")
    size = f"--window-size={WINDOW[0]},{WINDOW[1]}"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", size]
    subprocess.run(
        [browser, *options, f"--screenshot={target}", page.as_uri()],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return target.read_bytes()


def main() -> None:
    """Invert the example and write both pictures."""
    result = strainscope.invert(ROOT / "examples/ggg444-simulated.xy", "ggg444", intensity="counts")
    sys.stdout.write(f"{result!r}\n")
    small_png(plots.picture(result.plot(), kind="png"), IMAGES / "report.png", width=1400)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result"
        strainscope.write_result(result, out)
        small_png(page_picture(out / "report.html"), IMAGES / "report-page.png", width=WINDOW[0])


if __name__ == "__main__":
    main()
