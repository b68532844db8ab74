"""Frozen test sets, metrics on cases worked by hand, evaluation and its report."""

import dataclasses
import hashlib
import json
import re

import numpy as np
import pytest

from strainscope.dataset.plan import load_plan
from strainscope.dataset.published import PUBLISHED_RANGES
from strainscope.dataset.simulate import Simulator
from strainscope.evaluation import (
    OWN_SEED,
    FrozenTestSet,
    LoadedTestSet,
    evaluate,
    evaluation_document,
    excluded,
    frozen_set,
    frozen_set_names,
    load_test_set,
    own_set,
    parameters_sha256,
    register,
    set_for,
    write_evaluation,
)
from strainscope.evaluation import test_sets as sets
from strainscope.evaluation.calibration import (
    central_coverage,
    chance_band,
    narrowed,
    posterior_sd,
    ranks,
    tarp,
    widths_against_bound,
)
from strainscope.evaluation.metrics import bins, error_ranges, point_metrics, violations
from strainscope.evaluation.report import EVALUATION_FILES
from strainscope.evaluation.rows import RowSet, rounded
from strainscope.profile import Constraint
from strainscope.sample import load_sample

SEVEN = ("Dmax1", "D01", "L1", "Rp1", "D02", "L2", "Rp2")
SHIPPED = ("balanced", "balanced-film", "continuous")
ORDER = Constraint(terms=(("a", 1.0), ("b", -1.0)), upper=0.0)


def small_set(number=400, *, sha256=None, name="small", seed=3):
    """Two parameters, a <= b; a curve is the parameters themselves, three times over."""
    draws = rounded(np.sort(np.random.default_rng(seed).random((number, 2)), axis=1), sets.DIGITS)
    return FrozenTestSet(
        name=name,
        title="Two ordered numbers",
        origin="made for tests",
        names=("a", "b"),
        units=("1", "Å"),
        bounds={"a": (0.0, 1.0), "b": (0.0, 1.0)},
        constraints=(ORDER,),
        angle_arcsec=np.arange(6.0),
        sha256=parameters_sha256(draws) if sha256 is None else sha256,
        size=number,
        draw=lambda: draws.copy(),
        simulate=lambda values, first, last: np.tile(values[first:last], 3),
        columns=lambda values: {"sum": values.sum(axis=1)},
        identity={"seed": seed},
    )


class Exact:
    """Reads the parameters off the curve."""

    name, names = "exact", ("b", "a")

    def point(self, curves):
        return curves[:, [1, 0]]


class Wide(Exact):
    """Draws around them, ordered so that none breaks the constraint."""

    def sample(self, curves, draws, seed):
        noise = np.random.default_rng(seed).normal(0, 0.01, (len(curves), draws, 2))
        return -np.sort(-(self.point(curves)[:, None] + noise), axis=-1)


# Test sets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_sets_are_the_frozen_ones(name):
    frozen = frozen_set(name)
    values = frozen.parameters()
    assert frozen.names == SEVEN
    assert values.shape == (10_000, 7)
    # The hash can be had without this package: 12 significant digits, float64, little-endian.
    plain = np.array([[float(f"{x:.11e}") for x in row] for row in values], dtype="<f8")
    assert hashlib.sha256(plain.tobytes()).hexdigest() == frozen.sha256
    assert len(np.unique(values, axis=0)) == 10_000
    low, high = np.array([frozen.bounds[n] for n in SEVEN]).T
    assert (values >= low).all()
    assert (values <= high).all()
    assert not any(mask.any() for mask in violations(SEVEN, values, frozen.constraints).values())
    assert len(frozen.constraints) == 4


def test_balanced_sets_have_each_l2_a_thousand_times():
    _, counts = np.unique(frozen_set("balanced").parameters()[:, 5], return_counts=True)
    assert counts.tolist() == [1000] * 10


def test_strata_have_to_hold_the_held_out_samples():
    plan = load_plan("balanced-1m")
    with pytest.raises(ValueError, match="the stratum L2 = 5000, which holds 279,500"):
        sets.from_plan("late", plan, first=2_790_000, title="", sha256="", source="balanced-1m")


