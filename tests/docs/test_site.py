"""The site builds strictly and loads nothing from elsewhere; every page is in its contents."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What a page would load by itself; links that a reader may follow are not among them.
LOADED = re.compile(
    r'<(?:script|img|iframe|source)[^>]*\ssrc="(https?:)?//|<link[^>]*rel="stylesheet"[^>]*href="(https?:)?//'
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return folder


def test_every_page_is_built_and_loads_nothing_from_elsewhere(site):
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    # README of a folder is its index.
    pages = {page.with_name("index.html") if page.name == "README.html" else page for page in pages}
    for page in pages:
        text = (site / page).read_text(encoding="utf-8")
        assert not LOADED.search(text), page


def test_the_reference_holds_docstrings(site):
    page = (site / "api.html").read_text(encoding="utf-8")
    for words in (
        "without a starting guess",
        "A figure, which a notebook shows",
        "labelled and with their units",
    ):
        assert words in page
