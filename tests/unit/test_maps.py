"""Maps: what stacks hold, how pixels are inverted, and going on after an end."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest

from strainscope import cli
from strainscope.dataset.alone import alone
from strainscope.inversion.target import Target
from strainscope.maps import LEVELS, REASONS, MapJob, invert_map, open_stack, run
from strainscope.maps import posterior as posterior_module
from strainscope.maps.climb import climb
from strainscope.maps.folder import places_by_shape, places_by_table, stack_folder
from strainscope.maps.job import TILE_COLUMNS, TILE_ROWS, tiles_of
from strainscope.maps.pixels import Pixels
from strainscope.maps.survey import look_through, prepared
from strainscope.sample import load_sample

SAMPLE = """\
title: Small map
crystal: GGG
reflection: [4, 4, 4]
wavelength: 1.54056
scan: {axis: delta-theta-arcsec, intensity: counts}
strain: double-gaussian
disorder: none
diffuse: false
model_error: 0
resolution: {family: gaussian, fwhm_range_arcsec: [10, 60]}
fit:
  Dmax1: {bounds: [0.002, 0.008]}
  D01: {value: 0.0015, held: true}
  L1: {bounds: [1500, 4000]}
  Rp1: {bounds: [800, 2000]}
  D02: {value: 0.0005, held: true}
  L2: {value: 1200, held: true}
  Rp2: {value: -500, held: true}
  fwhm_arcsec: {value: 20, held: true}