def test_loaded_curves_are_the_simulators_and_first_ones_can_be_had():
    loaded = load_test_set("balanced", size=5, cached=False)
    again = Simulator(load_plan("balanced-1m")).simulate(loaded.parameters)
    np.testing.assert_array_equal(loaded.curves, again)
    assert len(loaded) == 5
    np.testing.assert_array_equal(loaded.parameters, frozen_set("balanced").parameters()[:5])
    dmax1, d02 = loaded.parameters[:, 0], loaded.parameters[:, 4]
    strain = loaded.columns["maximum_strain"]
    assert (strain >= np.maximum(dmax1, d02) * (1 - 1e-12)).all()
    assert (strain <= dmax1 + d02).all()


def test_other_parameters_than_the_frozen_ones_are_refused():
    with pytest.raises(ValueError, match="test set small is not the frozen one.*must be 00000000"):
        load_test_set(small_set(sha256="0" * 64))


def test_rounding_errors_of_another_machine_change_no_hash():
    frozen = frozen_set("continuous")
    off = dataclasses.replace(frozen, draw=lambda: frozen.draw() * (1 + 2e-15))
    np.testing.assert_array_equal(off.parameters(), frozen.parameters())


def test_unknown_name_and_size_out_of_range():
    with pytest.raises(ValueError, match="there are balanced, balanced-film, continuous.*mean balanced"):
        frozen_set("balancd")
    with pytest.raises(ValueError, match="size = 401; test set small has 1 to 400 curves"):
        load_test_set(small_set(), size=401)


def test_a_set_of_anothers_simulator_can_join_once(monkeypatch):
    monkeypatch.setattr(sets, "_FACTORIES", dict(sets._FACTORIES))
    register("mine", small_set)
    assert frozen_set_names()[-1] == "mine"
    assert frozen_set("mine") is frozen_set("mine")
    with pytest.raises(ValueError, match="'mine' exists already"):
        register("mine", small_set)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "strainscope"


def counted(frozen):
    """The set, and a list of the stretches that are simulated."""
    asked = []

    def simulate(values, first, last):
        asked.append((first, last))
        return frozen.simulate(values, first, last)

    return dataclasses.replace(frozen, simulate=simulate), asked


def test_whole_sets_are_kept_and_read_again(cache):
    frozen, asked = counted(small_set())
    load_test_set(frozen, size=7)
    assert not cache.exists()
    first = load_test_set(frozen)
    assert [path.name.startswith("test-set-small-") for path in cache.iterdir()] == [True]
    asked.clear()
    second = load_test_set(frozen, size=300)
    np.testing.assert_array_equal(second.curves, first.curves[:300])
    # Only a few are simulated, to see whether the kept ones are still right.
    assert sum(last - first for first, last in asked) == 4


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-50]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes().replace(b"\x3f", b"\x3e")),
    ],
    ids=["cut", "empty", "altered"],
)
def test_damaged_copies_are_made_anew(cache, damage):
    frozen = small_set()
    wanted = load_test_set(frozen).curves
    (file,) = cache.iterdir()
    damage(file)
    np.testing.assert_array_equal(load_test_set(frozen).curves, wanted)
    (file,) = cache.iterdir()
    with np.load(file) as kept:
        np.testing.assert_array_equal(kept["curves"], wanted)


