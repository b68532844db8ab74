"""Nodes of a cluster that try values of a training plan: the trials of one machine's, whatever is killed."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
import yaml

from strainscope.dataset.plan import load_plan
from strainscope.estimator.plan import load_training_plan

pytest.importorskip("ray")
pytest.importorskip("optuna")
pytest.importorskip("torch")
psutil = pytest.importorskip("psutil")

# Ray's own, of its own settings.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray[.].*", "ignore::FutureWarning:ray[.].*")

NETWORK = {"width": 16, "inner": 16, "blocks": 1, "context": 8, "transforms": 2, "bins": 4, "hidden": 8}
SPACE = "learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}\nnetwork.width: [8, 16]\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a plan, its data's plan, and a space."""
    folder = tmp_path_factory.mktemp("sweep")
    data = load_plan("uniform-1m").model_dump(mode="json")
    data |= {"size": 256, "angles": {"first": -900.0, "step": 40.0, "number": 24}}
    (folder / "few.yaml").write_text(yaml.safe_dump(data))
    document = {"data": [{"plan": "few.yaml"}], "network": NETWORK, "batch": 64, "warm_up": 64, "validation": 64}
    (folder / "plan.yaml").write_text(yaml.safe_dump(document))
    (folder / "space.yaml").write_text(SPACE)
    return folder


def arguments(place, out, *options):
    asked = ("sweep", place / "plan.yaml", "--space", place / "space.yaml", "-o", out, "--data", place / "data")
    return [sys.executable, "-m", "strainscope", *map(str, (*asked, *options))]


def run(place, out, *options):
    single = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
    return subprocess.run(
        arguments(place, out, *options),
        env=os.environ | single,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def one_line(done):
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    return line


def rows(folder):
    """The table, without the time that each trial took."""
    with (folder / "trials.csv").open() as file:
        found = list(csv.DictReader(file))
    for row in found:
        del row["seconds"]
    return found


@contextmanager
def one_thread():
    """As many threads as a trial on a node has."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def trials():
    """Processes of this one's cluster that train."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "ImplicitFunc" in (line := " ".join(process.cmdline())) or "_try" in line:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
def test_a_trial_whose_worker_is_killed_goes_on_and_gives_what_this_machine_does(cluster, place, tmp_path):
    from strainscope import training
    from strainscope.training import sweep as own

    plan = load_training_plan(str(place / "plan.yaml"))
    asked = training.Sweep(plan=plan, space=training.load_space(place / "space.yaml", plan), trials=4, samples=60_000)
    out, killed = tmp_path / "there", []

    def kill():
        while not (out / "trials" / "0001" / training.PLAN).exists():
            time.sleep(0.02)
        process = trials()[-1]
        killed.append(process.pid)
        process.kill()

    threading.Thread(target=kill, daemon=True).start()
    study = training.sweep_on_nodes(asked, out, ray=cluster.address, data_folder=place / "data")
    assert killed
    there = rows(out)
    assert [row["trial"] for row in there] == ["0", "1", "2", "3"]
    assert not any(row["failed"] for row in there)
    assert study.best() is not None
    # What is asked depends on what is done by then; what comes of it does not.
    whole = own.trial_plan(asked.trial_plan(), own.Trial(number=0, values=study.values(1)))
    from strainscope.training.team import fabric_of

    # Sums differ in their last bits with the number of threads, and a training makes more of that.
    with one_thread():
        again = own.tried(whole, tmp_path / "here", place / "data", fabric_of(whole.precision))
    assert dict(again.figures) == dict(study.outcomes[1].figures)
    assert load_training_plan(str(out / "best.yaml")).learning_rate == study.values(study.best())["learning_rate"]


@pytest.mark.slow
def test_ctrl_c_ends_it_in_a_line_and_it_goes_on_here(cluster, place, tmp_path):
    out = tmp_path / "sweep"
    options = ("--trials", "3", "--samples", "60000")
    with subprocess.Popen(
        arguments(place, out, *options, "--ray", cluster.address), stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 300
        while not (out / "trials.csv").exists():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.strip().splitlines()[-1].endswith("of 3 trials; --resume goes on from there")
    before = rows(out)
    assert "holds a sweep" in one_line(run(place, out, *options))
    done = run(place, out, *options, "--threads", "1", "--resume")
    assert done.returncode == 0, done.stderr
    after = rows(out)
    assert len(after) == 3
    assert all(row in after for row in before)


@pytest.mark.slow
def test_what_is_refused_leaves_nothing(cluster, place, tmp_path):
    out = tmp_path / "sweep"
    line = one_line(run(place, out, "--trials", "2", "--threads", "64", "--ray", cluster.address))
    assert "--threads 64 is more than the 1 processors of the largest node; ask for fewer, or add a larger node" in line
    line = one_line(run(place, out, "--trials", "2", "--ray", "127.0.0.1:9"))
    assert "--ray 127.0.0.1:9: no Ray cluster answers" in line
    assert not out.exists()


@pytest.mark.slow
def test_a_node_that_cannot_write_stops_it(cluster, place, tmp_path):
    """It is no trial that failed: with --resume it is tried again."""
    from strainscope import training

    plan, out = load_training_plan(str(place / "plan.yaml")), tmp_path / "sweep"
    space = training.load_space(place / "space.yaml", plan)
    first = training.Sweep(plan=plan, space=space, trials=1, samples=640)
    training.run_sweep(first, out, data_folder=place / "data")
    (out / "trials" / "0001").write_text("")
    more, options = replace(first, trials=2), {"data_folder": place / "data", "resume": True}
    with pytest.raises(OSError, match=r"0001: is a file; .* What is written stays; go on with --resume once that is"):
        training.sweep_on_nodes(more, out, ray=cluster.address, **options)
    assert len(rows(out)) == 1
    (out / "trials" / "0001").unlink()
    training.sweep_on_nodes(more, out, ray=cluster.address, **options)
    assert [row["failed"] for row in rows(out)] == ["", ""]
