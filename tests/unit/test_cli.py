import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from strainscope import cli, inversion, report
from strainscope.cli.indices import with_joined_indices
from strainscope.cli.inversion import repeatable
from strainscope.inversion import DepthBands, FittedParameter, Mode, Result, Verdict
from strainscope.inversion.derived import DerivedQuantity
from strainscope.readers import read_scan
from strainscope.sample import load_sample, presets

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/ggg444-simulated.xy"
SIMULATED = ["--set", "Dmax1=0.01", "--range", "-900", "300", "--step", "10"]


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


def fake_result(scan, sample_settings, seed):
    depth = np.linspace(0, 3000, 31)
    strain = 0.013 * np.exp(-(((depth - 1000) / 700) ** 2))
    both, factor = np.stack([strain, strain]), np.exp(-9 * strain)
    bands = DepthBands(
        depth=depth,
        strain=strain,
        strain_68=both,
        strain_95=both,
        debye_waller=factor,
        debye_waller_68=np.stack([factor, factor]),
        debye_waller_95=np.stack([factor, factor]),
    )
    mode = Mode(
        parameters=(FittedParameter(name="Dmax1", unit="1", value=0.013, sd=1e-4, lower=0.0, upper=0.03),),
        covariance=np.array([[1e-8]]),
        fitted_names=("Dmax1",),
        chi2=700.0,
        reduced_chi2=1.2,
        rms_log10=0.0301,
        weight=1.0,
        starts=5,
        fitted=np.maximum(scan.intensity, 1.0),
        bands=bands,
        maximum_strain=(0.013, 1000.0),
        derived=(
            DerivedQuantity(
                name="maximum_strain",
                unit="1",
                value=0.013,
                interval_68=(0.0129, 0.0132),
                interval_95=(0.0128, 0.0133),
                description="largest strain by magnitude",
            ),
        ),
    )
    return Result(
        scan=scan,
        modes=(mode,),
        verdict=Verdict(level="check", reasons=("Half of the starts ended here.",)),
        sample=dict(sample_settings),
        likelihood="counting statistics",
        band_meaning="Gauss-Newton",
        substrate_angle=0.0,
        seed=seed,
        version="0",
        wall_s=1.5,
    )


def simulated_example():
    return read_scan(EXAMPLE, axis="delta-theta-arcsec", intensity_kind="counts")


@pytest.fixture
def inverted(monkeypatch):
    """Calls of a stand-in for the inversion; its result is written without pages and pictures."""
    calls = []

    def invert(scan, experiment, **options):
        calls.append(options | {"scan": scan, "experiment": experiment})
        options["progress"]("ranking", 0.5)
        return fake_result(scan, options["sample_settings"], options["seed"])

    monkeypatch.setattr(inversion, "invert", invert)
    monkeypatch.setattr(report, "write_result", write_document)
    return calls


def write_document(result, folder, *, force=False, command=None, figure_width="single"):
    folder.mkdir(exist_ok=force)
    (folder / "result.json").write_text(json.dumps(report.result_document(result, command=command)))


WRITE = report.write_result
INVERT = ("invert", EXAMPLE, "--sample", "ggg444", "--intensity", "counts", "-o", "out")


# The program ------------------------------------------------------------------------------------------------


def test_help_and_version(strainscope):
    code, out, _ = strainscope("--help")
    assert code == 0
    assert all(command in out for command in ("crystal", "simulate", "invert", "samples", "example"))
    code, out, _ = strainscope("--version")
    assert (code, out.split()[0]) == (0, "strainscope")