def test_copies_of_an_engine_that_has_changed_are_made_anew(cache):
    frozen = small_set()
    load_test_set(frozen)
    changed = dataclasses.replace(frozen, simulate=lambda v, a, b: 1.01 * frozen.simulate(v, a, b))
    np.testing.assert_array_equal(load_test_set(changed).curves, 1.01 * np.tile(frozen.draw(), 3))


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "strainscope").write_text("a file in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert len(load_test_set(small_set()).curves) == 400


# Exclusion --------------------------------------------------------------------------------------------------


def test_rows_of_frozen_sets_are_found_in_any_order_of_columns():
    held_out = frozen_set("balanced").parameters()
    before = load_plan("balanced-1m").draws.values(0, 1000)
    table = np.concatenate([before, held_out[[3, 9999]], before[:2]])
    found = np.flatnonzero(excluded(table, SEVEN))
    assert found.tolist() == [1000, 1001]
    order = [6, 2, 0, 1, 5, 4, 3]
    names = tuple(SEVEN[i] for i in order)
    assert np.flatnonzero(excluded(table[:, order], names)).tolist() == [1000, 1001]
    assert np.flatnonzero(excluded(table.astype(np.float32), SEVEN)).tolist() == [1000, 1001]


def test_rows_with_further_parameters_are_found_and_tables_that_lack_some_are_not():
    held_out = frozen_set("continuous").parameters()[:3]
    more = np.column_stack([held_out, np.arange(3.0)])
    assert excluded(more, (*SEVEN, "offset_arcsec")).all()
    assert excluded(held_out[:, :5], SEVEN[:5]).all()
    assert not excluded(np.column_stack([held_out[:, :6], np.arange(3.0)]), (*SEVEN[:6], "other")).any()


def test_a_plan_that_draws_the_continuous_set_is_found_out():
    same = load_plan("uniform-1m").with_options(seed=sets.CONTINUOUS_SEED).draws.values(9_000, 11_000)
    for table in (same, same.astype(np.float32)):
        assert np.flatnonzero(excluded(table, SEVEN)).tolist() == list(range(1000))


def test_training_samples_before_the_held_out_ones_are_clear_of_them():
    draws = load_plan("balanced-1m").draws
    # A million of the 2.7: the rest follows as permutations repeat nothing.
    assert not excluded(draws.values(1_700_000, sets.FIRST_HELD_OUT), SEVEN).any()
    assert excluded(draws.values(sets.FIRST_HELD_OUT - 1, sets.FIRST_HELD_OUT + 1), SEVEN).tolist() == [
        False,
        True,
    ]


def test_a_table_of_another_width_is_refused():
    with pytest.raises(ValueError, match="shape \\(2, 3\\); it must have one column for each of Dmax1"):
        excluded(np.zeros((2, 3)), SEVEN)


def test_rounding_is_that_of_decimal_text():
    values = np.array(
        [0.0, -0.0, 1.0, 9.99999999999996, -123456789.0123456, 1e-4, 0.1 + 0.2, 6.02e23, -1e-300]
    )
    expected = [float(f"{x:.11e}") if abs(x) > 1e-280 else 0.0 for x in values]
    assert rounded(values).tolist() == expected
    assert not np.signbit(rounded(values)[:2]).any()
    with pytest.raises(ValueError, match=r"values\[1\] = nan"):
        rounded(np.array([1.0, np.nan]))


def test_row_sets_tell_rows_apart_that_differ_in_the_last_digit_kept():
    rows = RowSet(np.array([[0.1, 0.2]]))
    assert rows.contains(np.array([[0.1, 0.2 * (1 + 1e-14)], [0.1, 0.2 + 1e-12], [0.2, 0.1]])).tolist() == [
        True,
        False,
        False,
    ]


# Errors -----------------------------------------------------------------------------------------------------


def test_errors_of_a_case_worked_by_hand():
    truth = np.array([[1.0, 10.0], [2.0, 10.0], [3.0, 10.0], [4.0, 10.0]])
    estimate = np.array([[1.0, 11.0], [2.5, 9.0], [3.0, 12.0], [3.0, 2.0]])
    m = point_metrics(("a", "b"), truth, estimate, widths=np.array([10.0, 20.0]), constraints=(ORDER,))
    assert m.mae_percent_of_range == pytest.approx({"a": 3.75, "b": 15.0})
    assert m.median_percent_of_range == pytest.approx({"a": 2.5, "b": 7.5})
    assert m.r2["a"] == pytest.approx(1 - 1.25 / 5)
    assert np.isnan(m.r2["b"])
    # 10 % exactly is within.
    assert m.within_10_percent == {"a": 0.5, "b": 0.5}
    assert (m.violations, m.violations_of) == (0.25, {"a - b <= 0": 0.25})
    assert m.mean_mae_percent_of_range == pytest.approx(9.375)


def test_errors_are_in_the_predecessors_ranges_for_its_sample_alone():
    bounds = {"L2": (500.0, 7000.0), "other": (1.0, 3.0)}
    ggg, silicon = (load_sample(name).settings() for name in ("ggg444", "si004"))
    assert error_ranges(bounds, ggg) == {"L2": (1000.0, 7000.0), "other": (1.0, 3.0)}
    assert error_ranges(bounds, silicon) == bounds == error_ranges(bounds, None)
    for name in frozen_set_names():
        frozen = frozen_set(name)
        assert {n: frozen.ranges[n] for n in SEVEN} == PUBLISHED_RANGES
    with pytest.raises(ValueError, match="thing has the bounds 2 to 2; .* lower < upper"):
        error_ranges({"thing": (2.0, 2.0)}, None)


def test_a_value_that_is_not_finite_is_named():
    estimate = np.zeros((3, 2))
    estimate[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"estimate of b for curve 2 is nan.*\(1 of 3 curves"):
        point_metrics(("a", "b"), np.ones((3, 2)), estimate, widths=np.ones(2))
    with pytest.raises(ValueError, match="no curves"):
        point_metrics(("a", "b"), np.ones((0, 2)), np.ones((0, 2)), widths=np.ones(2))


def test_bins_hold_every_curve_once_and_never_split_a_value():
    values = np.array([3.0, 1, 1, 1, 1, 2, 5, 4])
    parts = list(bins("q", values, number=4))
    assert np.sum([part.mask for part in parts], axis=0).tolist() == [1] * 8
    for part in parts:
        inside = (values >= part.low) & (values <= part.high)
        np.testing.assert_array_equal(part.mask, inside)
    assert len(list(bins("q", np.ones(9)))) == 1
    with pytest.raises(ValueError, match="q of curve 1 is not finite"):
        list(bins("q", np.array([1.0, np.inf])))


# Posteriors -------------------------------------------------------------------------------------------------


def test_ranks_by_hand():
    samples = np.arange(9.0).reshape(1, 9, 1)
    rng = np.random.default_rng(0)
    for truth, below in ((-1.0, 0), (3.5, 4), (20.0, 9)):
        rank = ranks(samples, np.array([[truth]]), rng=rng).item()
        assert below / 10 <= rank <= (below + 1) / 10
    weights = np.array([[0, 0, 0, 0, 1, 0, 0, 0, 0.0]])
    assert ranks(samples, np.array([[3.5]]), rng=rng, weights=weights).item() < 0.1
    assert ranks(samples, np.array([[4.5]]), rng=rng, weights=weights).item() > 0.9


def test_truths_that_equal_draws_have_every_rank_alike():
    rank = ranks(np.zeros((5000, 3, 1)), np.zeros((5000, 1)), rng=np.random.default_rng(0))
    assert central_coverage(rank, 0.5).item() == pytest.approx(0.5, abs=0.03)


def test_tarp_counts_the_draws_that_are_closer():
    samples = np.linspace(0, 1, 99).reshape(1, 99, 1)
    numbers = [
        tarp(
            samples, np.array([[50.0]]), low=np.zeros(1), high=np.ones(1), rng=np.random.default_rng(k)
        ).item()
        for k in range(5)
    ]
    assert min(numbers) > 0.98
    with pytest.raises(ValueError, match="low must be < high"):
        tarp(samples, np.zeros((1, 1)), low=np.zeros(1), high=np.zeros(1), rng=np.random.default_rng(0))


def test_width_and_its_half():
    samples = np.random.default_rng(0).normal(5.0, 2.0, (3, 4000, 2))
    sd = posterior_sd(samples)
    np.testing.assert_allclose(sd, samples.std(axis=1, ddof=1))
    np.testing.assert_allclose(posterior_sd(narrowed(samples)), 0.5 * sd)
    # Weights of 0 and 1 leave the draws that count.
    weights = np.zeros((3, 4000))
    weights[:, :100] = 1.0
    np.testing.assert_allclose(posterior_sd(samples, weights), samples[:, :100].std(axis=1, ddof=1))


def test_widths_against_bounds():
    bound = np.array([[1.0, 2.0], [1.0, np.nan], [4.0, 2.0]])
    ratios = widths_against_bound(("a", "b"), np.full((3, 2), 2.0), bound)
    assert (ratios["a"].median, ratios["a"].mean) == (2.0, 1.0)
    assert (ratios["b"].median, ratios["b"].mean) == (1.0, 1.0)
    with pytest.raises(ValueError, match="bound of b for curve 0 = 0; it must be > 0"):
        widths_against_bound(("a", "b"), np.ones((1, 2)), np.array([[1.0, 0.0]]))


def test_the_band_of_chance_is_binomial():
    low, high = chance_band(10_000, 0.5)
    assert 0.5 - low == pytest.approx(1.96 * 0.005, rel=0.02)
    assert high - 0.5 == pytest.approx(1.96 * 0.005, rel=0.02)


@pytest.mark.parametrize(
    ("samples", "truth", "weights", "message"),
    [
        (np.zeros((2, 5)), np.zeros((2, 5)), None, r"\(curve, draw, parameter\)"),
        (np.zeros((2, 5, 1)), np.zeros((3, 1)), None, r"truth \(3, 1\)"),
        (np.full((2, 5, 1), np.nan), np.zeros((2, 1)), None, "curve 0 are not all finite"),
        (np.zeros((2, 5, 1)), np.zeros((2, 1)), np.zeros((2, 5)), "weights of curve 0"),
        (np.zeros((2, 5, 1)), np.zeros((2, 1)), np.ones((2, 4)), r"weights has shape \(2, 4\)"),
    ],
)
def test_draws_that_make_no_sense_are_refused(samples, truth, weights, message):
    with pytest.raises(ValueError, match=message):
        ranks(samples, truth, rng=np.random.default_rng(0), weights=weights)


# Evaluation -------------------------------------------------------------------------------------------------


@pytest.fixture
def loaded():
    return load_test_set(small_set(), cached=False)


def test_exact_estimates_have_no_error_whatever_the_order_of_names(loaded):
    result = evaluate(Exact(), loaded)
    document = json.loads(json.dumps(evaluation_document(result)))
    assert document["parameters"] == ["a", "b"]
    assert document["mae_percent_of_range"] == {"a": 0.0, "b": 0.0}
    assert document["r2"] == {"a": 1.0, "b": 1.0}
    assert document["violations"] == 0
    assert document["estimator"] == "exact"
    assert [entry["curves"] for entry in document["bins"]["sum"]] == [100] * 4
    assert "coverage" not in document
    assert document["timing_ms_per_curve"]["point"] > 0


def test_documents_of_posteriors(loaded):
    counts = np.linspace(3, 8, len(loaded))
    bounds = np.full((len(loaded), 2), 0.01)
    result = evaluate(Wide(), loaded, draws=50, by={"log10_counts": counts}, cramer_rao=bounds)
    document = json.loads(json.dumps(evaluation_document(result)))
    # The truth lies in the middle of its draws: all is covered, which is wrong, too.
    assert document["coverage"]["50"]["a"] > 0.9
    assert any(problem.startswith("a: ") for problem in document["coverage_problems"])
    assert set(document["coverage"]) == {"50", "90"}
    assert set(document["coverage"]["90"]) == {"a", "b", "joint"}
    assert sum(document["sbc"]["a"]["counts"]) == 400
    assert document["sd_over_cramer_rao"]["a"]["median"] == pytest.approx(1, abs=0.15)
    assert document["sample_violations"] == 0
    assert len(document["bins"]["log10_counts"]) == 4
    again = evaluation_document(evaluate(Wide(), loaded, draws=50))
    assert again["coverage"] == document["coverage"]


def test_weights_of_draws_count(loaded):
    class Weighted(Wide):
        def sample(self, curves, draws, seed):
            samples = super().sample(curves, draws, seed)
            samples[:, draws // 2 :] += 5.0
            return samples, np.tile(np.arange(draws) < draws // 2, (len(curves), 1)).astype(float)

    result = evaluate(Weighted(), loaded, draws=60)
    assert result.calibration.sd.max() < 0.02


@pytest.mark.parametrize(
    ("names", "point", "sample", "message"),
    [
        (("c",), lambda c: c[:, :1], None, "the estimator knows c; test set small has a, b"),
        (("a", "b"), lambda c: c[:, :3], None, r"estimate has shape \(400, 3\); it must be \(400, 2\)"),
        (("a", "b"), lambda c: c[:, :2] * np.nan, None, "estimate of a for curve 0 is nan"),
        (
            ("a", "b"),
            lambda c: c[:, :2],
            lambda c, d, s: np.zeros((len(c), d)),
            r"draws have shape \(1, 9\); it must be \(1, 9, 2\)",
        ),
        (
            ("a", "b"),
            lambda c: c[:, :2],
            lambda c, d, s: np.full((len(c), d, 2), np.nan),
            "draws for curve 0 are not all finite",
        ),
    ],
)
def test_estimators_that_do_not_fit_are_told_why(loaded, names, point, sample, message):
    estimator = type("Estimator", (), {})()
    estimator.names, estimator.point, estimator.sample = names, point, sample
    with pytest.raises(ValueError, match=message):
        evaluate(estimator, loaded, draws=9)


def test_quantities_have_one_value_a_curve(loaded):
    with pytest.raises(ValueError, match=r"noise has shape \(3,\)"):
        evaluate(Exact(), loaded, by={"noise": np.ones(3)})


def test_parameters_that_the_estimator_lacks_are_said(loaded):
    class Half:
        names = ("b",)

        def point(self, curves):
            return curves[:, 1:2]

    result = evaluate(Half(), loaded)
    assert (result.names, result.not_estimated) == (("b",), ("a",))
    assert result.metrics.violations_of == {}


def test_what_an_estimator_says_of_its_training_is_told(loaded, tmp_path):
    plan = {"title": "two numbers", "model": "v3", "data": [{"plan": "a/mine.yaml"}], "lab": None, "seed": 4}
    member = {"plan": plan, "seen": 1000, "training_seconds": 1800.0, "core_seconds": 3600.0}

    class Known(Exact):
        about = {**member, "members": [member, {**member, "plan": {**plan, "seed": 5}}]}

    result = evaluate(Known(), loaded)
    told = evaluation_document(result)["training"]
    assert (told["title"], told["data"], told["seeds"]) == ("two numbers", ["mine"], [4, 5])
    assert (told["curves_seen"], told["hours"], told["core_hours"]) == (2000, 1.0, 2.0)
    write_evaluation(result, tmp_path / "folder")
    text = (tmp_path / "folder" / "evaluation.md").read_text(encoding="utf-8")
    assert "Trained on: 2,000 curves (plan “two numbers”: v3 on mine)" in text
    assert "Training: 1 h (seeds 4, 5, 2 core-hours)" in text
    assert evaluation_document(evaluate(Exact(), loaded))["training"] is None


def test_a_caveat_stands_beside_the_verdict(loaded, tmp_path):
    noted = dataclasses.replace(loaded, frozen=dataclasses.replace(loaded.frozen, caveat="Mind the grid."))
    write_evaluation(evaluate(Wide(), noted, draws=40), tmp_path / "folder")
    text = (tmp_path / "folder" / "evaluation.md").read_text(encoding="utf-8")
    assert "**Not calibrated.**" in text
    assert "- Mind the grid." in text


# The set of an estimator's own plan -------------------------------------------------------------------------


def test_the_own_set_is_fresh_curves_of_the_plan(tmp_path):
    data = [{"plan": "balanced-1m", "size": 2000}, {"plan": "uniform-1m", "size": 2000}]
    about = {"plan": {"data": data, "seed": 0}}
    own = set_for("own", about)
    values = own.parameters()
    assert len(np.unique(values, axis=0)) == 10_000
    used = [load_plan(entry["plan"], size=2000).draws.values(0, 2000) for entry in data]
    for table in used:
        assert not RowSet(rounded(table, sets.DIGITS)).contains(values).any()
    on_grid = (values[:, 5] % 500 == 0) & (values[:, 2] % 500 == 0)
    assert 0.45 < on_grid.mean() < 0.55
    np.testing.assert_array_equal(set_for("own", about).parameters(), values)
    curves = load_test_set(own, size=3, cached=False).curves
    np.testing.assert_allclose(curves, Simulator(load_plan("uniform-1m")).simulate(values[:3]), rtol=1e-3)
    with pytest.raises(ValueError, match="data of the estimator's plan differ"):
        own_set(about | {"plans": [{}]})
    with pytest.raises(ValueError, match="does not say what it was trained on"):
        own_set({})
    with pytest.raises(ValueError, match="there are balanced, .*, own"):
        set_for("mine", about)


def test_the_own_set_of_scans_has_a_seed_that_no_network_had():
    about = {"plan": {"lab": {"sample": "ggg444"}, "seed": 0}}
    member = {"plan": {"lab": {"sample": "ggg444"}, "seed": OWN_SEED}}
    own, other = own_set(about), own_set(member | {"members": [about, member]})
    assert own.names == frozen_set("lab").names
    assert (own.identity["seed"], other.identity["seed"]) == (OWN_SEED, OWN_SEED + 1)
    assert own.sha256 not in (other.sha256, frozen_set("lab").sha256)
    with pytest.raises(ValueError, match="sample of the estimator's plan differ"):
        own_set(about | {"sample": {"fit": {}}})


# Report -----------------------------------------------------------------------------------------------------


def test_a_folder_has_all_files_and_its_page_loads_nothing(loaded, tmp_path):
    result = evaluate(Wide(), loaded, draws=40, name="wide <b>&", cramer_rao=np.ones((400, 2)))
    write_evaluation(result, tmp_path / "new" / "folder", command="strainscope evaluate wide --set small")
    folder = tmp_path / "new" / "folder"
    assert sorted(path.name for path in folder.iterdir()) == sorted(EVALUATION_FILES)
    page = (folder / "evaluation.html").read_text(encoding="utf-8")
    assert "wide &lt;b&gt;&amp;" in page
    assert "Not calibrated" in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "<script" not in page
    assert page.count("data:image/png;base64,") == 6
    assert "whose width is beside them: the bounds of the set’s values" in page
    assert "v2 of 2025" not in page
    text = (folder / "evaluation.md").read_text(encoding="utf-8")
    pictures = re.findall(r"\]\((.*?)\)", text)
    assert all((folder / name).is_file() for name in pictures)
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        widths = {line.replace("\\|", "").count("|") for line in table.splitlines()}
        assert len(widths) == 1, table
    document = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    assert document["command"] == "strainscope evaluate wide --set small"


def test_point_estimators_have_a_shorter_folder(loaded, tmp_path):
    write_evaluation(evaluate(Exact(), loaded), tmp_path / "folder")
    names = {path.name for path in (tmp_path / "folder").iterdir()}
    assert names == set(EVALUATION_FILES) - {"coverage.png", "ranks.png", "widths.png"}
    assert "Calibration" not in (tmp_path / "folder" / "evaluation.md").read_text(encoding="utf-8")


def test_a_former_evaluation_is_replaced_only_when_asked(loaded, tmp_path):
    result = evaluate(Exact(), loaded)
    write_evaluation(result, tmp_path / "folder")
    with pytest.raises(FileExistsError, match="--force"):
        write_evaluation(result, tmp_path / "folder")
    write_evaluation(result, tmp_path / "folder", force=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="no former evaluation"):
        write_evaluation(result, tmp_path / "other", force=True)


def test_a_single_curve_can_be_evaluated(tmp_path):
    frozen = small_set()
    one = LoadedTestSet(
        frozen=frozen, parameters=frozen.parameters()[:1], curves=np.tile(frozen.draw()[:1], 3)
    )
    write_evaluation(evaluate(Wide(), one, draws=5), tmp_path / "one")
    document = json.loads((tmp_path / "one" / "evaluation.json").read_text(encoding="utf-8"))
    assert document["r2"] == {"a": None, "b": None}
