"""The verdict: each rule alone, on results made for it."""

from dataclasses import replace

import numpy as np
import pytest

from strainscope.crystal import builtin_crystal, reflection
from strainscope.diffraction import stack_from_reflections
from strainscope.experiment import Experiment
from strainscope.instrument import Gaussian
from strainscope.inversion import DepthBands, FittedParameter, Mode
from strainscope.inversion.features import Features
from strainscope.inversion.likelihood import likelihood_of
from strainscope.inversion.verdict import (
    DOUBTFUL_REDUCED_CHI2,
    DOUBTFUL_RMS,
    RIVAL_WEIGHT,
    WORST_REDUCED_CHI2,
    WORST_RMS,
    judge,
)
from strainscope.profile import DepthProfile, DoubleGaussian, TiedDisorder
from strainscope.scan import Scan

EXPERIMENT = Experiment(
    stack=stack_from_reflections(reflection(builtin_crystal("GGG"), (4, 4, 4), wavelength="CuKa1")),
    profile=DepthProfile(strain=DoubleGaussian(), disorder=TiedDisorder()),
    resolution=Gaussian(),
)
SEEN = Features(
    peak_arcsec=0.0,
    peak_intensity=1e5,
    peak_fwhm_arcsec=38.0,
    floor=20.0,
    low_edge_arcsec=-1200.0,
    high_edge_arcsec=200.0,
    low_shoulder_arcsec=-1150.0,
    high_shoulder_arcsec=150.0,
)
SCAN = Scan(
    angle=np.linspace(-1500, 500, 401),
    intensity=np.full(401, 100.0),
    axis="delta-theta-arcsec",
    intensity_kind="counts",
    name="made",
)
LINE = np.zeros(3)
BANDS = DepthBands(
    depth=LINE,
    strain=LINE,
    strain_68=np.zeros((2, 3)),
    strain_95=np.zeros((2, 3)),
    debye_waller=LINE,
    debye_waller_68=np.zeros((2, 3)),
    debye_waller_95=np.zeros((2, 3)),
)


def parameter(name="Dmax1", **changes):
    usual = {"name": name, "unit": "1", "value": 0.01, "sd": 1e-4, "lower": 0.002, "upper": 0.03}
    return FittedParameter(**(usual | changes))


GOOD = Mode(
    parameters=(parameter(),),
    covariance=np.eye(1),
    fitted_names=("Dmax1",),
    chi2=300.0,
    reduced_chi2=1.0,
    rms_log10=0.03,
    weight=1.0,
    starts=5,
    fitted=SCAN.intensity,
    bands=BANDS,
    maximum_strain=(0.01, 3000.0),
)


def verdict(*others, features=SEEN, scan=SCAN, **changes):
    return judge(EXPERIMENT, features, scan, likelihood_of(scan, 0.07), (replace(GOOD, **changes), *others))


def test_a_good_fit_is_reliable():
    found = verdict()
    assert found.level == "reliable"
    assert found.reasons == (
        "The fit describes the scan (rms of log10 0.030, reduced chi-square 1.00).",
        "5 of the refined starts led to this solution.",
    )


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"rms_log10": 1.01 * WORST_RMS, "reduced_chi2": 2.0}, "do not use", "misses the scan"),
        ({"reduced_chi2": 1.01 * WORST_REDUCED_CHI2}, "do not use", "misses the scan"),
        ({"rms_log10": 0.99 * WORST_RMS, "reduced_chi2": 2.0}, "check", "more than the noise"),
        ({"reduced_chi2": 0.99 * WORST_REDUCED_CHI2}, "check", "more than the noise"),
        ({"rms_log10": 1.01 * DOUBTFUL_RMS, "reduced_chi2": 2.0}, "check", "more than the noise"),
        ({"reduced_chi2": 1.01 * DOUBTFUL_REDUCED_CHI2}, "check", "more than the noise"),
        # A large rms that the noise of few counts explains is none of the fit's fault.
        ({"rms_log10": 1.01 * WORST_RMS}, "reliable", "describes the scan"),
        ({"rms_log10": 0.99 * DOUBTFUL_RMS}, "reliable", "describes the scan"),
        ({"reduced_chi2": 0.99 * DOUBTFUL_REDUCED_CHI2}, "reliable", "describes the scan"),
        ({"maximum_strain": (2e-5, 100.0)}, "check", "No strain is seen"),
        ({"maximum_strain": (4e-5, 100.0)}, "reliable", "describes the scan"),
        ({"starts": 1}, "check", "Only one of the refined starts"),
        ({"starts": 2}, "reliable", "2 of the refined starts led"),
    ],
)
def test_each_measure_of_the_fit(changes, level, words):
    found = verdict(**changes)
    assert found.level == level
    assert any(words in reason for reason in found.reasons)