def test_help_imports_nothing_that_takes_long():
    program = (
        "import sys, strainscope.cli\n"
        "try: strainscope.cli.app(['--help'])\n"
        "except SystemExit: pass\n"
        "print({'numba', 'matplotlib', 'scipy', 'numpy', 'pydantic'} & set(sys.modules), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ran.stderr.strip() == "set()"


def test_module_is_the_program():
    ran = subprocess.run(
        [sys.executable, "-m", "strainscope", "samples", "nosuch"], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr.startswith("strainscope: error: preset = 'nosuch'; there are ggg444")
    assert ran.stderr.count("\n") == 1


def test_a_closed_pipe_is_no_traceback():
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        [sys.executable, "-m", "strainscope", "samples", "ggg444"],
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    os.close(write)
    assert ran.stderr == b""


@pytest.mark.parametrize(
    "arguments", [("nosuch",), ("invert",), ("crystal", "GGG"), ("simulate", "ggg444", "--seed", "x")]
)
def test_wrong_usage_ends_with_2(strainscope, arguments):
    code, out, err = strainscope(*arguments)
    assert code == 2
    assert out == ""
    assert "Traceback" not in err


def test_debug_shows_where_it_went_wrong(strainscope, monkeypatch):
    monkeypatch.setenv("STRAINSCOPE_DEBUG", "1")
    with pytest.raises(ValueError, match="GGX"):
        cli.app(["crystal", "GGX", "-r", "4", "4", "4"])


# crystal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "joined"),
    [
        (["-r", "4", "4", "4"], ["--reflection=4 4 4"]),
        (["-r", "1", "1", "-2", "4", "--json"], ["--reflection=1 1 -2 4", "--json"]),
        (["-r", "-1", "1", "3", "GGG"], ["--reflection=-1 1 3", "GGG"]),
        (["--reflection", "4,", "4,", "4"], ["--reflection=4, 4, 4"]),
        (["-r", "444", "-w", "1.5"], ["--reflection=444", "-w", "1.5"]),
        (["-r", "4 4 4"], ["-r", "4 4 4"]),
        (["--surface", "0", "0", "1", "-r", "1", "1", "3"], ["--surface=0 0 1", "--reflection=1 1 3"]),
        (["--", "-r", "4", "4", "4"], ["--", "-r", "4", "4", "4"]),
        (["-r"], ["-r"]),
    ],
)
def test_indices_may_be_separate_arguments(given, joined):
    assert with_joined_indices(given) == joined


def test_two_indices_are_no_reflection(strainscope):
    code, _, said = strainscope("simulate", "ggg444", "-r", "8", "8", "--axis", "delta-theta-arcsec")
    assert code == 2
    assert said == (
        "strainscope: error: --reflection = '8 8': 2 of them; give three, such as 4 4 4, or four.\n"
    )


@pytest.mark.parametrize(
    "indices", [["4", "4", "4"], ["444"], ["4 4 4"], ["4,4,4"], ["+4+4+4"]], ids=lambda words: "_".join(words)
)
def test_crystal_prints_what_a_reflection_is_like(strainscope, indices):
    code, out, err = strainscope("crystal", "GGG", "-r", *indices, "--wavelength", "1.54056")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "GGG 4 4 4"
    for words in (
        "Bragg angle",
        "χ0",
        "χh",
        "extinction length",
        "Darwin width",
        "strain that one arcsec means",
    ):
        assert any(line.startswith(words) for line in lines)


def test_crystal_as_json(strainscope):
    code, out, _ = strainscope(
        "crystal", "ggg", "-r", 4, 4, 4, "-w", "1.54056", "--json", "--no-debye-waller"
    )
    document = json.loads(out)
    assert code == 0
    assert document["crystal"] == "GGG"
    assert document["reflection"] == [4, 4, 4]
    # The figures that physics.md gives for xraylib's factors, no Debye-Waller factor, a = 12.383 Å.
    assert document["chi_0"] == pytest.approx([-3.670e-5, -3.576e-6], rel=1e-3)
    assert document["bragg_angle_deg"] == pytest.approx(25.53, abs=0.01)
    tangent = np.tan(np.radians(document["bragg_angle_deg"]))
    assert document["strain_per_arcsec"] == pytest.approx(np.pi / 648000 / tangent, rel=1e-9)


def test_hexagonal_and_inclined_planes(strainscope):
    code, out, _ = strainscope("crystal", "GaN", "-r", 1, 0, -1, 5, "--surface", 0, 0, 0, 1, "--json")
    grazing = json.loads(out)
    assert code == 0
    assert grazing["asymmetry_deg"] > 0
    _, out, _ = strainscope("crystal", "GaN", "-r", 105, "--surface", "001", "--incidence", "steep", "--json")
    assert json.loads(out)["asymmetry_deg"] == -grazing["asymmetry_deg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("GGX", "-r", "444"), "crystal = 'GGX' is not built in"),
        (("GGG", "-r", 2, 0, 0), "GGG 2 0 0 is forbidden"),
        (("GGG", "-r", "4.5", 4, 4), "--reflection = '4.5 4 4'; give whole numbers"),
        (("GGG", "-r", 4, 4), "Miller indices 4 4: 2 of them"),
        (("GGG", "-r", "444", "-w", "CuKb9"), "no emission line"),
        (("GGG", "-r", "444", "--incidence", "flat"), "--incidence = 'flat'"),
        (("-r", "444"), "give either the NAME"),
        (("GGG", "-r", "444", "--cif", "x.cif"), "give either the NAME"),
        (("-r", "444", "--cif", "x.cif"), "x.cif: there is no such CIF file"),
    ],
)
def test_crystal_refuses_in_one_line(strainscope, arguments, message):
    code, out, err = strainscope("crystal", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("strainscope: error: ")
    assert message in err
    assert err.count("\n") == 1


# samples, example, simulate ---------------------------------------------------------------------------------


def test_samples_are_listed_and_printed(strainscope):
    code, out, _ = strainscope("samples")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(presets())
    _, out, _ = strainscope("samples", "yig-on-ggg444")
    assert yaml.safe_load(out)["films"][0]["crystal"] == "YIG"


def test_example_is_the_file_of_the_repository(strainscope):
    assert strainscope("example", "-o", "scan.xy")[0] == 0
    assert Path("scan.xy").read_bytes() == EXAMPLE.read_bytes()
    assert "simulated" in EXAMPLE.read_text().splitlines()[0]
    code, _, err = strainscope("example", "-o", "scan.xy")
    assert code == 2
    assert "scan.xy: exists; name another file, or replace it with --force." in err
    assert strainscope("example", "-o", "scan.xy", "--force")[0] == 0


def test_the_example_is_a_scan_of_its_sample():
    scan = read_scan(EXAMPLE, axis="delta-theta-arcsec", intensity_kind="counts")
    load_sample("ggg444").check_scan(scan)
    assert 1e5 < scan.intensity.max() < 4e5


def test_simulation_says_that_it_is_one_and_reads_back(strainscope):
    code, out, err = strainscope("simulate", "ggg444", *SIMULATED)
    assert code == 0
    notes = err.splitlines()
    assert all(note.startswith("strainscope: note: not set, taken as ") for note in notes)
    # Every parameter but the one that was set and the slope, which the sample file holds.
    assert "diffuse_amplitude = 0," in notes[0]
    assert "D02 = 0.01255" in notes[1]
    assert "Dmax1" not in err
    assert "background_slope" not in err
    comments = [line for line in out.splitlines() if line.startswith("#")]
    assert "simulated by Strainscope" in comments[0]
    assert "not measured" in comments[0]
    assert "# Dmax1 = 0.01" in comments
    assert any(line.startswith("# strainscope simulate ggg444 --set Dmax1=0.01 ") for line in comments)
    Path("scan.xy").write_text(out)
    scan = read_scan("scan.xy", axis="delta-theta-arcsec", intensity_kind="normalised")
    np.testing.assert_allclose(scan.angle, np.arange(-900, 301, 10))


def test_simulated_counts_are_whole_and_repeat(strainscope):
    counts = ("simulate", "ggg444", *SIMULATED, "--counts", "1e5", "--seed", 3, "-o", "scan.xy")
    assert strainscope(*counts)[0] == 0
    scan = read_scan("scan.xy", axis="delta-theta-arcsec", intensity_kind="counts")
    assert scan.intensity.max() == pytest.approx(1e5, rel=0.05)
    first = Path("scan.xy").read_text().splitlines()
    assert strainscope(*counts, "--force")[0] == 0
    again = Path("scan.xy").read_text().splitlines()
    assert [line for line in first if "--seed" not in line] == [
        line for line in again if "--seed" not in line
    ]


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("SVG", b"<?xml"), ("pdf", b"%PDF")])
def test_simulation_is_drawn_as_what_its_name_says_into_folders_that_are_made(strainscope, suffix, start):
    files = ("-o", "new/scan.xy", "--plot", f"new/more/scan.{suffix}")
    code, out, _ = strainscope("simulate", "ggg444", *SIMULATED, *files)
    assert code == 0
    assert out == f"{Path('new/scan.xy')}: 121 points, -900 to 300 arcsec, normalised\n"
    assert Path(f"new/more/scan.{suffix}").read_bytes().startswith(start)


