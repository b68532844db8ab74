"""A cluster of several nodes on this machine: the same bytes and results, whatever is killed; what is refused."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from strainscope.cluster import LOST, check_shared, connected, connection, done_units
from strainscope.cluster.nodes import own_versions, unit_for
from strainscope.cluster.storage import _try
from strainscope.dataset.plan import plan_text
from strainscope.sample import load_sample

SIZE = 36_000  # three shards, the last one short
MEMORY = 80 * 2**20

pytest.importorskip("ray")


def files(path):
    """Every file with a digest of its bytes."""
    return {
        str(place.relative_to(path)): hashlib.sha256(place.read_bytes()).hexdigest()
        for place in sorted(path.rglob("*"))
        if place.is_file()
    }


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "strainscope", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        **options,
    )


def one_line(done):
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    return line


@pytest.fixture(scope="module")
def cluster():
    """A head without processors and two nodes of one each; tests add what they kill."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": MEMORY}
        made = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            made.add_node(num_cpus=1, object_store_memory=MEMORY)
        yield made
        made.shutdown()


@pytest.fixture(scope="module")
def plan_file(tmp_path_factory):
    data = yaml.safe_load(plan_text("balanced-1m"))
    # Few angles and a narrow range: quick to simulate.
    data["angles"] = {"first": -700.0, "step": 20.0, "number": 40}
    place = tmp_path_factory.mktemp("plans") / "plan.yaml"
    place.write_text(yaml.safe_dump(data | {"size": SIZE}))
    return place


@pytest.fixture(scope="module")
def digests(plan_file):
    """Of the dataset made by this machine alone."""
    path = plan_file.with_name("alone.zarr")
    done = command("dataset", "generate", plan_file, "-o", path)
    assert done.returncode == 0, done.stderr
    return files(path)


