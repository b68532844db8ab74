"""A map inverted: how many scans a second, and whether pixels hold the truth as often as their standard deviations say.

The map is of an implanted garnet, reflection 444, 251 angles, 1e5 counts at the peak, in a calibrated instrument.
Strain, depth, disorder, the beam's intensity and the tilt of the sample vary smoothly over it, the background does from
pixel to pixel. Every field is Gaussian with variance 1 in the coordinates of the prior, so that each pixel's truth is a
draw of the prior of the inversion. L2 and Rp2, the shape of the second Gaussian, are held, as after a full inversion of
one spot: where a curve leaves a parameter open its posterior is no normal distribution, and 1, 2, 3 sd hold other
shares than 68.3, 95.4, 99.7 %.

Curves are simulated on a grid four times as fine and with sublayers to 1e-6; counts are Poisson's. Asserted: that no
more than a pixel in a thousand is missed, and coverage within 2 points (and chance, on smaller maps than 100 x 100).

Run: python -m benchmarks.maps [--side 100] [--out FOLDER] [--seed 1]
"""

import argparse
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from scipy.ndimage import gaussian_filter

from strainscope.diffraction.engine import worker_count
from strainscope.inversion.problem import Problem, prepare
from strainscope.inversion.target import Target
from strainscope.maps import LEVELS, MapJob, invert_map
from strainscope.maps.stack import open_stack
from strainscope.sample import Sample, load_sample

SAMPLE = """\
title: Implanted garnet, one spot inverted before
crystal: GGG
lattice_A: 12.383
reflection: [4, 4, 4]
wavelength: 1.54056
monochromator: {crystal: GGG, lattice_A: 12.383, reflection: [4, 4, 4], polarization: dynamical}
scan: {axis: delta-theta-arcsec, intensity: counts}
strain: double-gaussian
disorder: tied
diffuse: false
model_error: 0
resolution: {family: monochromator-curve, fwhm_range_arcsec: [10, 80]}
fit:
  Dmax1: {bounds: [0.004, 0.010]}
  D01: {bounds: [0.0005, 0.006]}
  L1: {bounds: [3000, 6000]}
  Rp1: {bounds: [1500, 3500]}
  D02: {bounds: [0.0003, 0.005]}
  L2: {value: 2500, held: true}
  Rp2: {value: -1000, held: true}
  K: {bounds: [0.1, 0.8]}
  n: {bounds: [0.5, 4]}
  fwhm_arcsec: {value: 20, held: true}
  lorentz_fraction: {value: 0.1, held: true}
  log10_background: {bounds: [0, 1]}
"""
COUNTS, SPAN, STEP = 1e5, (-1300.0, 200.0), 6.0
# Fields are smooth over so many pixels; the tilt [arcsec] and the beam [decades] vary by so much (1 sd).
SMOOTH, TILT, BEAM = 8.0, 4.0, 0.03
SHARES = (0.6827, 0.9545, 0.9973)
ROOM = 0.02


def field(side: int, rng: np.random.Generator) -> np.ndarray:
    """A smooth field of variance 1 over its ensemble, shape (side, side)."""
    margin = int(4 * SMOOTH)
    rough = rng.standard_normal((side + 2 * margin,) * 2)
    smooth = gaussian_filter(rough, SMOOTH, mode="wrap")[margin:-margin, margin:-margin]
    return smooth * (2 * np.sqrt(np.pi) * SMOOTH)


def problem_of(sample: Sample) -> tuple[Problem, np.ndarray]:
    """The problem of a typical pixel, and its values."""
    typical = {"Dmax1": 0.008, "D01": 0.003, "L1": 4500, "Rp1": 2500, "D02": 0.002, "K": 0.3, "n": 2}
    values = sample.simulated_values(typical | {"log10_background": 0.5}, counts=COUNTS)
    scan, values = sample.simulate(values, counts=COUNTS, span=SPAN, step=STEP)
    problem = prepare(
        scan,
        sample.experiment(),
        bounds=sample.bounds(),
        held=sample.held(),
        start=sample.start(),
        model_error=0.0,
    )
    return problem, np.array([values[name] for name in problem.prior.names])


