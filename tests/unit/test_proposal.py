"""Estimators as what proposes profiles for measured scans."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

from strainscope.cli import app
from strainscope.estimator.load import load_estimator
from strainscope.estimator.proposal import ScanProposal
from strainscope.estimator.shipped import estimator_path
from strainscope.inversion.levels import Levels
from strainscope.inversion.problem import prepare
from strainscope.inversion.proposal import proposed_starts
from strainscope.sample import load_sample

PROFILE = {
    "Dmax1": 0.012,
    "D01": 0.004,
    "L1": 3000.0,
    "Rp1": 1800.0,
    "D02": 0.002,
    "L2": 1500.0,
    "Rp2": -500.0,
}
RESOLUTION = {"fwhm_arcsec": 30.0}
COUNTS = 1e5
PRESET = "ggg444"


@pytest.fixture(scope="module")
def sample():
    return load_sample(PRESET)


@pytest.fixture(scope="module")
def simulated(sample):
    """A scan, and the values that made it."""
    values = sample.simulated_values(PROFILE | RESOLUTION, counts=COUNTS)
    return sample.simulate(values, counts=COUNTS, seed=1, step=5.0)


@pytest.fixture(scope="module")
def scan(simulated):
    return simulated[0]


@pytest.fixture(scope="module")
def proposal(sample):
    return ScanProposal(load_estimator(estimator_path("ggg444-lab")), sample, name="ggg444-lab")


def prepared(scan, sample, **held):
    return prepare(
        scan,
        sample.experiment(),
        bounds=sample.bounds(),
        held=sample.held() | held,
        start=sample.start(),
        model_error=0.0,
    )


def test_draws_are_parameters_of_the_experiment_near_the_truth(proposal, sample, simulated):
    scan, truth = simulated
    drawn = proposal.draws(scan, 500, seed=0)
    assert set(drawn) <= {spec.name for spec in sample.prior().parameters}
    assert np.median(drawn["Dmax1"]) == pytest.approx(PROFILE["Dmax1"], rel=0.1)
    assert np.median(drawn["fwhm_arcsec"]) == pytest.approx(RESOLUTION["fwhm_arcsec"], rel=0.1)
    assert np.median(drawn["log10_scale"]) == pytest.approx(truth["log10_scale"], abs=0.1)
    assert abs(np.median(drawn["offset_arcsec"])) < 5.0
    again = proposal.draws(scan, 500, seed=0)
    np.testing.assert_array_equal(drawn["L1"], again["L1"])


def test_starts_are_distinct_within_the_bounds_and_respect_what_is_held(proposal, sample, scan):
    problem = prepared(scan, sample, n=1.5)
    found, spread = proposed_starts(
        Levels(problem), scan, proposal, draws=256, starts=4, spread=8, rng=np.random.default_rng(0)
    )
    assert 1 <= len(found) <= 4
    assert spread.shape == (8, len(problem.prior.names))
    assert len(np.unique(spread, axis=0)) == 8
    named = dict(zip(problem.prior.names, found.T, strict=True))
    np.testing.assert_array_equal(named["n"], 1.5)
    unit = problem.prior.to_unit(found)[:, problem.prior.free]
    assert (unit > 0).all()
    assert (unit < 1).all()
    assert named["Dmax1"][0] == pytest.approx(PROFILE["Dmax1"], rel=0.1)


def test_an_estimator_of_noise_free_curves_reads_no_scans(sample):
    ideal = load_estimator(estimator_path("ggg444-ideal"))
    with pytest.raises(ValueError, match="reads noise-free curves; choose an estimator of scans"):
        ScanProposal(ideal, sample, name="ggg444-ideal")


WIDER = {
    "L1: {bounds: [500, 8000]}": "L1: {bounds: [100, 9500]}",
    "n: {bounds: [0.3, 6]}": "n: {value: 7, held: true}",
    "fwhm_range_arcsec: [10, 80]": "fwhm_range_arcsec: [5, 80]",
}


@pytest.fixture(scope="module")
def lab():
    return load_estimator(estimator_path("ggg444-lab"))


@pytest.fixture
def changed(tmp_path):
    """The preset with words of it replaced, in a file."""

    def write(words, more=""):
        text = load_text(PRESET)
        for old, new in words.items():
            assert old in text
            text = text.replace(old, new)
        place = tmp_path / "mine.yaml"
        place.write_text(text.rstrip() + more + "\n")
        return str(place)

    return write


def test_bounds_and_held_values_beyond_its_prior_are_all_named_with_the_widest_it_covers(lab, changed):
    with pytest.raises(ValueError, match="^ggg444-lab: its prior has ") as refused:
        ScanProposal(lab, load_sample(changed(WIDER)), name="ggg444-lab")
    assert str(refused.value) == (
        "ggg444-lab: its prior has L1 = 500 to 8000 Å (the sample's: 100 to 9500), n = 0.3 to 6 (the sample's: 7, "
        "held), fwhm_arcsec = 10 to 80 arcsec (the sample's: 5 to 80). Set fit.NAME.bounds, or the value held, within "
        "that, go without the estimator, or train one for the sample."
    )


@pytest.mark.parametrize("more", ["", "\n  K: {value: 0.3, held: true}"])
def test_what_its_prior_covers_is_taken_free_or_held(lab, changed, more):
    narrower = {"L1: {bounds: [500, 8000]}": "L1: {bounds: [500, 7000]}"}
    ScanProposal(lab, load_sample(changed(narrower, more)), name="ggg444-lab")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"\ncrystal: GGG\nlattice_A: 12.383": "\ncrystal: YIG"}, "crystal"),
        ({"reflection: [4, 4, 4]\nw": "reflection: [8, 8, 8]\nw"}, "reflection"),
        ({"strain: double-gaussian": "strain: {family: double-gaussian, sign: -1}"}, "strain"),
        ({"diffuse: true": "diffuse: false"}, "diffuse"),
        ({"family: monochromator-curve": "family: gaussian"}, "resolution"),
    ],
)
@pytest.mark.parametrize("command", ["invert", "batch"])
def test_another_sample_is_refused_in_a_line_before_the_scan_is_read(changed, tmp_path, words, message, command):
    arguments = ["--intensity", "counts", "--estimator", "ggg444-lab", "-o", str(tmp_path / "out")]
    place = tmp_path / "none.xy"
    place.write_text("no scan")
    found = CliRunner().invoke(app, [command, str(place), "--sample", changed(words), *arguments])
    assert found.exit_code == 2
    assert found.stderr.startswith(f"strainscope: error: ggg444-lab: was trained on scans of {message} = ")
    assert found.stderr.endswith("Go without the estimator, or train one for the sample.\n")
    assert found.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("family", ["{family: b-spline, number: 8}", "asymmetric-pseudo-voigt"])
def test_another_family_is_refused_though_no_parameter_is_out_of_its_prior(lab, tmp_path, family):
    text = load_text(PRESET).replace("strain: double-gaussian", f"strain: {family}").partition("\nfit:")[0]
    place = tmp_path / "mine.yaml"
    place.write_text(text + "\nfit:\n  n: {bounds: [0.3, 6]}\n")
    with pytest.raises(ValueError, match="scans of strain = {'family': 'double-gaussian'.*; the sample has {"):
        ScanProposal(lab, load_sample(str(place)), name="ggg444-lab")


def test_what_it_knows_held_must_be_held_alike(lab, sample):
    class Held:
        """As the other, but trained with K held."""

        about = lab.about | {"sample": lab.about["sample"] | {"fit": {"K": {"value": 0.3, "held": True}}}}
        coordinates = lab.coordinates

    with pytest.raises(ValueError, match=r"trained on scans of fit\.K = 0\.3; the sample has it free\."):
        ScanProposal(Held(), sample, name="held")


def test_the_command_takes_one_in_place_of_the_search(scan, tmp_path):
    place, out = tmp_path / "scan.xy", tmp_path / "out"
    np.savetxt(place, np.column_stack([scan.angle, scan.intensity]), fmt="%.6f %d")
    arguments = ["--axis", "delta-theta-arcsec", "--intensity", "counts", "--estimator", "ggg444-lab"]
    found = CliRunner().invoke(app, ["invert", str(place), "--sample", PRESET, *arguments, "-o", str(out)])
    assert found.exit_code == 0, found.stderr
    document = json.loads((out / "result.json").read_text())
    assert document["sample"]["search"]["estimator"] == "ggg444-lab"
    low, high = document["modes"][0]["parameters"]["Dmax1"]["interval_90"]
    assert low < PROFILE["Dmax1"] < high
    missing = CliRunner().invoke(
        app,
        ["invert", str(place), "--sample", PRESET, *arguments[:-1], "nothing", "-o", str(tmp_path / "no")],
    )
    assert missing.exit_code == 2
    assert "nothing" in missing.stderr


def load_text(name):
    found = CliRunner().invoke(app, ["samples", name])
    assert found.exit_code == 0
    return found.stdout
