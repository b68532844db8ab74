"""Training: it learns, goes on where it was, and does what the plan's options say."""

import errno
import itertools
import json
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from rich.progress import Progress
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from strainscope import training
from strainscope.cli import app
from strainscope.dataset.plan import load_plan
from strainscope.estimator.load import load_estimator
from strainscope.estimator.losses import RECIPES
from strainscope.estimator.plan import TrainingPlan, checked_training, load_training_plan
from strainscope.estimator.shipped import estimator_path
from strainscope.estimator.weights import load_weights
from strainscope.evaluation import LAB_SEED, excluded
from strainscope.sample import preset_text
from strainscope.training.board import Board
from strainscope.training.checkpoint import append_log, load_checkpoint, save_checkpoint
from strainscope.training.claim import held
from strainscope.training.data import Curriculum, DatasetSource, Stream, readers_of
from strainscope.training.held_out import held_out_values
from strainscope.training.run import Run
from strainscope.training.settings import full_plan

SMALL = {"width": 32, "blocks": 1, "context": 16, "transforms": 2, "bins": 4, "hidden": 16}
BASELINES = ("v1", "v2", "v3", "cnn2023")


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in one order: the same weights each time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def training_plan(folder, *, size=4096, points=50, **changes):
    """A plan on few points, quick to simulate and to train."""
    data = load_plan("uniform-1m").model_dump(mode="json")
    data |= {"size": size, "angles": {"first": -900.0, "step": 1000.0 / points, "number": points}}
    place = folder / f"few-{size}-{points}.yaml"
    place.write_text(yaml.safe_dump(data))
    settings = {
        "data": [{"plan": str(place)}],
        "network": SMALL,
        "samples": 6400,
        "batch": 128,
        "warm_up": 500,
        "validation": 256,
        "validate_every": 3200,
        "learning_rate": 3e-3,
    }
    return checked_training(settings | changes, source="test")


def short_plan(folder, model="posterior", **changes):
    """A network on few curves of few points: an epoch is a step or two."""
    settings = {"points": 172 if model == "cnn2023" else 24, "size": 64, "validation": 64}
    if model == "posterior":
        settings |= {"samples": 640, "batch": 64, "validate_every": 320, "warm_up": 64}
    else:
        settings |= {"samples": 256, "batch": 32, "validate_every": 1000}
        settings |= {"network": {}, "learning_rate": None, "warm_up": None}
    return training_plan(folder, **settings | changes, model=model)


def weights_of(folder):
    return load_weights(folder / training.WEIGHTS)[0]


def log_of(folder):
    return [json.loads(line) for line in (folder / training.LOG).read_text().splitlines()]


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=0, atol=0)


class _Interrupted(Exception):
    pass


def interrupt_at(looks):
    """What stops a training at one of its looks."""
    left = [looks]

    def tell(progress):
        left[0] -= 1
        if not left[0]:
            raise _Interrupted

    return tell


def interrupted(plan, folder, data_folder, *, looks=1, **options):
    with pytest.raises(_Interrupted):
        training.train(plan, folder, data_folder=data_folder, tell=interrupt_at(looks), **options)


# The loop ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(data_folder, tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "whole"
    training.train(training_plan(data_folder), folder, data_folder=data_folder)
    return folder


def test_training_learns_and_logs(trained):
    rows = log_of(trained)
    assert [row["seen"] for row in rows] == [3200, 6400]
    # A flat density over seven coordinates of unit variance would give about 10.
    assert rows[-1]["validation_loss"] < rows[0]["validation_loss"] < 10
    assert rows[-1]["Dmax1"] < 20
    assert rows[0]["learning_rate"] > rows[-1]["learning_rate"]
    estimator = load_estimator(trained / training.WEIGHTS)
    assert estimator.about["plan"]["samples"] == 6400
    assert estimator.about["validation"]["Dmax1"] == rows[-1]["Dmax1"]


def test_interrupted_and_resumed_it_ends_with_the_same_weights(trained, data_folder, tmp_path):
    plan, folder = training_plan(data_folder), tmp_path / "run"
    interrupted(plan, folder, data_folder, checkpoint_every=1280)
    assert not (folder / training.WEIGHTS).exists()
    training.train(plan, folder, data_folder=data_folder, resume=True)
    assert_same(weights_of(folder), weights_of(trained))
    # The look after the last checkpoint was done twice, and is told once.
    assert [row["seen"] for row in log_of(folder)] == [3200, 6400]


def test_a_training_that_is_over_stays_as_it_is(data_folder, tmp_path):
    plan, folder = short_plan(data_folder), tmp_path / "run"
    training.train(plan, folder, data_folder=data_folder)
    before = weights_of(folder)
    training.train(plan, folder, data_folder=data_folder, resume=True)
    assert_same(weights_of(folder), before)


def test_another_plan_does_not_go_on_in_a_run(trained, data_folder):
    with pytest.raises(FileExistsError, match="--resume"):
        training.train(training_plan(data_folder), trained, data_folder=data_folder)
    with pytest.raises(ValueError, match=r"of another plan \(seed = 0, now 3\); name another folder"):
        training.train(training_plan(data_folder, seed=3), trained, data_folder=data_folder, resume=True)


