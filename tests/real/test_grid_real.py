"""Measured curves on the network's grid."""

from pathlib import Path

import numpy as np
import pytest

from strainscope.measurement import NetworkGrid, grid_scan
from strainscope.readers import read_scan
from strainscope.sample import load_sample

FOLDER = Path(__file__).resolve().parents[3] / "shared/data/real"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no measured curves in {FOLDER}")

STACK = load_sample("ggg444").experiment().stack
GRID = NetworkGrid().at(STACK)


def real(name, kind):
    return read_scan(FOLDER / f"{name}.xy", axis="delta-theta-arcsec", intensity_kind=kind)


@pytest.mark.parametrize(
    ("name", "kind", "first_arcsec"),
    [
        ("ggg444_dose1", "normalised", -1153.2),
        ("ggg444_dose1_counts", "counts", -1153.2),
        ("ggg444_dose3", "normalised", -2366.7),
    ],
)
def test_measured_curve_is_on_the_grid(name, kind, first_arcsec):
    scan = real(name, kind)
    found = grid_scan(scan, GRID, STACK)
    value, error, measured = found.channels
    # The files have their zero at the strongest point, within a flat top.
    assert abs(found.zero_arcsec) < 10
    at = GRID.centre + found.zero_arcsec
    np.testing.assert_array_equal(measured > 0, (at >= first_arcsec - 2.4))
    # Where nothing scatters the channel is what straight lines between the points are.
    on = np.interp(at, scan.angle, np.log10(scan.intensity * found.counts_per_unit + 0.5))
    expected = on - np.log10(found.peak_counts + 0.5)
    seen = measured > 0
    assert np.median(np.abs(value - expected)[seen] / error[seen]) < 1
    assert found.peak_counts == pytest.approx(found.counts_per_unit * scan.intensity.max(), rel=0.02)
    step, peak, first, last = found.told
    assert step == pytest.approx(np.log10(4.018 / 4.688), abs=1e-3)
    assert peak == pytest.approx((np.log10(found.peak_counts) - 5) / 2)
    assert first == pytest.approx(np.argmax(seen) / 700)
    assert last == 1.0


def test_raw_and_normalised_scan_of_one_sample_show_the_same_strained_side():
    raw, normalised = (
        grid_scan(real(f"ggg444_dose1{end}", kind), GRID, STACK).channels
        for end, kind in (("_counts", "counts"), ("", "normalised"))
    )
    # Between the strained region's end and the peak, where neither background nor editing matters.
    strained = (GRID.centre > -850) & (GRID.centre < -100)
    difference = (raw - normalised)[0, strained]
    assert np.std(difference) < 0.06
    # A number of the file says how many counts a unit stands for only roughly.
    assert abs(np.median(difference)) < 0.15
