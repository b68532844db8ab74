"""Inversion of simulated measurements: the truth is found within its bands, and what cannot be is said so."""

from dataclasses import replace

import numpy as np
import pytest

from strainscope.experiment import Experiment
from strainscope.inversion import PosteriorSettings, SearchSettings, invert
from strainscope.inversion.problem import prepare
from strainscope.inversion.ranking import Ranking
from strainscope.inversion.search import find_starts
from strainscope.profile import DepthProfile, DoubleGaussian, TiedDisorder
from strainscope.sample import load_sample
from strainscope.scan import Scan

SETTINGS = SearchSettings(draws=2048, starts=6, model_error=0.02)
DRAWS = PosteriorSettings()
FEW_DRAWS = PosteriorSettings(effective=100, evaluations=2000)
TRUTH = {
    "Dmax1": 0.0095,
    "D01": 0.0020,
    "L1": 4600.0,
    "Rp1": 3000.0,
    "D02": 0.0040,
    "L2": 3200.0,
    "Rp2": -800.0,
    "K": 0.35,
    "n": 1.5,
    "diffuse_amplitude": 0.3,
    "correlation_length": 200.0,
    "fwhm_arcsec": 36.0,
    "lorentz_fraction": 0.02,
    "log10_background": 1.6,
}
SPAN, STEP, PEAK_COUNTS = (-1250.0, 350.0), 6.0, 2e5


@pytest.fixture(scope="module")
def sample():
    return load_sample("ggg444").with_options(intensity="counts")


@pytest.fixture(scope="module")
def measured(sample):
    """A scan with counting noise, and the values of the parameters that made it."""
    return sample.simulate(sample.simulated_values(TRUTH), counts=PEAK_COUNTS, seed=7, span=SPAN, step=STEP)


def inverted(sample, scan, *, experiment=None, settings=SETTINGS, seed=0, draws=DRAWS):
    return invert(
        scan,
        experiment or sample.experiment(),
        bounds=sample.bounds(),
        held=sample.held(),
        start=sample.start(),
        settings=settings,
        seed=seed,
        sample_settings={},
        draws=draws,
    )


def prepared(sample, scan):
    return prepare(
        scan,
        sample.experiment(),
        bounds=sample.bounds(),
        held=sample.held(),
        start=sample.start(),
        model_error=SETTINGS.model_error,
    )


@pytest.fixture(scope="module")
def result(sample, measured):
    return inverted(sample, measured[0])


def true_profile(experiment, values, depth):
    own = np.array([values[spec.name] for spec in experiment.profile.parameters])
    return experiment.profile.evaluate(depth, own)


def test_the_largest_strain_is_recovered(sample, measured, result):
    strain = sample.experiment().profile.strain
    truth, depth = strain.maximum(np.array([measured[1][spec.name] for spec in strain.parameters]))
    bands = result.best.bands
    at = int(np.argmax(bands.strain))
    deviation = 0.5 * np.ptp(bands.strain_68[:, at])
    found, where = result.best.maximum_strain
    # The bands are those of one minimum; shapes of the second Gaussian that fit alike lie 0.3 % apart.
    assert abs(found - truth) < 4 * deviation + 0.003 * truth
    # And the deviation says something: a per cent or so.
    assert deviation < 0.02 * truth
    assert where == pytest.approx(float(depth), abs=100)


def test_the_ranges_that_the_scan_suggests_hold_the_truth(sample, measured):
    for spec in prepared(sample, measured[0]).prior.parameters:
        assert spec.lower <= measured[1][spec.name] <= spec.upper, spec.name


def test_with_the_true_instrument_no_evolved_profile_ranks_above_the_truth(sample, measured):
    problem = prepared(sample, measured[0])
    truth = np.array([measured[1][name] for name in problem.prior.names])
    ranking = Ranking(problem, truth, diffuse=True)
    # Noise is left: 2 to 3 % where thousands to hundreds of counts are, more in the tail.
    best = float(ranking(truth[None])[0])
    assert best < 0.05
    found = ranking(find_starts(problem, SETTINGS, rng=np.random.default_rng(3)))
    assert found.min() > 0.98 * best


def test_the_profile_lies_within_its_bands(sample, measured, result):
    bands = result.best.bands
    strain, factor = true_profile(sample.experiment(), measured[1], bands.depth)
    inside = (bands.strain_95[0] <= strain) & (strain <= bands.strain_95[1])
    assert inside.mean() > 0.7
    inside = (bands.debye_waller_95[0] <= factor) & (factor <= bands.debye_waller_95[1])
    assert inside.mean() > 0.7
    # Bands that hold everything would hold the truth too.
    assert np.ptp(bands.strain_95, axis=0).mean() < 0.1 * strain.max()


def test_the_fit_leaves_the_noise(measured, result):
    assert result.best.reduced_chi2 < 1.2
    names = [p for p in result.best.parameters if p.sd is not None]
    away = [abs(p.value - measured[1][p.name]) / p.sd for p in names]
    # Bounds and correlations make the tails longer than those of a normal distribution.
    assert np.median(away) < 2.0


