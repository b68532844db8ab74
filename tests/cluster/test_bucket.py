"""Nodes that write a dataset straight into an S3 store on loopback: the same bytes, whatever is killed."""

import json
import os
import subprocess
import sys
import time

import pytest
import yaml

from strainscope.cluster import connected
from strainscope.dataset.bucket import Bucket
from strainscope.dataset.on_nodes import _try, check_reached
from strainscope.dataset.place import place_of
from strainscope.dataset.plan import plan_text

SIZE = 36_000  # three shards, the last one short
MEMORY = 80 * 2**20

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def store(s3):
    """The environment of a store with the bucket `curves`; nodes have it from here."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.items():
            patch.setenv(name, value)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        yield s3


@pytest.fixture(scope="module")
def cluster(store):
    """A head without processors and one node; tests add what they kill."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": MEMORY}
    made = Cluster(initialize_head=True, head_node_args=head)
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


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "strainscope", *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def objects(address):
    """Every object below an address with its bytes; markers of folders left out."""
    files, inside = place_of(address)._files, address.removeprefix("s3://")
    return {name[len(inside) :]: files.cat_file(name) for name in files.find(inside) if not name.endswith("/")}


@pytest.mark.slow
def test_node_and_driver_killed_it_ends_with_the_same_bytes(cluster, plan_file, tmp_path):
    done = command("dataset", "generate", plan_file, "-o", tmp_path / "d.zarr", "--workers", "1")
    assert done.returncode == 0, done.stderr
    here = {
        "/" + str(place.relative_to(tmp_path / "d.zarr")): place.read_bytes()
        for place in (tmp_path / "d.zarr").rglob("*")
        if place.is_file()
    }
    address = "s3://curves/nodes.zarr"
    arguments = ("dataset", "generate", plan_file, "-o", address, "--ray", cluster.address)
    doomed = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    driver = subprocess.Popen([sys.executable, "-m", "strainscope", *map(str, arguments)])
    deadline = time.monotonic() + 200
    while not any(place_of(address).has(f"curve/c/{shard}/0") for shard in range(3)):
        assert driver.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    cluster.remove_node(doomed, allow_graceful=False)
    driver.kill()
    driver.wait()
    resumed = command(*arguments, "--resume", "--json")
    assert resumed.returncode == 0, resumed.stderr
    # Ray says before that a node died.
    assert json.loads(resumed.stdout.splitlines()[-1])["simulated"] < SIZE
    assert objects(address) == here


@pytest.mark.slow
def test_a_bucket_that_nodes_reach_is_left_as_it_was(cluster):
    with connected(cluster.address):
        check_reached(Bucket("s3://curves/untouched.zarr"))
    assert not objects("s3://curves/untouched.zarr")


@pytest.mark.slow
def test_a_bucket_that_is_missing_is_said_before_anything_is_done(cluster, plan_file):
    done = command("dataset", "generate", plan_file, "-o", "s3://no-such/d.zarr", "--ray", cluster.address)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "s3://no-such/d.zarr: there is no bucket no-such at " in line


def test_a_node_says_what_it_cannot(store, monkeypatch):
    with pytest.raises(OSError, match=r"s3://curves/d.zarr: node .* sees another store; set AWS_ENDPOINT_URL as here"):
        _try("s3://curves/d.zarr", "token")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(OSError, match=r"no store answers at http://127.0.0.1:9; .* So says node .* its ray start runs"):
        _try("s3://curves/d.zarr", "token")
