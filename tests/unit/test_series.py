"""A series: which scans, what becomes of each, the table, the report, and going on after an end."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from strainscope import cli, inversion, series
from strainscope.dataset.alone import alone
from strainscope.inversion import DepthBands, FittedParameter, Mode, Result, Verdict
from strainscope.inversion.derived import DerivedQuantity
from strainscope.sample import load_sample
from strainscope.series import find_scans, read_columns
from strainscope.series import report as series_report
from strainscope.series import run as module

JOB = ("--sample", "ggg444", "--intensity", "counts")


def result_of(scan, sample_settings, seed):
    depth = np.linspace(0, 3000, 31)
    size = 1e-9 * scan.intensity.max()
    strain = size * np.exp(-(((depth - 1000) / 700) ** 2))
    ones = np.ones_like(depth)
    bands = DepthBands(
        depth=depth,
        strain=strain,
        strain_68=np.stack([strain, 1.1 * strain]),
        strain_95=np.stack([strain, 1.2 * strain]),
        debye_waller=ones,
        debye_waller_68=np.stack([ones, ones]),
        debye_waller_95=np.stack([ones, ones]),
    )
    mode = Mode(
        parameters=(
            FittedParameter(
                name="Dmax1", unit="1", value=size, sd=1e-4, interval_90=(0.9 * size, size), lower=0, upper=1
            ),
        ),
        covariance=np.array([[1e-8]]),
        fitted_names=("Dmax1",),
        chi2=7.0,
        reduced_chi2=1.2,
        rms_log10=0.0301,
        weight=1.0,
        starts=5,
        fitted=np.maximum(scan.intensity, 1.0),
        bands=bands,
        maximum_strain=(size, 1000.0),
        derived=(
            DerivedQuantity(
                name="maximum_strain",
                unit="1",
                value=size,
                interval_68=(0.99 * size, 1.01 * size),
                interval_95=(0.98 * size, 1.02 * size),
                description="the largest strain",
            ),
        ),
    )
    return Result(
        scan=scan,
        modes=(mode,),
        verdict=Verdict(level="check", reasons=("Half of it.",)),
        sample=dict(sample_settings),
        likelihood="counting statistics",
        band_meaning="",
        substrate_angle=0.0,
        seed=seed,
        version="0",
        wall_s=1.5,
    )


@pytest.fixture
def inverted(monkeypatch):
    """Scans that a stand-in for the inversion was asked for, in this process."""
    calls = []

    def invert(scan, experiment, **options):
        calls.append(scan.name)
        return result_of(scan, options["sample_settings"], options["seed"])

    monkeypatch.setattr(inversion, "invert", invert)
    monkeypatch.setattr(module, "worker_count", lambda: 1)
    return calls


@pytest.fixture(scope="module")
def simulated():
    """Texts of three scans."""
    simulate = load_sample("ggg444").with_options(axis="delta-theta-arcsec")
    texts = []
    for number, strain in enumerate((0.004, 0.008, 0.012)):
        values = simulate.simulated_values({"Dmax1": strain, "D01": 0.002, "D02": 0.002}, counts=1e5)
        scan, _ = simulate.simulate(values, counts=1e5, seed=number, span=(-900, 300), step=12)
        texts.append("\n".join(f"{x} {y}" for x, y in zip(scan.angle, scan.intensity, strict=True)))
    return texts


@pytest.fixture
def scans(simulated, tmp_path):
    """Three scans and a file that is none."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for number, text in enumerate(simulated):
        (folder / f"dose{number}.xy").write_text(text)
    (folder / "notes.md").write_text("no scan")
    return folder


