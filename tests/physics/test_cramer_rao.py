"""Cramér-Rao bounds of scans: how they fall with counts, and that they never exceed the prior."""

import numpy as np
import pytest

from strainscope.evaluation import bounds_of, load_test_set
from strainscope.evaluation.cramer_rao import scan_bounds
from strainscope.measurement import LabSettings, LabSimulator
from strainscope.sample import load_sample

SCANS = 4


def bounds(counts):
    # No background to speak of, so that all counts grow alike.
    settings = LabSettings(counts=(counts, 1.0001 * counts), background=(1e-12, 1.1e-12))
    simulator = LabSimulator(load_sample("ggg444"), settings, seed=1)
    return simulator.targets, scan_bounds(simulator, SCANS)


def test_a_hundred_times_the_counts_tell_ten_times_as_much():
    targets, few = bounds(1e6)
    _, many = bounds(1e8)
    column = targets.names.index("fwhm_arcsec")
    assert few[:, column] / many[:, column] == pytest.approx(10, rel=0.02)
    assert (many <= few * (1 + 1e-6)).all()


def test_no_bound_exceeds_the_prior_s_own_width():
    targets, found = bounds(1e4)
    width = np.array([high - low for low, high in targets.bounds.values()])
    assert found.shape == (SCANS, len(targets.names))
    assert (found > 0).all()
    assert (found <= width / np.sqrt(12) * (1 + 1e-9)).all()


def test_a_set_knows_its_bounds_for_the_first_curves(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("strainscope.evaluation.test_sets.BOUNDED", 2)
    found = bounds_of(load_test_set("lab", size=3))
    assert found.shape == (3, 13)
    assert np.isfinite(found[:2]).all()
    assert np.isnan(found[2]).all()
    assert bounds_of(load_test_set("continuous", size=1)) is None