def test_simulation_writes_both_files_or_none(strainscope):
    Path("file").write_text("")
    for place in ("file/p.png", "/proc/nodir/p.png"):
        code, out, err = strainscope("simulate", "ggg444", *SIMULATED, "-o", "a/b/scan.xy", "--plot", place)
        assert (code, out) == (2, "")
        assert "cannot be written" in err
        assert "choose a folder that you may write to" in err
        assert [path.name for path in Path().iterdir()] == ["file"]


def test_the_example_of_the_readme_sets_every_parameter_of_the_profile(strainscope):
    readme = (ROOT / "README.md").read_text(encoding="utf-8").replace("\\\n", "")
    (line,) = [text for text in readme.splitlines() if text.startswith("strainscope simulate ")]
    code, _, err = strainscope(*shlex.split(line)[1:])
    assert code == 0
    (note,) = [text for text in err.splitlines() if "middle of their priors" in text]
    # Without diffuse scattering its correlation length has no effect.
    assert note.endswith("priors: correlation_length = 200 Å.")
    assert "outside" not in err
    scan = read_scan("simulated.xy", axis="delta-theta-arcsec", intensity_kind="counts")
    load_sample("ggg444").check_scan(scan)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "Dmx1=1"), "Did you mean Dmax1?"),
        (("--set", "Dmax1"), "write NAME=VALUE"),
        (("--set", "K=1", "--set", "K=2"), "--set K is given twice, 1 and 2"),
        (("--set", "Dmax1=1.3"), "Dmax1 = 1.3; strain is Δd/d, not percent"),
        (("--set", "Dmax1=nan"), "Dmax1 = nan; it must be finite"),
        (("--set", "D01=0.02", "--set", "Dmax1=0.01"), "cannot hold with D01 = 0.02, Dmax1 = 0.01"),
        (("--step", 0), "step = 0 arcsec; it must be > 0 arcsec"),
        (("--device", "gpu"), "device = 'gpu'; known are auto, cpu, cuda."),
        (("--step", "nan"), "step = nan arcsec"),
        (("--plot", "p.jpg"), "--plot p.jpg: the name must end in .png, .svg, .pdf"),
        (("-o", "p.png", "--plot", "p.png"), "p.png: is named twice"),
        (("--set", "K=7"), "K = 7; it must lie in 0 to 1"),
        (("--axis", "two-theta"), "Did you mean two-theta-deg?"),
        (("--range", 300, -900), "the first must be < the last"),
        (("-o", "/proc/nodir/folder.xy"), "folder.xy: cannot be written"),
        (("-o", "."), ".: is a folder; name a file"),
    ],
)
def test_simulate_refuses_in_one_line_and_writes_nothing(strainscope, arguments, message):
    code, out, err = strainscope("simulate", "ggg444", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        "invert scan.xy --sample ggg444",
        "batch scans --sample ggg444",
        "map scans --sample ggg444",
        "train ggg444-ideal",
        "sweep s.yaml",
        "calibrate scan.xy --sample ggg444",
        "simulate ggg444",
        "dataset export d.zarr",
    ],
)
def test_only_datasets_go_to_a_store(strainscope, command):
    code, out, err = strainscope(*command.split(), "-o", "s3://curves/there")
    assert (code, out) == (2, "")
    assert err.startswith("strainscope: error: s3://curves/there: is the address of a store; only dataset generate")
    assert err.count("\n") == 1
    assert list(Path().iterdir()) == []