@pytest.fixture
def strainscope(capsys):
    """Run a command: exit code, stdout, stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.app([str(argument) for argument in arguments], prog_name="strainscope")
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return run


def test_scans_of_a_folder_come_by_name(scans):
    assert [path.name for path in find_scans([scans])] == ["dose0.xy", "dose1.xy", "dose2.xy"]


def test_the_table_among_the_scans_is_none(scans):
    table = scans / "doses.csv"
    table.write_text("file,dose\ndose0.xy,1\n")
    assert [path.name for path in find_scans([scans], but=table)] == ["dose0.xy", "dose1.xy", "dose2.xy"]


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (["scans/dose0.xy", "scans"], "named twice"),
        (["nowhere"], "no such file or folder"),
        (["empty"], "no scans in this folder; they end in .xy"),
    ],
)
def test_what_is_no_list_of_scans_is_refused(scans, places, message):
    (scans.parent / "empty").mkdir()
    with pytest.raises((ValueError, OSError), match=message):
        find_scans([scans.parent / place for place in places])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,dose\ndose0.xy,1\n", "no column 'file'; it has name, dose"),
        ("file,dose\n", "a header and no row"),
        ("file,dose,dose\ndose0.xy,1,2\n", "two columns are called 'dose'; give each its own name"),
        ("file,dose\ndose9.xy,1\n", "line 2 is about 'dose9.xy', which is none"),
        ("file,dose\ndose0.xy,1\ndose0.xy,2\n", "line 3 is a second row for 'dose0.xy'"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(scans, text, message):
    table = scans.parent / "table.csv"
    table.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_columns(table, find_scans([scans]))


def test_a_table_names_the_folders_of_scans_of_the_same_name(scans):
    other = scans.parent / "other"
    other.mkdir()
    (other / "dose0.xy").write_text((scans / "dose1.xy").read_text())
    found = find_scans([scans, other])
    table = scans.parent / "table.csv"
    table.write_text("file,dose\ndose0.xy,1\n")
    with pytest.raises(ValueError, match="line 2: there are 2 scans 'dose0.xy'; name its folder, too"):
        read_columns(table, found)
    table.write_text(f"file,dose\n{other / 'dose0.xy'},1\n")
    assert read_columns(table, found)["dose"] == ["", "", "", "1"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_may_be_separated_as_spreadsheets_do(scans, separator):
    table = scans.parent / "table.csv"
    table.write_text(separator.join(["file", "dose", "ion"]) + "\n" + separator.join(["dose1.xy", "2.5", "He"]) + "\n")
    columns = read_columns(table, find_scans([scans]))
    assert (columns["dose"][1], columns["ion"][1]) == ("2.5", "He")


def test_a_table_that_is_no_csv_is_refused(scans):
    table = scans.parent / "table.csv"
    table.write_text("file,dose\ndose0.xy," + "1" * 200_000 + "\n")
    with pytest.raises(ValueError, match="is no CSV"):
        read_columns(table, find_scans([scans]))


def test_a_series_has_a_table_a_report_and_a_result_for_each(scans, inverted, strainscope, tmp_path):
    table = tmp_path / "doses.csv"
    table.write_text("file,dose,who\ndose1.xy,2e15,B\ndose0.xy,1e15,A\n")
    out = tmp_path / "out"
    code, text, _ = strainscope("batch", scans, *JOB, "--table", table, "--against", "dose", "-o", out)
    assert code == 0
    assert text.startswith("3 of 3 scans inverted")
    rows = pyarrow.parquet.read_table(out / "series.parquet")
    assert rows.column_names[:5] == ["file", "dose", "who", "verdict", "reasons"]
    assert rows.column("dose").to_pylist() == [1e15, 2e15, None]
    assert rows.column("who").to_pylist() == ["A", "B", None]
    assert rows.schema.field("Dmax1").metadata == {b"unit": b"1"}
    for row in rows.to_pylist():
        document = json.loads((out / "scans" / Path(row["file"]).stem / "result.json").read_text())
        assert row["maximum_strain"] == document["maximum_strain"]
        assert row["Dmax1_p5"] == pytest.approx(0.9 * row["Dmax1"])
    page = (out / "report.html").read_text()
    assert all(f"scans/dose{i}/report.html" in page for i in range(3))
    assert "1e+15" in page
    assert (out / "series.csv").read_text().count("\n") == 4


def test_what_is_not_to_be_used_is_in_the_table_and_not_in_the_pictures(
    scans, inverted, strainscope, tmp_path, monkeypatch
):
    usual = inversion.invert

    def invert(scan, experiment, **options):
        found = usual(scan, experiment, **options)
        level = "do not use" if scan.name.startswith("dose1") else "check"
        return replace(found, verdict=Verdict(level=level, reasons=("Half of it.",)))

    monkeypatch.setattr(inversion, "invert", invert)
    drawn = []
    quantities = series_report._quantities
    monkeypatch.setattr(series_report, "_quantities", lambda *given: drawn.append(given[0]) or quantities(*given))
    code, _, _ = strainscope("batch", scans, *JOB, "-o", tmp_path / "out")
    assert code == 0
    assert [own is None for own in drawn[0]] == [False, True, False]
    page = (tmp_path / "out/report.html").read_text()
    assert "1 with the verdict “do not use” left out of the pictures" in page
    assert "dose1" in page


def test_a_scan_that_fails_is_a_row_and_others_go_on(scans, inverted, strainscope, tmp_path):
    (scans / "dose1.xy").write_text("no numbers here")
    code, text, said = strainscope("batch", scans, *JOB, "-o", tmp_path / "out")
    assert code == 0
    assert text.startswith("2 of 3 scans inverted")
    assert "2 of 3: " in said
    rows = pyarrow.parquet.read_table(tmp_path / "out/series.parquet").to_pylist()
    assert [row["verdict"] for row in rows] == ["check", "failed", "check"]
    assert "dose1.xy" in rows[1]["reasons"]
    assert "\n" not in rows[1]["reasons"]
    assert rows[1]["Dmax1"] is None


def test_an_error_of_the_program_is_a_row_too(scans, inverted, strainscope, tmp_path, monkeypatch):
    stand_in = inversion.invert

    def surprising(scan, *args, **options):
        if scan.name == "dose1":
            raise IndexError("list index\nout of range")
        return stand_in(scan, *args, **options)

    monkeypatch.setattr(inversion, "invert", surprising)
    code, text, _ = strainscope("batch", scans, *JOB, "-o", tmp_path / "out")
    assert code == 0
    assert text.startswith("2 of 3 scans inverted")
    row = pyarrow.parquet.read_table(tmp_path / "out/series.parquet").to_pylist()[1]
    assert row["verdict"] == "failed"
    assert "an error of the program (IndexError: list index out of range); please report it" in row["reasons"]


@pytest.fixture
def mixed(scans):
    """The scans on three axes, two of them of normalised intensity."""
    bragg = np.degrees(load_sample("ggg444").experiment().stack.bragg_angle)
    for number, (zero, unit) in enumerate(((0, 1), (bragg, 1 / 3600), (2 * bragg, 2 / 3600))):
        angle, counts = np.loadtxt(scans / f"dose{number}.xy").T
        shown = counts / counts.max() if number else counts
        np.savetxt(scans / f"dose{number}.xy", np.column_stack([zero + unit * angle, shown]), fmt="%.8g")
    return scans


MIXED = """file,axis, intensity,dose
dose0.xy,,,1
dose1.xy,omega-deg,normalised,2
dose2.xy,two-theta-deg,normalised,3
"""


def test_a_table_names_axis_and_intensity_scan_by_scan(mixed, inverted, strainscope, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(MIXED)
    command = ("batch", mixed, *JOB, "--table", table, "-o", tmp_path / "out")
    code, text, _ = strainscope(*command, "--against", "dose")
    assert (code, text[:16]) == (0, "3 of 3 scans inv")
    rows = pyarrow.parquet.read_table(tmp_path / "out/series.parquet").to_pylist()
    assert [row["axis"] for row in rows] == ["delta-theta-arcsec", "omega-deg", "two-theta-deg"]
    assert [row["intensity"] for row in rows] == ["counts", "normalised", "normalised"]
    for row in rows:
        own = json.loads((tmp_path / "out/scans" / Path(row["file"]).stem / "result.json").read_text())
        assert own["scan"]["axis"] == own["sample"]["scan"]["axis"] == row["axis"]


def test_a_series_goes_on_with_what_is_on_the_same_axis(mixed, inverted, strainscope, tmp_path):
    table, out = tmp_path / "table.csv", tmp_path / "out"
    table.write_text(MIXED)
    command = ("batch", mixed, *JOB, "--table", table, "-o", out)
    assert strainscope(*command)[0] == 0
    # The same said elsewhere is the same.
    table.write_text(MIXED.replace("dose0.xy,,", "dose0.xy,delta-theta-arcsec,"))
    assert strainscope(*command, "--resume", "--axis", "omega-deg")[0] == 0
    assert len(inverted) == 3
    table.write_text(MIXED.replace("dose1.xy,omega-deg,", "dose1.xy,,"))
    assert strainscope(*command, "--resume")[0] == 0
    rows = pyarrow.parquet.read_table(out / "series.parquet").to_pylist()
    assert [row["verdict"] for row in rows] == ["check", "failed", "check"]
    assert rows[1]["axis"] == "delta-theta-arcsec"
    assert len(inverted) == 3
    table.write_text(MIXED)
    assert strainscope(*command, "--resume")[0] == 0
    assert len(inverted) == 3


def test_scans_on_other_axes_are_rows_that_name_theirs(mixed, inverted, strainscope, tmp_path):
    for path in mixed.glob("*.xy"):
        text = path.read_text()
        path.write_text("".join(f"{line} 0.01\n" for line in text.splitlines()))
    code, _, _ = strainscope(
        "batch", mixed, "--sample", "ggg444", "--intensity", "normalised", "-o", tmp_path / "o"
    )
    assert code == 0
    rows = pyarrow.parquet.read_table(tmp_path / "o/series.parquet").to_pylist()
    assert [row["verdict"] for row in rows] == ["check", "failed", "failed"]
    for row, axis in zip(rows[1:], ("omega-deg", "two-theta-deg"), strict=True):
        reason = row["reasons"]
        assert f"look like {axis}: give --axis {axis} (in a batch" in reason
        assert "\n" not in reason
        code, _, said = strainscope(
            *("invert", row["file"], "--sample", "ggg444", "--intensity", "normalised", "-o", tmp_path / "i")
        )
        assert (code, said) == (2, f"strainscope: error: {reason}\n")
    assert inverted == ["dose0"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("axis\ndose1.xy,omga-deg", "dose1.xy: the table's column 'axis' says 'omga-deg'; it must be one of delta"),
        ("axis\ndose1.xy,omga-deg", "or empty. Did you mean omega-deg?"),
        ("intensity\ndose0.xy,cps", "column 'intensity' says 'cps'; it must be one of counts, normalised, or empty."),
        ("verdict\ndose0.xy,good", "its column 'verdict' has the name of a result's; give it another."),
        ("fwhm_arcsec\ndose0.xy,12", "its column 'fwhm_arcsec' has the name of a result's; give it another."),
        ("maximum_strain\ndose0.xy,1", "its column 'maximum_strain' has the name of a result's; give it another."),
        ("Dmax1_p5\ndose0.xy,1", "its column 'Dmax1_p5' has the name of a result's; give it another."),
    ],
)
def test_unknown_words_of_a_table_are_refused_before_anything_runs(
    scans, inverted, strainscope, tmp_path, text, message
):
    table = tmp_path / "table.csv"
    table.write_text(f"file,{text}\n")
    code, _, said = strainscope("batch", scans, *JOB, "--table", table, "-o", tmp_path / "out")
    assert code == 2
    assert message in said
    assert said.count("\n") == 1
    assert not inverted
    assert not (tmp_path / "out").exists()


def test_a_sample_of_several_reflections_is_refused_before_anything_runs(
    scans, inverted, strainscope, tmp_path
):
    code, _, said = strainscope("batch", scans, "--sample", "ggg444-888", "-o", tmp_path / "out")
    assert code == 2
    assert "ggg444-888: has several reflections, 444, 888; batch takes samples of one." in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_scan_whose_axis_is_said_nowhere_is_refused_before_anything_runs(
    scans, inverted, strainscope, tmp_path
):
    sample, table = tmp_path / "mine.yaml", tmp_path / "table.csv"
    sample.write_text("crystal: GGG\nreflection: [4, 4, 4]\nwavelength: 1.54056\n")
    table.write_text("file,axis\ndose0.xy,delta-theta-arcsec\ndose2.xy,delta-theta-arcsec\n")
    command = ("batch", scans, "--sample", sample, "--intensity", "counts", "--table", table)
    code, _, said = strainscope(*command, "-o", tmp_path / "out")
    assert code == 2
    assert "dose1.xy: " in said
    assert "give --axis delta-theta-arcsec, omega-deg or two-theta-deg" in said
    assert not (tmp_path / "out").exists()
    table.write_text(table.read_text() + "dose1.xy,delta-theta-arcsec\n")
    assert strainscope(*command, "-o", tmp_path / "out")[0] == 0


def test_where_all_fail_the_command_does(scans, inverted, strainscope, tmp_path):
    for path in scans.glob("*.xy"):
        path.write_text("nothing")
    code, _, said = strainscope("batch", scans, *JOB, "-o", tmp_path / "out")
    assert code == 2
    assert "no scan could be inverted" in said


def test_a_stopped_series_goes_on(scans, inverted, strainscope, tmp_path, monkeypatch):
    stand_in = inversion.invert

    def stopped(scan, *args, **options):
        if len(inverted) == 1:
            raise KeyboardInterrupt
        return stand_in(scan, *args, **options)

    monkeypatch.setattr(inversion, "invert", stopped)
    command = ("batch", scans, *JOB, "-o", tmp_path / "out")
    code, _, said = strainscope(*command)
    assert code == 130
    assert "--resume" in said
    monkeypatch.setattr(inversion, "invert", stand_in)
    assert strainscope(*command)[0] == 2
    assert strainscope(*command, "--resume")[0] == 0
    assert sorted(inverted) == ["dose0", "dose1", "dose2"]
    # A scan that changed is another result.
    (scans / "dose2.xy").write_text((scans / "dose2.xy").read_text() + "\n312 5\n")
    assert strainscope(*command, "--resume")[0] == 0
    assert sorted(inverted) == ["dose0", "dose1", "dose2", "dose2"]


def test_a_series_of_other_settings_is_not_written_over(scans, inverted, strainscope, tmp_path):
    command = ("batch", scans, *JOB, "-o", tmp_path / "out")
    assert strainscope(*command)[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    code, _, said = strainscope(*command, "--resume", "--seed", 1)
    assert code == 2
    assert "none of its 3 results is of these scans, settings and version" in said
    assert "give -o another folder" in said
    assert {path: path.read_bytes() for path in before} == before
    assert len(inverted) == 3


def test_a_series_that_was_begun_with_a_table_goes_on_with_it(scans, inverted, strainscope, tmp_path):
    table = tmp_path / "doses.csv"
    table.write_text("file,dose\ndose0.xy,1e14\ndose1.xy,2e14\ndose2.xy,3e14\n")
    command = ("batch", scans, *JOB, "-o", tmp_path / "out")
    assert strainscope(*command, "--table", table, "--against", "dose")[0] == 0
    code, _, said = strainscope(*command, "--resume")
    assert code == 2
    assert "was begun with a --table that has dose; give it again" in said
    assert "dose" in (tmp_path / "out/series.csv").read_text().splitlines()[0]
    assert strainscope(*command, "--resume", "--table", table)[0] == 0
    assert len(inverted) == 3


def test_one_process_at_a_time_in_a_folder(scans, inverted, strainscope, tmp_path):
    command = ("batch", scans, *JOB, "-o", tmp_path / "out")
    assert strainscope(*command)[0] == 0
    with alone(tmp_path / "out"):
        code, _, said = strainscope(*command, "--resume", "--seed", 1)
    assert code == 2
    assert said == f"strainscope: error: {tmp_path / 'out'}: another process is writing it; wait for it or stop it.\n"
    assert len(inverted) == 3


def test_a_result_that_was_being_made_anew_is_not_taken_for_the_old_one(
    scans, inverted, strainscope, tmp_path, monkeypatch
):
    command = ("batch", scans, *JOB, "-o", tmp_path / "out")
    assert strainscope(*command)[0] == 0
    write = module.write_result

    def ended(result, folder, **options):
        write(result, folder, **options)
        raise KeyboardInterrupt

    text = (scans / "dose1.xy").read_text()
    (scans / "dose1.xy").write_text(text + "\n312 5\n")
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_result", ended)
        assert strainscope(*command, "--resume")[0] == 130
    assert len(inverted) == 4
    (scans / "dose1.xy").write_text(text)
    assert strainscope(*command, "--resume")[0] == 0
    assert len(inverted) == 5
    result = json.loads((tmp_path / "out/scans/dose1/result.json").read_text())
    assert result["scan"]["points"] == len(text.splitlines())


def test_a_damaged_result_is_made_anew(scans, inverted, strainscope, tmp_path):
    command = ("batch", scans, *JOB, "-o", tmp_path / "out")
    assert strainscope(*command)[0] == 0
    document = tmp_path / "out/scans/dose1/result.json"
    document.write_text(document.read_text()[:500])
    assert strainscope(*command, "--resume")[0] == 0
    assert sorted(inverted) == ["dose0", "dose1", "dose1", "dose2"]
    assert json.loads(document.read_text())["scan"]["name"] == "dose1"


def test_another_estimator_of_the_same_name_makes_results_anew(scans, tmp_path):
    weights = tmp_path / "weights.bin"
    job = series.Job(sample="ggg444", intensity="counts", estimator=str(weights))
    prints = []
    for content in (b"a", b"b", b"b"):
        weights.write_bytes(content)
        prints.append(module._fingerprint(scans / "dose0.xy", job, module._settings_with_files(job)))
    assert prints[0] != prints[1] == prints[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--against", "dose"), "no such column"),
        (("--table", "who.csv", "--against", "who"), "--against who: dose1.xy has 'B', no number"),
        (("--draws", 3), "--draws = 3; it must be a whole number, 16 to 200,000"),
        (("--resume",), "holds no series to go on with"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    scans, inverted, strainscope, tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    Path("who.csv").write_text("file,who\ndose1.xy,B\n")
    code, _, said = strainscope("batch", scans, *JOB, "-o", tmp_path / "out", *options)
    assert code == 2
    assert message in said.splitlines()[-1]
    assert not inverted


@pytest.mark.skipif(sys.platform == "win32", reason="processes are counted on POSIX")
def test_side_by_side_is_as_alone(scans, tmp_path, strainscope, monkeypatch):
    monkeypatch.setattr(module, "worker_count", lambda: 2)
    (scans / "dose2.xy").unlink()
    small = (*JOB, "--draws", 64, "--starts", 1)
    assert strainscope("batch", scans, *small, "-o", tmp_path / "out")[0] == 0
    assert strainscope("invert", scans / "dose1.xy", *small, "-o", tmp_path / "alone")[0] == 0
    alone, beside = (
        json.loads((tmp_path / folder / "result.json").read_text()) for folder in ("alone", "out/scans/dose1")
    )
    assert beside["verdict"] == alone["verdict"]
    assert len(beside["modes"]) == len(alone["modes"])
    # Where an array lies in memory decides the last digit of a sum, and draws follow from it.
    for name, own in alone["parameters"].items():
        other = beside["parameters"][name]
        assert other["value"] == pytest.approx(own["value"], rel=1e-6, abs=1e-9)
        assert other["sd"] == (None if own["sd"] is None else pytest.approx(own["sd"], rel=0.2))
