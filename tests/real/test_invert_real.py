"""The main job on measured curves, without a guess: how well they are fitted, and the strain that is found."""

from pathlib import Path

import numpy as np
import pytest

from strainscope.inversion import SearchSettings, invert
from strainscope.readers import read_scan
from strainscope.sample import load_sample

FOLDER = Path(__file__).resolve().parents[3] / "shared/data/real"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no measured curves in {FOLDER}")


def inverted(name, preset, *, intensity):
    sample = load_sample(preset).with_options(intensity=intensity)
    scan = read_scan(FOLDER / f"{name}.xy", axis=str(sample.scan.axis), intensity_kind=intensity)
    return invert(
        scan,
        sample.experiment(),
        bounds=sample.bounds(),
        held=sample.held(),
        start=sample.start(),
        settings=SearchSettings(model_error=sample.model_error),
        seed=0,
        sample_settings=sample.settings(),
    )


@pytest.fixture(scope="session")
def dose1():
    return inverted("ggg444_dose1", "ggg444", intensity="normalised")


@pytest.fixture(scope="session")
def dose1_counts():
    return inverted("ggg444_dose1_counts", "ggg444", intensity="counts")


@pytest.fixture(scope="session")
def dose3():
    return inverted("ggg444_dose3", "ggg444", intensity="normalised")


@pytest.fixture(scope="session")
def zirconia():
    return inverted("ysz400", "ysz400", intensity="normalised")


def rms_log10(result, *, below=np.inf):
    """rms of log10(fitted/measured) over points measured > 0, at angles below the given one."""
    scan = result.scan
    use = (scan.intensity > 0) & (scan.angle < below)
    return np.sqrt(np.mean(np.log10(result.best.fitted[use] / scan.intensity[use]) ** 2))


def assert_sound(result, *, verdict, leans_on=()):
    """What holds of any of them: its numbers agree with one another, and are no mirror of the bounds."""
    best = result.best
    assert best.rms_log10 == pytest.approx(rms_log10(result), rel=1e-9)
    assert best.fitted.shape == result.scan.intensity.shape
    bands = best.bands
    assert np.abs(bands.strain).max() == pytest.approx(abs(best.maximum_strain[0]), rel=5e-3)
    assert (bands.strain_95[0] <= bands.strain).all()
    assert (bands.strain <= bands.strain_95[1]).all()
    assert (bands.debye_waller >= -1e-12).all()
    assert (bands.debye_waller <= 1 + 1e-12).all()
    assert abs(bands.strain[-1]) < 0.02 * np.abs(bands.strain).max()
    assert best.starts >= 2
    # Rp2 ends on 0 and a weight of E on 1, which are no bounds of choice.
    assert result.verdict.level == verdict
    widened = [reason for reason in result.verdict.reasons if "widen fit." in reason]
    assert len(widened) == len(leans_on)
    assert all(words in widened[0] for words in leans_on)


def test_dose1_is_fitted(dose1):
    assert_sound(dose1, verdict="reliable")
    assert rms_log10(dose1) <= 0.027
    assert rms_log10(dose1, below=-60) <= 0.019
    assert dose1.best.maximum_strain[0] == pytest.approx(0.0082, rel=0.04)


def test_dose3_is_fitted(dose3):
    assert_sound(dose3, verdict="check")
    assert rms_log10(dose3) <= 0.070
    assert rms_log10(dose3, below=-60) <= 0.037
    assert dose3.best.maximum_strain[0] == pytest.approx(0.0200, rel=0.04)


def test_raw_counts_of_dose1_are_fitted(dose1_counts):
    assert_sound(dose1_counts, verdict="reliable")
    assert rms_log10(dose1_counts) <= 0.045
    assert dose1_counts.best.maximum_strain[0] == pytest.approx(0.0082, rel=0.04)


def test_one_sample_measured_raw_and_normalised_has_one_profile(dose1, dose1_counts):
    a, b = dose1.best.bands, dose1_counts.best.bands
    depth = np.linspace(0, 5000, 200)
    difference = np.interp(depth, a.depth, a.strain) - np.interp(depth, b.depth, b.strain)
    assert np.abs(difference).max() < 0.06 * a.strain.max()
    # Another dose is another profile.
    assert dose1.best.maximum_strain[0] < 0.5 * 0.0200


def test_zirconia_is_fitted_with_splines(zirconia):
    # The depth over which E is drawn leans on a bound that somebody chose.
    words = "disorder_depth on its upper bound, 5000 Å: widen fit.disorder_depth.bounds"
    assert_sound(zirconia, verdict="check", leans_on=(words,))
    assert zirconia.best.parameter("disorder_depth").bound == "upper"
    assert rms_log10(zirconia) <= 0.110
    assert zirconia.best.maximum_strain[0] == pytest.approx(0.0058, rel=0.05)