# invert -----------------------------------------------------------------------------------------------------


def test_invert_writes_the_result_and_says_what_it_found(strainscope, inverted):
    code, out, err = strainscope(*INVERT)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "check: Half of the starts ended here.",
        "maximum strain 1.300 % (68 % interval 1.290 to 1.320 %) at 100.0 nm; 1 solution",
        "rms of log10 0.0301, reduced χ² 1.20 (model error 7 %), 1.5 s",
        f"report: {Path('out') / 'report.html'}",
    ]
    document = json.loads(Path("out/result.json").read_text())
    # The folder exists by now: repeated as given, the command would be refused.
    assert document["command"].startswith("strainscope invert ")
    assert document["command"].endswith(" -o NEW_FOLDER")
    assert document["verdict"] == "check"


def test_invert_hands_over_what_sample_and_options_say(strainscope, inverted):
    settings = yaml.safe_load(strainscope("samples", "ggg444")[1])
    settings["fit"] = {"K": {"value": 0.2, "held": True}, "L1": {"bounds": [600, 7000], "start": 5000}}
    Path("mine.yaml").write_text(yaml.safe_dump(settings))
    options = ("--seed", 7, "--draws", 64, "--starts", 3, "--model-error", 0.01, "--splines", 9)
    assert (
        strainscope(
            "invert", EXAMPLE, "--sample", "mine.yaml", "--intensity", "counts", "-o", "out", *options
        )[0]
        == 0
    )
    (call,) = inverted
    assert call["bounds"] == {"L1": (600.0, 7000.0)}
    assert call["held"] == {"K": 0.2, "background_slope": 0.0}
    assert call["start"] == {"L1": 5000.0}
    assert call["seed"] == 7
    search = call["settings"]
    assert (search.draws, search.starts, search.model_error, search.splines) == (64, 3, 0.01, 9)
    assert call["sample_settings"]["search"]["draws"] == 64
    assert call["sample_settings"]["model_error"] == 0.01
    assert call["scan"].intensity_kind == "counts"
    assert call["experiment"].stack.bragg_angle == load_sample("ggg444").substrate.bragg_angle


