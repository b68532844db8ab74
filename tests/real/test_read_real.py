import json
from pathlib import Path

import numpy as np
import pytest

from strainscope.readers import read_scan
from strainscope.scan import estimate_counts_per_unit

FOLDER = Path(__file__).resolve().parents[3] / "shared/data/real"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no measured curves in {FOLDER}")


def real(name):
    axis = "two-theta-deg" if name == "ysz400" else "delta-theta-arcsec"
    kind = "counts" if name.endswith("counts") else "normalised"
    return read_scan(FOLDER / f"{name}.xy", axis=axis, intensity_kind=kind)


@pytest.mark.parametrize(
    "name", ["ggg444_dose1", "ggg444_dose1_counts", "ggg444_dose3", "ggg888_dose1_counts", "ysz400"]
)
def test_numbers_are_those_of_the_file(name):
    scan = real(name)
    angle, intensity = np.loadtxt(FOLDER / f"{name}.xy", unpack=True)
    order = np.argsort(angle, kind="stable")
    np.testing.assert_array_equal(scan.angle, angle[order])
    np.testing.assert_array_equal(scan.intensity, intensity[order])
    assert scan.sigma is None
    facts = json.loads((FOLDER / f"{name}.json").read_text())
    assert scan.angle.size == facts.get("points", 501)
    assert scan.step == pytest.approx(facts.get("step_arcsec", 0.002), rel=1e-4)


def test_overlapping_segments_keep_all_their_points():
    angle = real("ggg888_dose1_counts").angle
    assert np.sum(np.diff(angle) == 0) == 29


@pytest.mark.parametrize("name", ["ggg444_dose1_counts", "ggg888_dose1_counts"])
def test_raw_counts_scatter_as_counts_do(name):
    assert estimate_counts_per_unit(real(name)) == pytest.approx(1.0, rel=0.2)


def test_a_count_of_the_zirconia_scan_is_told_from_the_multiples():
    # To first order: the larger intensities are corrected for dead time, and bend away from the multiples.
    assert estimate_counts_per_unit(real("ysz400")) == pytest.approx(1 / 0.006459, rel=1e-4)


def test_normalised_dose1_has_the_counts_of_its_raw_file():
    # Normalised, shifted and a background subtracted by hand, so only roughly.
    raw, normalised = real("ggg444_dose1_counts"), real("ggg444_dose1")
    per_unit = np.median(raw.intensity / normalised.intensity)
    assert estimate_counts_per_unit(normalised) == pytest.approx(per_unit, rel=0.4)


def test_a_scan_in_degrees_is_not_taken_for_arcsec():
    with pytest.raises(
        ValueError, match=r"ysz400.xy: the scan spans 1 arcsec; .*--axis omega-deg or two-theta-deg"
    ):
        read_scan(FOLDER / "ysz400.xy", axis="delta-theta-arcsec", intensity_kind="normalised")
