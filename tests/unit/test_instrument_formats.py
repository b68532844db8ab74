import os
import re
from importlib import metadata, resources

import h5py
import numpy as np
import pytest
from tests.instrument_files import (
    GGG444_DEG,
    OMEGA,
    brml,
    counts,
    nexus,
    ras,
    rasx,
    raw_3,
    raw_4,
    raw_data,
    rigaku_header,
    rigaku_rows,
    spec,
    spec_scan,
    xrdml,
    xrdml_scan,
    zipped,
)

from strainscope.readers import is_instrument_file, read_file, read_scan

TWO_THETA = 2 * OMEGA
STEP = OMEGA[1] - OMEGA[0]
FACTOR = np.where(np.abs(OMEGA - GGG444_DEG) < 0.01, 8.3, 1.0)
COUPLED_3 = {"kind": 0, "two_theta": TWO_THETA[0], "step": 2 * STEP}
COUPLED_4 = {"kind": "Locked Coupled", "scanned": "2Theta", "start": TWO_THETA[0], "step": 2 * STEP}

ROCKING = {
    "a.xrdml": xrdml(xrdml_scan()),
    "a.brml": brml(raw_data(moved={"Theta": OMEGA}, values=counts())),
    "three.raw": raw_3(),
    "four.raw": raw_4(),
    "a.ras": ras((rigaku_header(), rigaku_rows())),
    "a.rasx": rasx((rigaku_header(), rigaku_rows(separator="\t"))),
    "a.spec": spec(spec_scan()),
    "a.nxs": nexus(),
    "whatever": nexus(angle=np.radians(OMEGA), units="rad"),
}
COUPLED = {
    "a.xrdml": xrdml(xrdml_scan(axis="Gonio", two_theta=(TWO_THETA[0], TWO_THETA[-1]))),
    "a.brml": brml(raw_data(moved={"TwoTheta": TWO_THETA, "Theta": OMEGA}, values=counts())),
    "three.raw": raw_3(**COUPLED_3),
    "four.raw": raw_4(**COUPLED_4),
    "a.ras": ras((rigaku_header(axis="TwoThetaOmega"), rigaku_rows(TWO_THETA))),
    "a.rasx": rasx((rigaku_header(axis="TwoThetaTheta"), rigaku_rows(TWO_THETA))),
    "a.nxs": nexus(angle=TWO_THETA, name="two_theta"),
}


@pytest.fixture
def read(tmp_path):
    def run(content, name="scan", **options):
        path = tmp_path / name
        path.write_bytes(content)
        return read_scan(path, **options)

    return run


@pytest.fixture
def recorded(tmp_path):
    def run(content, name="scan"):
        path = tmp_path / name
        path.write_bytes(content)
        return read_file(path)

    return run


@pytest.mark.parametrize("name", ROCKING)
def test_a_rocking_curve_is_the_same_in_every_format(read, name, tmp_path):
    scan = read(ROCKING[name], name)
    assert is_instrument_file(tmp_path / name)
    assert (scan.axis, scan.intensity_kind, scan.sigma) == ("omega-deg", "counts", None)
    np.testing.assert_allclose(scan.angle, OMEGA, atol=1e-6)
    np.testing.assert_array_equal(scan.intensity, counts())


@pytest.mark.parametrize("name", COUPLED)
def test_a_scan_of_both_is_on_two_theta(read, name):
    scan = read(COUPLED[name], name)
    assert (scan.axis, scan.intensity_kind) == ("two-theta-deg", "counts")
    np.testing.assert_allclose(scan.angle, TWO_THETA, atol=1e-6)
    np.testing.assert_array_equal(scan.intensity, counts())


@pytest.mark.parametrize("name", ROCKING)
def test_every_format_says_its_wavelength(recorded, name):
    (found,) = recorded(ROCKING[name], name)
    assert found.wavelength_A == pytest.approx(1.5406, rel=5e-5)


@pytest.mark.parametrize("name", [name for name in ROCKING if "Cu" in str(ROCKING[name]) or "rasx" in name])
def test_anode_and_lines(recorded, name):
    (found,) = recorded(ROCKING[name], name)
    assert found.anode == "Cu"
    assert found.lines_A["Ka"] == pytest.approx(1.5418, abs=2e-4)


def test_the_absorption_factor_of_a_brml_is_taken_out(read):
    content = brml(raw_data(moved={"Theta": OMEGA}, values=counts() * FACTOR, absorption=FACTOR))
    scan = read(content)
    np.testing.assert_allclose(scan.intensity, counts() * FACTOR / 2)
    np.testing.assert_allclose((scan.intensity / scan.sigma) ** 2, counts())