def test_another_sample_behind_the_same_name_does_not_go_on(data_folder, tmp_path, monkeypatch):
    """Nor another table that the sample names; the same plan from elsewhere, or with defaults written out, does."""
    own = yaml.safe_load(preset_text("ggg444"))
    own["resolution"] = {"family": "measured", "path": "resolution.txt"}
    data = load_plan("uniform-1m").model_dump(mode="json") | {"sample": "own.yaml"}
    place = tmp_path / "plan.yaml"
    place.write_text(yaml.safe_dump({"data": [{"plan": "data.yaml", "size": 64}]}))
    table = tmp_path / "resolution.txt"

    def start(name=place, *, title="one", size=64, stretch=(0.5, 2.0), width=3):
        table.write_text("\n".join(f"{x} {np.exp(-((x / width) ** 2))}" for x in range(-20, 21)))
        own["title"], own["resolution"]["stretch_range"] = title, list(stretch)
        (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
        (tmp_path / "data.yaml").write_text(yaml.safe_dump(data | {"size": size}))
        with held(tmp_path / "run", full_plan(load_training_plan(str(name))), resume=True):
            pass

    start()
    monkeypatch.chdir(tmp_path)
    start("plan.yaml", title="two")
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir("inside")
    start("../plan.yaml", size=65)  # the training's plan has a size of its own
    with pytest.raises(
        ValueError, match=r"data\[0\]\.sample\.resolution\.stretch_range = \[0\.5, 2\.0\], now \[0\.6, 2\.0\]"
    ):
        start(stretch=(0.6, 2.0))
    with pytest.raises(ValueError, match=r"sample\.resolution\.path = .*file of checksum .*, now .*file of"):
        start(width=4)


def test_a_run_of_an_earlier_version_goes_on(data_folder, tmp_path):
    """Its plan does not say what its files held, and lacks the keys that came later."""
    plan, folder = short_plan(data_folder), tmp_path / "run"
    interrupted(plan, folder, data_folder)
    place = folder / training.PLAN
    document = json.loads(place.read_text())
    del document["sources"], document["recalibrate"]
    place.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"\(samples = 640, now 704\)"):
        training.train(short_plan(data_folder, samples=704), folder, resume=True)
    assert training.train(plan, folder, data_folder=data_folder, resume=True).exists()


def test_one_training_at_a_time_in_a_folder(data_folder, tmp_path):
    plan, folder = short_plan(data_folder), tmp_path / "run"

    def another(progress):
        with pytest.raises(OSError, match="run: another process is writing it"):
            training.train(plan, folder, data_folder=data_folder, resume=True)

    training.train(plan, folder, data_folder=data_folder, tell=another)


