"""Training on simulated scans: which scans come when, what is refused, and the frozen set they are judged on."""

import itertools
from copy import copy

import numpy as np
import pytest
import torch

from strainscope import evaluation, training
from strainscope.estimator.load import load_estimator
from strainscope.estimator.plan import checked_training, load_training_plan
from strainscope.evaluation import LAB_SEED, rows_of
from strainscope.measurement import BLOCK, LabMixture, LabSettings, LabSimulator
from strainscope.sample import load_sample
from strainscope.training import lab_data
from strainscope.training.lab_data import LabSource, LabStream
from strainscope.training.settings import full_plan

SMALL = {"width": 32, "inner": 32, "blocks": 1, "context": 16, "hidden": 16, "transforms": 1, "bins": 4}


def plan(**changes):
    data = {"lab": {"sample": "ggg444"}, "network": SMALL, "samples": 1024, "batch": 512, "warm_up": 0}
    data |= {"validation": 128, "validate_every": 512}
    return checked_training(data | changes, source="plan")


@pytest.fixture(scope="module")
def simulator():
    return LabMixture([load_sample("ggg444")], LabSettings(), seed=5)


@pytest.fixture
def few(monkeypatch):
    """Two blocks a round, measured twice."""
    monkeypatch.setattr(lab_data, "ROUND", 2)
    monkeypatch.setattr(lab_data, "REPEATS", 2)
    monkeypatch.setattr(lab_data, "_STANDARDISED_BY", 300)
    monkeypatch.setattr(lab_data, "_FIRST", 70)


def taken(stream, number):
    return list(itertools.islice(iter(stream), number))


