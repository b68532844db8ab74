"""Datasets on disk: the same bytes however they came about, nothing lost, nothing foreign touched."""

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
import yaml

from strainscope.dataset.audit import audit
from strainscope.dataset.export import export
from strainscope.dataset.generate import generate
from strainscope.dataset.plan import checked, plan_text
from strainscope.dataset.reader import ShuffledReader
from strainscope.dataset.simulate import Simulator
from strainscope.dataset.store import Dataset, rounded
from strainscope.diffraction import chosen_device

SIZE = 36_000  # three shards, the last one short


def settings(**changes):
    data = yaml.safe_load(plan_text("balanced-1m"))
    # Few angles and a narrow range: quick to simulate.
    data["angles"] = {"first": -700.0, "step": 20.0, "number": 40}
    return data | {"size": SIZE} | changes


def files(path):
    """Every file with a digest of its bytes."""
    return {
        str(place.relative_to(path)): hashlib.sha256(place.read_bytes()).hexdigest()
        for place in sorted(path.rglob("*"))
        if place.is_file()
    }


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "strainscope", "dataset", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **options,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="module")
def plan_file(folder):
    place = folder / "plan.yaml"
    place.write_text(yaml.safe_dump(settings()))
    return place


@pytest.fixture(scope="module")
def made(folder):
    """A dataset made by two workers."""
    path = folder / "d.zarr"
    assert generate(checked(settings(), source="plan"), path, workers=2) == SIZE
    return path


@pytest.fixture(scope="module")
def digests(made):
    return files(made)


def heed_ctrl_c():
    """In a child: where the tests themselves run in the background of a shell, Ctrl-C would be ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


# The same bytes ---------------------------------------------------------------------------------------------


def test_one_worker_writes_the_same_bytes(folder, digests):
    path = folder / "one.zarr"
    generate(checked(settings(), source="plan"), path, workers=1)
    assert files(path) == digests


def test_killed_and_resumed_it_ends_the_same(folder, plan_file, digests):
    """kill -9 after the first shard is on the disk; workers end with their parent, nothing is left over."""
    path = folder / "killed.zarr"
    arguments = [sys.executable, "-m", "strainscope", "dataset", "generate", str(plan_file), "-o", str(path)]
    process = subprocess.Popen([*arguments, "--workers", "1"], start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(path.glob("curve/c/*/0")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    until = time.monotonic() + 20
    while _session(process.pid):
        assert time.monotonic() < until, "workers outlive their parent"
        time.sleep(0.1)
    assert not json.loads((path / "zarr.json").read_text())["attributes"]["strainscope"]["complete"]
    refused = command("audit", path)
    assert refused.returncode == 2
    assert "is not complete; finish it with" in refused.stderr
    resumed = command("generate", plan_file, "-o", path, "--resume", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["simulated"] < SIZE
    assert files(path) == digests


def _session(leader):
    """Processes alive in a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[3] == str(leader) and fields[0] != "Z":
                found.append(entry.name)
    return found


def test_ctrl_c_stops_cleanly_and_resumes(folder, plan_file, digests):
    path = folder / "stopped.zarr"
    arguments = [sys.executable, "-m", "strainscope", "dataset", "generate", str(plan_file), "-o", str(path)]
    process = subprocess.Popen(
        [*arguments, "--workers", "2"],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    )
    deadline = time.monotonic() + 120
    while not list(path.glob("curve/c/*/0")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1] == "strainscope: interrupted"
    assert "Traceback" not in errors
    assert not list(path.rglob("*.partial"))
    assert command("generate", plan_file, "-o", path, "--resume").returncode == 0
    assert files(path) == digests


def test_a_damaged_description_is_mended(folder, made, digests):
    path = folder / "root.zarr"
    shutil.copytree(made, path)
    (path / "zarr.json").write_bytes(b'{"attributes": ')
    with pytest.raises(ValueError, match=r"zarr\.json is damaged; .*--resume"):
        Dataset(path)
    generate(checked(settings(), source="plan"), path, resume=True, workers=1)
    assert files(path) == digests


def test_a_damaged_description_is_not_mended_by_another_plan(folder, made):
    path = folder / "other-root.zarr"
    shutil.copytree(made, path)
    (path / "zarr.json").write_bytes(b"?")
    before = files(path)
    for change in ({"seed": 1}, {"size": SIZE - 1}, {"tolerance": 1e-4}):
        with pytest.raises(ValueError, match="zarr.json is damaged, and .* this plan; use its own plan"):
            generate(checked(settings(**change), source="plan"), path, resume=True, workers=1)
        assert files(path) == before