@pytest.fixture
def ctrl_c():
    """Ctrl-C is heard, as from a terminal, even where these tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_leaves_a_checkpoint_of_the_last_finished_step(data_folder, tmp_path, monkeypatch):
    plan, folder, step = short_plan(data_folder), tmp_path / "run", Run.step
    training.train(plan, tmp_path / "whole", data_folder=data_folder)

    def interrupted_step(self, curves, values):
        if self.steps == 3:
            signal.raise_signal(signal.SIGINT)
        step(self, curves, values)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "step", interrupted_step)
        with pytest.raises(KeyboardInterrupt, match="at 256 of 640 curves; --resume goes on from there"):
            training.train(plan, folder, data_folder=data_folder)
    resumed = []
    training.train(
        plan, folder, data_folder=data_folder, resume=True, tell_resumed=lambda *told: resumed.append(told)
    )
    assert resumed == [(256, 640)]
    assert_same(weights_of(folder), weights_of(tmp_path / "whole"))


def test_ctrl_c_while_curves_are_read_takes_none_of_them(data_folder, tmp_path, monkeypatch):
    plan, folder, whole = short_plan(data_folder), tmp_path / "run", Stream.__iter__

    def reading(self):
        for batch in whole(self):
            if self.state()["read"] == 4:
                raise KeyboardInterrupt
            yield batch

    training.train(plan, tmp_path / "whole", data_folder=data_folder)
    with monkeypatch.context() as patch:
        patch.setattr(Stream, "__iter__", reading)
        with pytest.raises(KeyboardInterrupt, match="at 192 of 640"):
            training.train(plan, folder, data_folder=data_folder)
    training.train(plan, folder, data_folder=data_folder, resume=True)
    assert_same(weights_of(folder), weights_of(tmp_path / "whole"))


@pytest.mark.parametrize("empty_before", [False, True])
def test_a_start_that_fails_leaves_nothing(data_folder, tmp_path, monkeypatch, empty_before):
    folder = tmp_path / "new" / "run"
    if empty_before:
        folder.mkdir(parents=True)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2**26))
    plan = short_plan(data_folder, size=10**7)
    with pytest.raises(
        OSError, match=r"^data\[0\]: .*10,000,000 samples need .* Ask for a size of at most [\d,]+, or"
    ):
        training.train(plan, folder)
    assert list(tmp_path.rglob("*")) == ([folder.parent, folder] if empty_before else [])


def test_what_is_simulated_stays_when_the_training_fails(data_folder, tmp_path, monkeypatch):
    def fails(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "step", fails)
    with pytest.raises(KeyboardInterrupt, match="before the first step"):
        training.train(short_plan(data_folder), tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["data", "plan.json", "tensorboard"]


def test_a_file_in_the_place_of_the_folder_is_said_so(data_folder, tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(FileExistsError, match="run: is a file; name a folder"):
        training.train(short_plan(data_folder), tmp_path / "run")
    with pytest.raises(OSError, match=r"inside: cannot be made \(Not a directory\); choose another place"):
        training.train(short_plan(data_folder), tmp_path / "run" / "inside")
    with pytest.raises(OSError, match=r"/proc/run: cannot be made"):
        training.train(short_plan(data_folder), Path("/proc/run"))
    assert (tmp_path / "run").read_text() == "mine"


def test_what_a_killed_training_left_half_written_is_removed(data_folder, tmp_path):
    plan, folder = short_plan(data_folder), tmp_path / "run"
    interrupted(plan, folder, data_folder)
    (folder / ".checkpoint.pt.0123abcd.partial").write_bytes(b"half")
    training.train(plan, folder, data_folder=data_folder, resume=True)
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."
        ),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation"),
    ],
)
def test_too_little_memory_is_said_so(data_folder, tmp_path, monkeypatch, error):
    def fails(*_):
        raise error

    monkeypatch.setattr(Run, "step", fails)
    with pytest.raises(
        ValueError, match=r"^out of memory \(.*batch = 64 .*smaller batch or network.*machine\.$"
    ):
        training.train(short_plan(data_folder), tmp_path / "run", data_folder=data_folder)
    assert not (tmp_path / "run").exists()


def test_an_altered_checkpoint_is_said_so(data_folder, tmp_path):
    plan, folder = short_plan(data_folder), tmp_path / "run"
    interrupted(plan, folder, data_folder, checkpoint_every=64)
    place = folder / training.CHECKPOINT
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"checkpoint\.pt: is no whole checkpoint \(the checksum of .* differs"
    ):
        training.train(plan, folder, data_folder=data_folder, resume=True)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a file", b"text"])
def test_a_damaged_checkpoint_is_said_so(data_folder, tmp_path, content):
    plan, folder = short_plan(data_folder), tmp_path / "run"
    interrupted(plan, folder, data_folder)
    (folder / training.CHECKPOINT).write_bytes(content)
    with pytest.raises(ValueError, match=r"checkpoint\.pt: is no whole checkpoint .* delete it and resume"):
        training.train(plan, folder, data_folder=data_folder, resume=True)


def test_a_checkpoint_is_loaded_on_the_processor(tmp_path, monkeypatch):
    """Other devices may have no float64, which the left-over values of a stream are."""
    asked, load = [], torch.load

    def loading(path, **options):
        asked.append(options["map_location"])
        return load(path, **options)

    monkeypatch.setattr(torch, "load", loading)
    save_checkpoint(tmp_path / "c.pt", {"left": torch.arange(3.0, dtype=torch.float64)})
    assert load_checkpoint(tmp_path / "c.pt")["left"].dtype == torch.float64
    assert asked == ["cpu"]


_FULL = OSError(errno.ENOSPC, "No space left on device")


def _full(*_, **__):
    raise _FULL


def test_a_full_disk_at_the_log_is_said_so(tmp_path, monkeypatch):
    log = tmp_path / "log.jsonl"
    log.symlink_to("/dev/full")
    message = r"log\.jsonl: the log could not be written \(No space left on device\); .* is lost\. .*--resume"
    with pytest.raises(OSError, match=message):
        append_log(log, {"seen": 1})


def test_a_full_disk_at_the_checkpoint_or_plan_leaves_nothing_behind(data_folder, tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "c.pt", {"seen": 1})
    monkeypatch.setattr("os.replace", _full)
    with pytest.raises(
        OSError, match=r"c\.pt: the checkpoint .* \(No space left on device\); the one before is kept\. Free"
    ):
        save_checkpoint(tmp_path / "c.pt", {"seen": 2})
    assert load_checkpoint(tmp_path / "c.pt") == {"seen": 1}
    with pytest.raises(
        OSError, match=r"d\.pt: the checkpoint .* \(No space left on device\)\. Free .*--resume"
    ):
        save_checkpoint(tmp_path / "d.pt", {"seen": 1})
    plan = full_plan(short_plan(data_folder))
    with pytest.raises(
        OSError, match=r"plan\.json: could not be written \(No space.*; nothing is lost\. .*--resume"
    ):
        with held(tmp_path / "run", plan, resume=False):
            pass
    assert [path.name for path in tmp_path.rglob("*")] == ["c.pt"]


def test_a_full_disk_at_the_board_is_said_so(tmp_path, monkeypatch):
    board = Board(tmp_path, seen=0)
    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter.add_scalar", _full)
    with pytest.raises(OSError, match=r"TensorBoard's log could not be written \(No space.*; .* is lost\. "):
        board.write(1, {"loss": 1.0})
    with monkeypatch.context() as patch:
        patch.setattr("torch.utils.tensorboard.SummaryWriter.close", _full)
        board.close()
    board.close()


@pytest.mark.parametrize("model", ["posterior", "v1"])
def test_a_curve_that_is_no_number_stops_and_keeps_the_checkpoint(data_folder, tmp_path, monkeypatch, model):
    plan = short_plan(data_folder, model, samples=640)
    calls, offending, whole = [], [], Run.step

    def step(self, curves, values):
        calls.append(1)
        if len(calls) == 7:
            curves = curves.copy()
            curves[7, 3] = np.nan
            offending.append(values[7])
        whole(self, curves, values)

    monkeypatch.setattr(Run, "step", step)
    folder = tmp_path / "run"
    with pytest.raises(
        ValueError,
        match="a curve holds what is no number at step 6, from the sample .*last checkpoint is kept",
    ) as error:
        training.train(plan, folder, data_folder=data_folder, checkpoint_every=2 * full_plan(plan).batch)
    state = torch.load(folder / training.CHECKPOINT, weights_only=True)
    assert state["steps"] == 6
    assert f"L1 = {offending[0][2]:g}" in str(error.value)
    assert all(torch.isfinite(t).all() for t in state["network"].values())


def test_a_loss_that_is_no_number_stops_and_names_the_sample(data_folder, tmp_path, monkeypatch):
    from strainscope.training.posterior_task import PosteriorTask

    whole, seen = PosteriorTask.target, []

    def target(self, values):
        found = whole(self, values)
        if len(values) == 64:  # a batch, with as many validation curves it is the first look
            seen.append(values)
        if len(seen) == 3:
            found[5, 1] = np.nan
        return found

    monkeypatch.setattr(PosteriorTask, "target", target)
    plan = short_plan(data_folder, validation=65)
    with pytest.raises(
        ValueError, match="the loss is nan at step 2, from the sample .*; there is no checkpoint yet"
    ) as error:
        training.train(plan, tmp_path / "run", data_folder=data_folder)
    assert f"Dmax1 = {seen[2][5, 0]:g}, " in str(error.value)


@pytest.mark.parametrize(("model", "clip"), [("posterior", 1.0), ("v1", None), ("v1", 1.0)])
def test_a_gradient_that_is_no_number_stops_before_the_step(data_folder, tmp_path, monkeypatch, model, clip):
    from strainscope.training.baseline_task import BaselineTask
    from strainscope.training.posterior_task import PosteriorTask

    marked, whole, step = [], {}, Run.step

    def with_root(self, network, curves, target):
        """The loss, and the root of a zero for one curve: its value is finite, its gradient is not."""
        loss, shown = whole[type(self)](self, network, curves, target)
        if not marked:
            return loss, shown
        here = (target == self.target(marked[0][None])).all(dim=1)
        weight = next(network.parameters()).square().sum()
        return loss + torch.where(here, 0 * weight, weight).sqrt().mean(), shown

    def marking(self, curves, values):
        if self.steps == 3:
            marked.append(values[11])
        step(self, curves, values)

    for task in (PosteriorTask, BaselineTask):
        whole[task] = task.loss
        monkeypatch.setattr(task, "loss", with_root)
    monkeypatch.setattr(Run, "step", marking)
    plan, folder = short_plan(data_folder, model, clip=clip, samples=640), tmp_path / "run"
    with pytest.raises(
        ValueError, match="the gradient's length is nan at step 3, from the sample .* is kept"
    ) as error:
        training.train(plan, folder, data_folder=data_folder, checkpoint_every=full_plan(plan).batch)
    assert f"L1 = {marked[0][2]:g}," in str(error.value)
    state = torch.load(folder / training.CHECKPOINT, weights_only=True)
    assert state["steps"] == 3
    assert all(torch.isfinite(t).all() for t in state["network"].values())


# What is held out --------------------------------------------------------------------------------------------


def grid_plan(folder, *, datasets=({"size": 300},), stop=1000, validation=64, **changes):
    """A plan on a grid of few combinations, which its datasets share."""
    data = load_plan("uniform-1m").model_dump(mode="json")
    held = {"Dmax1": 0.01, "D01": 0.005, "D02": 0.005, "L2": 500.0, "Rp2": 0.0}
    parameters = {name: {"start": 500, "stop": stop, "step": 10} for name in ("L1", "Rp1")}
    data |= {"parameters": parameters, "fixed": held, "angles": {"first": -900.0, "step": 30, "number": 24}}
    data |= changes
    place = folder / f"grid-{stop}.yaml"
    place.write_text(yaml.safe_dump(data))
    entries = [{"plan": str(place)} | entry for entry in datasets]
    settings = {"data": entries, "network": SMALL, "samples": 128, "batch": 64, "validation": validation}
    return full_plan(checked_training(settings, source="test"))


def rows_set(values):
    return set(map(tuple, values.tolist()))


@pytest.mark.parametrize(
    ("datasets", "sampling"),
    [
        ([{"size": 600}], {}),  # goes on behind its dataset
        ([{"size": 600}, {"size": 500, "seed": 3}], {}),  # which another dataset may hold
        ([{"size": 459}], {}),  # too few are left: another seed, all but those in use
        ([{"size": 600}], {"replacement": True}),
    ],
)
def test_no_curve_of_a_grid_is_trained_on_and_held_out(tmp_path, datasets, sampling):
    plan = grid_plan(
        tmp_path,
        datasets=datasets,
        sampling={"method": "random", **sampling},
        stratify={"Rp1": 3} if datasets[0]["size"] == 459 else {},
    )
    source = DatasetSource(plan)
    curves, values = source.held_out()
    assert curves.shape == (64, 24)
    trained = np.concatenate([data.draws.values(0, data.size) for data in plan.plans])
    other = plan.plans[0].with_options(seed=7_000_000).draws.values(0, 64)
    assert rows_set(other) & rows_set(trained)
    assert not rows_set(values) & rows_set(trained)


def test_held_out_curves_are_in_no_frozen_test_set():
    """Samples of balanced-1m from 2,700,000 on are the frozen set itself."""
    plan = TrainingPlan(data=[{"plan": "balanced-1m", "size": 2_699_990}], validation=100)
    values = held_out_values(full_plan(plan))
    assert len(values) == 100
    assert not excluded(values, plan.plans[0].names).any()
    np.testing.assert_array_equal(values[:10], plan.plans[0].draws.values(2_699_990, 2_700_000))


@pytest.mark.parametrize("size", [600, 459])  # goes on behind its dataset, or takes all but those in use
def test_fresh_curves_are_neither_trained_on_nor_held_out(tmp_path, size):
    source = DatasetSource(grid_plan(tmp_path, datasets=[{"size": size}]))
    curves, values = source.fresh(100)
    assert curves.shape == (100, 24)
    data = grid_plan(tmp_path, datasets=[{"size": size}]).plans[0]
    known = np.concatenate([data.draws.values(0, data.size), source.held_out()[1]])
    assert len(rows_set(values)) == 100
    assert not rows_set(values) & rows_set(known)


def test_a_training_ends_with_its_widths_made_right(data_folder, tmp_path):
    path = training.train(
        short_plan(data_folder, samples=128, recalibrate=256), tmp_path / "run", data_folder=data_folder
    )
    found = load_estimator(path).recalibration
    assert found.factor.shape[0] == 7
    assert (found.factor != 1).any()


def test_too_few_curves_to_hold_out_are_said_so(tmp_path):
    plan = grid_plan(tmp_path, stop=700, datasets=[{"size": 221}])  # of 231
    with pytest.raises(ValueError, match=r"validation = 64; data\[0\] leaves 10 curves"):
        DatasetSource(plan)


def test_continuous_curves_that_are_held_out_have_a_seed_of_their_own(data_folder):
    plan = full_plan(short_plan(data_folder))
    expected = plan.plans[0].with_options(seed=7_000_000).draws.values(0, plan.validation)
    np.testing.assert_array_equal(held_out_values(plan), expected)
    taken = full_plan(training_plan(data_folder, data=[{"plan": plan.data[0].plan, "seed": 7_000_000}]))
    trained = taken.plans[0].draws.values(0, taken.plans[0].size)
    assert not rows_set(held_out_values(taken)) & rows_set(trained)


# Tasks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", BASELINES)
def test_a_published_network_learns(data_folder, tmp_path, model):
    """Again and again the same few curves: its loss falls."""
    plan = short_plan(data_folder, model, samples=640)
    told = []
    path = training.train(plan, tmp_path / "run", data_folder=data_folder, tell=told.append)
    assert [p.seen for p in told] == [64 * (i + 1) for i in range(10)]  # a look after each epoch
    losses = [p.loss for p in told]
    assert losses[-1] < 0.8 * losses[0]
    estimator = load_estimator(path)
    assert estimator.model == model
    assert estimator.about["plan"]["learning_rate"] == RECIPES[model].learning_rate
    assert told[0].learning_rate == RECIPES[model].learning_rate


@pytest.mark.parametrize("model", ["v3", "cnn2023"])
def test_a_published_network_goes_on_where_it_was(data_folder, tmp_path, model):
    plan = short_plan(data_folder, model)
    training.train(plan, tmp_path / "whole", data_folder=data_folder)
    interrupted(plan, tmp_path / "parts", data_folder, looks=1, checkpoint_every=32)
    training.train(plan, tmp_path / "parts", data_folder=data_folder, resume=True)
    assert_same(weights_of(tmp_path / "parts"), weights_of(tmp_path / "whole"))


def test_the_rate_of_a_published_network_falls_on_a_plateau(data_folder, tmp_path, monkeypatch):
    from strainscope.training.baseline_task import BaselineTask

    monkeypatch.setattr(BaselineTask, "figures", lambda *_: {"validation_loss": 1.0})
    plan = short_plan(data_folder, "v1", samples=64 * 8)
    rates = []
    training.train(
        plan, tmp_path / "run", data_folder=data_folder, tell=lambda p: rates.append(p.learning_rate)
    )
    first = RECIPES["v1"].learning_rate
    # The first epoch sets the mark, five without a gain are waited for, the next one lowers it.
    assert rates == [first] * 7 + [first / 2]


def test_a_published_network_with_half_a_cosine(data_folder, tmp_path):
    plan = short_plan(data_folder, "v1", schedule="cosine", validate_every=64)
    rates = []
    training.train(
        plan, tmp_path / "run", data_folder=data_folder, tell=lambda p: rates.append(p.learning_rate)
    )
    assert len(rates) == 4
    assert all(one > other for one, other in zip(rates[:-1], rates[1:], strict=True))


def test_the_rate_falls_to_its_end_twice_where_the_plan_says_so(data_folder, tmp_path):
    plan = training_plan(data_folder, samples=6400, annealed_at=3200, warm_up=0, validate_every=640)
    rates = []
    training.train(
        plan, tmp_path / "run", data_folder=data_folder, tell=lambda p: rates.append(p.learning_rate)
    )
    rates = np.array(rates) / 3e-3
    assert np.all(np.diff(rates[:5]) < 0)
    assert rates[4] < 0.01
    # Then as one cosine over all has it.
    seen = np.arange(6, 11) * 640 - 128
    np.testing.assert_allclose(rates[5:], 0.5 * (1 + np.cos(np.pi * seen / 6400)), atol=1e-12)


def test_either_coordinates_can_be_trained(data_folder, tmp_path):
    for scale in ("probit", "logit"):
        plan = training_plan(data_folder, coordinates=scale, samples=640)
        weights = training.train(plan, tmp_path / scale, data_folder=data_folder)
        assert load_estimator(weights).coordinates.scale == scale
    document = training_plan(data_folder).model_dump(mode="json")
    with pytest.raises(ValueError, match="coordinates goes with model: posterior, not v1; leave it out"):
        checked_training(document | {"coordinates": "logit", "model": "v1", "network": {}}, source="p")


def test_a_rate_that_cannot_fall_before_the_end_is_refused(data_folder):
    document = training_plan(data_folder).model_dump(mode="json")
    with pytest.raises(ValueError, match="annealed_at = 6400; it must lie below samples = 6400"):
        checked_training(document | {"annealed_at": 6400}, source="p")
    with pytest.raises(ValueError, match="annealed_at goes with schedule: cosine, which v1 does not have"):
        checked_training(document | {"annealed_at": 640, "model": "v1", "network": {}}, source="p")


def test_a_full_plan_has_the_models_own_values(data_folder):
    for model in BASELINES:
        found = full_plan(short_plan(data_folder, model, batch=None))
        recipe = RECIPES[model]
        assert (found.batch, found.learning_rate) == (recipe.batch, recipe.learning_rate)
        assert (found.weight_decay, found.clip, found.average) == (recipe.weight_decay, None, 0.0)
    found = full_plan(TrainingPlan(data=[{"plan": "uniform-1m"}], clip=2.0))
    assert (found.batch, found.learning_rate, found.clip) == (512, 1e-3, 2.0)
    assert full_plan(found) == found
    million = TrainingPlan(data=[{"plan": "uniform-1m"}], model="v3")
    assert full_plan(million).batch == RECIPES["v3"].batch_at_a_million


def test_the_rate_rises_over_a_part_of_short_trainings_too():
    plan = TrainingPlan(data=[{"plan": "uniform-1m"}], samples=20_000)
    assert full_plan(plan).warm_up == 2000
    assert full_plan(plan.model_copy(update={"samples": 10**7})).warm_up == 50_000


@pytest.mark.parametrize(
    ("model", "loss"), [("posterior", "weighted"), ("v1", "weighted"), ("cnn2023", "penalised")]
)
def test_a_loss_of_the_plan_differs_from_the_default(data_folder, tmp_path, model, loss):
    found = {}
    for name in ("default", loss):
        plan = short_plan(data_folder, model, loss=name, samples=128)
        training.train(plan, tmp_path / name, data_folder=data_folder)
        found[name] = weights_of(tmp_path / name)
    assert any((found["default"][n].float() - found[loss][n].float()).abs().max() > 1e-6 for n in found[loss])


def test_equal_weights_would_be_the_default_loss(data_folder, monkeypatch):
    """The posterior's weighted loss differs from its own in the weights alone."""
    from strainscope.training import posterior_task

    monkeypatch.setattr(posterior_task, "report_weights", lambda names: torch.ones(len(names)))
    plans = [full_plan(short_plan(data_folder, loss=loss)) for loss in ("default", "weighted")]
    torch.manual_seed(0)
    plain, weighted = (posterior_task.PosteriorTask(plan, DatasetSource(plan)) for plan in plans)
    network = plain.build()
    curves, target = torch.rand(8, 24) + 0.1, torch.randn(8, 7)
    for one, other in zip(
        plain.loss(network, curves, target), weighted.loss(network, curves, target), strict=True
    ):
        torch.testing.assert_close(one, other)


