"""Index of the strongest point, counted from the large-angle end, and what windows lose."""

import numpy as np
import pytest

from strainscope.dataset.peaks import PeakVerification, verify_peaks
from strainscope.dataset.plan import load_plan
from strainscope.dataset.simulate import Simulator

ANGLES = -3176.89054548 + 4.671897861 * np.arange(701)


def curves_with_peaks(index, points=701):
    """Flat curves with one strong point each, at indices from the large-angle end."""
    curves = np.full((len(index), points), 1e-6, dtype=np.float32)
    curves[np.arange(len(index)), points - 1 - np.asarray(index)] = 1.0
    return curves


def test_index_counts_from_the_large_angle_end():
    peaks = verify_peaks([curves_with_peaks([0, 20, 700])], ANGLES)
    np.testing.assert_array_equal(np.flatnonzero(peaks.histogram), [0, 20, 700])
    assert peaks.angle(0) == pytest.approx(ANGLES[-1])
    assert peaks.angle(20) == pytest.approx(0, abs=1e-6)
    assert peaks.angle(700) == pytest.approx(ANGLES[0])


def test_of_equal_points_the_first_from_that_end():
    curves = np.zeros((1, 701), dtype=np.float32)
    curves[0, [100, 600]] = 1.0
    assert verify_peaks([curves], ANGLES).lowest == 100


@pytest.mark.parametrize("number", [1, 2, 7, 100])
def test_statistics_are_those_of_the_indices(number):
    index = np.random.default_rng(number).integers(0, 701, number)
    curves = curves_with_peaks(index)
    peaks = verify_peaks([curves[: number // 2], curves[number // 2 :]], ANGLES)
    assert peaks.size == number
    assert peaks.mean == pytest.approx(index.mean())
    assert peaks.median == np.median(index)
    assert peaks.std == pytest.approx(index.std())
    assert (peaks.lowest, peaks.highest) == (index.min(), index.max())


def test_windows_of_the_study():
    peaks = verify_peaks([curves_with_peaks([10] * 5)], ANGLES)
    late, at, full = (peaks.window(start) for start in (50, 10, 0))
    assert [w.kept for w in (late, at, full)] == [651, 691, 701]
    # An earlier report counted the points behind the first one.
    assert [w.kept_after for w in (late, at)] == [650, 690]
    assert (late.peaks_lost, at.peaks_lost, full.peaks_lost) == (5, 0, 0)
    assert (late.points_past_peak, at.points_past_peak) == (40, 0)
    assert late.arcsec_past_peak == pytest.approx(40 * 4.671897861)
    assert late.lost_arcsec == pytest.approx(50 * 4.671897861)
    assert full.lost_arcsec == 0


def test_verdict_says_what_is_lost():
    peaks = verify_peaks([curves_with_peaks([10, 10, 10, 60])], ANGLES)
    late = peaks.verdict(50)
    assert "651 of 701 points" in late
    assert "233.6 arcsec" in late
    assert "3 of 4 curves (75 %)" in late
    assert "40 points (186.9 arcsec)" in late
    assert "at most 10" in late
    assert "in all 4 curves" in peaks.verdict(10)
    # One point further, the peak is gone.
    assert "3 of 4 curves" in peaks.verdict(11)
    assert "nothing is lost" in peaks.verdict(0)
    assert "mean 22.5, median 10, std 21.65, min 10, max 60" in peaks.summary()


def test_document_holds_histogram_and_windows():
    document = verify_peaks([curves_with_peaks([10, 10, 12])], ANGLES).document()
    np.testing.assert_array_equal(document["histogram"]["index"], [10, 12])
    np.testing.assert_array_equal(document["histogram"]["curves"], [2, 1])
    assert [w["start"] for w in document["windows"]] == [50, 10, 0]
    assert document["windows"][0]["peaks_lost"] == 3


def broken():
    curves = curves_with_peaks([10] * 4)
    curves[2, 5] = np.nan
    return curves


@pytest.mark.parametrize(
    ("blocks", "angles", "message"),
    [
        ([], ANGLES, "no curves"),
        ([np.zeros((2, 700), dtype=np.float32)], ANGLES, r"shape \(2, 700\); it must be \(curve, 701\)"),
        ([curves_with_peaks([1])], ANGLES[::-1], "grow towards larger"),
        ([curves_with_peaks([1]), broken()], ANGLES, "curve 3 holds NaN"),
    ],
)
def test_what_cannot_be_verified_is_refused(blocks, angles, message):
    with pytest.raises(ValueError, match=message):
        verify_peaks(blocks, angles)


@pytest.mark.parametrize("start", [-1, 701])
def test_a_window_must_start_on_the_curve(start):
    with pytest.raises(ValueError, match=f"window start = {start}; the curves have the indices 0 to 700"):
        verify_peaks([curves_with_peaks([1])], ANGLES).window(start)


@pytest.mark.parametrize(("name", "index"), [("balanced-1m-film", 10), ("balanced-1m", 20)])
def test_the_predecessors_peaks(name, index):
    """The film's peak at index 10 in every curve; on bare substrate its own, at 20."""
    plan = load_plan(name)
    curves = Simulator(plan).simulate(plan.draws.values(0, 64))
    peaks = verify_peaks([curves], plan.angle_arcsec)
    assert (peaks.mean, peaks.median, peaks.std, peaks.lowest, peaks.highest) == (
        index,
        index,
        0,
        index,
        index,
    )
    assert isinstance(peaks, PeakVerification)
    assert peaks.window(50).points_past_peak == 50 - index