def test_invert_writes_every_file(strainscope, inverted, monkeypatch):
    monkeypatch.setattr(report, "write_result", WRITE)
    assert strainscope(*INVERT)[0] == 0
    assert sorted(path.name for path in Path("out").iterdir()) == sorted(report.FILES)
    assert sorted(path.name for path in Path().iterdir()) == ["out"]


@pytest.mark.parametrize(
    ("given", "repeated"),
    [
        ("strainscope invert a -o out --force", "strainscope invert a -o NEW_FOLDER"),
        ("strainscope invert a --out=out --seed 1", "strainscope invert a --out=NEW_FOLDER --seed 1"),
        ("strainscope invert 'a b' -oout", "strainscope invert 'a b' -oNEW_FOLDER"),
    ],
)
def test_the_command_to_repeat_names_a_new_folder(given, repeated):
    assert repeatable(given) == repeated


def test_invert_prints_one_json_document(strainscope, inverted):
    code, out, err = strainscope(*INVERT, "--json")
    assert code == 0
    assert json.loads(out)["parameters"]["Dmax1"]["value"] == 0.013
    assert "report: " in err


def test_invert_replaces_a_former_result_only_when_told(strainscope, inverted):
    assert strainscope(*INVERT)[0] == 0
    code, out, err = strainscope(*INVERT)
    assert (code, out) == (2, "")
    assert "out: exists; name another folder, or replace it (--force; in Python force=True)." in err
    assert len(inverted) == 1
    assert strainscope(*INVERT, "--force")[0] == 0