def test_a_good_measurement_is_not_doubted(result):
    # With so few starts only one may end in the best solution, which is said, as is that angles are relative; nothing
    # else may be.
    said = ("Only one of the refined starts", "Angles are relative to the peak")
    doubts = [reason for reason in result.verdict.reasons if not reason.startswith(said)]
    assert all(
        "describes the scan" in r or "led to this solution" in r or "On a bound" in r for r in doubts
    ), doubts
    assert len(result.modes) == 1


def test_the_same_seed_gives_the_same_result(sample, measured, result):
    again = inverted(sample, measured[0])
    assert len(again.modes) == len(result.modes)
    for a, b in zip(again.modes, result.modes, strict=True):
        assert a.parameters == b.parameters
        assert (a.chi2, a.weight, a.starts) == (b.chi2, b.weight, b.starts)
        np.testing.assert_array_equal(a.bands.strain_95, b.bands.strain_95)
    assert again.verdict == result.verdict
    assert again.counters == result.counters


def test_another_seed_finds_the_same_profile(sample, measured, result):
    other = inverted(sample, measured[0], seed=1)
    assert other.best.parameters != result.best.parameters
    bands = result.best.bands
    theirs = np.interp(bands.depth, other.best.bands.depth, other.best.bands.strain)
    assert np.abs(theirs - bands.strain).max() < 0.05 * bands.strain.max()


def test_splines_refine_and_do_not_make_the_fit_worse(sample, measured, result):
    # Ten weights can follow this profile to the noise; six cannot quite (800 Å apart, the region 5000 Å deep).
    strain = true_profile(sample.experiment(), measured[1], np.linspace(0, 5000, 200))[0]
    # Of the best profile alone; its bands may be rough.
    for number, share, away in ((10, 1.05, 0.1), (6, 1.25, 0.2)):
        settings = replace(SETTINGS, starts=2, splines=number)
        free = inverted(sample, measured[0], settings=settings, draws=FEW_DRAWS).best
        assert free.rms_log10 < share * result.best.rms_log10
        assert {"weight_1", f"weight_{number}", f"disorder_weight_{number}"} <= {
            p.name for p in free.parameters
        }
        found = np.interp(np.linspace(0, 5000, 200), free.bands.depth, free.bands.strain)
        assert np.abs(found - strain).max() < away * strain.max()


def contracted(experiment: Experiment) -> Experiment:
    return replace(experiment, profile=DepthProfile(strain=DoubleGaussian(sign=-1), disorder=TiedDisorder()))


def test_contraction_is_found(sample):
    # The sample file has expansion only, so that the experiment's family is replaced, also for the simulation.
    experiment = contracted(sample.experiment())
    twin = sample.model_copy()
    twin.__dict__["_experiment"] = experiment
    scan, values = twin.simulate(
        twin.simulated_values(TRUTH), counts=PEAK_COUNTS, seed=8, span=(-350.0, 1250.0), step=STEP
    )
    found = inverted(sample, scan, experiment=experiment)
    bands = found.best.bands
    strain = true_profile(experiment, values, bands.depth)[0]
    assert strain.min() < -0.009
    assert found.best.maximum_strain[0] == pytest.approx(strain.min(), rel=0.03)
    assert np.abs(bands.strain - strain).max() < 0.1 * abs(strain.min())
    assert found.verdict.level != "do not use"


# What must not be believed ----------------------------------------------------------------------------------


def test_a_scan_cut_before_the_strained_region_ends_is_not_reliable(sample, measured):
    scan = measured[0]
    kept = scan.angle > -450
    cut = replace(scan, angle=scan.angle[kept], intensity=scan.intensity[kept])
    found = inverted(sample, cut, settings=replace(SETTINGS, draws=256, starts=2), draws=FEW_DRAWS)
    assert found.verdict.level != "reliable"
    assert any("ends within the signal on the strained side" in reason for reason in found.verdict.reasons)


def test_noise_without_a_peak_is_refused(sample):
    rng = np.random.default_rng(9)
    angle = np.arange(*SPAN, STEP)
    noise = Scan(
        angle=angle,
        intensity=rng.poisson(50.0, angle.size).astype(np.float64),
        axis="delta-theta-arcsec",
        intensity_kind="counts",
        name="noise",
    )
    with pytest.raises(ValueError, match="peak"):
        prepared(sample, noise)


def test_a_scan_that_misses_the_peak_is_refused(sample, measured):
    scan = measured[0]
    kept = scan.angle < 0  # on the flank
    with pytest.raises(ValueError, match="peak"):
        prepared(sample, replace(scan, angle=scan.angle[kept], intensity=scan.intensity[kept]))


def test_a_perfect_crystal_is_not_given_a_reliable_profile(sample, measured):
    # The same instrument and counts, and only the substrate's peak: any profile is that of noise.
    scan, values = measured
    peak = sample.simulated_values(
        TRUTH
        | {"Dmax1": 5.0e-4, "D01": 2.1e-4, "D02": 2.1e-4, "L1": 501.0, "L2": 500.5}
        | {"Rp1": 100.0, "Rp2": 0.0, "K": 0.0, "diffuse_amplitude": 0.0}
    )
    perfect, _ = sample.simulate(peak, counts=PEAK_COUNTS, seed=5, span=SPAN, step=STEP)
    assert inverted(sample, perfect).verdict.level != "reliable"