def test_a_dataset_is_of_one_device(folder, made, monkeypatch):
    """The last digits of its curves are those of what simulated it."""
    path = folder / "device.zarr"
    shutil.copytree(made, path)
    before = files(path)
    monkeypatch.setattr("strainscope.dataset.generate.chosen_device", lambda name: name)
    with pytest.raises(ValueError, match=r"device\.zarr: was simulated by .*tolerance, and this .*on a GPU.* --device"):
        generate(checked(settings(), source="plan"), path, resume=True, device="cuda")
    assert files(path) == before


@pytest.mark.skipif(chosen_device("auto") == "cuda", reason="there is a GPU")
def test_a_gpu_that_is_not_there(plan_file, folder):
    done = command("generate", plan_file, "-o", folder / "none.zarr", "--device", "cuda")
    assert done.returncode == 2
    assert done.stderr.startswith("strainscope: error: device = 'cuda': n")
    assert done.stderr.count("\n") == 1
    assert not (folder / "none.zarr").exists()


@pytest.mark.parametrize("pause", [0.0, 0.3])
def test_a_second_ctrl_c_does_not_hang(folder, plan_file, tmp_path, pause):
    path = tmp_path / "twice.zarr"
    arguments = [sys.executable, "-m", "strainscope", "dataset", "generate", str(plan_file), "-o", str(path)]
    process = subprocess.Popen(
        [*arguments, "--workers", "2"],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    )
    deadline = time.monotonic() + 120
    while not list(path.glob("curve/c/*/0")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    time.sleep(pause)
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode != 0
    # The interpreter's own helper process ends just after its parent.
    until = time.monotonic() + 20
    while _session(process.pid):
        assert time.monotonic() < until, "processes outlive an interrupted run"
        time.sleep(0.1)


def test_a_disk_that_fills_up_stops_it_with_one_line_and_it_resumes(folder, plan_file, digests):
    path = folder / "full.zarr"
    full = command(
        "generate",
        plan_file,
        "-o",
        path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000)),
    )
    assert full.returncode == 2
    assert "Traceback" not in full.stderr
    (line,) = full.stderr.strip().splitlines()
    assert "What is written stays; go on with --resume" in line
    assert not list(path.rglob("*.partial"))
    assert command("generate", plan_file, "-o", path, "--resume").returncode == 0
    assert files(path) == digests


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "parameter", "metadata"])
def test_damage_is_found_and_mended(folder, made, digests, damage):
    place = {
        "parameter": made / "L1" / "c" / "1",
        "metadata": made / "curve" / "zarr.json",
    }.get(damage, made / "curve" / "c" / "1" / "0")
    content = bytearray(place.read_bytes())
    if damage == "remove":
        place.unlink()
    elif damage == "truncate":
        place.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 3] ^= 4
        place.write_bytes(content)
    generate(checked(settings(), source="plan"), made, resume=True)
    assert files(made) == digests


