"""Datasets in an S3 store on loopback: the same bytes as in a folder, whole or not there, refusals in a line."""

import json
import os
import subprocess
import sys
import time

import pytest
import yaml

from strainscope.dataset.bucket import Bucket
from strainscope.dataset.generate import generate
from strainscope.dataset.place import Folder, below, place_of
from strainscope.dataset.plan import checked, plan_text
from strainscope.dataset.reader import ShuffledReader
from strainscope.dataset.store import Dataset

SIZE = 36_000  # three shards, the last one short


@pytest.fixture
def store(s3, monkeypatch):
    """The environment of a store with the bucket `curves`."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return s3


@pytest.fixture(scope="module")
def plan_file(tmp_path_factory):
    data = yaml.safe_load(plan_text("balanced-1m"))
    # Few angles and a narrow range: quick to simulate.
    data["angles"] = {"first": -700.0, "step": 20.0, "number": 40}
    place = tmp_path_factory.mktemp("plans") / "plan.yaml"
    place.write_text(yaml.safe_dump(data | {"size": SIZE}))
    return place


@pytest.fixture(scope="module")
def here(plan_file):
    """The same dataset in a folder: its path, and every file's bytes."""
    path = plan_file.with_name("d.zarr")
    generate(checked(yaml.safe_load(plan_file.read_text()), source="plan"), path, workers=1)
    return path, {str(own.relative_to(path)): own.read_bytes() for own in path.rglob("*") if own.is_file()}


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "strainscope", *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def one_line(done):
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    return line


def objects(address):
    """Every object below an address with its bytes; markers of folders left out."""
    bucket = place_of(address)
    inside = address.removeprefix("s3://")
    return {
        name.removeprefix(inside + "/"): bucket._files.cat_file(name)
        for name in bucket._files.find(inside)
        if not name.endswith("/")
    }


# The same bytes ---------------------------------------------------------------------------------------------


def test_killed_and_resumed_it_holds_the_same_bytes_as_a_folder(store, plan_file, here):
    address = "s3://curves/killed.zarr"
    arguments = ("dataset", "generate", plan_file, "-o", address, "--workers", "1")
    process = subprocess.Popen([sys.executable, "-m", "strainscope", *map(str, arguments)])
    deadline = time.monotonic() + 120
    while not place_of(address).has("curve/c/0/0"):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    path, files = here
    # What is there is whole; whatever else would be overwritten, and is not yet.
    for name, content in objects(address).items():
        if name != "zarr.json":
            assert content == files[name]
    assert "is not complete; finish it with" in one_line(command("dataset", "audit", address))
    assert "exists; name another place, or go on with --resume" in one_line(command(*arguments))
    resumed = command(*arguments, "--resume", "--json")
    assert resumed.returncode == 0, resumed.stderr
    document = json.loads(resumed.stdout)
    assert 0 < document["simulated"] < SIZE
    assert objects(address) == files
    assert document["bytes"] == sum(map(len, files.values()))
    assert json.loads(command(*arguments, "--resume", "--json").stdout)["simulated"] == 0


def test_a_damaged_object_is_said_and_mended(store, here, plan_file):
    address, (_, files) = "s3://curves/damaged.zarr", here
    for name, content in files.items():
        place_of(address).put(name, content)
    spoiled = bytearray(files["curve/c/1/0"])
    spoiled[100] ^= 255
    place_of(address).put("curve/c/1/0", bytes(spoiled))
    dataset = Dataset(address)
    with pytest.raises(ValueError, match=r"^s3://curves/damaged.zarr: curve is damaged .* --resume"):
        list(dataset.curve_blocks())
    plan = checked(yaml.safe_load(plan_file.read_text()), source="plan")
    assert generate(plan, address, resume=True, workers=1) == 16_384
    assert objects(address) == files


def test_it_is_read_as_from_a_folder(store, here):
    address, (path, files) = "s3://curves/read.zarr", here
    for name, content in files.items():
        place_of(address).put(name, content)
    audited = [command("dataset", "audit", place, "--rows", "8", "--json").stdout for place in (path, address)]
    assert audited[0] == audited[1] != ""
    seen = json.loads(command("dataset", "inspect", address, "--json").stdout)
    assert (seen["path"], seen["complete"], seen["size"]) == (address, True, SIZE)
    readers = [ShuffledReader(place, batch=1024, seed=3).epoch(0) for place in (path, address)]
    for (curves, values), (others, other_values) in zip(*readers, strict=True):
        assert curves.tobytes() == others.tobytes()
        assert values.tobytes() == other_values.tobytes()