@pytest.mark.parametrize(
    ("low", "high", "strain", "level", "words"),
    [
        (None, None, 0.01, "check", "starts and ends within the signal"),
        (None, 200.0, 0.01, "check", "on the strained side"),
        (-1200.0, None, 0.01, "reliable", None),
        (-1200.0, None, -0.01, "check", "on the strained side"),
        (None, 200.0, -0.01, "reliable", None),
    ],
)
def test_a_scan_cut_on_the_strained_side(low, high, strain, level, words):
    features = replace(SEEN, low_edge_arcsec=low, high_edge_arcsec=high)
    found = verdict(features=features, maximum_strain=(strain, 3000.0))
    assert found.level == level
    if words:
        assert words in found.reasons[0]


def test_rivals_are_named_with_their_weights():
    found = verdict(replace(GOOD, weight=0.31), replace(GOOD, weight=0.9 * RIVAL_WEIGHT), weight=0.65)
    assert found.level == "check"
    assert found.reasons[0] == "1 other profile(s) explain the scan nearly as well (weights 31 %)."
    found = verdict(replace(GOOD, weight=0.9 * RIVAL_WEIGHT))
    assert found.level == "reliable"
    assert "1 other profile(s) come near and fit clearly worse." in found.reasons


def test_bounds_and_vague_parameters_are_notes():
    parameters = (
        parameter("Dmax1", at_bound=True),
        parameter("K", determined=False),
        parameter("Rp2", sd=None),
        # Of the instrument's only the bounds are the reader's concern.
        parameter("fwhm_arcsec", at_bound=True, determined=False),
    )
    found = verdict(parameters=parameters)
    assert found.level == "reliable"
    assert found.reasons[-2:] == (
        "On a bound of the search: Dmax1, fwhm_arcsec.",
        "Not determined by this curve: K.",
    )


@pytest.mark.parametrize(("factor", "level"), [(1.5, "reliable"), (1.7, "check"), (1 / 1.7, "check")])
def test_a_part_that_is_missed_is_seen_although_the_rest_fits(factor, level):
    # 0.2 in log10 is a factor of 1.58; 20 points are a twentieth of the scan.
    fitted = SCAN.intensity.copy()
    fitted[100:120] *= factor
    found = verdict(fitted=fitted)
    assert found.level == level
    if level == "check":
        assert found.reasons[0] == "Around -950 on the scan's axis the fit misses by 0.23 in log10 (rms)."


def test_a_short_run_or_points_without_counts_are_no_part():
    fitted = SCAN.intensity.copy()
    fitted[100:110] *= 1.7
    assert verdict(fitted=fitted).level == "reliable"
    intensity = SCAN.intensity.copy()
    intensity[100:140] = 0.0
    fitted = np.where(intensity > 0, intensity, 1e-6)
    assert verdict(scan=replace(SCAN, intensity=intensity), fitted=fitted).level == "reliable"


def test_the_worst_reason_comes_first_and_decides():
    found = verdict(
        replace(GOOD, weight=0.4),
        rms_log10=0.4,
        reduced_chi2=2.0,
        starts=1,
        parameters=(parameter(at_bound=True),),
    )
    assert found.level == "do not use"
    assert "misses the scan (rms of log10 0.400" in found.reasons[0]
    assert found.reasons[-1].startswith("On a bound")
    assert len(found.reasons) == 4