# Options ----------------------------------------------------------------------------------------------------


def test_a_curriculum_begins_with_low_strain(data_folder):
    plan = full_plan(short_plan(data_folder, curriculum={"share": 0.5, "quantity": "Dmax1", "start": 0.2}))
    low, high = plan.bounds()["Dmax1"]
    curriculum = Curriculum(plan, tuple(plan.bounds()))
    limits = [curriculum.limit(share) for share in (0.0, 0.25, 0.5, 1.0)]
    assert limits[:2] == pytest.approx([low + 0.2 * (high - low), low + 0.6 * (high - low)])
    assert limits[2:] == [None, None]
    values = np.array([[low, 0.0], [limits[0], 0.0], [high, 0.0]])
    assert curriculum.admits(values, 0.0).tolist() == [True, True, False]
    assert curriculum.admits(values, 0.5).all()


def test_a_curriculum_admits_all_in_the_end(data_folder, tmp_path, monkeypatch):
    plan = short_plan(data_folder, curriculum={"share": 0.5, "start": 0.3})
    limits, whole = [], Run.step

    def step(self, curves, values):
        assert len(curves) == len(values) == 64  # whole batches, however few are admitted
        limits.append((self.share(), values[:, 0].max()))
        whole(self, curves, values)

    monkeypatch.setattr(Run, "step", step)
    training.train(plan, tmp_path / "run", data_folder=data_folder)
    full = full_plan(plan)
    low, high = full.bounds()["Dmax1"]
    curriculum = Curriculum(full, tuple(full.bounds()))
    for share, largest in limits:
        limit = curriculum.limit(share)
        assert largest <= (high if limit is None else limit)
    assert limits[0][1] < low + 0.3 * (high - low)
    assert limits[-1][1] > low + 0.9 * (high - low)


