import json
from pathlib import Path

import numpy as np
import pytest
from tests.instrument_files import OMEGA, counts, nexus, ras, rigaku_header, rigaku_rows, xrdml, xrdml_scan
from tests.unit.test_cli import EXAMPLE, inverted, strainscope  # noqa: F401 (fixtures)
from tests.unit.test_radmax import FACTORS, PROJECT, STRAIN
from tests.unit.test_srim import RANGE

from strainscope import series
from strainscope.readers.counts import column_is_weakened, whole_counts

FACTOR = np.where(np.abs(OMEGA - OMEGA.mean()) < 0.01, 131.32, 1.0)


@pytest.fixture
def files(strainscope):  # noqa: F811
    """Files of instruments in the empty folder."""
    slow = xrdml_scan(factors=FACTOR, status="Aborted")
    fast = "<deadTime unit='microseconds'>5</deadTime>"
    Path("one.xrdml").write_bytes(xrdml(xrdml_scan(), detector=fast, version="2.1"))
    Path("two.xrdml").write_bytes(xrdml(xrdml_scan(values=counts(seed=2)), slow))
    Path("whole.nxs").write_bytes(nexus())
    return strainscope


def test_info_prints_what_was_understood(files):
    code, out, _ = files("info", "one.xrdml")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "one.xrdml: PANalytical XRDML 2.1, 1 scan"
    assert lines[1] == "scan 1: implanted GGG, Omega, 101 points"
    assert "  omega moved          25.432 to 25.632°, steps of 0.002°" in lines
    assert "  two-theta stood at   51.064°" in lines
    assert "  usable as --axis     omega-deg, delta-theta-arcsec" in lines
    assert "  counting time        2 s" in lines
    assert "  dead time            5000 ns" in lines
    assert (
        "  wavelength           1.540598 Å (Cu: Ka1 1.540598, Ka2 1.544426, Kb 1.39225, Ka 1.541874 Å)"
        in lines
    )
    assert lines[-1].startswith(
        "  note                 with this dead time the detector may have lost 5 % of"
    )


def test_info_lists_every_scan_and_as_json(files):
    _, out, _ = files("info", "two.xrdml", "--json")
    first, second = json.loads(out)["scans"]
    assert first["largest_counts"] == counts(seed=2).max()
    assert first["attenuation"] is None
    assert second["attenuation"] == [1.0, 131.32]
    assert second["counting_time_s"] == [2.0, 2.0]
    assert second["notes"] == ["the file says that the scan is aborted"]
    assert "scan 2: implanted GGG, Omega, 101 points" in files("info", "two.xrdml")[1]


def test_info_of_text_says_what_is_not_in_it(files):
    _, out, _ = files("info", EXAMPLE)
    assert out.splitlines()[0] == f"{EXAMPLE}: text, 601 points"
    assert "whole numbers, so --intensity counts may be right; the axis is not in the file" in out
    _, out, _ = files("info", EXAMPLE, "--json")
    assert json.loads(out)["scans"][0]["whole_numbers"] is True


def test_info_shows_nothing_that_steers_a_terminal(files):
    Path("bad.ras").write_bytes(ras((rigaku_header(more={"FILE_SAMPLE": "a\x1b[31mb"}), rigaku_rows())))
    _, out, _ = files("info", "bad.ras")
    assert "\x1b" not in out
    assert "scan 1: a [31mb" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("info", "none.xrdml"), "none.xrdml: there is no such scan file."),
        (
            ("invert", "two.xrdml", "--sample", "ggg444", "-o", "out"),
            "two.xrdml: it holds 2 scans; choose one by --sc",
        ),
        (
            ("invert", "one.xrdml", "--sample", "ggg444", "-o", "out", "--scan", "2"),
            "there is no scan 2: it holds 1 scan(s)",
        ),
        (("invert", EXAMPLE, "--sample", "ggg444", "-o", "out", "--scan", "2"), "text holds one scan"),
        (("invert", "one.xrdml", "--sample", "si004", "-o", "out"), "at 34.564 deg on --axis omega-deg"),
        (
            ("invert", "one.xrdml", "--sample", "ggg444", "-o", "out", "--axis", "two-theta-deg"),
            "the file's are omega",
        ),
        (
            ("invert", "one.xrdml", "--sample", "ggg444", "-o", "out", "--scan", "1", "--scan", "2"),
            "--scan is given 2 times for 1 file(s)",
        ),
        (("calibrate", "two.xrdml", "--sample", "ggg444", "-o", "i.yaml"), "it holds 2 scans; choose one"),
        (
            ("invert", "one.xrdml", "--sample", "ggg444", "-o", "out", "--srim", "one.xrdml"),
            "no RANGE.txt or VACANCY",
        ),
    ],
)
def test_one_line_says_what_is_wrong_and_nothing_is_written(files, inverted, arguments, message):  # noqa: F811
    code, out, err = files(*arguments)
    assert code == 2
    assert message in err
    assert (out, err.count("\n")) == ("", 1)
    assert not Path("out").exists()


