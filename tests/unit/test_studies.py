"""Studies: equal budgets, nothing done twice, and pages that say what came out."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from benchmarks.aliasing import CoarseSimulator, midpoint_curve, write_coarse
from benchmarks.studies import runner
from benchmarks.studies.__main__ import main
from benchmarks.studies.page import outcome, overall, page_text, write_page
from benchmarks.studies.runner import Settings, data_folder, plan_of, results_of, run_folder
from benchmarks.studies.table import (
    BALANCED,
    MEAN,
    RANDOM,
    RANDOM_FINE,
    STUDIES,
    WEIGHTED_MEAN,
    Expectation,
    Study,
    Variant,
)

from strainscope import training
from strainscope.dataset.generate import generate
from strainscope.dataset.plan import load_plan, plan_text
from strainscope.dataset.simulate import Simulator
from strainscope.dataset.store import Dataset
from strainscope.evaluation import LoadedTestSet
from strainscope.evaluation.test_sets import from_plan

CURVES = 512
SMALL = {"width": 16, "inner": 16, "blocks": 1, "context": 8, "transforms": 1, "bins": 4, "hidden": 8}
NAMES = ("Dmax1", "D01", "L1", "Rp1", "D02", "L2", "Rp2")

STUDY = Study(
    title="A small one",
    question="Does it run?",
    variants={
        "plain": Variant(label="plain"),
        "point": Variant(label="point network", estimate="point network"),
        "coarse": Variant(label="sublayers of 400 Å", dl=400),
        "two": Variant(label="two networks", members=2, share=0.5),
        "v1": Variant(label="v1", changes={"model": "v1", "batch": 64}),
    },
    expectations=(Expectation(said="more is better", better="two", worse="plain", by="Rp2"),),
    by_weight=True,
)


@pytest.fixture(autouse=True)
def one_thread():
    """Little networks are quickest so."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def few_points(folder, *, points=40):
    """A file of a dataset plan with few angles."""
    data = yaml.safe_load(plan_text("uniform-1m"))
    data |= {"size": CURVES, "angles": {"first": -900.0, "step": 1000.0 / points, "number": points}}
    place = folder / f"few-{points}.yaml"
    place.write_text(yaml.safe_dump(data))
    return str(place)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    base = {"network": SMALL, "samples": 10**9, "validation": 64, "batch": 64, "warm_up": 64}
    plans = {BALANCED: few_points(folder)}
    return Settings(folder=folder, minutes=0.02, curves=CURVES, base=base, plans=plans)


@pytest.fixture(scope="module")
def few_curves(settings):
    plan = load_plan(settings.plans[BALANCED])
    frozen = from_plan("few", plan, first=5000, title="few", sha256="few", source="few")
    values = plan.draws.values(5000, 5064)
    return LoadedTestSet(frozen=frozen, parameters=values, curves=Simulator(plan).simulate(values))


@pytest.fixture(scope="module")
def results(settings, few_curves):
    torch.set_num_threads(1)
    return results_of(STUDY, settings, few_curves, tell=lambda text: None)


# Running ----------------------------------------------------------------------------------------------------


def test_variants_are_trained_on_their_budgets_and_evaluated(results):
    assert list(results) == list(STUDY.variants)
    for result in results.values():
        errors = result["mae_percent_of_range"]
        assert set(errors) == set(NAMES)
        assert result[MEAN] == pytest.approx(np.mean(list(errors.values())))
        assert result["budget_minutes"] == pytest.approx(0.02)
        assert result["training_minutes"] > 0.0199
        assert result["core_minutes"] > 0
        assert result["evaluation"]["test_set"]["curves"] == 64
    assert {result["schedule"] for result in results.values()} == {"cosine"}
    assert results["plain"]["plan"]["data"] == [{"plan": "few-40", "size": CURVES, "seed": None}]


def test_identical_trainings_are_done_once(results, settings):
    assert results["plain"]["curves_seen"] == results["point"]["curves_seen"]
    places = {
        run_folder(plan_of(variant, settings, member), variant, settings)
        for variant in STUDY.variants.values()
        for member in range(variant.members)
    }
    # plain and point; coarse; two members; v1
    assert len(places) == 5
    assert all((place / training.WEIGHTS).exists() for place in places)