def test_a_brml_takes_the_measured_route_and_lists_its_documents_in_order(recorded):
    measured = raw_data(moved={"Theta": OMEGA}, values=counts())
    processed = re.search(r"<DataRoute .*</DataRoute>", measured.replace("Measured", "Smoothed"), re.DOTALL)[
        0
    ]
    both = measured.replace("<DataRoutes>", f"<DataRoutes>{processed}")
    two = recorded(brml(both, raw_data(moved={"TwoTheta": TWO_THETA, "Theta": OMEGA}, values=counts(seed=2))))
    assert [scan.leading for scan in two] == ["omega", "two-theta"]
    np.testing.assert_array_equal(two[1].counts, counts(seed=2))


@pytest.mark.parametrize("weakened", [True, False])
@pytest.mark.parametrize("unit", ["counts", "cps"])
def test_rigakus_attenuator_is_understood_from_the_curve(recorded, weakened, unit):
    """Ten times weakened where it is strong, in the column of intensities or not."""
    strong = np.where(np.abs(OMEGA - GGG444_DEG) < 0.008, 10.0, 1.0)
    true = 50 * counts()
    raw = np.rint(true / strong)
    seconds = 0.5 if unit == "cps" else 1.0
    stored = (raw if weakened else raw * strong) / seconds
    header = rigaku_header(unit=unit, speed=seconds, speed_unit="sec.")
    (found,) = recorded(ras((header, rigaku_rows(values=stored, factor=strong))))
    assert found.attenuated is weakened
    np.testing.assert_array_equal(found.counts, raw)
    scan = found.scan(name="x")
    np.testing.assert_allclose(scan.intensity, raw * strong / seconds)
    how = "are multiplied by" if weakened else "have in them"
    assert found.remarks() == (f"the intensities {how} the attenuation factors of the third column",)


def test_rates_that_a_ras_calls_counts_are_told_from_the_counting_time(recorded):
    header = rigaku_header(speed=4.0, speed_unit="sec")
    (found,) = recorded(ras((header, rigaku_rows(values=(4 * counts() + 1) / 4))))
    assert found.rate
    np.testing.assert_array_equal(found.counts, 4 * counts() + 1)
    assert "taken as counts per second" in found.remarks()[0]
    (unknown,) = recorded(ras((rigaku_header(speed=0), rigaku_rows(values=counts() + 0.3))))
    assert unknown.counts is None
    assert unknown.scan(name="x").intensity_kind == "normalised"
    assert "estimated from the scatter" in unknown.remarks()[0]


def test_a_coupled_scan_of_rigaku_keeps_the_offset_of_its_header(recorded):
    (found,) = recorded(COUPLED["a.ras"])
    np.testing.assert_allclose(found.positions["omega"], OMEGA + 0.01, atol=1e-4)


def test_specs_monitor_is_divided_out_and_the_raw_counts_stay_poisson(read):
    monitor = np.where(OMEGA < GGG444_DEG, 1e5, 2e5)
    scan = read(spec(spec_scan(monitor=monitor)))
    assert scan.intensity_kind == "normalised"
    np.testing.assert_allclose(scan.intensity * monitor / monitor.mean(), counts())
    np.testing.assert_allclose((scan.intensity / scan.sigma) ** 2, counts())


def test_spec_passes_spectra_empty_and_damaged_scans(recorded):
    whole = spec_scan(3, values=counts(seed=3), more="@A 1 2 3\\\n 4 5 6\n")
    aborted, short = (
        "\n#S 1 ascan th 1 2 3 1\n#L Theta  Detector\n#C aborted\n",
        "\n#S 2 a\n#L Theta  D\n1 2 3\n",
    )
    (found,) = recorded(spec(aborted, short, whole))
    np.testing.assert_array_equal(found.counts, counts(seed=3))
    assert found.remarks()[-1].startswith(
        "1 scan(s) of the file cannot be read and are not counted: #S 2 a: its rows"
    )


@pytest.mark.parametrize("content", [b"# S\n1 2\n", b"#S 1 my sample\n1 2\n", b"1 2\n"])
def test_comments_alone_make_no_spec_file(tmp_path, content):
    (tmp_path / "a.xy").write_bytes(content)
    assert not is_instrument_file(tmp_path / "a.xy")


def outside(data):
    data.file["entry/elsewhere"] = h5py.ExternalLink("other.h5", "/data")


def stored_outside(data):
    del data["counts"]
    data.create_dataset("counts", (101,), "f8", external=[("/etc/hostname", 0, 808)])


