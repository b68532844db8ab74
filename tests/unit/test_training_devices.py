"""Several processes share the batches of a training: the same steps as one, one voice, one set of files."""

import os
import subprocess
import sys

import pytest
import torch
import yaml

from strainscope import training
from strainscope.dataset.plan import load_plan
from strainscope.estimator.plan import load_training_plan
from strainscope.estimator.weights import load_weights
from strainscope.training.data import DatasetSource
from strainscope.training.team import fabric_of

NETWORK = {"width": 16, "inner": 16, "blocks": 1, "context": 8, "transforms": 2, "bins": 4, "hidden": 8}
# Stops at the first look, or gives the second process what is no number.
DRIVER = """
import sys
from pathlib import Path

import numpy as np

from strainscope import training
from strainscope.estimator.plan import load_training_plan
from strainscope.training.data import DatasetSource

trouble, plan, folder, data = sys.argv[1:]
whole = DatasetSource.batches


class Spoiled:
    def __init__(self, stream):
        self.stream, self.epoch_size = stream, stream.epoch_size

    def __iter__(self):
        for curves, values in self.stream:
            curves = curves.copy()
            curves[3, 5] = np.nan
            yield curves, values

    def state(self):
        return self.stream.state()


def spoiled(self, admits, *, device, rank=0, size=1):
    stream = whole(self, admits, device=device, rank=rank, size=size)
    return Spoiled(stream) if rank == 1 and trouble == "nan" else stream


def stop(progress):
    if trouble == "stop":
        raise RuntimeError("stopped at a look")


DatasetSource.batches = spoiled
training.train(
    load_training_plan(plan), Path(folder), data_folder=Path(data), devices=2, checkpoint_every=128, tell=stop
)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folder of a plan whose dataset is made."""
    folder = tmp_path_factory.mktemp("devices")
    data = load_plan("uniform-1m").model_dump(mode="json")
    data |= {"size": 256, "angles": {"first": -900.0, "step": 40.0, "number": 24}}
    (folder / "few.yaml").write_text(yaml.safe_dump(data))
    document = {
        "data": [{"plan": str(folder / "few.yaml")}],
        "network": NETWORK,
        "samples": 640,
        "batch": 64,
        "warm_up": 64,
        "validation": 64,
        "validate_every": 320,
    }
    (folder / "plan.yaml").write_text(yaml.safe_dump(document))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    training.train(load_training_plan(folder / "plan.yaml"), folder / "alone", data_folder=folder / "data")
    torch.set_num_threads(threads)
    return folder


def run(arguments, tmp_path):
    """A command in a process of its own, as the others begin with the same."""
    single = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | single,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def train(place, folder, *options):
    arguments = [
        "train",
        place / "plan.yaml",
        "-o",
        folder,
        "--data",
        place / "data",
        "--devices",
        "2",
        *options,
    ]
    return run(["-m", "strainscope", *map(str, arguments)], folder.parent)


def troubled(place, folder, trouble):
    script = folder.parent / "driver.py"
    script.write_text(DRIVER)
    arguments = [script, trouble, place / "plan.yaml", folder, place / "data"]
    return run([str(argument) for argument in arguments], folder.parent)


def assert_as_one(folder, place):
    found = load_weights(folder / training.WEIGHTS)[0]
    for name, tensor in load_weights(place / "alone" / training.WEIGHTS)[0].items():
        torch.testing.assert_close(found[name], tensor, rtol=2e-3, atol=2e-4)


def test_two_processes_take_the_steps_of_one(place, tmp_path):
    done = train(place, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert_as_one(tmp_path / "run", place)
    assert done.stdout.count("estimator.safetensors") == 1
    assert done.stderr.count("640 of 640 curves") == 1
    lines = (tmp_path / "run" / training.LOG).read_text().splitlines()
    assert len(lines) == 2
    assert load_weights(tmp_path / "run" / training.WEIGHTS)[1]["seen"] == 640


def test_stopped_by_one_they_go_on_together(place, tmp_path):
    folder = tmp_path / "run"
    done = troubled(place, folder, "stop")
    assert done.returncode == 1
    assert "RuntimeError: stopped at a look" in done.stderr
    assert (folder / training.CHECKPOINT).exists()
    assert not (folder / training.WEIGHTS).exists()
    refused = train(place, folder)
    assert refused.returncode == 2
    assert refused.stderr.count("holds a training; name another folder") == 1
    assert train(place, folder, "--resume").returncode == 0
    assert_as_one(folder, place)


def test_a_sample_of_another_process_is_named(place, tmp_path):
    done = troubled(place, tmp_path / "run", "nan")
    assert done.returncode == 1
    assert "ValueError: a curve holds what is no number at step 0, from the sample Dmax1 = " in done.stderr
    assert "there is no checkpoint yet" in done.stderr
    assert not (tmp_path / "run").exists()


def test_batches_are_dealt_out_by_the_row(place):
    source = DatasetSource(training.loop.full_plan(load_training_plan(place / "plan.yaml")))
    source.make(place / "data", lambda name, done, total: None)

    def admits(values):
        return torch.ones(len(values), dtype=torch.bool).numpy()

    whole, first, second = (
        next(iter(source.batches(admits, device=torch.device("cpu"), **part)))[1]
        for part in ({}, {"rank": 0, "size": 2}, {"rank": 1, "size": 2})
    )
    assert (whole[0::2] == first).all()
    assert (whole[1::2] == second).all()


def test_a_batch_is_a_multiple_of_the_devices(place, tmp_path):
    with pytest.raises(ValueError, match="batch = 64; it must be a multiple of the devices, 3"):
        training.train(load_training_plan(place / "plan.yaml"), tmp_path / "run", devices=3)
    assert not (tmp_path / "run").exists()


def test_more_gpus_than_there_are_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"devices = 4; this machine has 1 \(cuda\)"):
        fabric_of("32-true", 4)
