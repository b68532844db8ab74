"""What is read off from a curve without a model: peak, floor, and the ends of the strained region."""

import numpy as np
import pytest

from strainscope.inversion.features import read_features

STEP = 4.0
X = np.arange(-1500.0, 600.0, STEP)
FWHM, PEAK = 40.0, 12.0


def curve(*, floor=20.0, plateau=400.0, low=-1000.0, high=0.0, x=X):
    """A peak, and a plateau between two sharp edges, on a floor."""
    peak = 1e5 * 0.5 ** ((2 * (x - PEAK) / FWHM) ** 2)
    return floor + peak + np.where((x > low) & (x < high), plateau, 0.0)


def read(intensity, x=X, counts_per_unit=1.0):
    return read_features(x, intensity, counts_per_unit)


def test_peak_and_its_width():
    found = read(curve())
    assert found.peak_arcsec == pytest.approx(PEAK, abs=STEP)
    # The running median that keeps spikes out flattens the summit.
    assert 0.85e5 < found.peak_intensity <= 1.001e5
    assert found.peak_fwhm_arcsec == pytest.approx(FWHM, abs=2 * STEP)


def test_a_peak_of_few_points_in_a_long_scan_is_found():
    # A high-resolution peak of 3 points, among 700: the plateau is not the peak.
    x = 5.0 * np.arange(-500.0, 200.0)
    intensity = 20 + 1e5 * 0.5 ** ((2 * x / 15.0) ** 2) + np.where((x > -1500) & (x < 0), 400.0, 0.0)
    found = read(intensity, x=x)
    assert found.peak_arcsec == pytest.approx(0, abs=5)
    assert found.peak_fwhm_arcsec < 30


def test_peak_moves_with_the_scan():
    found = read(curve(), x=X + 5000.0)
    assert found.peak_arcsec == pytest.approx(PEAK + 5000, abs=STEP)
    assert found.low_edge_arcsec == pytest.approx(read(curve()).low_edge_arcsec + 5000)


def test_floor_is_the_level_without_signal():
    assert read(curve(floor=20.0)).floor == pytest.approx(20.0, rel=0.01)
    assert read(curve(floor=300.0)).floor == pytest.approx(300.0, rel=0.01)
    assert read(curve(floor=0.0)).floor == 0.0


@pytest.mark.parametrize("low", [-1300.0, -1000.0, -400.0])
def test_low_edge_is_where_the_signal_begins(low):
    assert read(curve(low=low)).low_edge_arcsec == pytest.approx(low, abs=5 * STEP)


def test_high_edge_of_a_contracted_region():
    found = read(curve(low=0.0, high=420.0))
    assert found.high_edge_arcsec == pytest.approx(420, abs=5 * STEP)
    # On the other side there is the peak alone.
    assert found.low_edge_arcsec == pytest.approx(PEAK - 1.6 * FWHM, abs=FWHM)


def test_no_edge_where_the_scan_begins_or_ends_within_the_signal():
    cut = read(curve(low=-2000.0))
    assert cut.low_edge_arcsec is None
    assert cut.high_edge_arcsec is not None
    cut = read(curve(low=0.0, high=2000.0))
    assert cut.low_edge_arcsec is not None
    assert cut.high_edge_arcsec is None


def test_a_mirrored_scan_has_mirrored_features():
    intensity = curve()
    found, mirrored = read(intensity), read_features(-X[::-1], intensity[::-1], 1.0)
    assert mirrored.peak_arcsec == pytest.approx(-found.peak_arcsec)
    assert mirrored.high_edge_arcsec == pytest.approx(-found.low_edge_arcsec)
    assert mirrored.low_edge_arcsec == pytest.approx(-found.high_edge_arcsec)


@pytest.mark.parametrize("seed", range(8))
def test_counting_noise_moves_nothing_much(seed):
    quiet = read(curve())
    noisy = read(np.random.default_rng(seed).poisson(curve()).astype(np.float64))
    assert noisy.peak_arcsec == pytest.approx(quiet.peak_arcsec, abs=STEP)
    assert noisy.peak_fwhm_arcsec == pytest.approx(quiet.peak_fwhm_arcsec, abs=2 * STEP)
    assert noisy.low_edge_arcsec == pytest.approx(quiet.low_edge_arcsec, abs=6 * STEP)
    assert noisy.high_edge_arcsec == pytest.approx(quiet.high_edge_arcsec, abs=8 * STEP)
    assert noisy.floor == pytest.approx(20, rel=0.3)


@pytest.mark.parametrize("seed", range(4))
def test_few_counts_are_not_taken_for_signal(seed):
    # A floor of a third of a count: single counts are scattered over it.
    noisy = np.random.default_rng(seed).poisson(curve(floor=0.3, plateau=60.0)).astype(np.float64)
    assert read(noisy).low_edge_arcsec == pytest.approx(-1000, abs=6 * STEP)
    # The same in normalised units.
    scaled = read_features(X, noisy / 1e5, 1e5)
    assert scaled.low_edge_arcsec == read(noisy).low_edge_arcsec
    assert scaled.floor == pytest.approx(read(noisy).floor / 1e5)


def test_a_spike_is_neither_peak_nor_edge():
    intensity = curve()
    intensity[[20, 90]] = 1e6
    found, quiet = read(intensity), read(curve())
    assert found.peak_arcsec == quiet.peak_arcsec
    assert found.low_edge_arcsec == quiet.low_edge_arcsec


def test_without_signal_beside_the_peak_the_edges_are_those_of_the_peak():
    found = read(curve(plateau=0.0))
    assert abs(found.low_edge_arcsec - PEAK) < 3 * FWHM
    assert abs(found.high_edge_arcsec - PEAK) < 3 * FWHM


def test_a_very_short_scan_has_no_edges():
    x = np.arange(8) * STEP
    found = read_features(x, np.array([1, 1, 2, 50, 60, 40, 2, 1.0]), 1.0)
    assert found.low_edge_arcsec is None
    assert found.high_edge_arcsec is None
    assert found.peak_arcsec == pytest.approx(16, abs=STEP)


def test_shoulder_is_the_edge_of_what_is_bright():
    # A faint tail reaches far beyond the plateau: signal, but not the strained region's own level.
    tail = np.where((X > -1400) & (X < -900), 60.0, 0.0)
    found = read(curve(floor=1.0, plateau=4000.0, low=-900.0) + tail)
    assert found.low_edge_arcsec == pytest.approx(-1400, abs=5 * STEP)
    assert found.low_shoulder_arcsec == pytest.approx(-900, abs=5 * STEP)
    # Without a tail they are one.
    found = read(curve())
    assert found.low_shoulder_arcsec == found.low_edge_arcsec


def test_no_shoulder_where_the_scan_begins_within_it():
    found = read(curve(low=-2000.0))
    assert found.low_shoulder_arcsec is None
    assert found.high_shoulder_arcsec is not None
