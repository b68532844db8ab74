"""What scripts and shells see: exit codes as documented, one JSON document, completion, widths of figures."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shellingham
from PIL import Image
from tests.unit.test_report import make_result

from strainscope import cli, inversion, report, series
from strainscope.dataset.audit import Audit
from strainscope.sample import load_sample, presets

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/ggg444-simulated.xy"
INVERT = ("invert", EXAMPLE, "--sample", "ggg444", "--intensity", "counts", "-o", "out")


@pytest.fixture
def strainscope(capsys, monkeypatch, tmp_path):
    """Run a command in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STRAINSCOPE_DEBUG", raising=False)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.app([str(argument) for argument in arguments], prog_name="strainscope")
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture
def inverted(monkeypatch):
    """A result without an inversion."""
    monkeypatch.setattr(series, "invert_file", lambda *_, **__: make_result())


def documented(page):
    """Exit codes of the table below the heading."""
    table = (ROOT / page).read_text(encoding="utf-8").split("Exit codes\n")[1].split("\n#")[0]
    return {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}


# Exit codes -------------------------------------------------------------------------------------------------


def test_the_pages_list_the_same_codes():
    assert documented("README.md") == documented("docs/commands.md") == {0, 1, 2, 130}


def test_0_whatever_the_verdict(strainscope, inverted):
    code, out, _ = strainscope(*INVERT)
    assert (code, out.split(":")[0]) == (0, "check")


def test_1_a_check_ran_and_failed(strainscope, monkeypatch, tmp_path):
    made = strainscope("dataset", "generate", "uniform-1m", "-o", "d.zarr", "--size", "16", "--workers", "1")
    assert made[0] == 0
    assert strainscope("dataset", "audit", "d.zarr", "--rows", "4")[0] == 0
    monkeypatch.setattr(Audit, "passed", property(lambda self: False))
    code, out, err = strainscope("dataset", "audit", "d.zarr", "--rows", "4", "--json")
    assert (code, err) == (1, "")
    assert json.loads(out)["rows"] == 4


def test_2_bad_input_is_one_line_and_writes_nothing(strainscope, inverted, tmp_path):
    code, out, err = strainscope(*INVERT, "--figure-width", "triple")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "figure width = 'triple'; use single (85 mm), double (175 mm), or 60 to 250 millimetres." in err
    assert list(tmp_path.iterdir()) == []


# JSON -------------------------------------------------------------------------------------------------------


def test_samples_as_json(strainscope):
    titles = json.loads(strainscope("samples", "--json")[1])
    assert tuple(titles) == presets()
    assert titles["ggg444"] == "Implanted GGG, 444, Cu Kα1"
    assert json.loads(strainscope("samples", "si004", "--json")[1])["reflection"] == [0, 0, 4]
    assert strainscope("samples", "nosuch", "--json")[0] == 2


def test_batch_as_json(strainscope, monkeypatch):
    monkeypatch.setattr(inversion, "invert", lambda *_, **__: make_result())
    monkeypatch.setattr(series.run, "worker_count", lambda: 1)
    Path("scans").mkdir()
    Path("scans/good.xy").write_text(EXAMPLE.read_text())
    Path("scans/bad.xy").write_text("no scan\n")
    asked = ("--sample", "ggg444", "--intensity", "counts", "-o", "series", "--json")
    code, out, err = strainscope("batch", "scans", *asked)
    document = json.loads(out)
    assert (code, document["scans"], document["failed"]) == (0, 2, 1)
    assert [row["verdict"] for row in document["rows"]] == ["failed", "check"]
    assert "1 of 2 scans inverted" in err


