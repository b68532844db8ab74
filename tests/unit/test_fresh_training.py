"""Trainings whose curves are simulated as they go: the datasets' own, each once, none stored."""

import itertools

import numpy as np
import pytest
import torch
import yaml

from strainscope import training
from strainscope.dataset.on_device import DeviceCurves
from strainscope.dataset.plan import load_plan
from strainscope.dataset.simulate import Simulator
from strainscope.estimator.plan import checked_training
from strainscope.estimator.weights import load_weights
from strainscope.training import fresh_data
from strainscope.training.fresh_data import FreshSource
from strainscope.training.settings import full_plan

SMALL = {"width": 32, "blocks": 1, "context": 16, "transforms": 2, "bins": 4, "hidden": 16}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("plans")


def plan(folder, sizes=(192, 96), **changes):
    """Two datasets of few points."""
    data = []
    for seed, size in enumerate(sizes):
        own = load_plan("uniform-1m").model_dump(mode="json")
        own |= {"size": size, "seed": seed, "angles": {"first": -900.0, "step": 40.0, "number": 25}}
        place = folder / f"{seed}-{size}.yaml"
        place.write_text(yaml.safe_dump(own))
        data.append({"plan": str(place)})
    settings = {"data": data, "fresh": True, "network": SMALL, "samples": 192, "batch": 32, "warm_up": 32}
    settings |= {"validation": 64, "validate_every": 96}
    return checked_training(settings | changes, source="test")


def stream(own, **part):
    return FreshSource(full_plan(own)).batches(lambda values: None, device=CPU, **part)


def taken(own, number):
    return list(itertools.islice(iter(own), number))


def test_batches_are_the_datasets_each_sample_once(folder):
    own = plan(folder)
    batches = taken(stream(own), 9)
    values = np.concatenate([values for _, values in batches])
    expected = np.concatenate([data.draws.values(0, data.size) for data in own.plans])
    np.testing.assert_array_equal(np.unique(values, axis=0), np.unique(expected, axis=0))
    for curves, values in batches[:2]:
        np.testing.assert_allclose(curves, Simulator(own.plans[0]).simulate(values.numpy()), rtol=1e-5)


def test_it_goes_on_where_it_was(folder):
    """Also where the samples come again."""
    batches = taken(stream(plan(folder)), 12)
    whole = stream(plan(folder))
    taken(whole, 7)
    resumed = stream(plan(folder))
    resumed.restore(whole.state())
    for (curves, values), (expected, truths) in zip(taken(resumed, 5), batches[7:], strict=True):
        assert torch.equal(curves, expected)
        assert torch.equal(values, truths)


def test_processes_share_each_batch(folder):
    whole = taken(stream(plan(folder)), 1)[0][1]
    parts = [taken(stream(plan(folder), rank=rank, size=2), 1)[0][1] for rank in (0, 1)]
    assert torch.equal(whole[0::2], parts[0])
    assert torch.equal(whole[1::2], parts[1])


def test_samples_of_frozen_sets_are_left_out(folder, monkeypatch):
    own = plan(folder)
    everything = np.concatenate([data.draws.values(0, data.size) for data in own.plans])
    frozen = everything[[3, 200]]
    monkeypatch.setattr(
        fresh_data, "excluded", lambda values, names: (values[:, None] == frozen).all(axis=2).any(axis=1)
    )
    batches = taken(stream(own), 9)
    values = np.concatenate([values for _, values in batches])
    assert len(values) == sum(len(curves) for curves, _ in batches)
    expected = np.delete(everything, [3, 200], axis=0)
    np.testing.assert_array_equal(np.unique(values, axis=0), np.unique(expected, axis=0))


def test_batches_that_are_frozen_are_left_out_whole(folder, monkeypatch):
    own = plan(folder)
    first = taken(stream(own), 2)
    frozen = first[0][1].numpy()
    monkeypatch.setattr(
        fresh_data, "excluded", lambda values, names: (values[:, None] == frozen).all(axis=2).any(axis=1)
    )
    left = stream(own)
    assert torch.equal(taken(left, 1)[0][1], first[1][1])
    # Read ahead, but what was left out counts as read.
    assert left.state() == {"read": 2}


def test_curves_of_a_device_are_the_processor_s():
    for name in ("uniform-1m", "balanced-1m-film"):
        simulator = Simulator(load_plan(name))
        values = simulator.plan.draws.values(0, 64)
        found = DeviceCurves(simulator, CPU).simulate(values)
        assert found.dtype == torch.float32
        assert (np.log10(found.numpy() / simulator.simulate(values)) ** 2).mean() ** 0.5 < 1e-3


def test_a_plan_whose_instrument_varies_is_for_the_processors():
    varied = Simulator(load_plan("uniform-1m"))
    varied.linear = False
    with pytest.raises(ValueError, match="has diffuse scattering, or the plan varies the instrument"):
        DeviceCurves(varied, CPU)


def test_it_trains_and_goes_on_without_a_dataset(folder, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        weights = training.train(plan(folder), tmp_path / "run")
        tensors, about = load_weights(weights)
        assert about["plan"]["fresh"]
        assert not (tmp_path / "run" / "data").exists()

        def stop(seen, total):
            if seen == 96:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt, match="at 96 of 192 curves"):
            training.train(plan(folder), tmp_path / "stopped", tell_step=stop)
        resumed = load_weights(training.train(plan(folder), tmp_path / "stopped", resume=True))[0]
        assert all(torch.equal(tensor, tensors[name]) for name, tensor in resumed.items())
    finally:
        torch.set_num_threads(threads)


def test_samples_are_not_to_come_twice(folder):
    with pytest.raises(ValueError, match=r"of data that are 240 in whole batches of 40; raise data\[\].size"):
        FreshSource(full_plan(plan(folder, samples=280, batch=40)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": [{"plan": "sobol-1m"}]}, "fresh does not go with sampling.method: sobol"),
        ({"samples": 400}, r"fresh: samples = 400, of data that are 288 in all; give data\[\].size, 400 together"),
        ({"curriculum": {"quantity": "Dmax1"}}, "curriculum goes with stored data; leave it out, or fresh"),
        ({"data": [], "lab": {"sample": "ggg444"}}, "fresh goes with data, not with lab"),
    ],
)
def test_plans_that_do_not_fit_are_refused(folder, change, message):
    with pytest.raises(ValueError, match=message):
        plan(folder, **change)