def test_nothing_is_done_again(results, settings, few_curves, monkeypatch):
    def again(*arguments, **options):
        raise AssertionError("done twice")

    monkeypatch.setattr(training, "train", again)
    monkeypatch.setattr(runner, "evaluate", again)
    assert results_of(STUDY, settings, few_curves, tell=lambda text: None) == json.loads(json.dumps(results))


def test_an_interrupted_study_goes_on(settings, few_curves, monkeypatch):
    own = replace(settings, seed=5)
    study = replace(STUDY, variants={"two": STUDY.variants["two"]}, expectations=())
    trained, train = [], training.train

    def once(plan, folder, **options):
        if trained:
            raise KeyboardInterrupt
        trained.append(plan.seed)
        return train(plan, folder, **options)

    monkeypatch.setattr(training, "train", once)
    with pytest.raises(KeyboardInterrupt):
        results_of(study, own, few_curves, tell=lambda text: None)
    monkeypatch.setattr(
        training, "train", lambda plan, *a, **o: trained.append(plan.seed) or train(plan, *a, **o)
    )
    results_of(study, own, few_curves, tell=lambda text: None)
    assert trained == [5, 6]


# Coarse sublayers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dl", [400, 100])
def test_the_fast_engine_gives_the_reference_curves_of_coarse_sublayers(settings, dl):
    plan = load_plan(settings.plans[BALANCED])
    simulator, varying = CoarseSimulator(plan, dl), plan.draws.values(0, 4)
    values = plan.with_held(varying)
    weights = simulator.model.to_points(values[0])
    expected = [np.einsum("pan,pn->a", weights, midpoint_curve(simulator, row, dl)) for row in values]
    gap = np.log10(simulator.simulate(varying) / np.array(expected))
    assert np.sqrt((gap**2).mean()) < 1e-3
    wrong = np.log10(simulator.simulate(varying) / Simulator(plan).simulate(varying))
    assert np.sqrt((wrong**2).mean()) > 1e-2


def test_a_coarse_dataset_is_taken_as_complete_and_differs_in_its_curves_alone(tmp_path, settings):
    plan = load_plan(settings.plans[BALANCED])
    coarse, right = tmp_path / "coarse.zarr", tmp_path / "right.zarr"
    assert write_coarse(plan, coarse, 400) == CURVES
    generate(plan, right)
    assert generate(plan, coarse, resume=True) == 0
    one, other = Dataset(coarse), Dataset(right)
    np.testing.assert_array_equal(one.parameters(0, CURVES), other.parameters(0, CURVES))
    assert np.abs(np.log10(one.curves(0, CURVES) / other.curves(0, CURVES))).max() > 0.1
    # What is lost of it comes back coarse.
    before = one.curves(0, CURVES)
    (coarse / "curve" / "c" / "0" / "0").unlink()
    assert write_coarse(plan, coarse, 400) == CURVES
    np.testing.assert_array_equal(Dataset(coarse).curves(0, CURVES), before)
    assert write_coarse(plan, coarse, 400) == 0


def test_a_coarse_dataset_of_another_plan_is_left_alone(tmp_path, settings):
    plan = load_plan(settings.plans[BALANCED], size=64)
    write_coarse(plan, tmp_path / "d.zarr", 400)
    with pytest.raises(ValueError, match="another plan"):
        write_coarse(plan.with_options(seed=1), tmp_path / "d.zarr", 400)


def test_a_film_has_no_coarse_sublayers():
    with pytest.raises(ValueError, match="bare substrates"):
        CoarseSimulator(load_plan("balanced-1m-film", size=64), 400)


# The table --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(STUDIES))
def test_every_study_is_one_of_plans_that_can_be_trained(name, tmp_path):
    study, place = STUDIES[name], few_points(tmp_path, points=240)
    settings = Settings(folder=tmp_path, plans=dict.fromkeys((BALANCED, RANDOM, RANDOM_FINE), place))
    for variant in study.variants.values():
        assert plan_of(variant, settings).minutes == pytest.approx(4 * variant.share)
    for expectation in study.expectations:
        assert {expectation.better, expectation.worse} <= set(study.variants)
        assert expectation.by in (*NAMES, MEAN, WEIGHTED_MEAN)


