"""Estimators of every kind from their files, and what they are asked against what they know."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from typer.testing import CliRunner

from strainscope import evaluation
from strainscope.cli import app
from strainscope.estimator.baselines import baseline_network
from strainscope.estimator.coordinates import coordinates_of
from strainscope.estimator.ensemble import Ensemble, ensemble_of, save_ensemble
from strainscope.estimator.grids import check_asked
from strainscope.estimator.inputs import TargetScale, network_input
from strainscope.estimator.load import load_estimator
from strainscope.estimator.posterior import Architecture, PosteriorEstimator, PosteriorNetwork
from strainscope.estimator.regression import RegressionEstimator
from strainscope.estimator.weights import load_weights, save_weights
from strainscope.profile import DoubleGaussian

SPECS = DoubleGaussian().parameters
NAMES = tuple(spec.name for spec in SPECS)
SMALL = Architecture(width=16, blocks=1, context=8, transforms=1, bins=4, hidden=8)
POINTS = 40
ABOUT = {"angle_arcsec": list(range(POINTS)), "plan": {"model": "v1"}}


def curves(n=5, seed=0):
    return np.exp(np.random.default_rng(seed).normal(size=(n, POINTS))).astype(np.float32)


def regression(*, seed=0, window=0):
    torch.manual_seed(seed)
    network = baseline_network("v1", points=POINTS - window)
    scale = TargetScale.of(NAMES)
    return RegressionEstimator(network, model="v1", scale=scale, points=POINTS, window=window, about=ABOUT)


def posterior(*, seed=0, window=0):
    torch.manual_seed(seed)
    bounds = {s.name: (s.lower, s.upper) for s in SPECS}
    coordinates = coordinates_of(NAMES, bounds, DoubleGaussian().constraints)
    network = PosteriorNetwork(POINTS - window, 0, 7, SMALL)
    network.standardise(torch.from_numpy(curves(64)[:, : POINTS - window]))
    for weight in network.parameters():
        # As files keep them.
        weight.data = weight.data.half().float()
    return PosteriorEstimator(network, coordinates, {**ABOUT, "window": window})


def saved_ensemble(folder, make):
    paths = [folder / f"{i}" for i in range(3)]
    for i, path in enumerate(paths):
        make(seed=i).save(path)
    save_ensemble(folder / "all", paths)
    return folder / "all", [load_estimator(path) for path in paths]


# Files ------------------------------------------------------------------------------------------------------


def test_a_regression_is_the_same_from_its_file(tmp_path):
    one = regression(window=10)
    one.save(tmp_path / "e")
    loaded = load_estimator(tmp_path / "e")
    assert isinstance(loaded, RegressionEstimator)
    np.testing.assert_array_equal(loaded.point(curves()), one.point(curves()))
    assert (loaded.names, loaded.window, loaded.points, loaded.about) == (NAMES, 10, POINTS, ABOUT)


def test_a_regression_reads_curves_as_published(tmp_path):
    one = regression(window=10)
    own = torch.from_numpy(curves())
    with torch.no_grad():
        scaled = one.network(network_input(own, start=10)).double()
    np.testing.assert_allclose(one.point(curves()), one.scale.values(scaled).numpy(), rtol=1e-5)


def test_a_posterior_is_the_same_from_its_file(tmp_path):
    one = posterior()
    one.save(tmp_path / "e")
    loaded = load_estimator(tmp_path / "e")
    np.testing.assert_array_equal(loaded.sample(curves(), 9, 3), one.sample(curves(), 9, 3))


def test_a_windowed_posterior_takes_whole_curves(tmp_path):
    one = posterior(window=10)
    one.save(tmp_path / "e")
    loaded = load_estimator(tmp_path / "e")
    np.testing.assert_array_equal(loaded.sample(curves(), 9, 3), one.sample(curves()[:, :-10], 9, 3))
    np.testing.assert_array_equal(loaded.point(curves()), one.point(curves()[:, :-10]))
    loaded.save(tmp_path / "again")
    assert load_estimator(tmp_path / "again").window == 10


def test_loading_leaves_the_random_numbers_alone(tmp_path):
    for i, one in enumerate((regression(), posterior())):
        one.save(tmp_path / f"{i}")
        torch.manual_seed(3)
        load_estimator(tmp_path / f"{i}")
        found = torch.rand(2)
        torch.manual_seed(3)
        assert (found == torch.rand(2)).all()


def test_an_ensemble_gives_the_mean(tmp_path):
    path, members = saved_ensemble(tmp_path, regression)
    ensemble = load_estimator(path)
    assert not hasattr(ensemble, "sample")
    expected = np.mean([m.point(curves()) for m in members], axis=0)
    np.testing.assert_allclose(ensemble.point(curves()), expected)
    assert ensemble.names == NAMES
    assert len(ensemble.about["members"]) == 3
    check_asked(ensemble.about, angle_arcsec=np.arange(POINTS))


def test_an_ensemble_of_posteriors_draws_from_all_alike(tmp_path):
    path, members = saved_ensemble(tmp_path, posterior)
    ensemble = load_estimator(path)
    found = ensemble.sample(curves(2), 11, 5)
    assert found.shape == (2, 11, 7)
    assert not DoubleGaussian().violations(found.reshape(-1, 7)).any()
    seeds = [int(np.random.SeedSequence([5, i]).generate_state(1)[0]) for i in range(3)]
    parts = [m.sample(curves(2), n, s) for m, n, s in zip(members, (4, 4, 3), seeds, strict=True)]
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(np.concatenate(parts, axis=1), axis=1))
    np.testing.assert_array_equal(found, ensemble.sample(curves(2), 11, 5))
    assert (found != ensemble.sample(curves(2), 11, 6)).any()
    assert ensemble.sample(curves(2), 2, 5).shape == (2, 2, 7)
    assert not DoubleGaussian().violations(ensemble.point(curves())).any()


def test_members_need_the_same_parameters():
    class Other:
        names = ("Dmax1",)

        def point(self, curves):
            return np.zeros((len(curves), 1))

    with pytest.raises(ValueError, match=r"members\[1\] has the parameters Dmax1; the first has Dmax1, D01"):
        ensemble_of([regression(), Other()], {})
    with pytest.raises(ValueError, match="members is empty"):
        Ensemble([], {})


# Bad files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [regression, posterior])
def test_a_description_that_does_not_fit_is_refused(tmp_path, make):
    make().save(tmp_path / "e")
    tensors, about = load_weights(tmp_path / "e")
    cases = {
        "other": (
            tensors,
            about | {"kind": "other"},
            "kind 'other'; this version knows posterior, regression",
        ),
        "missing": (
            tensors,
            {k: v for k, v in about.items() if k != "points"},
            r"do not fit.*points.*train it again",
        ),
        "fewer": (dict(list(tensors.items())[1:]), about, "do not fit what it says of them.*Missing key"),
        "ensemble": (tensors, {"kind": "ensemble", "members": [about]}, "do not fit"),
        "empty": ({}, {"kind": "ensemble", "members": []}, "do not fit"),
    }
    for name, (own, its, message) in cases.items():
        save_weights(tmp_path / name, own, its)
        with pytest.raises(ValueError, match=message) as error:
            load_estimator(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
        assert "\n" not in str(error.value)


def test_an_altered_description_is_refused(tmp_path):
    regression().save(tmp_path / "e")
    with safe_open(tmp_path / "e", framework="pt") as file:
        about = json.loads(file.metadata()["strainscope"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    about["scale"]["upper"][0] = 0.04
    save_file(tensors, tmp_path / "altered", metadata={"strainscope": json.dumps(about)})
    with pytest.raises(ValueError, match="its description was altered"):
        load_estimator(tmp_path / "altered")
    # Files of the first versions had no checksum of it.
    del about["about_sha256"]
    save_file(tensors, tmp_path / "early", metadata={"strainscope": json.dumps(about)})
    assert load_estimator(tmp_path / "early").scale.upper[0] == 0.04


# What is asked ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [regression, posterior])
def test_curves_of_another_grid_are_refused(make):
    with pytest.raises(ValueError, match=r"shape \(2, 39\); this estimator knows curves of 40 points"):
        make().point(np.ones((2, 39)))


def test_a_flat_curve_is_none():
    with pytest.raises(ValueError, match="the same intensity at every point"):
        regression().point(np.ones((2, POINTS)))


def test_other_angles_and_samples_are_refused():
    sample = {"crystal": "GGG", "reflection": [4, 4, 4], "films": []}
    about = {"angle_arcsec": [0.0, 5.0, 10.0], "sample": sample}
    check_asked(about, angle_arcsec=np.array([0.0, 5.001, 10.0]), sample=sample)
    check_asked({}, angle_arcsec=np.array([1.0, 2.0]), sample=sample)
    check_asked(
        about | {"told": ["step"]}, angle_arcsec=np.array([0.0, 5.001, 10.0]), sample=sample, scans=True
    )
    with pytest.raises(
        ValueError, match="the set holds scans with counting noise; the estimator reads noise-free"
    ):
        check_asked(about, angle_arcsec=np.array([0.0, 5.001, 10.0]), sample=sample, scans=True)
    with pytest.raises(ValueError, match="the set holds noise-free curves; the estimator reads scans"):
        check_asked(about | {"told": ["step"]}, angle_arcsec=np.array([0.0, 5.001, 10.0]), sample=sample)
    with pytest.raises(
        ValueError, match="have 2 points from 0 to 5 arcsec; the estimator knows 3 points from 0"
    ):
        check_asked(about, angle_arcsec=np.array([0.0, 5.0]))
    with pytest.raises(ValueError, match="have 3 points from 0 to 12 arcsec"):
        check_asked(about, angle_arcsec=np.array([0.0, 6.0, 12.0]))
    with pytest.raises(ValueError, match=r"of reflection = \[8, 8, 8\]; the estimator knows \[4, 4, 4\]"):
        check_asked(about, angle_arcsec=np.array([0, 5, 10]), sample=sample | {"reflection": [8, 8, 8]})


def test_another_instrument_is_refused():
    width = {"fwhm_arcsec": {"value": 25.0, "held": True}}
    free = {"fwhm_arcsec": {"value": 25.0, "held": False}}
    sample = {"resolution": {"family": "gaussian", "fwhm_range_arcsec": [1.0, 200.0]}, "fit": width}
    angles = np.array([0.0, 5.0])
    about = {"angle_arcsec": [0.0, 5.0], "sample": sample}
    narrower = {"family": "gaussian", "fwhm_range_arcsec": [5.0, 80.0]}
    check_asked(about, angle_arcsec=angles, sample=sample | {"resolution": narrower})
    with pytest.raises(ValueError, match="resolution = .*'pseudo-voigt'.* knows .*'gaussian'"):
        check_asked(about, angle_arcsec=angles, sample=sample | {"resolution": {"family": "pseudo-voigt"}})
    with pytest.raises(ValueError, match=r"fit.fwhm_arcsec = 12.0; the estimator knows 25.0"):
        check_asked(
            about,
            angle_arcsec=angles,
            sample=sample | {"fit": {"fwhm_arcsec": {"value": 12.0, "held": True}}},
        )
    with pytest.raises(ValueError, match=r"fit.fwhm_arcsec = None; the estimator knows 25.0"):
        check_asked(about, angle_arcsec=angles, sample=sample | {"fit": free})


def test_an_estimator_of_several_samples_knows_each():
    first, second = {"reflection": [4, 4, 4]}, {"reflection": [8, 8, 8]}
    about = {"told": [], "sample": first, "other_samples": [second]}
    for sample in (first, second):
        check_asked(about, angle_arcsec=np.array([0.0]), sample=sample, scans=True)
    with pytest.raises(ValueError, match=r"reflection = \[8, 8, 0\]; the estimator knows \[4, 4, 4\]"):
        check_asked(about, angle_arcsec=np.array([0.0]), sample={"reflection": [8, 8, 0]}, scans=True)


def test_evaluate_refuses_a_set_that_the_estimator_does_not_know(tmp_path):
    balanced = evaluation.frozen_set("balanced")
    scale = TargetScale.of(NAMES)
    torch.manual_seed(0)
    about = {
        "angle_arcsec": balanced.angle_arcsec.tolist(),
        "sample": json.loads(json.dumps(balanced.identity["sample"])),
    }
    whole = {"model": "v1", "scale": scale, "window": 50}
    network = baseline_network("v1", points=651)
    RegressionEstimator(network, points=701, about=about, **whole).save(tmp_path / "e.safetensors")
    other = {"angle_arcsec": (balanced.angle_arcsec + 30).tolist()}
    RegressionEstimator(network, points=701, about=other, **whole).save(tmp_path / "other.safetensors")
    run = CliRunner().invoke
    found = run(app, ["evaluate", str(tmp_path / "e.safetensors"), "--set", "balanced", "--size", "4"])
    assert found.exit_code == 0
    assert "Dmax1" in found.stdout
    for name, test_set, message in (
        ("other", "balanced", "Choose curves on its grid"),
        ("e", "balanced-film", "the curves are of films = ["),
    ):
        found = run(
            app, ["evaluate", str(tmp_path / f"{name}.safetensors"), "--set", test_set, "--size", "4"]
        )
        assert found.exit_code != 0
        assert message in found.stderr
