"""Every command and every block of code of README and docs runs, or says why not.

Searches are small ones, a scan is inverted once however many pages do it, and files of pictures are not drawn: that
they are right is what the other tests are for.
"""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.docs.pages import RUN, SHOWN, blocks, commands

from strainscope import cli, inversion, plots
from strainscope.inversion import PosteriorSettings, SearchSettings
from strainscope.maps import run as maps_run
from strainscope.scripting import way
from strainscope.series import job, run

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SMALL = {"draws": 64, "population": 8, "generations": 1, "starts": 1, "first_evaluations": 3}
SMALL |= {"coarse_steps": 2, "steps": 3}
INVERTED = {}
LOOKS_LIKE_A_COMMAND = re.compile(r"^(\$ )?(strainscope|python|pip|pipx|make|docker|sudo|mkdocs) ", re.M)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with the examples, no home of the user's, small searches in one process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("STRAINSCOPE_DEBUG", raising=False)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for module in (job, way):
        monkeypatch.setattr(module, "SearchSettings", partial(SearchSettings, **SMALL))
    monkeypatch.setattr(job, "PosteriorSettings", partial(PosteriorSettings, effective=50, evaluations=300))
    monkeypatch.setattr(inversion, "invert", once(inversion.invert))
    # The module, whose name the function hides; what an estimator proposes is as few.
    module = sys.modules["strainscope.inversion.invert"]
    monkeypatch.setattr(module, "_PROPOSED", 64)
    monkeypatch.setattr(module, "_PROPOSED_STARTS", 1)
    monkeypatch.setattr(plots, "picture", lambda figure, *, kind: kind.encode())
    monkeypatch.setattr(plots, "_settle", lambda figure: None)
    # Other processes would know nothing of this.
    for module in (run, maps_run):
        monkeypatch.setattr(module, "worker_count", lambda: 1)
    return tmp_path


def once(invert):
    """The inversion, made once for the same points, settings and seed."""

    def inverted(scan, experiment, *, sample_settings, seed, proposal=None, beside=(), **others):
        points = [(own.angle.tobytes(), own.intensity.tobytes()) for own in (scan, *(b.scan for b in beside))]
        key = repr((points, sample_settings, seed))
        if key not in INVERTED or proposal is not None:
            INVERTED[key] = invert(
                scan,
                experiment,
                sample_settings=sample_settings,
                seed=seed,
                proposal=proposal,
                beside=beside,
                **others,
            )
        return replace(INVERTED[key], scan=scan)

    return inverted


def run_command(words, target):
    """Run one command, ours in this process; raise where it fails."""
    if words[0] != "strainscope":
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ran = subprocess.run(
            words, capture_output=True, text=True, env=os.environ | {"PATH": path}, timeout=60
        )
        code, out, err = ran.returncode, ran.stdout, ran.stderr
    else:
        with (
            contextlib.redirect_stdout(io.StringIO()) as stdout,
            contextlib.redirect_stderr(io.StringIO()) as stderr,
        ):
            with pytest.raises(SystemExit) as ended:
                cli.app(words[1:], prog_name="strainscope")
        code, out, err = ended.value.code or 0, stdout.getvalue(), stderr.getvalue()
    assert code == 0, f"{' '.join(words)}: {err}"
    if target is not None:
        Path(target).write_text(out, encoding="utf-8")


def run_block(block, names):
    for command in block.said.get("before", ()):
        run_command(*commands(command)[0])
    text = block.made_smaller()
    if "file" in block.said:
        place = Path(block.said["file"][0])
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    elif block.language == "sh":
        for words, target in commands(text):
            run_command(words, target)
    elif block.language == "python":
        exec(compile(text, f"line {block.line}", "exec"), names)
    for command in block.said.get("after", ()):
        run_command(*commands(command)[0])


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_blocks_of_a_page_run_in_their_order(page, folder):
    names = {"__name__": "__main__"}
    for block in blocks(page.read_text(encoding="utf-8")):
        if "not run" in block.said or block.language in SHOWN:
            continue
        try:
            run_block(block, names)
        except Exception as error:
            error.add_note(f"{page.relative_to(ROOT)}, line {block.line}")
            raise


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_no_block_escapes(page):
    for block in blocks(page.read_text(encoding="utf-8")):
        place = f"{page.name}, line {block.line}"
        assert block.language, f"{place}: the block has no language; give sh, python, text, ..."
        if block.language in SHOWN:
            assert not LOOKS_LIKE_A_COMMAND.search(block.text), f"{place}: commands in a block of text"
        elif block.language not in RUN:
            assert {"file", "not run"} & block.said.keys(), f"{place}: say file: or not run:"
        assert all(why.strip() for why in block.said.get("not run", ())), place


def test_the_harness_reads_what_the_comments_say():
    page = "<!-- before: touch a -->\n<!-- smaller: 20000 => 20 -->\n```sh\nprog --size 20000 \\\n  b > c  # why\n```\n"
    (block,) = blocks(page)
    assert block.said == {"before": ["touch a"], "smaller": ["20000 => 20"]}
    assert commands(block.made_smaller()) == [(["prog", "--size", "20", "b"], "c")]
    (stale,) = blocks(page.replace("20000 =>", "30000 =>"))
    with pytest.raises(ValueError, match="30000"):
        stale.made_smaller()
    with pytest.raises(ValueError, match="no more shell"):
        commands("a | b")


def test_a_command_that_fails_is_seen(folder):
    (block,) = blocks("```sh\nstrainscope samples nosuch\n```\n")
    with pytest.raises(AssertionError, match="nosuch"):
        run_block(block, {})