"""
ANGLE = np.arange(-700.0, 151.0, 10.0)
DRAWS = 256


@pytest.fixture(scope="module")
def sample_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("sample") / "garnet.yaml"
    path.write_text(SAMPLE, encoding="utf-8")
    return path


def truth_of(shape):
    """Values of Dmax1, L1 and Rp1 that vary smoothly, each of shape (y, x)."""
    y, x = np.meshgrid(*(np.linspace(0, 1, max(n, 2))[:n] for n in shape), indexing="ij")
    return {"Dmax1": 0.004 + 0.002 * x + 0.001 * y, "L1": 2600 + 400 * y - 300 * x, "Rp1": 1300 + 200 * y * x}


def counts_of(sample, truth, *, counts=1e5, seed=0):
    """Counts of scans (y, x, angle) of these truths."""
    shape = truth["Dmax1"].shape
    found = np.empty((*shape, len(ANGLE)))
    for i in np.ndindex(shape):
        values = sample.simulated_values({k: float(v[i]) for k, v in truth.items()} | {"log10_background": 0.5})
        values["log10_scale"] = np.log10(counts)
        scan, _ = sample.simulate(values, span=(ANGLE[0], ANGLE[-1]), step=10.0)
        found[i] = scan.intensity
    return np.random.default_rng(seed).poisson(found)


def write_stack(path, counts, *, angle=ANGLE, name="delta_theta", unit="arcsec", axes=None, dtype=None):
    with h5py.File(path, "w") as file:
        group = file.create_group("entry/data")
        group.attrs.update({"NX_class": "NXdata", "signal": "counts"})
        if axes != "none":
            group.attrs["axes"] = axes or ["y", "x", name]
        group.create_dataset("counts", data=counts, dtype=dtype or counts.dtype)
        group[name] = angle
        if unit:
            group[name].attrs["units"] = unit
    return path


@pytest.fixture(scope="module")
def stack_path(tmp_path_factory, sample_path):
    """24 x 3 pixels: three tiles. One pixel holds nothing, one noise, one lacks some values, one is of another kind."""
    truth = truth_of((24, 3))
    truth["Dmax1"][12, 1], truth["L1"][12, 1] = 0.0025, 3600
    counts = counts_of(load_sample(str(sample_path)), truth).astype(np.float64)
    counts[3, 2] = np.nan
    counts[5, 0, 10:14] = np.nan
    counts[20, 1] = np.random.default_rng(1).poisson(500, len(ANGLE))
    path = tmp_path_factory.mktemp("stack") / "stack.nxs"
    write_stack(path, counts)
    with h5py.File(path, "r+") as file:
        file["entry/data/counts"].attrs["kind"] = "counts"
    np.savez(path.with_suffix(".npz"), **truth)
    return path


@pytest.fixture(scope="module")
def mapped(tmp_path_factory, stack_path, sample_path):
    out = tmp_path_factory.mktemp("map") / "out"
    outcome = invert_map(open_stack(stack_path), MapJob(sample=str(sample_path), draws=DRAWS), out)
    return out, outcome


def files_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# The map ----------------------------------------------------------------------------------------------------


def test_pixels_come_out_as_they_were_made(mapped, stack_path):
    out, outcome = mapped
    truth = np.load(stack_path.with_suffix(".npz"))
    with h5py.File(out / "map.nxs") as file:
        level = file["entry/verdict/level"][()]
        for name in ("Dmax1", "L1", "Rp1"):
            group = file[f"entry/parameters/{name}"]
            mean, sd = group["mean"][()], group["sd"][()]
            away = np.abs(mean - truth[name]) / sd
            assert np.nanmax(away) < 5
            assert 0.5 < np.nanmean(away < 1) < 0.85
            assert np.isnan(mean[3, 2])
            assert np.isnan(sd[3, 2])
        held = file["entry/parameters/L2"]
        assert held.attrs["held"]
        assert np.nanmax(held["sd"][()]) == 0
        assert file["entry/fit/fitted"].shape == (24, 3, len(ANGLE))
    assert LEVELS[level[3, 2]] == "no scan"
    assert np.argwhere(level == LEVELS.index("do not use")).tolist() == [[20, 1]]
    assert (level == LEVELS.index("reliable")).mean() > 0.9
    assert outcome.verdicts["no scan"] == 1


def test_a_pixel_of_another_kind_keeps_its_own_solution(mapped):
    """What all neighbours propose explains it not at all; the exact likelihood decides."""
    with h5py.File(mapped[0] / "map.nxs") as file:
        own = file["entry/parameters/Dmax1"]
        assert abs(own["mean"][12, 1] - 0.0025) < 5 * own["sd"][12, 1]
        assert own["mean"][11, 1] > 0.004
        assert file["entry/verdict/reduced_chi2"][12, 1] < 1.6


def test_what_is_missing_is_said(mapped):
    out, outcome = mapped
    text = " ".join(outcome.survey.notes)
    assert "1 of 72 pixels have no scan" in text
    assert "1 pixels lack values at some angles" in text
    gaps = 1 << [name for name, _ in REASONS].index("gaps")
    with h5py.File(out / "map.nxs") as file:
        reasons, points = file["entry/verdict/reasons"][()], file["entry/verdict/points"][()]
    assert np.argwhere(reasons & gaps).tolist() == [[5, 0]]
    assert points[5, 0] == len(ANGLE) - 4
    assert points[0, 0] == len(ANGLE)


def test_noise_is_no_result(mapped):
    out, outcome = mapped
    with h5py.File(out / "map.nxs") as file:
        assert file["entry/verdict/level"][20, 1] == LEVELS.index("do not use")
        assert file["entry/verdict/reasons"][20, 1] == 1 << [name for name, _ in REASONS].index("no_peak")
        assert np.isnan(file["entry/derived/maximum_strain/mean"][20, 1])
    assert any(note.startswith("no peak stands out of the noise at 1 of 72 pixels") for note in outcome.survey.notes)


def test_tiles_cover_a_map_once():
    for shape in ((1, 1), (100, 100), (23, 131)):
        seen = np.zeros(shape, dtype=int)
        for tile in tiles_of(shape):
            seen[slice(*tile.y), slice(*tile.x)] += 1
            assert tile.y[1] - tile.y[0] <= TILE_ROWS
            assert tile.x[1] - tile.x[0] <= TILE_COLUMNS
        assert (seen == 1).all()


def test_killed_and_resumed_is_the_same(tmp_path, stack_path, sample_path, mapped):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "strainscope", "map", str(stack_path), "--sample", str(sample_path)]
    command += ["-o", str(out), "--draws", str(DRAWS)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    first = out / "tiles/000000.npz"
    until = time.monotonic() + 300
    while not first.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert first.exists()
    assert not (out / "map.nxs").exists()
    # As a full disk or a lost machine leaves them.
    first.write_bytes(first.read_bytes()[:500])
    (out / "tiles/000001.1.new").write_bytes(b"begun")
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=True)
    assert "no scan" in done.stdout
    theirs, ours = files_of(mapped[0]), files_of(out)
    assert ours.keys() == theirs.keys()
    assert [path for path, content in theirs.items() if ours[path] != content] == []


def test_a_damaged_tile_is_made_anew(tmp_path, stack_path, sample_path, monkeypatch):
    # In this process, so that what compiled the first also makes the second, to the last bit.
    monkeypatch.setattr(run, "worker_count", lambda: 1)
    stack, job, out = open_stack(stack_path), MapJob(sample=str(sample_path), draws=DRAWS), tmp_path / "out"
    invert_map(stack, job, out)
    before = files_of(out)
    tile = out / "tiles/000001.npz"
    content = bytearray(tile.read_bytes())
    content[len(content) // 2] ^= 1
    tile.write_bytes(content)
    outcome = invert_map(stack, job, out, resume=True)
    assert (outcome.kept, outcome.tiles) == (2, 3)
    assert files_of(out) == before


def test_processes_side_by_side_make_the_same(tmp_path, stack_path, sample_path, mapped, monkeypatch):
    monkeypatch.setattr(run, "worker_count", lambda: 2)
    invert_map(open_stack(stack_path), MapJob(sample=str(sample_path), draws=DRAWS), tmp_path / "out")
    theirs, ours = files_of(mapped[0]), files_of(tmp_path / "out")
    assert ours.keys() == theirs.keys()
    assert [path for path, content in theirs.items() if ours[path] != content] == []


def test_a_map_goes_on_with_its_own_settings_only(stack_path, sample_path, mapped):
    out, _ = mapped
    before = files_of(out)
    stack = open_stack(stack_path)
    with pytest.raises(FileExistsError, match="--resume"):
        invert_map(stack, MapJob(sample=str(sample_path), draws=DRAWS), out)
    with pytest.raises(ValueError, match="was begun with another seed; give the same"):
        invert_map(stack, MapJob(sample=str(sample_path), draws=DRAWS, seed=1), out, resume=True)
    with pytest.raises(FileNotFoundError, match="leave --resume out"):
        invert_map(stack, MapJob(sample=str(sample_path)), out.with_name("none"), resume=True)
    with alone(out), pytest.raises(OSError, match="out: another process is writing it"):
        invert_map(stack, MapJob(sample=str(sample_path), draws=DRAWS), out, resume=True)
    assert files_of(out) == before


def test_page_shows_the_map(mapped):
    out, _ = mapped
    page = (out / "report.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', page, re.S)[1])
    assert data["shape"] == [24, 3]
    with h5py.File(out / "map.nxs") as file:
        strain = 100 * file["entry/derived/maximum_strain/mean"][()]
        fitted = file["entry/fit/fitted"][2, 1]
    shown = {m["name"]: m for m in data["maps"]}
    values = np.frombuffer(base64.b64decode(shown["maximum_strain"]["mean"]), dtype="<f4").reshape(24, 3)
    np.testing.assert_allclose(values, strain, rtol=1e-6)
    assert "L2" not in shown
    text = (out / "page/00000.js").read_text()
    content = base64.b64decode(re.search(r"'(.*)'", text)[1])
    size = 2 * len(ANGLE) + 2 * data["depths"]
    own = np.frombuffer(content[(2 * 3 + 1) * size :][:size], dtype=np.uint8)[len(ANGLE) : 2 * len(ANGLE)]
    low, high = data["log"]
    logs = low + (own - 1.0) / data["quantised"] * (high - low)
    np.testing.assert_allclose(logs, np.log10(fitted), atol=(high - low) / data["quantised"])
    assert (out / "pictures/Dmax1.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "pictures/verdict.png").exists()


# Pixels -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pixels(stack_path, sample_path):
    stack, job = open_stack(stack_path), MapJob(sample=str(sample_path))
    sample = job.described(stack)
    survey = look_through(stack, sample, lambda share: None)
    ready = prepared(stack, sample, survey, model_error=0.0)
    intensity = stack.read(slice(0, 3), slice(None))[0].reshape(9, -1)
    return Pixels(ready.problem, intensity, ~np.isnan(intensity))


def test_pixels_are_what_single_scans_are(pixels):
    own = pixels.likelihood
    z = np.random.default_rng(0).normal(size=(3, pixels.dimension)) * 0.3
    residuals, jacobians = pixels.target(np.arange(3)).linearised(z)
    for i in range(3):
        (measured,) = pixels.problem.measurements
        single = replace(measured, likelihood=replace(measured.likelihood, intensity=own.intensity[i]))
        target = Target(replace(pixels.problem, measurements=(single,)))
        residual, jacobian = target.linearised(z[[i]])
        np.testing.assert_allclose(residuals[i], residual[0], rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(jacobians[i], jacobian[0], rtol=1e-8, atol=1e-6)


def test_points_without_a_value_count_nothing(pixels):
    intensity, seen = pixels.likelihood.intensity.copy(), pixels.likelihood.seen.copy()
    seen[:, 20:30] = False
    z = np.zeros((9, pixels.dimension))
    first = Pixels(pixels.problem, intensity, seen).misfit(z, np.arange(9))
    intensity[:, 20:30] = 12345.0
    np.testing.assert_array_equal(first, Pixels(pixels.problem, intensity, seen).misfit(z, np.arange(9)))
    assert (first < pixels.misfit(z, np.arange(9))).all()


def test_the_search_of_one_pixel_ranks_by_what_lies_around_its_gaps(pixels):
    intensity, seen = pixels.likelihood.intensity.copy(), pixels.likelihood.seen.copy()
    whole = pixels.alone(0).likelihood.intensity
    np.testing.assert_array_equal(whole, intensity[0])
    seen[0, 20:22] = False
    filled = Pixels(pixels.problem, intensity, seen).alone(0).likelihood.intensity
    np.testing.assert_array_equal(np.delete(filled, [20, 21]), np.delete(whole, [20, 21]))
    np.testing.assert_allclose(filled[20:22], whole[19] + (whole[22] - whole[19]) * np.array([1, 2]) / 3)


def test_climbs_end_where_those_of_single_scans_do(pixels):
    start = np.random.default_rng(1).normal(size=(4, pixels.dimension)) * 0.02
    start += pixels.place(pixels.values(np.zeros((4, pixels.dimension))))
    found = climb(pixels, start, np.arange(4), steps=40)
    assert found.ended.all()
    for i in range(4):
        target = pixels.target(np.array([i]))
        end = target.climb(found.z[i])
        slopes = target.linearised(end[None])[1][0]
        square = np.linalg.inv(slopes.T @ slopes)
        assert (np.abs(end - found.z[i]) < 0.3 * np.sqrt(np.diag(square))).all()


def test_corners_have_the_moments_of_a_normal_distribution():
    for d in (3, 10):
        for turned in posterior_module._corners(d, 2):
            np.testing.assert_allclose(turned.sum(axis=0), 0, atol=1e-12)
            np.testing.assert_allclose(turned.T @ turned / len(turned), np.eye(d), atol=1e-12)


def test_few_effective_draws_widen():
    values = np.random.default_rng(0).normal(size=(1, 400, 2))
    even = np.full((1, 400), 1 / 400)
    mean, sd = posterior_module._weighted(values, even, np.array([400.0]))
    np.testing.assert_allclose(sd[0], values[0].std(axis=0))
    np.testing.assert_allclose(mean[0], values[0].mean(axis=0))
    assert (posterior_module._weighted(values, even, np.array([10.0]))[1] > 1.1 * sd).all()


# Stacks -----------------------------------------------------------------------------------------------------


def small(shape=(2, 3)):
    return np.random.default_rng(0).poisson(50, size=(*shape, len(ANGLE)))


def test_order_and_unit_come_from_the_file(tmp_path):
    counts = small()
    usual = open_stack(write_stack(tmp_path / "a.h5", counts))
    assert usual.shape == (2, 3)
    assert (usual.axis, usual.intensity_kind) == ("delta-theta-arcsec", "counts")
    frames = np.moveaxis(counts, 2, 0)[::-1]
    path = write_stack(tmp_path / "b.h5", frames, angle=ANGLE[::-1] / 3600, unit="deg", axes=["delta_theta", "y", "x"])
    other = open_stack(path)
    np.testing.assert_allclose(other.angle, ANGLE)
    np.testing.assert_array_equal(
        other.read(slice(None), slice(1, 3))[0], usual.read(slice(None), slice(1, 3))[0]
    )
    path = write_stack(tmp_path / "c.h5", counts, name="omega", unit="deg", angle=25 + ANGLE / 3600, axes="none")
    assert open_stack(path).axis == "omega-deg"


def test_bad_stacks_are_told_in_a_line(tmp_path):
    counts = small()
    cases = {
        "frames are missing: write NaN": {"angle": np.append(ANGLE, 160.0)},
        "has no attribute units": {"unit": ""},
        "must be in arcsec, deg or rad": {"unit": "furlong"},
        "every angle must be finite": {"angle": np.where(ANGLE == 0, np.nan, ANGLE)},
        "give --intensity counts or normalised": {"dtype": np.float32},
    }
    for i, (words, changed) in enumerate(cases.items()):
        path = write_stack(tmp_path / f"{i}.h5", counts, **changed)
        with pytest.raises(ValueError, match=words) as caught:
            open_stack(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
    text = tmp_path / "text.h5"
    text.write_text("no HDF5")
    with pytest.raises(ValueError, match="cannot be read"):
        open_stack(text)
    with pytest.raises(FileNotFoundError):
        open_stack(tmp_path / "none.h5")
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["a"], file["b"] = counts, counts
    with pytest.raises(ValueError, match="choose one by --dataset"):
        open_stack(tmp_path / "two.h5")


def test_values_that_no_scan_has_name_the_pixel(tmp_path):
    for value, words in ((-3.0, "must be >= 0"), (np.inf, "must be finite"), (2.5, "no whole number of counts")):
        counts = small().astype(float)
        counts[1, 2, 7] = value
        path = write_stack(tmp_path / f"{value}.h5", counts)
        stack = open_stack(path, intensity="counts")
        with pytest.raises(ValueError, match=f"pixel y 1, x 2, angle {ANGLE[7]:g}.*{words}"):
            stack.read(slice(0, 2), slice(0, 3))


def test_neighbouring_frames_of_nothing_are_left_out(tmp_path, stack_path, sample_path):
    """A shutter that closed for a while, and a scan that ended before its angles did."""
    with h5py.File(stack_path) as file:
        counts = 100 * file["entry/data/counts"][:2]
    counts[..., 40:43] = 0
    counts[..., -2:] = 0
    stack = open_stack(write_stack(tmp_path / "a.h5", counts), intensity="counts")
    survey = look_through(stack, load_sample(str(sample_path)), lambda share: None)
    last = len(ANGLE) - 1
    assert np.flatnonzero(~survey.frames).tolist() == [40, 41, 42, last - 1, last]


def test_frames_without_values_are_left_out(tmp_path, stack_path, sample_path):
    with h5py.File(stack_path) as file:
        counts = file["entry/data/counts"][:2]
    counts[..., 8] = np.nan
    counts[..., 60] = 0
    # Without a value where nothing was measured no pixel lacks one.
    counts[0, 1, 60] = np.nan
    stack = open_stack(write_stack(tmp_path / "a.h5", counts), intensity="counts")
    survey = look_through(stack, load_sample(str(sample_path)), lambda share: None)
    assert np.flatnonzero(~survey.frames).tolist() == [8, 60]
    assert "Frames without a value at any pixel, taken as missing and left out: -620 (1 of" in survey.notes[0]
    assert "Frames that are 0 at every pixel beside bright ones" in survey.notes[1]
    assert (survey.points == len(ANGLE) - 2).all()
    assert len(survey.notes) == 2


def test_a_stack_of_nothing_is_refused(tmp_path, sample_path):
    stack = open_stack(write_stack(tmp_path / "a.h5", np.full((2, 2, len(ANGLE)), np.nan)), intensity="counts")
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="no pixel has"):
        invert_map(stack, MapJob(sample=str(sample_path)), out)
    assert not out.exists()


# Folders ----------------------------------------------------------------------------------------------------


def write_folder(folder, counts):
    folder.mkdir()
    for i, own in enumerate(counts.reshape(-1, counts.shape[-1])):
        rows = "\n".join(f"{a:g} {c:g}" for a, c in zip(ANGLE, own, strict=True))
        (folder / f"scan{i + 1}.xy").write_text(rows)
    return folder


def test_a_folder_becomes_a_stack(tmp_path):
    counts = small((2, 6))
    folder = write_folder(tmp_path / "scans", counts)
    common = {"axis": "delta-theta-arcsec", "intensity": "counts"}
    stack_folder(folder, tmp_path / "a.h5", shape=(2, 6), **common)
    np.testing.assert_array_equal(open_stack(tmp_path / "a.h5").read(slice(None), slice(None))[0], counts)
    rows = [f"scan{i + 1}.xy,{0.1 * (i // 6):g},{5 - i % 6}" for i in range(12)]
    table = tmp_path / "places.csv"
    table.write_text("\n".join(["file,y,x", *rows]))
    stack_folder(folder, tmp_path / "b.h5", table=table, **common)
    other = open_stack(tmp_path / "b.h5")
    np.testing.assert_array_equal(other.read(slice(None), slice(None))[0], counts[:, ::-1])
    np.testing.assert_allclose(other.places[0], [0, 0.1])
    (folder / "scan3.xy").write_text("\n".join(f"{a + 1:g} 5" for a in ANGLE))
    with pytest.raises(ValueError, match="the scans of a map have the same angles"):
        stack_folder(folder, tmp_path / "c.h5", shape=(2, 6), **common)
    assert not (tmp_path / "c.h5").exists()


def test_a_scan_of_a_folder_may_lack_angles(tmp_path):
    counts = small((2, 6)).astype(np.float64)
    folder = write_folder(tmp_path / "scans", counts)
    common = {"axis": "delta-theta-arcsec", "intensity": "counts", "shape": (2, 6)}
    rows = (folder / "scan8.xy").read_text().splitlines()
    (folder / "scan8.xy").write_text("\n".join(row for i, row in enumerate(rows) if i not in (0, 17, len(rows) - 1)))
    stack_folder(folder, tmp_path / "a.h5", **common)
    counts[1, 1, [0, 17, -1]] = np.nan
    np.testing.assert_array_equal(open_stack(tmp_path / "a.h5").read(slice(None), slice(None))[0], counts)
    (folder / "scan1.xy").write_text("\n".join(rows[1:]))
    with pytest.raises(ValueError, match="the first scan of a map has the angles of all"):
        stack_folder(folder, tmp_path / "b.h5", **common)


def test_the_sample_file_says_what_others_do_not(tmp_path, sample_path):
    sample = load_sample(str(sample_path))
    counts = counts_of(sample, truth_of((1, 2)))
    folder = write_folder(tmp_path / "scans", counts)
    stack_folder(folder, tmp_path / "a.h5", shape=(1, 2), said=sample.scan)
    path = write_stack(tmp_path / "b.nxs", counts.astype(np.float64), name="angle", unit=None)
    with pytest.raises(ValueError, match="give --axis"):
        open_stack(path)
    for found in (open_stack(tmp_path / "a.h5"), open_stack(path, said=sample.scan)):
        assert (found.axis, found.intensity_kind) == ("delta-theta-arcsec", "counts")
        np.testing.assert_array_equal(found.read(slice(None), slice(None))[0], counts)
    with pytest.raises(ValueError, match="does not say what its columns are"):
        stack_folder(folder, tmp_path / "c.h5", shape=(1, 2))
    (folder / "scan2.xy").write_text("1 2\n")
    with pytest.raises(ValueError, match="scan2"):
        stack_folder(folder, tmp_path / "c.h5", shape=(1, 2), said=sample.scan)
    assert not list(tmp_path.glob("c.h5*"))


def test_places_that_make_no_map_are_refused(tmp_path):
    scans = [tmp_path / f"{i}.xy" for i in range(4)]
    with pytest.raises(ValueError, match="makes 6 places, but there are 4 scans"):
        places_by_shape(scans, (2, 3))
    table = tmp_path / "t.csv"
    for rows, words in (
        ("file,y\n0.xy,1", "no column 'x'; it has file, y"),
        ("file;y;x", "a header and no row"),
        ("file,y,x\n0.xy,a,1", "line 2: y and x must be numbers"),
        ("file,y,x\n0.xy,1,1\n1.xy,nan,1", "line 3: y and x must be numbers"),
        ("file,y,x\n0.xy,1,inf", "line 2: y and x must be numbers"),
        ("file,y,x\n0.xy,1,1\n0.xy,1,2", "second row"),
        ("file,y,x\n0.xy,1,1", "has no row for 1.xy"),
        ("file,y,x\n0.xy,1,1\n1.xy,1,2\n2.xy,2,1\n3.xy,2,2\n9.xy,3,1", "has a row for 9.xy, which is not among"),
        ("file,y,x\n0.xy,1,1\n1.xy,1,1\n2.xy,2,1\n3.xy,2,2", "0.xy and 1.xy are both at y 1, x 1; a map has one scan"),
    ):
        table.write_text(rows)
        with pytest.raises(ValueError, match=words):
            places_by_table(scans, table)


def test_command_says_what_is_wrong(tmp_path, stack_path, sample_path, capsys, monkeypatch):
    def fails(*words):
        monkeypatch.setattr(sys, "argv", ["strainscope", "map", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == 2
        return capsys.readouterr().err

    out = ("--sample", sample_path, "-o", tmp_path / "out")
    assert "no such file or folder" in fails(tmp_path / "none.h5", *out)
    assert "are for folders" in fails(stack_path, *out, "--shape", "2", "3")
    folder = write_folder(tmp_path / "scans", small())
    assert "give --shape ROWS COLUMNS" in fails(
        folder, *out, "--axis", "delta-theta-arcsec", "--intensity", "counts"
    )
    assert "has several reflections" in fails(stack_path, "--sample", "ggg444-888", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()