def simulate(path: Path, sample: Sample, side: int, seed: int) -> np.ndarray:
    """Write a stack, and return the values of all parameters behind it, shape (side, side, parameter)."""
    rng = np.random.default_rng(seed)
    problem, typical = problem_of(sample)
    names, free = problem.prior.names, problem.prior.free
    target = Target(problem)
    z = np.broadcast_to(target.place(typical[None])[0], (side, side, len(free))).copy()
    for k, i in enumerate(free):
        if names[i] == "log10_background":
            z[..., k] = rng.standard_normal((side, side))
        elif names[i] not in ("offset_arcsec", "log10_scale"):
            z[..., k] = field(side, rng)
    values = target.values(z.reshape(-1, len(free))).reshape(side, side, -1)
    values[..., names.index("offset_arcsec")] = TILT * field(side, rng)
    values[..., names.index("log10_scale")] += BEAM * field(side, rng)
    model = problem.model
    finer = replace(
        model,
        experiment=replace(model.experiment, tolerance=1e-6),
        narrowest_fwhm_arcsec=model.narrowest_fwhm_arcsec / 2,
        points_per_fringe=30.0,
    )
    with h5py.File(path, "w") as file:
        group = file.create_group("entry/data")
        group.attrs.update({"NX_class": "NXdata", "signal": "counts", "axes": ["y", "x", "delta_theta"]})
        group["delta_theta"] = problem.measurements[0].scan.angle
        group["delta_theta"].attrs["units"] = "arcsec"
        counts = group.create_dataset(
            "counts", (side, side, len(model.position)), dtype=np.int64, chunks=(1, side, len(model.position))
        )
        for y in range(side):
            expected = np.stack([finer.expected(own) for own in values[y]])
            counts[y] = rng.poisson(expected)
    return values


def coverage(
    out: Path, truth: np.ndarray, *, factor: float = 1.0
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names of the fitted parameters, shares within 1, 2, 3 sd times a factor (parameter, 3), and the levels (y, x)."""
    with h5py.File(out / "map.nxs", "r") as file:
        names = [own.decode() for own in file["entry/parameters/name"][()]]
        level = file["entry/verdict/level"][()]
        rows, shares = [], []
        for k, name in enumerate(names):
            group = file[f"entry/parameters/{name}"]
            if group.attrs["held"]:
                continue
            assert np.nanmin(group["sd"][()]) > 0, name
            away = np.abs(truth[..., k] - group["mean"][()]) / (factor * group["sd"][()])
            rows.append(name)
            shares.append([(away < limit).mean() for limit in (1, 2, 3)])
    return rows, np.array(shares), level


def main() -> int:
    """Simulate, invert, resume, compare."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.maps", description=__doc__)
    parser.add_argument("--side", type=int, default=100, help="pixels a side (100)")
    parser.add_argument("--seed", type=int, default=1, help="of the truths and the noise (1)")
    parser.add_argument("--out", type=Path, help="folder that keeps stack and map")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return run(given.out or Path(folder), given.side, given.seed)


def run(folder: Path, side: int, seed: int) -> int:
    """Print the figures; raise where they are wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    path, stack, out = folder / "garnet.yaml", folder / f"stack{side}.nxs", folder / f"map{side}"
    same = path.exists() and path.read_text(encoding="utf-8") == SAMPLE
    path.write_text(SAMPLE, encoding="utf-8")
    sample = load_sample(str(path))
    truths = folder / f"truth{side}.npy"
    if not (same and truths.exists()):
        np.save(truths, simulate(stack, sample, side, seed))
    truth = np.load(truths)
    began, spent = time.perf_counter(), time.process_time()
    found = invert_map(open_stack(stack), MapJob(sample=str(path)), out)
    wall, own = time.perf_counter() - began, time.process_time() - spent
    names, shares, level = coverage(out, truth)
    print(f"{side} x {side} pixels, {len(truth[0, 0])} parameters, {worker_count()} processor(s)")
    print(f"{side**2 / wall:.1f} scans/s; {found.core_s / side**2 * 1e3:.1f} ms of a core each in the tiles")
    resident = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(f"memory of one process: {resident / 1024:.0f} MB; stack: {stack.stat().st_size / 2**20:.0f} MB")
    print(f"this process: {own:.1f} s; all: {wall:.1f} s; Jacobians a pixel: {found.jacobians / side**2:.1f}")
    print("verdicts: " + ", ".join(f"{name} {(level == i).mean():.2%}" for i, name in enumerate(LEVELS)))
    print(f"{'':20s}" + "".join(f"{i} sd ({100 * share:.1f} %)".rjust(18) for i, share in enumerate(SHARES, 1)))
    for name, row in zip(names, shares, strict=True):
        print(f"{name:20s}" + "".join(f"{100 * own:18.2f}" for own in row))
    chance = 2 * np.sqrt(np.array(SHARES) * (1 - np.array(SHARES)) / side**2)
    off = np.abs(shares - SHARES) - ROOM - (chance if side < 100 else 0.0)
    assert (level == 3).mean() <= 0.001, "pixels that the best fit misses"
    assert (off <= 0).all(), f"coverage off by more than 2 points: {names[int(np.argmax(off.max(axis=1)))]}"
    return 0


if __name__ == "__main__":
    sys.exit(main())
