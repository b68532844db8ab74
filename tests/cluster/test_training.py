"""Workers of a cluster share the batches of a training: the same weights as processes here, whatever is killed."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import yaml

from strainscope.dataset.plan import load_plan

pytest.importorskip("ray")
torch = pytest.importorskip("torch")
psutil = pytest.importorskip("psutil")

# Ray's own, of its own settings.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray[.].*")

MEMORY = 80 * 2**20
NETWORK = {"width": 16, "inner": 16, "blocks": 1, "context": 8, "transforms": 2, "bins": 4, "hidden": 8}
BATCH = 64


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folder with a plan, and the training of two processes of this machine."""
    folder = tmp_path_factory.mktemp("training")
    data = load_plan("uniform-1m").model_dump(mode="json")
    data |= {"size": 256, "angles": {"first": -900.0, "step": 40.0, "number": 24}}
    (folder / "few.yaml").write_text(yaml.safe_dump(data))
    document = {
        "data": [{"plan": str(folder / "few.yaml")}],
        "network": NETWORK,
        "samples": 600 * BATCH,
        "batch": BATCH,
        "warm_up": BATCH,
        "validation": 64,
        "validate_every": 200 * BATCH,
    }
    (folder / "plan.yaml").write_text(yaml.safe_dump(document))
    done = train(folder, folder / "here", "--devices", "2")
    assert done.returncode == 0, done.stderr
    return folder


def arguments(place, out, *options):
    asked = ("train", place / "plan.yaml", "-o", out, "--data", place / "data", *options)
    return [sys.executable, "-m", "strainscope", *map(str, asked)]


def train(place, out, *options):
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


def workers():
    """Processes of Ray Train that this one's cluster began."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "TrainWorker" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
def test_a_worker_killed_costs_the_steps_since_the_checkpoint_and_changes_no_weight(cluster, place, tmp_path):
    from strainscope import training
    from strainscope.estimator.plan import load_training_plan

    folder, resumed, killed = tmp_path / "run", [], []

    def kill():
        while not (folder / training.CHECKPOINT).exists():
            time.sleep(0.02)
        process = workers()[-1]
        killed.append(process.pid)
        process.kill()

    threading.Thread(target=kill, daemon=True).start()
    training.train_on_nodes(
        load_training_plan(place / "plan.yaml"),
        folder,
        ray=cluster.address,
        data_folder=place / "data",
        devices=2,
        checkpoint_every=50 * BATCH,
        tell_resumed=lambda seen, total: resumed.append(seen),
    )
    assert killed
    assert resumed
    assert resumed[0] >= 50 * BATCH
    weights = [(own / training.WEIGHTS) for own in (folder, place / "here")]
    from strainscope.estimator.weights import load_weights

    (there, _), (here, _) = map(load_weights, weights)
    assert there.keys() == here.keys()
    assert all(torch.equal(there[name], here[name]) for name in there)


@pytest.mark.slow
def test_a_node_that_dies_is_waited_for(cluster, place, tmp_path):
    out = tmp_path / "run"
    script = tmp_path / "train.py"
    script.write_text(
        "import sys; from pathlib import Path\n"
        "from strainscope import training\n"
        "from strainscope.estimator.plan import load_training_plan\n"
        "plan, out, data, address = sys.argv[1:]\n"
        f"plan = load_training_plan(plan).model_copy(update={{'batch': 66, 'samples': {600 * 66}}})\n"
        f"options = {{'devices': 3, 'ray': address, 'checkpoint_every': {50 * 66}}}\n"
        "options['tell_resumed'] = lambda seen, total: print(seen)\n"
        "training.train_on_nodes(plan, Path(out), data_folder=data, **options)\n"
    )
    doomed = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    given = (script, place / "plan.yaml", out, place / "data", cluster.address)
    # All three processors, so that one is missing until another node is there.
    with subprocess.Popen([sys.executable, *map(str, given)], stdout=subprocess.PIPE, text=True) as process:
        while not (out / "checkpoint.pt").exists():
            assert process.poll() is None
            time.sleep(0.02)
        cluster.remove_node(doomed, allow_graceful=False)
        time.sleep(5)
        assert process.poll() is None
        other = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
        said, _ = process.communicate(timeout=400)
    cluster.remove_node(other)
    assert process.returncode == 0
    # Ray says before that a node died.
    assert int(said.splitlines()[-1]) >= 50 * 66
    assert (out / "estimator.safetensors").exists()


@pytest.mark.slow
def test_ctrl_c_ends_it_in_a_line_and_it_goes_on_with_resume(cluster, place, tmp_path):
    out = tmp_path / "run"
    options = ("--devices", "2", "--ray", cluster.address)
    with subprocess.Popen(arguments(place, out, *options), stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 300
        while not (out / "log.jsonl").exists():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.strip().splitlines()[-1] == "strainscope: interrupted there is no checkpoint yet"
    assert "holds a training" in one_line(train(place, out, *options))
    done = train(place, out, *options, "--resume")
    assert done.returncode == 0, done.stderr
    assert (out / "estimator.safetensors").exists()


@pytest.mark.slow
def test_what_is_refused_leaves_nothing(cluster, place, tmp_path):
    out = tmp_path / "run"
    line = one_line(train(place, out, "--devices", "64", "--ray", cluster.address))
    assert "64 workers of 1 threads need 64 processors, and the cluster has 2; ask for fewer --devices" in line
    line = one_line(train(place, out, "--devices", "3", "--ray", cluster.address))
    assert "batch = 64; it must be a multiple of the devices, 3" in line
    assert not out.exists()


def test_no_cluster(place, tmp_path):
    line = one_line(train(place, tmp_path / "run", "--ray", "127.0.0.1:9"))
    assert "--ray 127.0.0.1:9: no Ray cluster answers" in line
    assert not (tmp_path / "run").exists()


def test_a_node_with_other_packages_says_so():
    from strainscope.training.on_nodes import check_alike

    with pytest.raises(ValueError, match=r"node .* has torch .*, and this machine has 1.0; install the same"):
        check_alike({"torch": "1.0"})
    with pytest.raises(ValueError, match=r"has no no-such-package, and this machine has 1.0"):
        check_alike({"no-such-package": "1.0"})