def begun(arguments, appears, until=200):
    """A command that runs, once a file is there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "strainscope", *map(str, arguments)], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + until
    while not appears():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


# Datasets ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_node_killed_amidst_a_dataset_costs_its_shard(cluster, plan_file, digests, tmp_path):
    path = tmp_path / "d.zarr"
    doomed = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    arguments = ("dataset", "generate", plan_file, "-o", path, "--ray", cluster.address)
    with begun(arguments, lambda: list(path.glob("curve/c/*/0"))) as process:
        cluster.remove_node(doomed, allow_graceful=False)
        _, said = process.communicate(timeout=300)
    assert (process.returncode, said) == (0, "")
    assert files(path) == digests


@pytest.mark.slow
def test_a_driver_killed_amidst_a_dataset_goes_on_with_resume(cluster, plan_file, digests, tmp_path):
    path = tmp_path / "d.zarr"
    arguments = ("dataset", "generate", plan_file, "-o", path, "--ray", cluster.address)
    with begun(arguments, lambda: list(path.glob("curve/c/*/0"))) as process:
        process.kill()
        process.communicate()
    assert not json.loads((path / "zarr.json").read_text())["attributes"]["strainscope"]["complete"]
    resumed = command(*arguments, "--resume", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["simulated"] < SIZE
    assert files(path) == digests


@pytest.mark.slow
def test_ctrl_c_drops_what_is_under_way(cluster, plan_file, digests, tmp_path):
    path = tmp_path / "d.zarr"
    arguments = ("dataset", "generate", plan_file, "-o", path, "--ray", cluster.address)
    with begun(arguments, lambda: list(path.glob("curve/c/*/0"))) as process:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert len(said.strip().splitlines()) == 1
    assert command(*arguments, "--resume").returncode == 0
    assert files(path) == digests


# Series -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_node_killed_amidst_a_series_changes_no_result(cluster, tmp_path):
    sample = load_sample("ggg444").with_options(axis="delta-theta-arcsec")
    values = sample.simulated_values({"Dmax1": 0.008, "D01": 0.002, "D02": 0.002}, counts=1e5)
    (tmp_path / "scans").mkdir()
    for number in range(2):
        scan, _ = sample.simulate(values, counts=1e5, seed=number, span=(-900, 300), step=30)
        lines = (f"{x} {y}" for x, y in zip(scan.angle, scan.intensity, strict=True))
        (tmp_path / "scans" / f"s{number}.xy").write_text("\n".join(lines))
    (tmp_path / "scans" / "t.xy").write_text("no scan")
    options = ("--sample", "ggg444", "--axis", "delta-theta-arcsec", "--intensity", "counts")
    options = (*options, "--draws", "64", "--starts", "1")
    # Kernels that a process compiled and those that it finds compiled may differ in the last digits.
    compiled = command("batch", "scans/s0.xy", *options, "-o", "compiled", cwd=tmp_path)
    assert compiled.returncode == 0, compiled.stderr
    options = ("batch", "scans", *options)
    done = command(*options, "-o", "alone", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    doomed = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    there = [sys.executable, "-m", "strainscope", *options, "-o", "there", "--ray", cluster.address]
    with subprocess.Popen(there, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "there" / "series.json").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        time.sleep(2)
        cluster.remove_node(doomed, allow_graceful=False)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    names = [(tmp_path / out / "series.csv").read_text() for out in ("alone", "there")]
    assert names[0] == names[1]
    assert "failed" in names[0]
    assert sorted(place.name for place in (tmp_path / "there" / "scans").iterdir()) == ["s0", "s1"]
    kept = command(*options, "-o", "there", "--ray", cluster.address, "--resume", cwd=tmp_path)
    assert kept.stderr.count(": kept") == 2


# Units ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_units_are_done_again_and_one_that_always_kills_is_given_up(cluster, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import units_of_tests as own

    with connected(cluster.address):
        assert dict(done_units(own.killed_once, str(tmp_path), [1, 2])) == {0: 1, 1: 2}
        found = dict(done_units(own.doubled_or_killed, 3, [1, 3, 5]))
        assert found == {0: 2, 1: LOST, 2: 10}
        assert sorted(done_units(own.slow, None, list(range(6)))) == [(i, i) for i in range(6)]
        with pytest.raises(PermissionError, match="place-7"):
            list(done_units(own.refused, None, [7]))


@pytest.mark.slow
def test_nodes_that_are_unlike_are_refused(cluster, tmp_path, monkeypatch):
    expected = own_versions()
    for package, version, words in (
        ("numpy", "1.0", f"has numpy {expected['numpy']}, and this machine has 1.0; install the same"),
        ("no-such-package", "3.1", "has no no-such-package, and this machine has 3.1; install the same"),
    ):
        other = expected | {package: version}
        monkeypatch.setattr(connection, "own_versions", lambda other=other: other)
        with pytest.raises(ValueError, match=words), connected(cluster.address):
            pass


@pytest.mark.slow
def test_a_folder_that_nodes_share_is_left_as_it_was(cluster, tmp_path):
    with connected(cluster.address):
        check_shared(tmp_path, [Path(__file__)])
    assert not list(tmp_path.iterdir())


# What is refused --------------------------------------------------------------------------------------------


def test_a_node_says_what_it_cannot(tmp_path):
    with pytest.raises(OSError, match="does not see it; name a folder that all nodes share"):
        _try(str(tmp_path / "elsewhere" / "token"), [])
    with pytest.raises(OSError, match="/proc/self: node .* cannot write there"):
        _try("/proc/self/status", [])
    token = tmp_path / "token"
    token.touch()
    with pytest.raises(OSError, match=r"gone.xy: node .* cannot read it; put it into a folder"):
        _try(str(token), [str(tmp_path / "gone.xy")])
    assert list(tmp_path.iterdir()) == [token]


def test_a_unit_tells_of_what_is_missing():
    unit = unit_for({}, "/")
    assert unit("no_such_module", "f")[0] == "unlike"
    assert unit("math", "sqrt", b"\x80\x04K\x04.") == ("done", 2.0)
    kind, error = unit("math", "sqrt", b"\x80\x04J\xff\xff\xff\xff.")
    assert (kind, type(error)) == ("failed", ValueError)


def test_a_unit_loads_on_a_node_without_the_package(tmp_path):
    """As Ray sends it; the node is a process that finds no strainscope."""
    from ray import cloudpickle

    place = tmp_path / "unit"
    place.write_bytes(cloudpickle.dumps(unit_for(own_versions(), "/")))
    code = (
        "import importlib.metadata as metadata, pickle, sys\n"
        "sys.modules['strainscope'] = None\n"
        "def version(name, found=metadata.version):\n"
        "    if name == 'strainscope':\n"
        "        raise metadata.PackageNotFoundError(name)\n"
        "    return found(name)\n"
        "metadata.version = version\n"
        f"kind, said = pickle.loads(open({str(place)!r}, 'rb').read())('strainscope.cluster.nodes', 'own_versions')\n"
        "print(kind, said)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("unlike node "), done.stderr
    assert f"has no strainscope, and this machine has {own_versions()['strainscope']}" in done.stdout


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", "no Ray cluster answers (Connection refused); give another HOST:PORT"),
        ("nonsense", "is no address; give auto, or HOST:PORT"),
        ("host:99999", "is no address; give auto, or HOST:PORT"),
        ("ray://127.0.0.1:10001", "run the command on a machine of the cluster, with --ray auto"),
    ],
)
def test_no_cluster_there(plan_file, tmp_path, address, words):
    path = tmp_path / "d.zarr"
    assert words in one_line(command("dataset", "generate", plan_file, "-o", path, "--ray", address))
    assert not path.exists()


def test_options_of_this_machine_are_refused(plan_file, tmp_path):
    for option in (("--workers", "2"), ("--device", "cuda")):
        done = command("dataset", "generate", plan_file, "-o", tmp_path / "d.zarr", "--ray", "auto", *option)
        assert f"{' '.join(option)}: is for this machine; leave it out with --ray" in one_line(done)
    assert not list(tmp_path.iterdir())


def test_ray_is_not_installed(monkeypatch):
    monkeypatch.setattr(connection, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^--ray: Ray is not installed; install it with: pip"), connected("auto"):
        pass


def test_without_the_option_nothing_of_ray_is_imported(plan_file, tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from strainscope import cli, series\n"
        "from strainscope.dataset import plan\n"
        "from strainscope.dataset.generate import generate\n"
        "if __name__ == '__main__':\n"
        f"    generate(plan.load_plan({str(plan_file)!r}, size=1024), Path({str(tmp_path / 'd.zarr')!r}), workers=1)\n"
        "    assert not [name for name in sys.modules if name.partition('.')[0] == 'ray']\n"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    subprocess.run([sys.executable, script], check=True, timeout=120)
