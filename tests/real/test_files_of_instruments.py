"""Files that diffractometers wrote, as they come with the source of the package fairmat-readers-xrd (Apache 2.0).

They are fetched by pip for the tests alone, and left out where it cannot reach a package index.
"""

import subprocess
import sys
import tarfile

import numpy as np
import pytest

from strainscope.readers import read_file

FETCH_S = 180


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("source")
    words = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    words += ["--disable-pip-version-check", "-d", str(place), "fairmat-readers-xrd==0.0.10"]
    try:
        ran = subprocess.run(words, capture_output=True, text=True, timeout=FETCH_S)
    except subprocess.TimeoutExpired:
        pytest.skip("the source of fairmat-readers-xrd did not come in time.")
    if ran.returncode:
        pytest.skip("the source of fairmat-readers-xrd cannot be fetched.")
    (archive,) = place.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(place, filter="data")
    (found,) = place.glob("*/tests/data")
    return found


# Points, ends of 2θ and of ω [deg], largest intensity, and the attenuation's ends.
SCANS = {
    "m54313_om2th_10.xrdml": (1800, (26.025, 79.995), (12.856, 39.841), 14602, (1, 188)),
    "XRD-918-16_10.xrdml": (5027, (4.00657, 69.99937), (2.00328, 34.99968), 100168, None),
    "10_m84325_C_XRR_fast_processed.xrdml": (399, (0.21, 4.19), (0.105, 2.095), 149637, (1, 188)),
    "23-012-AG_2thomegascan_long.brml": (2001, (44, 48), (18.028, 20.028), 495559.8, (1, 8.31)),
    "ZnO-ALD-training_001_1_0-000_0-000.rasx": (7001, (20, 90), (10, 45), 234953, (1, 1)),
    "Omega-2Theta_scan_high_temperature.rasx": (1042, (44, 48.9968), (22.248, 24.747), 811.227, (1, 1)),
}


@pytest.mark.parametrize("name", SCANS)
def test_a_scan_is_read_as_it_was_measured(folder, name):
    points, two_theta, omega, largest, attenuation = SCANS[name]
    (scan,) = read_file(folder / name)
    assert scan.intensity.size == points
    for axis, ends in (("two-theta", two_theta), ("omega", omega)):
        np.testing.assert_allclose(scan.positions[axis][[0, -1]], ends, atol=1e-3)
    assert scan.intensity.max() == pytest.approx(largest, rel=1e-4)
    if attenuation is None:
        assert scan.attenuation is None
    else:
        assert (scan.attenuation.min(), scan.attenuation.max()) == pytest.approx(attenuation, rel=0.01)
    if scan.counts is not None:
        # A detector counts whole photons.
        np.testing.assert_allclose(scan.counts, np.rint(scan.counts), atol=0.02)


@pytest.mark.parametrize(
    ("name", "number", "points"),
    [
        ("RSM_111_sdd=350.rasx", 401, 301),
        ("m82762_rc1mm_1_16dg_src_slit_phi-101_3dg_-420_mesh_long.xrdml", 101, 255),
    ],
)
def test_every_scan_of_a_reciprocal_space_map_is_there(folder, name, number, points):
    scans = read_file(folder / name)
    assert len(scans) == number
    assert {scan.intensity.size for scan in scans} == {points}


def test_a_map_of_an_area_detector_and_scrambled_intensities_are_refused_in_one_line(folder):
    for name, words in (
        ("EJZ060_13_004_RSM.brml", "1280 channels at each point, which is a map and no curve"),
        ("TwoTheta_scan_scrambled.raw", "each must be >= 0"),
    ):
        with pytest.raises(ValueError, match=words) as error:
            read_file(folder / name)
        assert "\n" not in str(error.value)
