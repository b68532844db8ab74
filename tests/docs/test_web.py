"""The commands and the program of the page on REST, against a server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.browser.conftest import Server
from tests.docs.pages import blocks

pytest.importorskip("nicegui", reason="needs the extra web")

ROOT = Path(__file__).parents[2]
PLACE = "http://127.0.0.1:8080"
BLOCKS = [own for own in blocks((ROOT / "docs/web.md").read_text()) if PLACE in own.text]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    own = Server(tmp_path_factory.mktemp("data"))
    yield own
    own.stop()


def test_the_page_has_both():
    assert [own.language for own in BLOCKS] == ["sh", "python"]


@pytest.mark.parametrize("block", BLOCKS, ids=[own.language for own in BLOCKS])
def test_the_block_runs_against_a_server(block, server, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    text = block.text.replace(PLACE, server.place)
    # The search of a result that somebody reads takes longer.
    text = text.replace('\\"counts\\"}', '\\"counts\\", \\"draws\\": 64, \\"starts\\": 1}')
    # The server may be reached without whatever stands between this machine and others.
    environment = os.environ | {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    program = ["bash", "-e", "-c"] if block.language == "sh" else [sys.executable, "-c"]
    ran = subprocess.run(
        [*program, text], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    if block.language == "sh":
        assert json.loads((tmp_path / "result.json").read_text())["maximum_strain"] > 0
        assert "<h1>" in (tmp_path / "report.html").read_text()
    else:
        assert ran.stdout.startswith("arcsec "), ran.stdout