def test_published_networks_get_a_cosine_where_the_budget_ends_before_their_rates_can_fall(tmp_path):
    place = few_points(tmp_path, points=240)
    settings = Settings(folder=tmp_path, plans={BALANCED: place})
    variants = STUDIES["models"].variants
    assert {key: plan_of(variants[key], settings).schedule for key in ("v1", "v2", "v3", "cnn2023")} == {
        "v1": "cosine",
        "v2": "cosine",
        "v3": "cosine",
        "cnn2023": "cosine",
    }
    day = replace(settings, minutes=1440.0)
    assert plan_of(variants["v3"], day).schedule == "default"
    # The CNN of 2023 waits ten epochs for a gain before its rate falls: 1.2 million curves of these in 24 minutes.
    assert plan_of(variants["cnn2023"], replace(settings, minutes=23.0)).schedule == "cosine"
    assert plan_of(variants["cnn2023"], replace(settings, minutes=24.0)).schedule == "default"


def test_studies_share_the_plain_training_and_keep_other_data_apart(tmp_path):
    settings = Settings(folder=tmp_path, plans={BALANCED: few_points(tmp_path)})

    def place(study, key):
        variant = STUDIES[study].variants[key]
        return run_folder(plan_of(variant, settings), variant, settings)

    shared = [("balance", "balanced"), ("window", "full"), ("aliasing", "converged"), ("curriculum", "off")]
    shared += [
        ("ensemble", "one"),
        ("ensemble", "three-whole"),
        ("weighted", "plain-point"),
        ("models", "point"),
    ]
    assert len({place(*one) for one in shared}) == 1
    assert len({place("aliasing", key) for key in ("converged", "dl100", "dl400")}) == 3
    coarse = STUDIES["aliasing"].variants["dl100"]
    assert data_folder(coarse, settings) != data_folder(replace(coarse, dl=None), settings)
    assert data_folder(coarse, settings) != data_folder(coarse, replace(settings, curves=100_000))


def test_the_fine_random_plan_is_the_balanced_one_without_its_strata():
    fine, balanced = yaml.safe_load(Path(RANDOM_FINE).read_text()), yaml.safe_load(plan_text("balanced-1m"))
    assert balanced.pop("stratify") == {"L2": "values"}
    assert fine | {"title": ""} == balanced | {"title": ""}


# Pages ------------------------------------------------------------------------------------------------------


def made_up(**means):
    """Results with the same error in every parameter."""
    return {
        key: {
            "label": key,
            MEAN: mean,
            WEIGHTED_MEAN: mean,
            "mae_percent_of_range": dict.fromkeys(NAMES, mean),
        }
        for key, mean in means.items()
    }


@pytest.mark.parametrize(
    ("mean", "verdict"),
    [(1.0, "as expected"), (3.0, "against the expectation"), (1.97, "no difference")],
)
def test_what_came_out_follows_from_the_figures(mean, verdict):
    expectation = Expectation(said="new is better", better="new", worse="old")
    sentence = outcome(expectation, made_up(new=mean, old=2.0))
    assert verdict in sentence
    assert f"{mean:.2f} %" in sentence


def test_the_best_variant_is_named():
    sentence = overall(made_up(new=3.0, old=2.0))
    assert "“old”, 2.00 %, before “new” with 3.00 %" in sentence
    assert "all parameters" in sentence


def test_page_figure_and_json_hold_the_figures(results, settings, tmp_path):
    page = write_page("small", STUDY, results, settings, tmp_path)
    assert page == tmp_path / "studies" / "small.md"
    text = page.read_text()
    for result in results.values():
        assert result["label"] in text
        assert f"{result[MEAN]:.2f}" in text
    assert "0.02 minutes on 1 core (0.02 core-minutes)" in text
    assert "first 64 curves of the frozen set `few`" in text
    document = json.loads(page.with_suffix(".json").read_text())
    assert document["variants"] == json.loads(json.dumps(results))
    assert document["outcome"][0] in text
    assert (tmp_path / "images" / "study-small.png").read_bytes().startswith(b"\x89PNG")
    assert str(settings.folder) not in text + page.with_suffix(".json").read_text()


def test_a_shared_machine_is_mentioned(results, settings):
    uneven = {key: dict(result) for key, result in results.items()}
    for result in uneven.values():
        result["core_minutes"] = result["budget_minutes"]
    assert "machine was shared" not in page_text("small", STUDY, uneven, settings)
    uneven["plain"]["core_minutes"] *= 0.5
    assert "machine was shared" in page_text("small", STUDY, uneven, settings)


@pytest.mark.parametrize(
    "arguments", [[], ["nothing"], ["window", "--minutes", "0"], ["window", "--curves", "9"]]
)
def test_what_cannot_be_run_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err