def test_a_curriculum_goes_on_where_it_was(data_folder, tmp_path):
    """Rows that were admitted, but did not fill a batch, are kept."""
    plan = short_plan(data_folder, curriculum={"share": 0.8, "start": 0.3}, validate_every=192)
    training.train(plan, tmp_path / "whole", data_folder=data_folder)
    interrupted(plan, tmp_path / "parts", data_folder, looks=2, checkpoint_every=64)
    training.train(plan, tmp_path / "parts", data_folder=data_folder, resume=True)
    assert_same(weights_of(tmp_path / "parts"), weights_of(tmp_path / "whole"))


def test_a_batch_larger_than_a_dataset_is_refused_before_anything_is_written(data_folder, tmp_path):
    plan = short_plan(data_folder, batch=65)
    with pytest.raises(ValueError, match=r"batch = 65; data\[0\] holds 64 curves"):
        training.train(plan, tmp_path / "run", data_folder=tmp_path / "data")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 300}, "batch = 300"),
        ({"seed": LAB_SEED - 1, "ensemble": 2}, f"{LAB_SEED} is that of the test set lab"),
    ],
)
def test_scans_of_no_use_are_refused_before_anything_is_written(tmp_path, change, message):
    settings = {"lab": {"sample": "ggg444"}, "network": SMALL, "batch": 512}
    with pytest.raises(ValueError, match=message):
        training.train(checked_training(settings | change, source="test"), tmp_path / "run")
    assert not any(tmp_path.iterdir())