def test_batches_are_measured_anew_and_go_on_where_they_were(simulator, few):
    stream = LabStream(simulator, batch=BLOCK, seed=1, first=3)
    batches = taken(stream, 5)
    rows, values = batches[0]
    assert rows.shape == (BLOCK, 3 * 701 + 8)
    assert values.shape == (BLOCK, len(simulator.names))
    profiles = [frozenset(map(tuple, v[:, :9].tolist())) for _, v in batches]
    # Both passes hold the same samples, the next round others.
    assert {profiles[0], profiles[1]} == {profiles[2], profiles[3]}
    assert profiles[4] not in profiles[:4]
    again = next(i for i in (2, 3) if profiles[i] == profiles[0])
    assert (batches[again][0] != rows).any()

    resumed = LabStream(simulator, batch=BLOCK, seed=1, first=3)
    resumed.restore({"read": 3})
    for (one, own), (other, its) in zip(taken(resumed, 2), batches[3:], strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(own, its)
    assert resumed.state() == {"read": 5}


def test_processes_simulate_rounds_in_turn(simulator, few):
    alone = LabStream(simulator, batch=BLOCK, seed=1, first=3)
    batches = taken(alone, 12)
    parts = [LabStream(simulator, batch=BLOCK, seed=1, first=3, rank=rank, size=2) for rank in (0, 1)]
    assert parts[0].epoch_size == 2 * alone.epoch_size
    first, second = (taken(part, 5) for part in parts)
    # Four batches a round: rounds 0 and 2 against round 1.
    for mine, its in zip([*first, *second[:4]], [*batches[:4], batches[8], *batches[4:8]], strict=True):
        np.testing.assert_array_equal(mine[0], its[0])
        np.testing.assert_array_equal(mine[1], its[1])


def test_scans_beyond_the_estimator_s_prior_are_left_out(simulator, few):
    narrow = copy(simulator)
    low, high = simulator.bounds["offset_arcsec"]
    narrow.bounds = dict(simulator.bounds) | {"offset_arcsec": (low, 0.5 * (low + high))}
    column = simulator.names.index("offset_arcsec")
    all_rows, all_values = taken(LabStream(simulator, batch=BLOCK, seed=1), 1)[0]
    rows, values = taken(LabStream(narrow, batch=BLOCK, seed=1), 1)[0]
    kept = all_values[:, column] <= 0.5 * (low + high)
    assert 0.1 < kept.mean() < 0.9
    np.testing.assert_array_equal(rows, all_rows[kept])
    np.testing.assert_array_equal(values, all_values[kept])


def test_held_out_and_fresh_scans_never_reach_into_those_of_the_training(monkeypatch):
    largest = full_plan(plan(validation=65_536, recalibrate=32_768))
    asked = []
    monkeypatch.setattr(LabMixture, "scans", lambda self, first, last: asked.append((first, last)))
    monkeypatch.setattr(lab_data, "_within_bounds", lambda batch, bounds: None)
    monkeypatch.setattr(lab_data, "rows_of", lambda batch: np.empty(0))
    source = LabSource(largest, largest.lab)
    source.examples()
    source.held_out()
    source.fresh(32_768)
    ends = [0, *itertools.chain(*asked), lab_data._FIRST * BLOCK]
    assert ends == sorted(ends)


def test_training_held_out_and_fresh_scans_differ(few):
    source = LabSource(full_plan(plan()), plan().lab)
    examples = source.examples()
    assert examples.shape == (300, 2111)
    device = torch.device("cpu")
    trained = taken(source.batches(lambda values: np.ones(len(values), dtype=bool), device=device), 1)[0][1]
    parts = [values[:, :9] for values in (trained, source.held_out()[1], source.fresh(100)[1])]
    together = np.concatenate(parts)
    assert len(parts[2]) > 90
    assert len(np.unique(together, axis=0)) == len(together)


def test_samples_that_do_not_go_together_are_said_so():
    own = full_plan(plan(lab={"sample": ["ggg444", "si004"]}))
    with pytest.raises(
        ValueError,
        match=r"lab: sample\[1\] \(Implanted silicon.*diffuse: false; .* All samples of a network need",
    ):
        LabSource(own, own.lab)


def test_it_trains_resumes_and_is_evaluated_on_the_lab_set(few, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    torch.set_num_threads(1)
    weights = training.train(plan(), tmp_path / "run", checkpoint_every=512)
    estimator = load_estimator(weights)
    assert estimator.names[-3:] == ("offset_arcsec", "log10_scale", "log10_background")
    frozen = evaluation.load_test_set("lab", size=64)
    found = evaluation.evaluate(estimator, frozen, draws=16)
    assert found.names == frozen.frozen.names
    assert {b.bin.quantity for b in found.bins} == {"maximum_strain", "disorder", "log10_peak_counts"}
    assert found.metrics.violations == 0
    content = weights.read_bytes()
    weights.unlink()
    training.train(plan(), tmp_path / "run", resume=True)
    assert weights.read_bytes() == content


def test_the_frozen_set_is_the_simulator_s(tmp_path):
    frozen = evaluation.frozen_set("lab")
    parameters = frozen.parameters()
    batch = LabSimulator(load_sample("ggg444"), LabSettings(), seed=LAB_SEED).scans(300, 310)
    np.testing.assert_allclose(parameters[300:310], batch.values[:, :13], rtol=1e-6)
    rows = frozen.simulate(parameters, 300, 310)
    np.testing.assert_array_equal(rows, rows_of(batch))
    counts = frozen.seen_columns(rows)["log10_peak_counts"]
    np.testing.assert_allclose(10**counts, batch.peak_counts, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": [{"plan": "balanced-1m"}]}, "give either data .* or lab .*, and not both"),
        ({"lab": None}, "give either data"),
        ({"window": 10}, "window goes with data, not with lab"),
        ({"curriculum": {"quantity": "Dmax1"}}, "curriculum goes with data"),
        ({"model": "v2", "network": {}}, "model = v2 reads curves, not scans"),
        ({"lab": {"sample": "ggg445"}}, r"lab\.sample"),
        ({"lab": {"sample": "ggg444", "scans": {"counts": [1, 10]}}}, r"lab\.scans.*counts"),
    ],
)
def test_plans_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        plan(**change)


def test_the_seed_of_the_test_set_is_refused():
    own = full_plan(plan(seed=LAB_SEED))
    with pytest.raises(ValueError, match="is that of the test set lab"):
        LabSource(own, own.lab)


def test_a_batch_of_no_use_is_refused(simulator):
    with pytest.raises(ValueError, match="batch = 300; for simulated scans it must be a multiple of 256"):
        LabStream(simulator, batch=300, seed=0)


def test_the_preset_is_in_order():
    assert load_training_plan("ggg444-lab").lab.sample == "ggg444"
