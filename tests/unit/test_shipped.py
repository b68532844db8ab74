"""Estimators that come with the package."""

import sys

import numpy as np
import pytest

from strainscope import evaluation
from strainscope.estimator.load import load_estimator
from strainscope.estimator.named import proposal_of
from strainscope.estimator.plan import load_training_plan
from strainscope.estimator.shipped import estimator_path, shipped_estimators
from strainscope.sample import load_sample

LARGEST_BYTES = 25_000_000


def test_they_load_and_say_how_they_were_made():
    names = shipped_estimators()
    assert "ggg444-ideal" in names
    assert sum(estimator_path(name).stat().st_size for name in names) <= LARGEST_BYTES
    for name in names:
        about = load_estimator(estimator_path(name)).about
        plan = load_training_plan(name)
        # Made by `strainscope train NAME`, and its time is stated.
        for key in ("network", "samples", "annealed_at", "title"):
            assert about["plan"][key] == plan.model_dump(mode="json")[key]
        assert load_estimator(estimator_path(name)).coordinates.scale == plan.coordinates
        assert about["core_seconds"] > 0


@pytest.mark.parametrize(("name", "said"), [("nope", "'nope'"), ("ggg444-lab", "pip install")])
def test_without_torch_a_name_that_is_none_is_told_first(name, said, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ValueError, match=said):
        proposal_of(name, load_sample("ggg444"))


def test_the_ideal_estimator_reads_the_predecessor_s_curves(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    estimator = load_estimator(estimator_path("ggg444-ideal"))
    frozen = evaluation.load_test_set("balanced", size=200)
    found = evaluation.evaluate(estimator, frozen, draws=64)
    errors = found.metrics.mae_percent_of_range
    # A fifth of the best published errors or less; on all 10,000 curves they are stated in the docs.
    for name, published in {"Dmax1": 2.93, "L1": 3.40, "Rp1": 2.47}.items():
        assert errors[name] < 0.3 * published
    assert errors["L2"] < 3
    assert errors["Rp2"] < 12.36
    assert found.metrics.violations == 0
    assert found.calibration.sample_violations == 0


def test_a_posterior_is_the_same_on_every_call():
    estimator = load_estimator(estimator_path("ggg444-ideal"))
    curve = evaluation.frozen_set("continuous").simulate(
        evaluation.frozen_set("continuous").parameters(), 0, 1
    )
    one, other = (estimator.sample(curve, 50, 3) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_a_path_is_a_path_and_an_unknown_name_is_said_so(tmp_path):
    assert estimator_path(str(tmp_path / "e.safetensors")) == tmp_path / "e.safetensors"
    with pytest.raises(
        ValueError, match=r"estimator = 'ggg444-idael' is no file, .*Did you mean ggg444-ideal\?"
    ):
        estimator_path("ggg444-idael")