def test_invert_takes_axis_and_counts_from_the_file(files, inverted):  # noqa: F811
    assert files("invert", "one.xrdml", "--sample", "ggg444", "-o", "out")[0] == 0
    scan = inverted[0]["scan"]
    assert (scan.axis, scan.intensity_kind, scan.name) == ("omega-deg", "counts", "one")
    assert inverted[0]["sample_settings"]["scan"] == {"axis": "omega-deg", "intensity": "counts"}
    assert files("invert", "two.xrdml", "--scan", "2", "--sample", "ggg444", "-o", "b")[0] == 0
    assert inverted[1]["scan"].name == "two-2"
    np.testing.assert_allclose(inverted[1]["scan"].intensity, counts() * FACTOR / 2)
    relative = ("--axis", "delta-theta-arcsec")
    assert files("invert", "one.xrdml", "--sample", "ggg444", "-o", "c", *relative)[0] == 0
    assert inverted[2]["scan"].axis == "delta-theta-arcsec"
    assert files("invert", "whole.nxs", "--sample", "ggg444", "-o", "d")[0] == 0


def test_invert_needs_no_axis_in_the_sample_for_an_instruments_file(files, inverted):  # noqa: F811
    Path("mine.yaml").write_text(
        "crystal: GGG\nlattice_A: 12.383\nreflection: [4, 4, 4]\nwavelength: 1.54056\n"
    )
    assert files("invert", "one.xrdml", "--sample", "mine.yaml", "-o", "out")[0] == 0
    assert "is not said; give --axis" in files("invert", EXAMPLE, "--sample", "mine.yaml", "-o", "b")[2]


def test_invert_hands_srim_to_the_result(files, inverted):  # noqa: F811
    Path("RANGE.txt").write_bytes(RANGE)
    options = ("--sample", "ggg444", "-o", "out", "--srim", "RANGE.txt")
    assert files("invert", "one.xrdml", *options)[0] == 0
    assert json.loads(Path("out/result.json").read_text())["ions"][0]["ion"] == "He 30 keV"


def test_import_radmax_writes_a_sample_that_simulates(files):
    Path("p.ini").write_text(PROJECT)
    Path("strain.txt").write_text("\n".join(map(str, STRAIN)))
    Path("dw.txt").write_text("\n".join(map(str, FACTORS)))
    assert files("import-radmax", "p.ini")[1].startswith("# From the RaDMaX project p.ini;")
    assert files("import-radmax", "p.ini", "-o", "s.yaml")[1] == "s.yaml: written\n"
    assert "exists; name another file" in files("import-radmax", "p.ini", "-o", "s.yaml")[2]
    code, _, err = files("simulate", "s.yaml", "-o", "s.xy")
    assert code == 0
    assert "weight" not in err


def test_whether_intensities_are_counts():
    assert whole_counts(np.array([0.01, 0.02, 1.0]), time_s=None, factor=None, rate=False) is None
    assert whole_counts(np.array([0.0, 2.0001]), time_s=None, factor=None, rate=False) is None
    times = np.full(3, 3.0)
    rates = np.array([0.0, 0.3333, 3333.3333])
    np.testing.assert_array_equal(whole_counts(rates, time_s=times, factor=None, rate=True), [0, 1, 10000])
    assert whole_counts(rates, time_s=None, factor=None, rate=True) is None


def test_an_attenuator_that_never_moves_does_not_tell_where_its_factor_is():
    assert column_is_weakened(counts(), np.full(101, 10.0)) is None
    assert column_is_weakened(np.zeros(101), FACTOR) is None
    assert column_is_weakened(counts() / FACTOR, FACTOR) is True
    assert column_is_weakened(counts(), FACTOR) is False


def test_a_series_may_mix_text_and_instruments_files(files):
    Path("text.xy").write_bytes(Path(EXAMPLE).read_bytes())
    scans = series.find_scans([Path()])
    assert [path.name for path in scans] == ["one.xrdml", "text.xy", "two.xrdml", "whole.nxs"]
    Path("mine.yaml").write_text(
        "crystal: GGG\nlattice_A: 12.383\nreflection: [4, 4, 4]\nwavelength: 1.54056\n"
    )
    job = series.Job(sample="mine.yaml")
    with pytest.raises(ValueError, match=r"^text.xy: mine.yaml: what the scan's columns are is not said"):
        series.jobs_for(scans, job, {"axis": [""] * 4})
    named = {"axis": ["", "delta-theta-arcsec", "", "omega-deg"], "intensity": ["", "counts", "", ""]}
    jobs, filled = series.jobs_for(scans, job, named)
    assert [own.axis for own in jobs] == [None, "delta-theta-arcsec", None, "omega-deg"]
    assert filled == named


def test_scans_of_several_reflections_may_lie_in_one_file():
    assert series.Job(sample="ggg444").scan_numbers(2) == [None, None]
    assert series.Job(sample="ggg444", scan=(3,)).scan_numbers(2) == [3, 3]
    assert series.Job(sample="ggg444", scan=(1, 2)).scan_numbers(2) == [1, 2]