def test_ctrl_c_leaves_nothing(strainscope, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(inversion, "invert", interrupted)
    assert strainscope(*INVERT) == (130, "", "strainscope: interrupted\n")
    assert list(Path().iterdir()) == []


def scan_text(kind):
    angle = np.linspace(-600, 600, 201)
    counts = np.rint(1e4 / (1 + (angle / 20) ** 2) + 3)
    rows = [f"{x:g} {y:g}" for x, y in zip(angle, counts, strict=True)]
    if kind == "one column":
        rows = [row.split()[0] for row in rows]
    elif kind == "text":
        rows[5] = "-570 many"
    elif kind == "nan":
        rows[5] = "-570 nan"
    elif kind == "negative":
        rows[5] = "-570 -4"
    elif kind == "few":
        rows = rows[:9]
    elif kind == "flat":
        rows = [f"{x:g} {y}" for x, y in zip(angle, np.random.default_rng(1).poisson(5, 201), strict=True)]
    elif kind == "one bright point":
        rows = [f"{x:g} {1000 if x == 0 else 1}" for x in angle]
    elif kind == "too few counts":
        rows = [f"{x:g} {y:.0f}" for x, y in zip(angle, counts / 2e3, strict=True)]
    elif kind == "zeros":
        rows = [f"{x:g} 0" for x in angle]
    elif kind == "degrees":
        rows = [f"{x / 3600:g} {y:g}" for x, y in zip(angle, counts, strict=True)]
    return "\n".join([*rows, ""]) if kind != "empty" else ""


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", "the scan file is empty"),
        ("one column", "line 1: one column; angle and intensity are needed"),
        ("text", "line 6: 'many' in column 2 is not a number"),
        ("nan", "line 6: 'nan' is not finite"),
        ("negative", "line 6: intensity -4 is negative"),
        ("few", "9 points; a scan needs at least"),
        ("flat", "scan.xy: too few counts to say anything: 12 at the strongest point"),
        ("one bright point", "scan.xy: no peak in the scan: one point alone is bright, 1000 at 0.0 arcsec"),
        ("too few counts", "scan.xy: too few counts to say anything: 5 at the strongest point"),
        ("zeros", "scan.xy: every intensity is 0; at least one must be > 0"),
        ("degrees", "relative to the peak in another unit: convert them to arcsec"),
    ],
)
def test_bad_scans_are_one_line(strainscope, inverted, kind, message):
    Path("scan.xy").write_text(scan_text(kind))
    code, out, err = strainscope(
        "invert", "scan.xy", "--sample", "ggg444", "--intensity", "counts", "-o", "out"
    )
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("strainscope: error: ")
    assert err.count("\n") == 1
    assert not Path("out").exists()
    assert not inverted


def test_a_good_scan_of_that_making_passes(strainscope, inverted):
    Path("scan.xy").write_text(scan_text("good"))
    arguments = ("--sample", "ggg444", "--intensity", "counts", "-o", "out")
    assert strainscope("invert", "scan.xy", *arguments)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no.xy", "--sample", "ggg444"), "no.xy: there is no such scan file"),
        ((EXAMPLE, "--sample", "ggg4444"), "Did you mean ggg444?"),
        ((EXAMPLE, "--sample", "ggg444", "--axis", "arcsec"), "scan.axis = 'arcsec'"),
        ((EXAMPLE, "--sample", "ggg444", "--intensity", "count"), "Did you mean counts?"),
        ((EXAMPLE, "--sample", "ggg444", "--model-error", "-1"), "model_error = -1"),
        ((EXAMPLE, "--sample", "ggg444", "--splines", "2"), "--splines = 2; use 3 to 40"),
        ((EXAMPLE, "--sample", "ggg444", "--draws", "10"), "--draws = 10; it must be a whole number, 16 to 200,000"),
        ((EXAMPLE, "--sample", "ysz400"), "on --axis two-theta-deg"),
    ],
)
def test_invert_refuses_before_it_works(strainscope, inverted, arguments, message):
    code, out, err = strainscope("invert", *arguments, "-o", "out")
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not Path("out").exists()
    assert not inverted


def test_columns_must_be_named_somewhere(strainscope, inverted):
    Path("mine.yaml").write_text("crystal: GGG\nreflection: [4, 4, 4]\nwavelength: 1.54\n")
    command = ("invert", EXAMPLE, "--sample", "mine.yaml", "-o", "out")
    axes = "--axis delta-theta-arcsec, omega-deg or two-theta-deg"
    assert f"give {axes} and --intensity counts or normalised." in strainscope(*command)[2]
    only = strainscope(*command, "--axis", "delta-theta-arcsec")[2]
    assert only.endswith("is not said; give --intensity counts or normalised.\n")
    assert "give --axis" in strainscope("simulate", "mine.yaml")[2]
    named = ("--axis", "delta-theta-arcsec", "--intensity", "counts")
    assert strainscope(*command, *named)[0] == 0


def test_a_place_that_cannot_be_written_is_refused_before_the_work(strainscope, inverted):
    Path("file").write_text("")
    code, _, err = strainscope(*INVERT[:-1], "file/out")
    assert code == 2
    assert "file" in err
    assert err.count("\n") == 1
    assert not inverted