def test_data_of_which_nothing_may_be_used_are_said_so(data_folder):
    plan = full_plan(short_plan(data_folder))
    readers = readers_of(plan, data_folder, lambda name, done, total: None)
    stream = Stream(
        readers, plan, readers[0].dataset.names, lambda values: np.zeros(len(values), dtype=np.bool_)
    )
    with pytest.raises(ValueError, match=r"no curve of the data may be used.*curriculum\.start"):
        next(iter(stream))


@pytest.mark.parametrize("model", ["posterior", "v1"])
def test_a_window_is_left_out_and_known(data_folder, tmp_path, model):
    path = training.train(
        short_plan(data_folder, model, window=4, samples=128), tmp_path / "run", data_folder=data_folder
    )
    estimator = load_estimator(path)
    points = len(estimator.about["angle_arcsec"])
    assert (estimator.window, estimator.points) == (4, points)
    curves = np.exp(np.random.default_rng(0).normal(size=(3, points))).astype(np.float32)
    other = curves.copy()
    other[:, -4:] *= 3
    np.testing.assert_array_equal(estimator.point(other), estimator.point(curves))
    other[:, -5] *= 3
    assert (estimator.point(other) != estimator.point(curves)).any()
    with pytest.raises(ValueError, match=f"knows curves of {points} points"):
        estimator.point(curves[:, :-4])


def test_time_ends_a_training_and_lowers_the_rate(data_folder, tmp_path, monkeypatch):
    """By a clock that goes on by 1/16 s whenever it is read, which each step does once."""
    ticks = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: next(ticks) / 16, process_time=lambda: 0.0)
    monkeypatch.setattr(training.run, "time", clock)
    plan = short_plan(data_folder, minutes=0.01, samples=10_000_000, validate_every=320, warm_up=0)
    told, steps = [], []
    training.train(
        plan,
        tmp_path / "run",
        data_folder=data_folder,
        tell=told.append,
        tell_step=lambda seen, total: steps.append((seen, total)),
    )
    # Looks are no time of the training, so ten steps reach 0.6 s.
    assert [p.seen for p in told] == [320, 640]
    assert told[0].total == round(320 * 0.6 / (5 / 16))
    assert told[-1].total == steps[-1][1] == 640
    assert told[-1].learning_rate == pytest.approx(3e-3 * 0.5 * (1 + np.cos(np.pi * (9 / 16) / 0.6)))
    assert load_estimator(tmp_path / "run" / training.WEIGHTS).about["training_seconds"] == 10 / 16