def test_calibrate_as_json(strainscope):
    sample = load_sample("ggg444").with_options(intensity="counts")
    weak = {
        "Dmax1": 1.1e-4,
        "D01": 1.1e-4,
        "D02": 1.1e-4,
        "L1": 300,
        "Rp1": 100,
        "L2": 300,
        "Rp2": -10,
        "K": 0,
    }
    values = sample.simulated_values(weak | {"fwhm_arcsec": 30.0}, counts=1e5)
    scan, _ = sample.simulate(values, counts=1e5, span=(-300.0, 300.0), step=10.0)
    np.savetxt("virgin.xy", np.stack([scan.angle, scan.intensity], axis=1))
    asked = ("--sample", "ggg444", "--intensity", "counts", "-o", "instrument.yaml", "--json")
    code, out, err = strainscope("calibrate", "virgin.xy", *asked)
    document = json.loads(out)
    assert code == 0
    assert document["parameters"]["fwhm_arcsec"]["unit"] == "arcsec"
    assert document["parameters"]["fwhm_arcsec"]["mean"] == pytest.approx(30, abs=5)
    assert err.splitlines()[-1].startswith("instrument.yaml: fwhm_arcsec")


# Completion -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("strainscope inv", {"invert"}),
        ("strainscope dataset ge", {"generate"}),
        ("strainscope invert a.xy --figure", {"--figure-width"}),
        ("strainscope crystal GGG -r 4 4 4 --wave", {"--wavelength"}),
        ("strainscope invert a.xy --sample yig", {"yig-on-ggg444", "yig-on-ggg444-ideal"}),
        ("strainscope batch a --axis o", {"omega-deg"}),
        ("strainscope calibrate a --intensity ", {"counts", "normalised"}),
    ],
)
def test_the_shell_completes(typed, offered):
    asked = {"_STRAINSCOPE_COMPLETE": "complete_bash", "COMP_WORDS": typed}
    asked["COMP_CWORD"] = str(len(typed.split(" ")) - 1)
    program = [sys.executable, "-c", "from strainscope.cli import main; main()"]
    ran = subprocess.run(program, env=os.environ | asked, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert set(ran.stdout.split()) == offered


def test_completion_is_installed_for_bash(tmp_path):
    # Not the shell that the tests happen to run in.
    asked = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1", "HOME": str(tmp_path)}
    program = [sys.executable, "-c", "from strainscope.cli import main; main()", "--install-completion", "bash"]
    ran = subprocess.run(program, env=os.environ | asked, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0
    script = tmp_path / ".bash_completions" / "strainscope.sh"
    assert "complete -o default -F _strainscope_completion strainscope" in script.read_text()
    assert str(script) in (tmp_path / ".bashrc").read_text()


def test_a_shell_that_is_not_known_ends_with_1(strainscope, monkeypatch):
    def unknown(*_, **__):
        raise shellingham.ShellDetectionFailure

    monkeypatch.setattr(shellingham, "detect_shell", unknown)
    code, out, err = strainscope("--install-completion")
    assert code == 1
    assert "not supported" in out + err


def test_completion_knows_every_sample_that_ships():
    assert tuple(cli.completion.sample_names("")) == presets()


# Widths -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "millimetres"), [(None, 85), ("double", 175), ("100", 100)])
def test_pictures_of_a_result_have_the_width_of_a_column(strainscope, inverted, width, millimetres):
    asked = () if width is None else ("--figure-width", width)
    assert strainscope(*INVERT, *asked)[0] == 0
    for name in ("fit", "profile"):
        with Image.open(f"out/{name}.png") as picture:
            assert picture.width / picture.info["dpi"][0] * 25.4 == pytest.approx(millimetres, abs=0.2)
    kept = json.loads(Path("out/result.json").read_text())["command"]
    assert ("--figure-width" in kept) == (width is not None)
    assert set(report.FILES) == {path.name for path in Path("out").iterdir()}


def test_pictures_of_scans_too(strainscope):
    arguments = (
        "simulate",
        "ggg444",
        "--set",
        "Dmax1=0.01",
        "--range",
        "-900",
        "300",
        "--step",
        "10",
        "-o",
        "s.xy",
    )
    assert strainscope(*arguments, "--plot", "s.png", "--figure-width", "single")[0] == 0
    with Image.open("s.png") as picture:
        assert picture.width / picture.info["dpi"][0] * 25.4 == pytest.approx(85, abs=0.2)
