"""What a scan itself gives reason to doubt: each rule at its limit, and on scans that are good."""

from dataclasses import replace

import numpy as np
import pytest

from strainscope.inversion.features import read_features
from strainscope.inversion.likelihood import likelihood_of
from strainscope.inversion.scan_doubts import doubts_of, unlikely
from strainscope.sample import load_sample
from strainscope.scan import Scan

SAMPLE = load_sample("ggg444")
EXPERIMENT = SAMPLE.experiment()


def good(*, counts=1e5, axis="delta-theta-arcsec"):
    described = SAMPLE.with_options(axis="delta-theta-arcsec")
    values = described.simulated_values({"Dmax1": 0.01, "D01": 0.002, "D02": 0.002}, counts=counts)
    scan, _ = described.simulate(values, counts=counts, seed=0, span=(-1500, 400), step=8)
    return scan


def doubts(scan, *, peak_arcsec=None):
    likelihood = likelihood_of(scan, 0.07)
    features = read_features(scan.angle, scan.intensity, likelihood.counts_per_unit)
    if peak_arcsec is not None:
        features = replace(features, peak_arcsec=peak_arcsec)
    return doubts_of(scan, EXPERIMENT, features, likelihood)


def test_a_good_scan_gives_none_but_that_it_is_relative():
    found = doubts(good())
    assert (found.refuse, found.check) == ((), ())
    assert "cannot tell another crystal" in found.notes[0]


@pytest.mark.parametrize(("factor", "said"), [(1.0, True), (0.5, False)])
def test_whole_numbers_that_are_called_normalised_are_remarked(factor, said):
    scan = good()
    found = doubts(replace(scan, intensity=factor * scan.intensity, intensity_kind="normalised"))
    assert ("--intensity counts" in " ".join(found.notes)) is said


@pytest.mark.parametrize(("counts", "refused"), [(60, True), (150, False)])
def test_few_counts_say_nothing(counts, refused):
    found = doubts(good(counts=counts))
    assert bool(found.refuse) is refused
    if refused:
        assert "Too few counts" in found.refuse[0]


@pytest.mark.parametrize("level", [300.0, 1e4, 1e6])
def test_noise_alone_is_refused(level):
    scan = good()
    for seed in range(20):
        noise = np.random.default_rng(seed).poisson(level, len(scan.angle)).astype(float)
        (reason,) = doubts(replace(scan, intensity=noise)).refuse
        assert "No peak" in reason


@pytest.mark.parametrize(("limit", "found"), [(2e4, True), (1e9, False)])
def test_a_clipped_peak_is_seen(limit, found):
    scan = good()
    clipped = replace(scan, intensity=np.minimum(scan.intensity, limit))
    assert any("saturated" in reason for reason in doubts(clipped).check) is found


@pytest.mark.parametrize(
    ("axis", "arcsec", "found"),
    [
        ("two-theta-deg", 350.0, False),
        ("two-theta-deg", -370.0, True),
        ("omega-deg", 3500.0, False),
        ("omega-deg", 3700.0, True),
        ("delta-theta-arcsec", 9000.0, False),
    ],
)
def test_a_peak_off_bragg_s_angle_is_seen_on_absolute_axes(axis, arcsec, found):
    scan = good()
    angle = scan.angle
    if axis != "delta-theta-arcsec":
        degrees = np.degrees(EXPERIMENT.stack.bragg_angle) + scan.angle / 3600
        angle = 2 * degrees if axis == "two-theta-deg" else degrees
    absolute = Scan(angle=angle, intensity=scan.intensity, axis=axis, intensity_kind="counts", name="a")
    likelihood = likelihood_of(absolute, 0.07)
    features = read_features(scan.angle, scan.intensity, likelihood.counts_per_unit)
    own = doubts_of(absolute, EXPERIMENT, replace(features, peak_arcsec=arcsec), likelihood)
    assert any("farther than a zero error" in reason for reason in own.check) is found
    assert any("cannot tell another crystal" in note for note in own.notes) is not found


def test_the_zero_of_an_axis_says_which_crystals_it_hides():
    scan = good()
    degrees = 2 * (np.degrees(EXPERIMENT.stack.bragg_angle) + scan.angle / 3600)
    absolute = Scan(angle=degrees, intensity=scan.intensity, axis="two-theta-deg", intensity_kind="counts", name="a")
    # d = λ / 2 sin θ: 0.1° of θ at Bragg's angle of 25.53° is 0.366 % of d.
    (note,) = doubts(absolute, peak_arcsec=0.0).notes
    assert "within 0.37 %" in note


@pytest.mark.parametrize(
    ("chance", "said"), [(0.5, None), (0.011, None), (0.0098, "0.01"), (3e-7, "3e-07"), (0.0, "less than 1e-300")]
)
def test_a_misfit_that_noise_does_not_leave_is_said(chance, said):
    reasons = unlikely(chance, 1.13, 0.0)
    assert len(reasons) == (said is not None)
    assert said is None or f"alone leaves so large a misfit with a chance of {said} (reduced" in reasons[0]
    granted = unlikely(chance, 1.13, 0.07)
    assert said is None or "and a model error of 7 % leave so large" in granted[0]
    assert said is None or "a larger --model-error widens the bands" in granted[0]