@pytest.mark.parametrize("damage", ["flip", "remove"])
@pytest.mark.parametrize("array", ["curve", "L2"])
def test_damage_is_never_read_as_data(made, folder, tmp_path, damage, array):
    broken = tmp_path / "broken.zarr"
    shutil.copytree(made, broken)
    place = broken / array / "c" / "1"
    place = place / "0" if array == "curve" else place
    content = bytearray(place.read_bytes())
    content[len(content) // 3] ^= 4
    place.write_bytes(content) if damage == "flip" else place.unlink()
    dataset = Dataset(broken)
    with pytest.raises(ValueError, match=rf"{array} is damaged or missing .*--resume"):
        export(dataset, tmp_path / "d.parquet")
    assert not (tmp_path / "d.parquet").exists()
    with pytest.raises(ValueError, match=rf"{array} is damaged or missing .*--resume"):
        list(ShuffledReader(broken, batch=1000, seed=0).epoch(0))
    refused = command("export", broken, "-o", tmp_path / "d.h5")
    assert refused.returncode == 2
    (line,) = refused.stderr.strip().splitlines()
    assert "--resume" in line


def test_resuming_a_finished_one_makes_nothing(made, plan_file, digests):
    done = command("generate", plan_file, "-o", made, "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["simulated"] == 0
    assert files(made) == digests


def test_a_larger_dataset_begins_with_the_smaller_one(folder, made):
    path = folder / "small.zarr"
    generate(checked(settings(size=3000), source="plan"), path)
    small, large = Dataset(path), Dataset(made)
    np.testing.assert_array_equal(small.curves(0, 3000), large.curves(0, 3000))
    np.testing.assert_array_equal(small.parameters(0, 3000), large.parameters(0, 3000))


def test_no_times_hosts_or_paths_are_stored(made):
    text = "".join(place.read_text() for place in made.rglob("zarr.json"))
    for word in (os.uname().nodename, str(made), time.strftime("%Y-"), "worker"):
        assert word not in text


# What is in it ----------------------------------------------------------------------------------------------


def test_xarray_opens_it(made):
    data = xr.open_zarr(made)
    assert dict(data.sizes) == {"sample": SIZE, "angle": 40}
    assert data["curve"].dtype == np.float32
    assert (np.diff(data["angle"]) > 0).all()
    assert data["angle"].attrs["units"] == "arcsec"
    assert data["L1"].attrs["units"] == "Å"
    about = data.attrs["strainscope"]
    assert about["complete"] is True
    assert about["plan"]["seed"] == 0
    assert about["sample"]["crystal"] == "GGG"
    assert about["version"]


def test_curves_are_those_of_their_parameters(made):
    dataset = Dataset(made)
    exact = Simulator(dataset.plan, refinement=2.5).simulate(dataset.parameters(20_000, 20_020))
    gap = np.log10(dataset.curves(20_000, 20_020) / exact)
    assert np.sqrt((gap**2).mean()) < 1e-3
    assert np.ptp(np.log10(exact)) > 2


def test_strain_lies_at_smaller_angles(made):
    """Positive strain shows at negative angles: there is more intensity at -500 than at +60 arcsec."""
    dataset = Dataset(made)
    curves, angle = dataset.curves(0, 2000), dataset.angle_arcsec
    assert np.median(curves[:, np.abs(angle + 500) < 30]) > np.median(curves[:, angle > 60])


def test_rounding_keeps_half_a_part_in_two_to_the_fourteenth():
    rng = np.random.default_rng(0)
    values = np.exp(rng.uniform(-20, 3, 100_000)).astype(np.float32)
    kept = rounded(values)
    gap = np.abs(kept / values.astype(np.float64) - 1)
    assert gap.max() <= 2.0**-15
    assert gap.max() > 2.0**-16
    assert not (kept.view(np.uint32) & 0x1FF).any()


def test_audit_keeps_the_tolerance_and_finds_a_wrong_curve(made, folder):
    found = audit(Dataset(made), 200)
    assert found.passed
    assert 1e-6 < found.rms < 1e-3

    class Scaled(Dataset):
        def curves(self, first, last):
            return super().curves(first, last) * np.float32(1.01)

    worse = audit(Scaled(made), 200)
    assert not worse.passed
    assert worse.rms == pytest.approx(np.log10(1.01), rel=0.05)


# Reading and exporting --------------------------------------------------------------------------------------


def test_the_reader_gives_every_sample_once_in_another_order_each_epoch(made):
    reader = ShuffledReader(made, batch=1000, seed=3)
    dataset = Dataset(made)
    stored = np.concatenate(list(dataset.parameter_blocks()))
    epochs = []
    for number in (0, 1, 0):
        batches = list(reader.epoch(number))
        assert [len(curves) for curves, _ in batches] == [1000] * 36
        epochs.append(np.concatenate([values for _, values in batches]))
        curves, values = batches[5]
        row = int(np.flatnonzero((stored == values[7]).all(axis=1))[0])
        np.testing.assert_array_equal(dataset.curves(row, row + 1)[0], curves[7])
    order = [np.lexsort(values.T) for values in epochs]
    np.testing.assert_array_equal(epochs[0][order[0]], stored[np.lexsort(stored.T)])
    np.testing.assert_array_equal(epochs[0], epochs[2])
    assert (epochs[0] != epochs[1]).any(axis=1).mean() > 0.99
    # Mixed: a batch comes from all over the dataset.
    where = {tuple(values): i for i, values in enumerate(stored)}
    places = np.array([where[tuple(values)] for values in epochs[0][:1000]])
    assert np.histogram(places, bins=6, range=(0, SIZE))[0].min() > 20


def test_a_window_leaves_out_the_large_angle_end(made):
    whole = next(ShuffledReader(made, batch=10, seed=0).epoch(0))[0]
    window = next(ShuffledReader(made, batch=10, seed=0, start=7).epoch(0))[0]
    np.testing.assert_array_equal(window, whole[:, :33])


def test_exports_hold_the_same(made, folder):
    dataset = Dataset(made)
    for name in ("d.h5", "d.parquet"):
        export(dataset, folder / name)
        with pytest.raises(FileExistsError, match="--force"):
            export(dataset, folder / name)
    with h5py.File(folder / "d.h5") as file:
        np.testing.assert_array_equal(file["curve"][100:200], dataset.curves(100, 200))
        np.testing.assert_array_equal(
            file["L2"][:500], dataset.parameters(0, 500)[:, dataset.names.index("L2")]
        )
        assert file["L2"].attrs["units"] == "Å"
        np.testing.assert_array_equal(file["angle"], dataset.angle_arcsec)
    table = pq.read_table(folder / "d.parquet")
    assert table.num_rows == SIZE
    np.testing.assert_array_equal(
        np.stack(table["curve"].slice(100, 100).to_numpy(zero_copy_only=False)), dataset.curves(100, 200)
    )
    assert not list(folder.glob(".*partial"))
    with pytest.raises(ValueError, match=r"ends in .csv; it must be one of .h5, .hdf5, .parquet"):
        export(dataset, folder / "d.csv")


@pytest.mark.parametrize("start", [0, 7, 39])
def test_an_exported_window_leaves_out_the_large_angle_end(made, tmp_path, start):
    """Angles and curves of both formats are shortened alike; parameters are not touched."""
    dataset, kept = Dataset(made), 40 - start
    places = [tmp_path / name for name in ("w.h5", "w.parquet")]
    for place in places:
        done = command("export", made, "-o", place, "--start", start)
        assert done.returncode == 0, done.stderr
        assert f"curves of {kept} points" in done.stdout
    with h5py.File(places[0]) as file:
        assert file["curve"].shape == (SIZE, kept)
        np.testing.assert_array_equal(file["angle"], dataset.angle_arcsec[:kept])
        np.testing.assert_array_equal(file["curve"][300:310], dataset.curves(300, 310)[:, :kept])
        np.testing.assert_array_equal(
            file["L1"][300:310], dataset.parameters(300, 310)[:, dataset.names.index("L1")]
        )
    table = pq.read_table(places[1])
    angles = json.loads(table.schema.metadata[b"angle_arcsec"])
    np.testing.assert_array_equal(angles, dataset.angle_arcsec[:kept])
    np.testing.assert_array_equal(
        np.stack(table["curve"].slice(300, 10).to_numpy(zero_copy_only=False)),
        dataset.curves(300, 310)[:, :kept],
    )


def test_an_export_must_start_on_the_curve(made, tmp_path):
    for start in (-1, 40):
        with pytest.raises(ValueError, match=f"start = {start}; it must lie in 0 to 39, the curves' points"):
            export(Dataset(made), tmp_path / "w.h5", start=start)
    refused = command("export", made, "-o", tmp_path / "w.h5", "--start", 701)
    assert refused.returncode == 2
    (line,) = refused.stderr.strip().splitlines()
    assert "start = 701; it must lie in 0 to 39" in line
    assert not list(tmp_path.iterdir())


# What is refused --------------------------------------------------------------------------------------------


def test_refusals_touch_nothing(folder, made, plan_file, digests):
    foreign = folder / "foreign"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    zarr_of_another = folder / "other.zarr"
    zarr_of_another.mkdir()
    (zarr_of_another / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    newer = folder / "newer.zarr"
    newer.mkdir()
    document = json.loads((made / "zarr.json").read_text())
    document["attributes"]["strainscope"]["version"] = "99.0"
    (newer / "zarr.json").write_text(json.dumps(document))
    before = {path: files(path) for path in (foreign, zarr_of_another, newer)}
    cases = [
        ([plan_file, "-o", made], "exists; name another place, or go on with --resume"),
        ([plan_file, "-o", made, "--resume", "--seed", 5], r"is of another plan (plan.seed differs)"),
        ([plan_file, "-o", made, "--resume", "--size", 500], r"is of another plan (plan.size differs)"),
        ([plan_file, "-o", foreign, "--resume"], "holds notes.txt and no dataset"),
        ([plan_file, "-o", plan_file, "--resume"], "is a file; name a folder"),
        (
            [plan_file, "-o", zarr_of_another, "--resume"],
            "but not one that strainscope dataset generate wrote",
        ),
        ([plan_file, "-o", newer, "--resume"], "was begun by strainscope 99.0"),
        (["balanced-2m", "-o", folder / "x.zarr"], "Did you mean balanced-1m?"),
        ([plan_file, "-o", "/proc/x.zarr"], "/proc/x.zarr: cannot be made"),
        (["sobol-1m", "-o", folder / "x.zarr", "--size", 10**9], "GB are free. Ask for a size of at most"),
    ]
    for arguments, message in cases:
        refused = command("generate", *arguments)
        assert refused.returncode == 2, arguments
        (line,) = refused.stderr.strip().splitlines()
        assert message in line
    assert not (folder / "x.zarr").exists()
    assert {path: files(path) for path in before} == before
    assert files(made) == digests


def test_inspect_says_what_a_plan_or_dataset_is(made):
    plan = json.loads(command("inspect", "balanced-1m", "--json").stdout)
    assert plan["valid_combinations"] == 4_388_150
    assert plan["size"] == 1_000_000
    assert json.loads(command("inspect", "balanced-1m", "--size", 10, "--json").stdout)["size"] == 10
    own = json.loads(command("inspect", made, "--json").stdout)
    assert own["complete"] is True
    assert own["size"] == SIZE
    assert own["parameters"]["L1"]["unit"] == "Å"