def test_a_training_makes_and_reads_its_data_there(store, tmp_path):
    pytest.importorskip("torch")
    from strainscope.dataset.plan import load_plan
    from strainscope.estimator.plan import load_training_plan
    from strainscope.training.data import readers_of
    from strainscope.training.settings import full_plan

    data = load_plan("uniform-1m").model_dump(mode="json")
    data |= {"size": 256, "angles": {"first": -900.0, "step": 40.0, "number": 24}}
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(data))
    document = {"data": [{"plan": str(tmp_path / "few.yaml")}], "samples": 512, "batch": 64}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(document))
    plan = full_plan(load_training_plan(tmp_path / "plan.yaml"))
    told = []
    for _ in range(2):
        (reader,) = readers_of(plan, "s3://curves/data", lambda name, done, total: told.append((name, done)))
        assert str(reader.dataset.place) == "s3://curves/data/0-few.zarr"
        assert sum(len(values) for _, values in reader.epoch(0)) == 256
    assert told == [("0-few.zarr", 0), ("0-few.zarr", 256), ("0-few.zarr", 256)]


# What is refused --------------------------------------------------------------------------------------------


def test_a_bucket_that_is_missing(store, plan_file):
    line = one_line(command("dataset", "generate", plan_file, "-o", "s3://no-such-bucket/d.zarr"))
    assert f"s3://no-such-bucket/d.zarr: there is no bucket no-such-bucket at {store['AWS_ENDPOINT_URL']}" in line
    line = one_line(command("dataset", "audit", "s3://curves/no-such.zarr"))
    assert "s3://curves/no-such.zarr: does not exist" in line


def test_another_plan_or_something_else(store, plan_file, here):
    _, files = here
    place_of("s3://curves/else").put("notes.txt", b"mine")
    line = one_line(command("dataset", "generate", plan_file, "-o", "s3://curves/else", "--resume"))
    assert "s3://curves/else: holds notes.txt and no dataset" in line
    place_of("s3://curves/other.zarr").put("zarr.json", files["zarr.json"])
    asked = ("-o", "s3://curves/other.zarr", "--resume", "--seed", "7")
    line = one_line(command("dataset", "generate", plan_file, *asked))
    assert "s3://curves/other.zarr: is of another plan (plan.seed differs)" in line


def test_credentials_that_are_refused(s3_server, plan_file):
    # The first request, which makes the bucket, is the last one that needs no key.
    own = s3_server(INITIAL_NO_AUTH_ACTION_COUNT="1") | {"AWS_SECRET_ACCESS_KEY": "guessed"}
    for arguments in (("generate", plan_file, "-o", "s3://curves/d.zarr"), ("audit", "s3://curves/d.zarr")):
        line = one_line(command("dataset", *arguments, **own))
        assert f"s3://curves/d.zarr: the store at {own['AWS_ENDPOINT_URL']} refuses (" in line
        assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in line
        assert "guessed" not in line


def test_a_store_that_is_gone_amidst_keeps_what_is_written(s3_server, plan_file, monkeypatch):
    own = s3_server()
    address = own["AWS_ENDPOINT_URL"]
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    plan = checked(yaml.safe_load(plan_file.read_text()), source="plan")

    def gone(done, total):
        if done:
            s3_server.stop(address)

    with pytest.raises(OSError, match=r"stopped after .* no store answers at .* What is written stays; go on with"):
        generate(plan, "s3://curves/gone.zarr", workers=1, progress=gone)
    with pytest.raises(OSError, match=rf"^s3://curves/gone.zarr: no store answers at {address}; .* AWS_ENDPOINT_URL"):
        Dataset("s3://curves/gone.zarr")


@pytest.mark.parametrize("address", ["s3://", "s3://curves", "s3:///d.zarr", "s3://curves/a//b", "s3://curves/d?x=1"])
def test_no_place_in_a_bucket(address):
    with pytest.raises(ValueError, match="is no place in a bucket; write s3://BUCKET/NAME.zarr"):
        place_of(address)


def test_places(tmp_path):
    with pytest.raises(ValueError, match=r"^gs://b/d.zarr: is in no store that is known; name a folder, or s3://"):
        place_of("gs://b/d.zarr")
    assert isinstance(place_of(str(tmp_path)), Folder)
    bucket = place_of("s3://b/a/d.zarr/")
    assert isinstance(bucket, Bucket)
    assert (str(bucket), bucket.absolute(), bucket.name) == ("s3://b/a/d.zarr", "s3://b/a/d.zarr", "d.zarr")
    assert below("s3://b/a/", "d.zarr") == "s3://b/a/d.zarr"
    assert below(tmp_path, "d.zarr") == tmp_path / "d.zarr"


def test_what_s3_needs_is_not_installed(monkeypatch):
    monkeypatch.setattr("strainscope.dataset.bucket.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"S3 needs fsspec; install it with: pip install 'strainscope\[s3\]'"):
        place_of("s3://b/d.zarr")
