"""The wheel, built and installed into a clean environment as pipx does it, runs the demo."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
pytestmark = pytest.mark.slow


def run(*words, **others):
    ran = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, timeout=300, env=ENVIRONMENT, **others
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program of a wheel in an environment that has our dependencies and not our source."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    copy_of_the_image(source)
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")
    # Nothing is downloaded: the build's backend and the dependencies are those of the tests.
    run(*pip, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source)
    (wheel,) = folder.glob("strainscope-*.whl")
    clean = folder / "clean"
    venv.create(clean, with_pip=False, symlinks=True)
    python = clean / "bin" / "python"
    run(*pip, "--python", python, "install", "--no-index", "--no-deps", wheel)
    # After the wheel's own place on the path, and without the links that an editable install leaves there.
    ours = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *_linked()}
    (place,) = (clean / "lib").glob("python*/site-packages")
    (place / "dependencies.pth").write_text("".join(f"{path}\n" for path in sorted(ours)))
    where = run(python, "-c", "import strainscope; print(strainscope.__file__)", cwd=folder).strip()
    assert Path(where).is_relative_to(clean)
    return clean / "bin" / "strainscope"


def copy_of_the_image(folder):
    """The source as deploy/Dockerfile copies it, which has to be enough for a wheel."""
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    (files,) = re.findall(r"^COPY (.*) \./$", text, re.MULTILINE)
    folder.mkdir()
    for name in files.split():
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))


def _linked():
    """Other places that hold packages, such as those of an environment that this one builds on."""
    return {path for path in sys.path if path.endswith("site-packages")}


def test_the_wheel_runs_the_demo(program, tmp_path):
    run(program, "example", "-o", "scan.xy", cwd=tmp_path)
    asked = ("--sample", "ggg444", "--intensity", "counts", "--draws", "64", "--starts", "1")
    out = run(program, "invert", "scan.xy", *asked, "-o", "demo", "--json", cwd=tmp_path)
    assert json.loads(out)["maximum_strain"] == pytest.approx(0.01325, rel=0.02)
    assert (tmp_path / "demo" / "report.html").stat().st_size > 10_000


def test_the_wheel_holds_what_ships(program, tmp_path):
    listed = json.loads(run(program, "samples", "--json", cwd=tmp_path))
    assert "ggg444" in listed
    assert "balanced-1m" in run(program, "dataset", "plans", cwd=tmp_path)