def test_an_ensemble_goes_on_after_a_member(data_folder, tmp_path):
    plan = short_plan(data_folder, ensemble=2, samples=320)
    members = []
    path = training.train(
        plan,
        tmp_path / "whole",
        data_folder=data_folder,
        tell=lambda p: members.append((p.member, p.members)),
    )
    assert members == [(0, 2), (1, 2)]
    interrupted(plan, tmp_path / "parts", data_folder, looks=2)
    first = tmp_path / "parts" / "member-0" / training.WEIGHTS
    assert first.exists()
    assert not (tmp_path / "parts" / training.WEIGHTS).exists()
    before = first.stat().st_mtime_ns
    training.train(plan, tmp_path / "parts", data_folder=data_folder, resume=True)
    assert first.stat().st_mtime_ns == before
    assert_same(weights_of(tmp_path / "parts"), weights_of(tmp_path / "whole"))
    estimator = load_estimator(path)
    one, other = (load_estimator(tmp_path / "whole" / f"member-{i}" / training.WEIGHTS) for i in range(2))
    assert (one.about["plan"]["seed"], other.about["plan"]["seed"]) == (0, 1)
    curves = np.exp(np.random.default_rng(0).normal(size=(3, 24))).astype(np.float32)
    np.testing.assert_allclose(estimator.point(curves), (one.point(curves) + other.point(curves)) / 2)
    assert (one.point(curves) != other.point(curves)).any()


def test_tensorboard_has_the_figures_and_goes_on(data_folder, tmp_path):
    plan, folder = short_plan(data_folder, validate_every=128), tmp_path / "run"
    interrupted(plan, folder, data_folder, looks=3, checkpoint_every=256)
    training.train(plan, folder, data_folder=data_folder, resume=True)
    assert len(list((folder / training.BOARD).iterdir())) == 2
    events = EventAccumulator(str(folder / training.BOARD))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert {"loss/training", "loss/validation", "learning_rate", "curves_per_second"} < set(tags)
    assert "error_percent/Rp2" in tags
    rows = log_of(folder)
    # What was written after the checkpoint counts once.
    assert [e.step for e in events.Scalars("loss/validation")] == [row["seen"] for row in rows]
    assert [row["seen"] for row in rows] == [128, 256, 384, 512, 640]


def test_patience_ends_a_training(data_folder, tmp_path, monkeypatch):
    from strainscope.training.posterior_task import PosteriorTask

    monkeypatch.setattr(PosteriorTask, "figures", lambda *_: {"validation_loss": 1.0})
    told = []
    plan = short_plan(data_folder, patience=2, validate_every=64)
    training.train(plan, tmp_path / "run", data_folder=data_folder, tell=told.append)
    assert [p.seen for p in told] == [64, 128, 192]


def test_patience_keeps_the_weights_of_the_best_look(data_folder, tmp_path, monkeypatch):
    from strainscope.training.posterior_task import PosteriorTask

    losses = {64: 3.0, 128: 1.0, 192: 2.0, 256: 2.0}
    averages, looks, validate = {}, [], Run.validate

    def noted(self):
        averages[self.seen] = {name: t.clone() for name, t in self.average.state_dict().items()}
        looks.append(self.seen)
        return validate(self)

    monkeypatch.setattr(PosteriorTask, "figures", lambda *_: {"validation_loss": losses[looks[-1]]})
    monkeypatch.setattr(Run, "validate", noted)
    plan = short_plan(data_folder, patience=2, validate_every=64)
    path = training.train(plan, tmp_path / "whole", data_folder=data_folder)
    assert looks == [64, 128, 192, 256]
    estimator = load_estimator(path)
    assert estimator.about["validation"] == {"validation_loss": 1.0}
    weights = weights_of(tmp_path / "whole")
    for name, tensor in averages[128].items():
        assert (weights[name] == tensor.to(weights[name].dtype)).all()
    assert any(
        (weights[name] != tensor.to(weights[name].dtype)).any() for name, tensor in averages[256].items()
    )
    # Also where it was interrupted behind the best look.
    interrupted(plan, tmp_path / "parts", data_folder, looks=4, checkpoint_every=64)
    assert torch.load(tmp_path / "parts" / training.CHECKPOINT, weights_only=True)["seen"] == 192
    training.train(plan, tmp_path / "parts", data_folder=data_folder, resume=True)
    assert_same(weights_of(tmp_path / "parts"), weights)


def test_a_checkpoint_without_a_best_look_goes_on(data_folder, tmp_path):
    plan, folder = short_plan(data_folder, patience=9), tmp_path / "run"
    interrupted(plan, folder, data_folder, looks=2, checkpoint_every=64)
    state = torch.load(folder / training.CHECKPOINT, weights_only=True)
    del state["best_look"]
    torch.save(state, folder / training.CHECKPOINT)
    assert training.train(plan, folder, data_folder=data_folder, resume=True).exists()


def test_the_bar_tells_simulating_from_training(monkeypatch, capsys):
    from strainscope.cli import progress

    ticks = itertools.count()
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    shown = []
    with progress.progress_bar("training") as bar:
        update = Progress.update
        monkeypatch.setattr(
            Progress, "update", lambda self, task, **f: (shown.append(f), update(self, task, **f))[1]
        )
        for done in (0, 1000, 2000):
            bar(done, 2000, "simulating a.zarr")
        for done in (10, 20, 10, 30):  # the second time it is another network
            bar(done, 40)
    # Each first one starts the clock, and is looked at a second later.
    assert [f["rate"] for f in shown] == ["", "500/s", "667/s", "", "5/s", "", "10/s"]
    assert "simulating a.zarr" in capsys.readouterr().err


