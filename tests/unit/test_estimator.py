"""The posterior estimator: coordinates, weights that execute nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import stats

from strainscope.estimator.coordinates import coordinates_from, coordinates_of
from strainscope.estimator.draws import draw
from strainscope.estimator.load import load_estimator
from strainscope.estimator.posterior import Architecture, PosteriorEstimator, PosteriorNetwork
from strainscope.estimator.weights import load_weights, save_weights
from strainscope.profile import DoubleGaussian

SMALL = {"width": 32, "blocks": 1, "context": 16, "transforms": 2, "bins": 4, "hidden": 16}
SPECS = DoubleGaussian().parameters


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in one order: the same weights each time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["probit", "logit"])
def coordinates(request):
    probit = coordinates_of(
        [s.name for s in SPECS], {s.name: (s.lower, s.upper) for s in SPECS}, DoubleGaussian().constraints
    )
    return replace(probit, scale=request.param)


# Coordinates ------------------------------------------------------------------------------------------------


def test_any_coordinates_give_valid_parameters_and_come_back(coordinates):
    free = np.random.default_rng(0).normal(size=(500, 7)) * 1.5
    values = coordinates.from_free(free)
    assert not DoubleGaussian().violations(values).any()
    # All but those that are as good as on a bound.
    inside = np.abs(free) < 3.0
    np.testing.assert_allclose(coordinates.to_free(values)[inside], free[inside], atol=1e-6)


def test_values_on_a_bound_are_taken_as_just_inside(coordinates):
    values = np.array([[0.02, 0.02, 6000.0, 0.0, 0.01, 6000.0, -6010.0]])
    back = coordinates.from_free(coordinates.to_free(values))
    np.testing.assert_allclose(back, values, rtol=2e-3, atol=8.0)


def test_values_outside_are_refused_by_name(coordinates):
    values = np.array([[0.02, 0.01, 6000.0, 3000.0, 0.01, 2000.0, -100.0]] * 3)
    values[1, 2] = 7500.0
    with pytest.raises(ValueError, match="L1 = 7500; the estimator's prior has 500 to 7000"):
        coordinates.to_free(values)


def test_the_volume_is_that_of_finite_differences(coordinates):
    free = np.random.default_rng(1).normal(size=7) * 0.7
    step = 1e-5
    moved = np.concatenate([free + step * np.eye(7), free - step * np.eye(7)])
    values = coordinates.from_free(moved)
    jacobian = (values[:7] - values[7:]) / (2 * step)
    _, expected = np.linalg.slogdet(jacobian)
    assert coordinates.log_volume(free) == pytest.approx(expected, abs=1e-5)


def test_coordinates_survive_plain_data(coordinates):
    assert coordinates_from(json.loads(json.dumps(coordinates.document()))) == coordinates


def test_files_without_a_scale_are_of_the_first_version(coordinates):
    document = coordinates.document()
    del document["scale"]
    assert coordinates_from(document) == replace(coordinates, scale="logit")


def test_a_flat_prior_is_normal_in_the_coordinates(coordinates):
    values = coordinates.prior.sample(20_000, rng=np.random.default_rng(2))
    free = coordinates.to_free(values)
    np.testing.assert_allclose(free.mean(axis=0), 0, atol=0.08)
    np.testing.assert_allclose(free.std(axis=0), 1, atol=0.05)
    chance = min(stats.kstest(column, "norm").pvalue for column in free.T)
    assert (chance > 1e-4) == (coordinates.scale == "probit")


# Weights ----------------------------------------------------------------------------------------------------


@pytest.fixture
def estimator(coordinates):
    torch.manual_seed(0)
    return PosteriorEstimator(
        PosteriorNetwork(50, 0, 7, Architecture(**SMALL)), coordinates, {"angle_arcsec": [0.0]}
    )


def curves(n=5, seed=0):
    return np.exp(np.random.default_rng(seed).normal(size=(n, 50))).astype(np.float32)


def test_a_saved_estimator_is_the_same(estimator, tmp_path):
    path = tmp_path / "e.safetensors"
    estimator.save(path)
    loaded = load_estimator(path)
    # Matrices are kept in half precision, which is done once: what is loaded is what is saved again.
    own, other = loaded.sample(curves(), 20, 3), estimator.sample(curves(), 20, 3)
    assert np.abs(own - other).max(axis=(0, 1)) == pytest.approx(
        0, abs=1e-2 * np.ptp(other, axis=(0, 1)).max()
    )
    loaded.save(tmp_path / "again.safetensors")
    again = load_estimator(tmp_path / "again.safetensors")
    np.testing.assert_array_equal(again.sample(curves(), 20, 3), own)
    assert loaded.about["angle_arcsec"] == [0.0]
    assert not list(tmp_path.glob(".*partial"))


def test_widths_made_right_are_kept_in_the_file_and_serve_few_draws(estimator, tmp_path):
    values = estimator.coordinates.from_free(np.random.default_rng(4).normal(size=(300, 7)))
    before = estimator.sample(curves(), 10, 3)
    estimator.recalibrate(curves(300, seed=9), values, draws=64)
    # Ten draws are the first of so many that tell a width.
    few = estimator.sample(curves(), 10, 3)
    assert (few != before).any()
    np.testing.assert_array_equal(few, estimator.sample(curves(), 64, 3)[:, :10])
    paths = [tmp_path / name for name in ("one.safetensors", "again.safetensors")]
    estimator.save(paths[0])
    loaded = load_estimator(paths[0])
    loaded.save(paths[1])
    again = load_estimator(paths[1])
    np.testing.assert_array_equal(again.recalibration.factor, estimator.recalibration.factor)
    # Matrices are kept in half precision, so what is loaded is compared.
    np.testing.assert_array_equal(again.sample(curves(), 10, 3), loaded.sample(curves(), 10, 3))


def test_samples_obey_the_constraints_and_depend_on_the_seed(estimator):
    found = estimator.sample(curves(), 50, 1)
    assert found.shape == (5, 50, 7)
    assert not DoubleGaussian().violations(found.reshape(-1, 7)).any()
    assert (found != estimator.sample(curves(), 50, 2)).any()


def test_samples_are_those_of_the_density(estimator):
    """Importance weights of the flow's samples under its own density must average to one over a box's volume."""
    network = estimator.network
    with torch.no_grad():
        flow = network.flow(network.context(torch.from_numpy(curves(1))))
        torch.manual_seed(5)
        samples = flow.sample((4000,))[:, 0]
        density = flow.log_prob(samples[:, None])[:, 0].exp()
    other = np.random.default_rng(0).normal(size=(20_000, 7)).astype(np.float32)
    normal = np.exp(-0.5 * (other**2).sum(axis=1)) / (2 * np.pi) ** 3.5
    with torch.no_grad():
        own = flow.log_prob(torch.from_numpy(other)[:, None])[:, 0].exp().numpy()
    assert (own / normal).mean() == pytest.approx(1, abs=0.15)
    assert density.min() > 0


@pytest.mark.parametrize("coordinates", [7, 16])
def test_draws_are_those_of_the_flow(coordinates):
    """Asking each network once, and for half of the coordinates, must give what the flow's own inverse gives."""
    torch.manual_seed(2)
    network = PosteriorNetwork(50, 0, coordinates, Architecture(**SMALL | {"transforms": 3})).eval()
    with torch.no_grad():
        context = 3 * torch.randn(4, SMALL["context"])
        base = torch.randn(200, 4, coordinates)
        before = base.clone()
        own = draw(list(network.flow.transform.transforms), context, base)
        expected = network.flow(context).transform.inv(base)
    assert (expected - base).abs().max() > 0.1
    torch.testing.assert_close(own, expected, atol=1e-4, rtol=1e-4)
    assert (base == before).all()


