"""Sweeps over training plans: what is tried, the table, the best plan, what is interrupted, what is refused."""

import csv
import json

import pytest
import yaml
from typer.testing import CliRunner

from strainscope.cli import app
from strainscope.dataset.plan import load_plan

pytest.importorskip("optuna")
torch = pytest.importorskip("torch")

from strainscope.estimator.plan import load_training_plan  # noqa: E402
from strainscope.training import CHECKPOINT, PLAN, WEIGHTS, Sweep, load_space, run_sweep, sweep  # noqa: E402
from strainscope.training.study import Outcome, Study  # noqa: E402

NETWORK = {"width": 16, "inner": 16, "blocks": 1, "context": 8, "transforms": 2, "bins": 4, "hidden": 8}
SPACE = "learning_rate: {low: 1.0e-4, high: 1.0e-1, log: true}\nnetwork.width: [8, 16]\nbatch: {low: 32, high: 64}\n"


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in one order: the same weights each time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with plan.yaml, space.yaml, and data for the former."""
    folder = tmp_path_factory.mktemp("sweep")
    data = load_plan("uniform-1m").model_dump(mode="json")
    data |= {"size": 256, "angles": {"first": -900.0, "step": 40.0, "number": 24}}
    (folder / "few.yaml").write_text(yaml.safe_dump(data))
    document = {
        "data": [{"plan": "few.yaml"}],
        "network": NETWORK,
        "samples": 12_800,
        "ensemble": 2,
        "recalibrate": 128,
        "warm_up": 64,
        "validation": 64,
        "batch": 64,
    }
    (folder / "plan.yaml").write_text(yaml.safe_dump(document))
    (folder / "space.yaml").write_text(SPACE)
    return folder


def asked(place, *, space=SPACE, **options):
    """A sweep of short trials."""
    plan, file = load_training_plan(str(place / "plan.yaml")), place / "own.yaml"
    file.write_text(space)
    return Sweep(**{"plan": plan, "space": load_space(file, plan), "trials": 3, "samples": 640} | options)


def rows(folder):
    """The table, without the time that each trial took."""
    with (folder / "trials.csv").open() as file:
        found = list(csv.DictReader(file))
    for row in found:
        del row["seconds"]
    return found


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


# What comes of it ---------------------------------------------------------------------------------------------


def test_table_and_best_plan(place, tmp_path):
    out = tmp_path / "sweep"
    arguments = ("sweep", place / "plan.yaml", "--space", place / "space.yaml", "-o", out, "--trials", 3)
    done = run(*arguments, "--samples", 640, "--data", place / "data", "--threads", 1)
    assert done.exit_code == 0, done.output
    table = rows(out)
    assert [row["trial"] for row in table] == ["0", "1", "2"]
    tried = ["learning_rate", "network.width", "batch"]
    assert list(table[0])[:6] == ["trial", *tried, "error_percent", "validation_loss"]
    for row in table:
        errors = [float(own) for name, own in row.items() if name.startswith("error_percent.")]
        assert len(errors) == 7
        assert float(row["error_percent"]) == pytest.approx(sum(errors) / 7)
        assert 1e-4 <= float(row["learning_rate"]) <= 0.1
        assert row["network.width"] in ("8", "16")
        assert 32 <= int(row["batch"]) <= 64
        trained = out / "trials" / f"000{row['trial']}"
        own = json.loads((trained / PLAN).read_text())
        assert (own["batch"], own["ensemble"], own["recalibrate"]) == (int(row["batch"]), 1, 0)
        assert (trained / WEIGHTS).exists()
        assert not (trained / CHECKPOINT).exists()
    best = min(table, key=lambda row: float(row["error_percent"]))
    plan = load_training_plan(str(out / "best.yaml"))
    assert (plan.learning_rate, plan.network.width, plan.batch) == (
        float(best["learning_rate"]),
        int(best["network.width"]),
        int(best["batch"]),
    )
    # All else is as in the plan.
    assert (plan.samples, plan.ensemble, plan.recalibrate) == (12_800, 2, 128)
    assert f"best.yaml: trial {best['trial']}: " in done.output


def test_interrupted_and_resumed_it_ends_as_it_would_have(place, tmp_path):
    whole = tmp_path / "whole"
    run_sweep(asked(place), whole, data_folder=place / "data")
    cut = tmp_path / "cut"

    def cut_off(seen, total):
        if seen > 300 and (cut / "trials" / "0001.json").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="after 1 of 3 trials; --resume goes on from there"):
        run_sweep(asked(place), cut, data_folder=place / "data", tell_step=cut_off)
    assert (cut / "trials" / "0001" / CHECKPOINT).exists()
    assert len(rows(cut)) == 1
    began = []
    study = run_sweep(
        asked(place), cut, data_folder=place / "data", resume=True, tell_step=lambda seen, total: began.append(seen)
    )
    assert began[0] > 300
    assert rows(cut) == rows(whole)
    assert (cut / "best.yaml").read_text() == (whole / "best.yaml").read_text()
    assert len(study.outcomes) == 3


def test_more_trials_are_added(place, tmp_path):
    first = run_sweep(asked(place, trials=1), tmp_path / "s", data_folder=place / "data").outcomes
    told = []
    more = run_sweep(
        asked(place, trials=2),
        tmp_path / "s",
        data_folder=place / "data",
        resume=True,
        tell=lambda study, number: told.append(number),
    )
    assert told == [1]
    assert more.outcomes[0] == first[0]


def test_what_was_tried_is_not_trained_again(place, tmp_path, monkeypatch):
    trained = []

    def pretend(plan, *others):
        trained.append(plan.network.width)
        return Outcome(figures={"validation_loss": 1.0, "L1": float(plan.network.width)})

    monkeypatch.setattr(sweep, "tried", pretend)
    # The third of three choices is found late by chance.
    own = asked(place, space="network.width: [8, 16, 24]\n", trials=3)
    for seed in range(5):
        run_sweep(Sweep(**vars(own) | {"seed": seed}), tmp_path / f"{seed}", data_folder=place / "data")
        assert len(rows(tmp_path / f"{seed}")) == 3
        assert len(set(trained)) == len(trained)
        assert load_training_plan(str(tmp_path / f"{seed}" / "best.yaml")).network.width == min(trained)
        trained.clear()


def test_it_finds_what_is_better(place, tmp_path, monkeypatch):
    """Against as many random trials: the mean of the later ones is nearer to the best rate, 1e-2."""

    def pretend(plan, *others):
        return Outcome(figures={"validation_loss": 0.0, "L1": abs(torch.tensor(plan.learning_rate).log10().item() + 2)})

    monkeypatch.setattr(sweep, "tried", pretend)
    own = asked(place, space="learning_rate: {low: 1.0e-5, high: 1.0e-1, log: true}\n", trials=40)
    study = run_sweep(own, tmp_path / "s", data_folder=place / "data")
    scores = [study.score(number) for number in range(40)]
    # Of the first ten, which are random, the mean is that of a uniform draw: 1.25.
    assert sum(scores[20:]) / 20 < 0.6 * sum(scores[:10]) / 10
    assert study.score(study.best()) < 0.1


def test_a_trial_that_fails_is_a_row_and_the_worst(place, tmp_path, monkeypatch):
    train_in, begun = sweep.train_in, []

    def diverge(plan, *others, **options):
        begun.append(plan)
        if len(begun) == 1:
            raise ValueError("the loss is nan at step 3; the last checkpoint is kept.")
        train_in(plan, *others, **options)

    monkeypatch.setattr(sweep, "train_in", diverge)
    study = run_sweep(asked(place, trials=2), tmp_path / "s", data_folder=place / "data")
    assert study.best() == 1
    failed, trained = rows(tmp_path / "s")
    assert failed["failed"].startswith("the loss is nan at step 3")
    assert failed["error_percent"] == trained["failed"] == ""
    assert float(failed["learning_rate"]) == begun[0].learning_rate


def test_where_all_trials_fail_it_says_why(place, tmp_path, monkeypatch):
    def diverge(*others, **options):
        raise ValueError("the loss is nan at step 3.")

    monkeypatch.setattr(sweep, "train_in", diverge)
    with pytest.raises(ValueError, match="s: none of 2 trials could be trained; the first: the loss is nan at step 3"):
        run_sweep(asked(place, trials=2), tmp_path / "s", data_folder=place / "data")
    assert len(rows(tmp_path / "s")) == 2
    assert not (tmp_path / "s" / "best.yaml").exists()


def test_what_is_damaged_is_no_score():
    assert Outcome(figures={"validation_loss": float("nan"), "L1": 1.0}).score("loss") == float("inf")
    assert Outcome(figures={"validation_loss": -2.0, "L1": 1.0, "L2": 3.0}).score("error") == 2
    assert Outcome(figures={"validation_loss": -2.0, "L1": 1.0}).score("loss") == -2
    assert Outcome(reason="out of memory").score("loss") == float("inf")


# What is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("", "the space file is empty"),
        ("{}", "is empty; give keys of the plan"),
        ("lerning_rate: [0.1, 0.01]", "lerning_rate: is no key to try; there are batch.*Did you mean learning_rate?"),
        ("samples: [1000, 2000]", "samples: is the same for all trials, or they could not be compared; set it in"),
        ("network: [1, 2]", "network: is no key to try"),
        ("batch: 64", r"batch: 64; give a list of values, or \{low: …, high: …\} with log: true or a step"),
        ("batch: [64]", "batch.*at least 2"),
        ("batch: [64, 64]", r"batch.*\[64, 64\]; every value may stand there once"),
        ("batch: {low: 64, high: 32}", "batch: low = 64, high = 32; low must be < high"),
        ("batch: {low: 32}", "batch: high is missing"),
        ("batch: {low: 32, high: 64, stepp: 8}", "batch: unknown key 'stepp'"),
        ("batch: {low: 32, high: 64, step: 24}", "step = 24; from low = 32 whole steps must lead to high = 64"),
        ("batch: {low: 32.0, high: 64.0}", "batch = 42.18.*; it must be a whole number"),
        ("weight_decay: {low: 0.0, high: 0.1, log: true}", "weight_decay: low = 0; with log it must be > 0"),
        ("average: {low: 0.1, high: 0.9, log: true, step: 0.1}", "average: log and step do not go together"),
        ("learning_rate: {low: 0.001, high: 0.5}", "learning_rate = 0.5; it must be less than or equal to 0.1"),
        ("coordinates: [probit, logot]", "coordinates = 'logot'; it must be 'probit' or 'logit'"),
        ("model: [v1, v2]", "model: is the same for all trials"),
    ],
)
def test_a_space_that_cannot_be(place, tmp_path, space, said):
    file = tmp_path / "space.yaml"
    file.write_text(space)
    plan = load_training_plan(str(place / "plan.yaml"))
    with pytest.raises(ValueError, match=rf"^{file}: .*{said}"):
        load_space(file, plan)


@pytest.mark.parametrize(
    ("space", "options", "said"),
    [
        ("coordinates: [probit, logit]\n", {"by": "loss", "trials": 1}, "losses of other coordinates do not compare"),
        ("batch: [32, 64]\n", {"trials": 3}, "--trials 3; the space has 2 combinations"),
        ("batch: {low: 32, high: 36, step: 2}\n", {"trials": 4}, "--trials 4; the space has 3 combinations"),
        ("batch: [32, 512]\n", {"trials": 1}, "--space: batch = 512; data.0. holds 256 curves"),
        (SPACE, {"samples": 32}, "warm_up = 64; it must lie below samples = 32"),
        (SPACE, {"minutes": -1.0}, "minutes = -1.0; it must be greater than 0"),
    ],
)
def test_a_sweep_that_cannot_be_leaves_nothing(place, tmp_path, space, options, said):
    with pytest.raises(ValueError, match=said):
        run_sweep(asked(place, space=space, **options), tmp_path / "s", data_folder=place / "data")
    assert not (tmp_path / "s").exists()


def test_another_sweep_or_something_else(place, tmp_path):
    out, data = tmp_path / "s", place / "data"
    run_sweep(asked(place, trials=1), out, data_folder=data)
    with pytest.raises(FileExistsError, match="holds a sweep; name another folder, or go on with --resume"):
        run_sweep(asked(place), out, data_folder=data)
    with pytest.raises(ValueError, match=r"holds another sweep \(plan.samples = 640, now 64000; seed = 0, now 1\)"):
        run_sweep(asked(place, samples=64_000, seed=1), out, data_folder=data, resume=True)
    (out / "trials" / "0000.json").write_text("{")
    with pytest.raises(ValueError, match=r"0000.json: is damaged"):
        run_sweep(asked(place), out, data_folder=data, resume=True)
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "notes").write_text("mine")
    with pytest.raises(FileExistsError, match="holds something else than a sweep"):
        run_sweep(asked(place), tmp_path / "else", data_folder=data)


def test_optuna_is_not_installed(place, tmp_path, monkeypatch):
    monkeypatch.setattr("strainscope.training.study.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"not installed; install it with: pip install 'strainscope\[sweep\]'"):
        run_sweep(asked(place), tmp_path / "s", data_folder=place / "data")
    assert not (tmp_path / "s").exists()


def test_a_folder_that_cannot_be_written_amidst_keeps_what_is_there(place, tmp_path, monkeypatch):
    out = tmp_path / "s"

    def full(self, number, outcome):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Study, "tell", full)
        with pytest.raises(OSError, match="no space left"):
            run_sweep(asked(place), out, data_folder=place / "data")
    assert (out / "trials" / "0000" / WEIGHTS).exists()
    assert len(run_sweep(asked(place), out, data_folder=place / "data", resume=True).outcomes) == 3