def test_a_progress_is_of_one_network_by_itself():
    progress = training.Progress(
        seen=1, total=2, loss=0.0, validation={}, learning_rate=1e-3, curves_per_second=1.0
    )
    assert replace(progress, member=1).members == 1


def test_the_command_trains_and_goes_on(data_folder, tmp_path):
    plan = short_plan(data_folder, samples=128, validate_every=64, ensemble=2)
    place = tmp_path / "plan.yaml"
    place.write_text(yaml.safe_dump(plan.model_dump(mode="json", exclude_unset=True)))
    arguments = ["train", str(place), "-o", str(tmp_path / "run"), "--data", str(data_folder)]
    found = CliRunner().invoke(app, [*arguments, "--threads", "1"])
    assert found.exit_code == 0
    assert "network 2 of 2, 64 of 128 curves (" in found.stderr
    assert "estimator.safetensors: " in found.stdout
    assert CliRunner().invoke(app, [*arguments, "--resume"]).exit_code == 0
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code != 0
    assert "--resume" in again.stderr


@pytest.mark.usefixtures("ctrl_c")
def test_the_command_is_interrupted_in_a_line_and_says_where_it_goes_on(data_folder, tmp_path, monkeypatch):
    plan = short_plan(data_folder, samples=128)
    place = tmp_path / "plan.yaml"
    place.write_text(yaml.safe_dump(plan.model_dump(mode="json", exclude_unset=True)))
    arguments = ["train", str(place), "-o", str(tmp_path / "run"), "--data", str(data_folder)]
    step = Run.step
    with monkeypatch.context() as patch:
        patch.setattr(
            Run, "step", lambda self, *batch: (signal.raise_signal(signal.SIGINT), step(self, *batch))
        )
        found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 130
    assert found.stderr == ("strainscope: interrupted at 64 of 128 curves; --resume goes on from there\n")
    again = CliRunner().invoke(app, [*arguments, "--resume"])
    assert again.exit_code == 0
    assert again.stderr.startswith("goes on at 64 of 128 curves\n")


def test_an_estimator_is_found_in_the_folder_of_its_training(trained, tmp_path):
    assert estimator_path(str(trained)) == trained / training.WEIGHTS
    with pytest.raises(ValueError, match=r"is a folder without estimator\.safetensors; .* it has not ended"):
        estimator_path(str(tmp_path))


# Plans ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samplse": 3}, "unknown key 'samplse'.*Did you mean samples"),
        ({"batch": 1}, "batch = 1"),
        ({"data": []}, "data"),
        ({"data": [{"plan": "uniform-1m"}, {"plan": "balanced-1m-film"}]}, r"data\[1\] has other sample"),
        ({"data": [{"plan": "uniform-2m"}]}, r"data\[0\].*Did you mean uniform-1m"),
        ({"model": "v4"}, "model = 'v4'"),
        ({"loss": "huber"}, "loss = 'huber'"),
        ({"loss": "penalised"}, "penalised goes with model: v1"),
        ({"curriculum": {"until": 0.3}}, "unknown key 'until'; there are share, quantity, start"),
        ({"curriculum": {"share": 1.5}}, r"curriculum\.share = 1\.5"),
        ({"curriculum": {"quantity": "Dmax"}}, r"curriculum\.quantity = 'Dmax'.*Did you mean Dmax1"),
        ({"minutes": 0}, "minutes = 0"),
        (
            {"validation": 5_000_000},
            "validation = 5,000,000; it must be <= 65,536: all of them are simulated",
        ),
        ({"samples": 500, "warm_up": 500}, "warm_up = 500; it must lie below samples = 500.*leave it out"),
        ({"model": "v1", "recalibrate": 256}, "recalibrate goes with model: posterior, not v1; leave it out"),
        # Its scaled gradients go neither with clipping nor with the fused optimiser.
        ({"precision": "16-mixed"}, "precision = '16-mixed'; it must be '32-true' or 'bf16-mixed'"),
        ({"ensemble": 6}, "ensemble = 6"),
        ({"window": -1}, "window = -1"),
        ({"window": 690}, "window = 690 leaves 11 of 701 points; posterior needs at least 20"),
        (
            {"model": "cnn2023", "window": 600},
            "window = 600 leaves 101 of 701 points; cnn2023 needs at least 171",
        ),
        ({"model": "v3", "network": {"width": 8}}, "network goes with model: posterior, not v3"),
    ],
)
def test_wrong_plans(change, message):
    with pytest.raises(ValueError, match=message):
        checked_training({"data": [{"plan": "uniform-1m"}]} | change, source="plan.yaml")


def test_a_plan_file_of_which_a_key_is_of_another_kind_is_said_so(tmp_path):
    place = tmp_path / "plan.yaml"
    for text, message in (("data: 5", "data = 5; it must be a list"), ("lab: 5", "lab = 5")):
        place.write_text(text)
        with pytest.raises(ValueError, match=message):
            load_training_plan(str(place))


def test_an_unknown_plan_is_asked_about_once():
    with pytest.raises(ValueError, match="no file; there are .*Did you mean ggg444-ideal") as error:
        load_training_plan("ggg444-idea")
    assert str(error.value).count("Did you mean") == 1


def test_samples_are_found_from_the_plan_s_folder(tmp_path):
    (tmp_path / "own.yaml").write_text(preset_text("ggg444"))
    place = tmp_path / "plan.yaml"
    for sample in ("own.yaml", ["own.yaml", "ggg888"]):
        place.write_text(yaml.safe_dump({"lab": {"sample": sample}}))
        found = load_training_plan(str(place)).lab.sample
        assert found == (
            str(tmp_path / "own.yaml") if isinstance(sample, str) else (str(tmp_path / "own.yaml"), "ggg888")
        )


def test_the_plan_that_ships_loads():
    assert load_training_plan("ggg444-ideal").data