def virtual(data):
    del data["counts"]
    layout = h5py.VirtualLayout((101,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "data", (101,))
    data.create_virtual_dataset("counts", layout)


def enormous(data):
    del data["counts"]
    data.create_dataset("counts", (10**12,), "f8", chunks=(1024,), compression="gzip")


def large_chunk(data):
    del data["counts"]
    data.create_dataset("counts", (101,), "f8", chunks=(10**8,), maxshape=(None,), compression="gzip")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (nexus(fill=outside), "/entry/elsewhere lies in another file"),
        (nexus(fill=stored_outside), "counts lies in another file"),
        (nexus(fill=virtual), "counts lies in another file"),
        (nexus(fill=enormous), "counts has 1000000000000 points"),
        (nexus(fill=large_chunk), "counts is stored in pieces of 800 MB"),
        (nexus(units="inch"), "omega is in 'inch'; it must be in one of deg"),
        (nexus(values=np.ones((3, 101))), "counts is no row of numbers"),
        (nexus()[:2000], "HDF5 file is damaged"),
        (nexus(name="energy"), "no rocking curve: no axis moved"),
        (brml(raw_data(moved={"Theta": OMEGA}, values=counts(), recorded=1280)), "records 1280 channels"),
        (brml(raw_data(moved={"Phi": OMEGA}, values=counts())), "no rocking curve: phi moved"),
        (brml("<RawData />"), "there is no scan in the .brml"),
        (zipped({"a.txt": "b"}), "there is no scan in the .brml"),
        (zipped({"Data0/Image0.bin": "b"}), "images are not read"),
        (zipped({"Data0/Profile0.txt": "1 2 3\n1 2\n"}), "Data0/Profile0.txt: its points must all have"),
        (zipped({"Experiment0/RawData0.xml": "0" * 10_000_000}), "more than 200 times its size"),
        (brml("<!DOCTYPE a [<!ENTITY b 'c'>]><RawData>&b;</RawData>"), "document type or entities"),
        (brml("<RawData>" * 50_000 + "</RawData>" * 50_000), "there is no scan"),
        (b"PK\x03\x04" + b"0" * 100, "no whole zip file"),
        (b"RAW2" + b"\0" * 1000, "version 1 or 2"),
        (raw_3()[:900], "it ends at byte 900"),
        (raw_3()[:1200], "do not lie in a file of 1200 bytes"),
        (raw_4()[:300], "it ends at byte 300"),
        (raw_4(step=0.0), "101 steps of 0° make no scan"),
        (
            raw_4(kind="Something", scanned="Other", start=1.0)[:61] + b"\x1e\0\0\0\xff\xff\xff\xff",
            "a record of 4294",
        ),
        (ras((rigaku_header(axis="Phi"), rigaku_rows())), "no rocking curve: phi moved"),
        (ras((rigaku_header(), rigaku_rows()))[:-60], "ends within a scan"),
        (ras((rigaku_header(more={"MEAS_SCAN_UNIT_X": "mm"}), rigaku_rows())), "its angles are in 'mm'"),
        (ras((rigaku_header(), ["1 2", "nan 4"])), "a point: 'nan' is no number"),
        (spec("\n#S 1 ascan th 1 2 3\n#L th  det\n1 x\n"), "det: 'x' is no number"),
    ],
)
def test_what_is_wrong_is_one_line(read, tmp_path, content, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read(content)
    assert str(caught.value).startswith(f"{tmp_path / 'scan'}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.xrdml", "a.brml", "a.ras", "a.rasx", "a.nxs"])
def test_a_name_that_promises_another_content_is_refused(read, name):
    with pytest.raises(ValueError, match=f"the content is no {name[1:]}; formats that are read: xrdml"):
        read(b"1 2\n3 4\n", name)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such scan file"):
        read_file(tmp_path / "none.xrdml")


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert not is_instrument_file(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("name", "scans", "angles", "first"),
    [
        # At two beamlines of the Advanced Photon Source.
        ("33bm_spec.dat", 16, 5, "#S 1  ascan  th 19.022 19.222  60 -20000"),
        ("33id_spec.dat", 106, 39, "#S 1  ascan  eta 43.6355 44.0355  40 1"),
    ],
)
def test_files_that_spec_wrote(name, scans, angles, first):
    try:
        metadata.version("spec2nexus")
    except metadata.PackageNotFoundError:
        pytest.skip("spec2nexus, which ships these files, is not installed")
    found = read_file(resources.files("spec2nexus") / "data" / name)
    assert len(found) == scans
    assert sum(bool(scan.axes()) for scan in found) == angles
    assert found[0].scanned == first
    ends = [float(word) for word in first.split()[4:6]]
    np.testing.assert_allclose(found[0].positions["omega"][[0, -1]], ends, atol=0.01)
