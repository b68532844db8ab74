import numpy as np
import pytest
from tests.instrument_files import GGG444_DEG, OMEGA, counts, xrdml, xrdml_scan

from strainscope.readers import read_file, read_scan
from strainscope.sample import load_sample

NO_FACTOR = np.ones(OMEGA.size)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "curve.xrdml"


def test_a_rocking_curve_is_read_as_counts_with_all_that_the_file_says(path):
    path.write_bytes(
        xrdml(xrdml_scan(), version="2.1", detector='<deadTime unit="microseconds">1</deadTime>')
    )
    (found,) = read_file(path)
    assert found.format == "PANalytical XRDML 2.1"
    assert (found.title, found.scanned, found.anode) == ("implanted GGG", "Omega", "Cu")
    np.testing.assert_allclose(found.positions["omega"], OMEGA, atol=1e-6)
    assert found.fixed == pytest.approx({"two-theta": 2 * GGG444_DEG, "phi": 0.0})
    np.testing.assert_array_equal(found.counts, counts())
    assert np.unique(found.counting_time_s) == [2.0]
    assert found.wavelength_A == 1.540598
    assert found.lines_A["Ka"] == pytest.approx((2 * 1.540598 + 1.544426) / 3)
    assert found.dead_time_s == 1e-6
    scan = read_scan(path)
    assert (scan.axis, scan.intensity_kind, scan.name, scan.sigma) == ("omega-deg", "counts", "curve", None)
    np.testing.assert_array_equal(scan.intensity, counts())


@pytest.mark.parametrize(("name", "attenuated"), [("counts", True), ("intensities", False)])
def test_an_attenuator_that_moves_leaves_the_raw_counts_in_the_statistics(path, name, attenuated):
    raw = counts()
    factor = np.where(np.abs(OMEGA - GGG444_DEG) < 0.01, 131.32, 1.0)
    stored = raw if attenuated else np.rint(raw * factor)
    path.write_bytes(xrdml(xrdml_scan(values=stored, name=name, factors=factor)))
    (found,) = read_file(path)
    np.testing.assert_array_equal(found.counts, raw)
    scan = read_scan(path)
    assert scan.intensity_kind == "normalised"
    np.testing.assert_allclose(scan.intensity, raw * factor / 2.0, rtol=1e-12)
    np.testing.assert_allclose((scan.intensity / scan.sigma)[raw > 0] ** 2, raw[raw > 0], rtol=1e-9)


def test_counting_times_that_differ_are_divided_out(path):
    raw, times = counts(), np.where(OMEGA < GGG444_DEG, 10.0, 1.0)
    raw[:3] = 0
    path.write_bytes(xrdml(xrdml_scan(values=raw, times=times)))
    scan = read_scan(path)
    np.testing.assert_allclose(scan.intensity, raw / times)
    np.testing.assert_allclose(scan.sigma[:3], 0.1)


def test_the_axis_is_the_one_scanned_or_the_one_chosen(path):
    both = {"axis": "2Theta-Omega", "two_theta": (2 * OMEGA[0], 2 * OMEGA[-1])}
    path.write_bytes(xrdml(xrdml_scan(**both)))
    np.testing.assert_allclose(read_scan(path).angle, 2 * OMEGA, atol=1e-5)
    assert read_scan(path).axis == "two-theta-deg"
    np.testing.assert_allclose(read_scan(path, axis="omega-deg").angle, OMEGA, atol=1e-5)
    relative = read_scan(path, axis="delta-theta-arcsec")
    assert relative.angle[relative.intensity.argmax()] == 0
    np.testing.assert_allclose(np.ptp(relative.angle), 0.2 * 3600, rtol=1e-5)
    path.write_bytes(xrdml(xrdml_scan(**(both | {"axis": "Omega-2Theta"}))))
    assert read_scan(path).axis == "omega-deg"
    path.write_bytes(xrdml(xrdml_scan()))
    with pytest.raises(ValueError, match="two-theta-deg: the file's are omega-deg, delta-theta-arcsec"):
        read_scan(path, axis="two-theta-deg")


def test_listed_positions_are_read(path):
    path.write_bytes(xrdml(xrdml_scan(omega=OMEGA)))
    np.testing.assert_allclose(read_scan(path).angle, OMEGA)


def test_of_several_scans_one_has_to_be_chosen(path):
    path.write_bytes(xrdml(xrdml_scan(), xrdml_scan(values=counts(seed=2), status="Aborted")))
    listed = r"choose one by --scan \(in Python number=\): 1: omega 25.43 to 25.63° \(101 po"
    with pytest.raises(ValueError, match=f"holds 2 scans; {listed}"):
        read_scan(path)
    second = read_scan(path, number=2)
    assert second.name == "curve-2"
    np.testing.assert_array_equal(second.intensity, counts(seed=2))
    with pytest.raises(ValueError, match="there is no scan 3: it holds 2 scan"):
        read_scan(path, number=3)
    assert read_file(path)[1].remarks() == ("the file says that the scan is aborted",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (xrdml(), "there is no scan"),
        (xrdml(xrdml_scan())[:900], "is no whole XML"),
        (
            xrdml(xrdml_scan(values=counts()[:40], times=np.ones(101))),
            "101 counting times, but 40 intensities",
        ),
        (xrdml(xrdml_scan(values=-counts())), "intensities: -.* is among them; each must be >= 0"),
        (xrdml(xrdml_scan(times=0 * OMEGA)), "counting times: 0 is among them; each must be > 0"),
        (xrdml(xrdml_scan()).replace(b'unit="deg"', b'unit="rad"'), "2Theta is in 'rad'; it must be in deg"),
        (xrdml(xrdml_scan()).replace(b"seconds", b"hours"), "commonCountingTime are in 'hours'"),
        (xrdml(xrdml_scan()).replace(b"<startPosition>2", b"<startPosition>nan"), "startPosition: 'nan5.43"),
        (
            xrdml(xrdml_scan(more="<commonDivergenceCorrection>2</commonDivergenceCorrection>")),
            "divergence slits",
        ),
        (xrdml(xrdml_scan(name="counted")), "neither <counts> nor <intensities>"),
        (
            xrdml(xrdml_scan()).replace(b"<xrdMeasurements", b"<!DOCTYPE a><xrdMeasurements"),
            "document type or ent",
        ),
        (xrdml(xrdml_scan(axis="Phi", omega=25.0)), "no rocking curve: no axis moved"),
        (
            xrdml(xrdml_scan(axis="2Theta", omega=25.0, two_theta=(50.0, 52.0))),
            "no rocking curve: two-theta moved",
        ),
        (b"1 2\n3 4\n", "the content is no .xrdml"),
    ],
)
def test_what_is_wrong_is_one_line(path, content, message):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_scan(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_another_wavelength_than_the_samples_is_refused(path):
    sample = load_sample("ggg444")
    path.write_bytes(xrdml(xrdml_scan()))
    assert sample.read_scan(path).axis == "omega-deg"
    path.write_bytes(xrdml(xrdml_scan(), intended="K-Alpha"))
    assert sample.read_scan(path).axis == "omega-deg"
    path.write_bytes(xrdml(xrdml_scan(), ka1=1.78901))
    with pytest.raises(
        ValueError, match=r"measured at 1.78901 Å \(Cu\), but the sample's wavelength is 1.54056 Å"
    ):
        sample.read_scan(path)
