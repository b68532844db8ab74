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
    found = proposed_starts(problem, scan, proposal, draws=256, starts=4, rng=np.random.default_rng(0))
    assert 1 <= len(found) <= 4
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


def test_bounds_beyond_its_prior_are_refused_with_the_widest_it_covers(tmp_path):
    text = load_text(PRESET).replace("L1: {bounds: [500, 8000]}", "L1: {bounds: [500, 9500]}")
    place = tmp_path / "deep.yaml"
    place.write_text(text)
    lab = load_estimator(estimator_path("ggg444-lab"))
    with pytest.raises(
        ValueError, match=r"has L1 = 500 to 8000 Å; the sample's is 500 to 9500 Å\. Set fit\.L1"
    ):
        ScanProposal(lab, load_sample(str(place)), name="ggg444-lab")


def test_another_crystal_is_refused():
    lab = load_estimator(estimator_path("ggg444-lab"))
    with pytest.raises(ValueError, match="of crystal = 'Si'; the estimator knows 'GGG'"):
        ScanProposal(lab, load_sample("si004"), name="ggg444-lab")


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