def test_curves_of_another_grid_are_refused(estimator):
    with pytest.raises(ValueError, match=r"shape \(2, 49\); this estimator knows curves of 50 points"):
        estimator.sample(np.ones((2, 49)), 10, 0)


def test_damaged_and_foreign_weights_are_refused(estimator, tmp_path):
    path = tmp_path / "e.safetensors"
    estimator.save(path)
    content = path.read_bytes()
    cases = {
        "truncated": (content[: len(content) // 2], "no whole safetensors file"),
        "altered": (content[:-40] + bytes(b ^ 1 for b in content[-40:-39]) + content[-39:], "were altered"),
        "text": (b"weights", "no whole safetensors file"),
    }
    for name, (damaged, message) in cases.items():
        place = tmp_path / name
        place.write_bytes(damaged)
        with pytest.raises(ValueError, match=message):
            load_weights(place)
    with pytest.raises(FileNotFoundError, match="there is no such weights file"):
        load_weights(tmp_path / "none")
    save_file({"a": torch.ones(2)}, tmp_path / "foreign")
    with pytest.raises(ValueError, match="not of a strainscope estimator"):
        load_weights(tmp_path / "foreign")
    save_weights(tmp_path / "other", {"a": torch.ones(2)}, {"kind": "v3"})
    with pytest.raises(ValueError, match="holds an estimator of the kind 'v3'; this version knows posterior"):
        load_estimator(tmp_path / "other")
