"""The verdict: each rule alone, on results made for it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from strainscope.crystal import builtin_crystal, reflection
from strainscope.diffraction import stack_from_reflections
from strainscope.experiment import Experiment
from strainscope.instrument import Gaussian
from strainscope.inversion import DepthBands, FittedParameter, Mode
from strainscope.inversion.features import Features
from strainscope.inversion.likelihood import likelihood_of
from strainscope.inversion.result import ScanFit, Verdict
from strainscope.inversion.verdict import (
    DOUBTFUL_REDUCED_CHI2,
    DOUBTFUL_RMS,
    RIVAL_WEIGHT,
    WORST_REDUCED_CHI2,
    WORST_RMS,
    judge,
    judge_beside,
    judge_gold,
    judge_odds,
    judge_unfinished,
)
from strainscope.profile import CubicBSpline, DepthProfile, DoubleGaussian, TiedDisorder
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


PROFILE = {
    "Dmax1": 0.01,
    "D01": 0.004,
    "L1": 5000,
    "Rp1": 3000,
    "D02": 0.003,
    "L2": 2500,
    "Rp2": -500,
    "K": 0.3,
    "n": 2,
}


def parameter(name="Dmax1", **changes):
    usual = {"name": name, "unit": "1", "value": 0.01, "sd": 1e-4, "lower": 0.002, "upper": 0.03}
    return FittedParameter(**(usual | changes))


def parameters(experiment=None, values=None, *more, **changed):
    """Every parameter of the profile away from its bounds, changed as given, and more behind them."""
    experiment, values = experiment or EXPERIMENT, values or PROFILE
    own = []
    for spec in experiment.profile.parameters:
        usual = {
            "unit": spec.unit,
            "value": values[spec.name],
            "sd": 1e-4 * (spec.upper - spec.lower),
            "lower": spec.lower,
            "upper": spec.upper,
        }
        own.append(parameter(spec.name, **(usual | changed.get(spec.name, {}))))
    return (*own, *more)


GOOD = Mode(
    parameters=parameters(),
    covariance=np.eye(9),
    fitted_names=tuple(PROFILE),
    chi2=300.0,
    reduced_chi2=1.0,
    rms_log10=0.03,
    weight=1.0,
    starts=5,
    fitted=SCAN.intensity,
    bands=BANDS,
    maximum_strain=(0.01, 3000.0),
)


def verdict(*others, features=SEEN, scan=SCAN, experiment=EXPERIMENT, **changes):
    return judge(experiment, features, scan, likelihood_of(scan, 0.07), (replace(GOOD, **changes), *others))


@pytest.mark.parametrize(
    ("modes", "effective", "pareto", "level"),
    [
        (2, 500.0, 0.5, "reliable"),
        (2, 500.0, 0.9, "check"),
        (3, 40.0, 0.5, "check"),
        # Of one solution there are no odds.
        (1, 40.0, 0.9, "reliable"),
    ],
)
def test_odds_that_were_drawn_badly_are_a_guess(modes, effective, pareto, level):
    found = judge_odds(verdict(), modes, effective, pareto)
    assert found.level == level
    assert (f"The odds between the {modes} solutions are no more than a guess" in " ".join(found.reasons)) is (
        level == "check"
    )


@pytest.mark.parametrize(
    ("mean", "sd", "weight", "level"),
    [
        (0.1, 0.1, 0.02, "reliable"),
        (0.6, 0.1, 0.0, "check"),
        (0.1, 0.7, 0.0, "check"),
        (0.1, 0.1, 0.2, "check"),
    ],
)
def test_nested_sampling_says_how_well_it_agrees(mean, sd, weight, level):
    found = judge_gold(verdict(), mean, sd, weight)
    assert found.level == level
    (said,) = (reason for reason in found.reasons if reason.startswith("Checked by nested sampling"))
    numbers = f"within {mean:.2f} sd of its own, their standard deviations within {100 * sd:.0f} %"
    assert numbers in said
    assert f"within {100 * weight:.0f} points" in said
    assert ("not drawn well" in said) is (level == "check")


def test_a_best_fit_outside_of_its_interval_is_said():
    odd = {"value": 0.5, "interval_90": (0.1, 0.3)}
    found = verdict(parameters=parameters(K=odd))
    assert found.level == "reliable"
    assert "The best fit lies well outside the 90 % interval of K: most profiles" in found.reasons[-1]
    for near in (0.2, 0.34):
        assert verdict(parameters=parameters(K=odd | {"value": near})).reasons == verdict().reasons
    # On a bound it cannot lie inside.
    on_bound = verdict(parameters=parameters(K=odd | {"value": 0.0, "bound": "lower"}))
    assert not any("interval" in reason for reason in on_bound.reasons)


def test_a_good_fit_is_reliable():
    found = verdict()
    assert found.level == "reliable"
    assert found.reasons == (
        "The fit describes the scan (rms of log10 0.030, reduced chi-square 1.00 with a model error of 7 %).",
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
        ({"effective_draws": 99.0}, "check", "could not be drawn well: 99 effective draws"),
        ({"effective_draws": 101.0}, "reliable", "describes the scan"),
        ({"pareto_k": 0.71}, "check", "tail 0.71 "),
        ({"pareto_k": 0.69}, "reliable", "describes the scan"),
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
    assert "1 other profile(s) have little weight (4.5 % at most)." in found.reasons


def test_a_rival_that_a_single_start_found_may_not_be_the_last():
    found = verdict(replace(GOOD, weight=0.2, starts=1), replace(GOOD, weight=0.1), weight=0.7)
    assert found.reasons[0] == (
        "2 other profile(s) explain the scan nearly as well (weights 20 %, 10 %); "
        "1 of them from a single refined start each: there may be more, try --draws."
    )


def test_a_bad_fit_explains_nothing_and_its_rivals_neither():
    found = verdict(replace(GOOD, weight=0.99), weight=0.01, reduced_chi2=200.0, rms_log10=0.6)
    assert found.level == "do not use"
    assert not any(
        "explain" in reason or "weight" in reason or "led to" in reason for reason in found.reasons
    )


def test_other_bounds_and_vague_parameters_are_notes():
    instrument = parameter("fwhm_arcsec", bound="constraint", determined=False)
    found = verdict(
        parameters=parameters(
            None,
            None,
            instrument,
            n={"value": 8, "bound": "upper"},
            K={"determined": False},
            # Of the instrument's only the bounds are the reader's concern.
        )
    )
    assert found.level == "reliable"
    assert found.reasons[-2:] == (
        "On a bound of the search: n (upper, 8), fwhm_arcsec (set by others).",
        "Of the profile, not determined: K.",
    )


SPLINES = replace(
    EXPERIMENT,
    profile=DepthProfile(
        strain=CubicBSpline(number=2, depth_range=(500, 5000)),
        disorder=CubicBSpline(number=2, quantity="debye_waller", weight_range=(0.2, 1.0)),
    ),
)
WEIGHTS = {"depth": 3000, "weight_1": 0.01, "weight_2": 0.004}
WEIGHTS |= {"disorder_depth": 3000, "disorder_weight_1": 0.5, "disorder_weight_2": 0.9}


@pytest.mark.parametrize(
    ("experiment", "ended", "words"),
    [
        (EXPERIMENT, {"D02": (0.002, "lower")}, "D02 on its lower bound, 0.002: widen fit.D02.bounds"),
        (EXPERIMENT, {"L1": (6999.0, "upper")}, "L1 on its upper bound, 7000 Å: widen fit.L1.bounds"),
        (EXPERIMENT, {"Rp2": (-6010, "lower")}, "Rp2 on its lower bound, -6010 Å"),
        (
            EXPERIMENT,
            {"D01": (0.018, "constraint"), "D02": (0.012, "constraint")},
            "D01 + D02 <= 0.03 used up: widen that limit",
        ),
        (SPLINES, {"depth": (5000, "upper")}, "depth on its upper bound, 5000 Å: widen fit.depth.bounds"),
        (SPLINES, {"weight_2": (-0.03, "lower")}, "weight_2 on its lower bound, -0.03"),
        (EXPERIMENT, {"Rp2": (-1e-6, "upper")}, None),
        (EXPERIMENT, {"Rp1": (0.0, "lower")}, None),
        (EXPERIMENT, {"K": (1.0, "upper")}, None),
        # The best value lies elsewhere, but much of the posterior on the bound.
        (EXPERIMENT, {"L1": (5000.0, "upper")}, "L1 on its upper bound, 7000 Å: widen fit.L1.bounds"),
        # L2 ends on L1, which no bound of its own would change.
        (EXPERIMENT, {"L2": (5000, "constraint")}, None),
        (SPLINES, {"disorder_weight_2": (1.0, "upper")}, None),
    ],
)
def test_an_amplitude_or_length_on_a_chosen_bound_is_to_be_checked(experiment, ended, words):
    values = PROFILE if experiment is EXPERIMENT else WEIGHTS
    changed = {name: {"value": value, "bound": bound} for name, (value, bound) in ended.items()}
    if "D01" in ended:
        changed["Dmax1"] = {"value": 0.02}
    found = verdict(experiment=experiment, parameters=parameters(experiment, values, **changed))
    assert found.level == ("check" if words else "reliable")
    note = next(reason for reason in found.reasons if reason.startswith("On a bound of the search: "))
    assert all(f"{name} (" in note for name in ended)
    assert ("set by others" in note) == ("L2" in ended or "D01" in ended)
    if words:
        assert words in found.reasons[0]
        assert found.reasons[0].endswith("in the sample file.")


def test_a_held_parameter_on_its_bound_is_no_doubt():
    held = {"value": 0.002, "sd": None}
    assert verdict(parameters=parameters(D02=held)).level == "reliable"


TURNED = replace(
    SEEN,
    low_edge_arcsec=-200.0,
    high_edge_arcsec=1200.0,
    low_shoulder_arcsec=-150.0,
    high_shoulder_arcsec=1150.0,
)


@pytest.mark.parametrize(
    ("features", "sign", "hint"),
    [
        (TURNED, 1, "strained side lies at larger angles"),
        # The scan ends within the strained side.
        (replace(TURNED, high_edge_arcsec=None, high_shoulder_arcsec=None), 1, "lies at larger angles"),
        (SEEN, 1, None),
        (SEEN, -1, "strained side lies at smaller angles"),
        (TURNED, -1, None),
    ],
)
def test_a_bad_fit_on_a_turned_axis_is_told_to_turn_it(features, sign, hint):
    profile = DepthProfile(strain=DoubleGaussian(sign=sign), disorder=TiedDisorder())
    bad = {"rms_log10": 0.6, "reduced_chi2": 200.0, "maximum_strain": (sign * 0.01, 3000.0)}
    found = verdict(features=features, experiment=replace(EXPERIMENT, profile=profile), **bad)
    assert found.level == "do not use"
    hints = [reason for reason in found.reasons if "turn the sign of the axis" in reason]
    assert len(hints) == (1 if hint else 0)
    if hint:
        assert hint in hints[0]
    assert not any("turn the sign" in reason for reason in verdict(features=features).reasons)


def test_a_sample_that_allows_both_signs_has_no_turned_axis():
    bad = {"rms_log10": 0.6, "reduced_chi2": 200.0, "parameters": parameters(SPLINES, WEIGHTS)}
    found = verdict(features=TURNED, experiment=SPLINES, **bad)
    assert not any("turn the sign" in reason for reason in found.reasons)


@pytest.mark.parametrize(("factor", "level"), [(1.5, "reliable"), (1.7, "check"), (1 / 1.7, "check")])
def test_a_part_that_is_missed_is_seen_although_the_rest_fits(factor, level):
    # 0.2 in log10 is a factor of 1.58; 20 points are a twentieth of the scan.
    fitted = SCAN.intensity.copy()
    fitted[100:120] *= factor
    found = verdict(fitted=fitted)
    assert found.level == level
    if level == "check":
        assert found.reasons[0] == "Around -950.0 arcsec the fit misses by 0.23 in log10 (rms)."
        assert found.reasons[1].startswith("Elsewhere the fit describes the scan (rms")


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
        parameters=parameters(L1={"value": 7000, "bound": "upper"}),
    )
    assert found.level == "do not use"
    assert "misses the scan (rms of log10 0.400" in found.reasons[0]
    assert found.reasons[-1].startswith("On a bound")
    # Neither starts nor rivals are of interest then.
    assert len(found.reasons) == 2


def verdict_beside(first, scan, rms, reduced_chi2, features=SEEN):
    own = SimpleNamespace(
        scan=scan,
        model=SimpleNamespace(experiment=EXPERIMENT),
        features=features,
        likelihood=likelihood_of(scan, 0.07),
        label="888",
    )
    fit = ScanFit(fitted=scan.intensity, chi2=300.0, reduced_chi2=reduced_chi2, rms_log10=rms)
    return judge_beside(first, [own], (replace(GOOD, scans=(fit, fit)),))


@pytest.mark.parametrize(
    ("rms", "reduced_chi2", "level", "first"),
    [
        (0.03, 1.0, "reliable", "Good."),
        (1.01 * DOUBTFUL_RMS, 2.0, "check", "At 888 the fit leaves more than the noise"),
        (1.01 * WORST_RMS, 2.0, "do not use", "At 888 the fit misses the scan"),
        (0.03, 1.01 * WORST_REDUCED_CHI2, "do not use", "At 888 the fit misses the scan"),
        (1.01 * WORST_RMS, 1.0, "reliable", "Good."),
    ],
)
def test_a_scan_fitted_beside_is_held_to_the_same(rms, reduced_chi2, level, first):
    scan = replace(SCAN, intensity=np.rint(100 + 1e5 * np.exp(-((SCAN.angle / 40) ** 2))))
    found = verdict_beside(Verdict(level="reliable", reasons=("Good.",)), scan, rms, reduced_chi2)
    assert found.level == level
    assert found.reasons[0].startswith(first)
    asked = "Do the scans stand in the order of the sample's reflections?" in found.reasons
    assert asked is (level != "reliable")


def test_a_scan_fitted_beside_that_ends_within_its_signal_is_told():
    scan = replace(SCAN, intensity=np.rint(100 + 1e5 * np.exp(-((SCAN.angle / 40) ** 2))))
    good, cut = Verdict(level="reliable", reasons=("Good.",)), replace(SEEN, low_edge_arcsec=None)
    found = verdict_beside(good, scan, 0.03, 1.0, cut)
    assert found.level == "check"
    assert found.reasons[0] == (
        "At 888: The scan ends within the signal on the strained side: larger strain would not be seen."
    )


def test_a_check_that_came_to_nothing_is_said():
    good = Verdict(level="reliable", reasons=("Good.",))
    assert judge_unfinished(good, "") is good
    assert judge_unfinished(good, "it took too long.") == Verdict(
        level="check", reasons=("Good.", "Not checked: it took too long.")
    )


def test_what_refuses_one_scan_is_said_beside_what_refuses_another():
    first = Verdict(level="do not use", reasons=("The best fit misses the scan.",))
    found = verdict_beside(first, SCAN, 0.03, 1.0)
    assert found.reasons[0] == "The best fit misses the scan."
    assert found.reasons[1].startswith("At 888: No peak stands out")


def test_a_sum_near_its_limit_that_no_posterior_leans_on_is_no_doubt():
    near = {"Dmax1": {"value": 0.02}, "D01": {"value": 0.018}, "D02": {"value": 0.0119}}
    assert verdict(parameters=parameters(**near)).level == "reliable"
