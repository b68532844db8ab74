"""How fast the engine simulates on a GPU, how right it is meanwhile, and the processor beside it.

Case: that of `benchmarks.engine`: bare GGG 444, Cu Kα1, 701 angles, sigma and pi, 160 fourth-order cells of 50 Å,
before resolution. Where there is no GPU it says so, and gives only how well numba's CUDA simulator agrees with the
processor. Run with `python -m benchmarks.gpu`; the part in the simulator alone, with `--simulator`.
"""

import os
import subprocess
import sys

import numpy as np

from benchmarks import cases, engine
from strainscope.diffraction import Sublayers, chosen_device, use_device
from strainscope.diffraction.engine import angle_tables, reflectivities, reflectivity_jacobian

Figures = dict[str, float]

ANGLES = 701
CURVES, JACOBIANS, CHECKED = 32_768, 1024, 64
WANTED_CURVES_PER_S = 500_000
# What the simulator, a thread of Python for each of the GPU's, does in seconds.
SMALL_CURVES, SMALL_CELLS, SMALL_DEPTH, SMALL_ANGLES = 2, 16, 800.0, 24
LARGEST_RMS = 1e-4
# Scans simulated together, steps that are timed together, and what other sublayers may change.
SCANS, STEPS, LARGEST_SCAN_RMS, LEAST_SEEN = 2048, 20, 1e-3, 1e-7
# Lanes that multiply and add in float32, of one multiprocessor.
LANES = {(7, 0): 64, (7, 2): 64, (7, 5): 64, (8, 0): 64}


def first_curves(batch: Sublayers, number: int) -> Sublayers:
    """The first of a batch."""
    return Sublayers(**{name: own[:number] for name, own in vars(batch).items()})


def check(found: np.ndarray, batch: Sublayers, theta: np.ndarray) -> float:
    """Rms of log10 between the GPU's curves and those of the processor in float64; asserted."""
    tables = angle_tables(theta, cases.BARE, dtype=np.float64, device="cpu")
    error = cases.rms_log10(found, reflectivities(tables, batch))
    if not error < LARGEST_RMS:
        raise AssertionError(
            f"rms of log10 to the processor's float64 curves = {error:.2g}; it must be < {LARGEST_RMS:g}."
        )
    return error


def peak_flops() -> tuple[str, float]:
    """The card's name, and its float32 multiplications and additions a second at the clock it states."""
    from numba import cuda

    card = cuda.get_current_device()
    lanes = LANES.get(tuple(card.compute_capability), 128)
    name = card.name.decode() if isinstance(card.name, bytes) else str(card.name)
    return name, 2.0 * lanes * card.MULTIPROCESSOR_COUNT * card.CLOCK_RATE * 1e3


def curve_rate(dtype: type) -> tuple[float, float]:
    """Curves/s from arrays of the processor to arrays of the processor, and rms of log10 to float64 on it."""
    theta = cases.scan(ANGLES)
    batch = cases.batch(CURVES)
    tables = angle_tables(theta, cases.BARE, dtype=dtype, device="cuda")
    out = np.empty((CURVES, 2, ANGLES), dtype=dtype)
    best = cases.clock(lambda: reflectivities(tables, batch, out), seconds=3.0).best
    some = np.linspace(0, CURVES - 1, CHECKED).astype(int)
    chosen = Sublayers(**{name: own[some] for name, own in vars(batch).items()})
    return CURVES / best, check(out[some], chosen, theta)


def resident_rate(dtype: type) -> float:
    """Curves/s where sublayers and curves stay on the GPU: packing and recursion alone."""
    from strainscope.diffraction import cuda_engine

    tables = angle_tables(cases.scan(ANGLES), cases.BARE, dtype=dtype, device="cuda")
    n_curve = cuda_engine.CURVES_TOGETHER
    batch = cases.batch(n_curve)
    own = cuda_engine.Batch(cuda_engine.OnDevice(tables), tables, n_curve, cases.CELLS)
    out = np.empty((n_curve, 2, ANGLES), dtype=dtype)
    own.send(vars(batch), 0, n_curve)
    own.take({"reflectivity": out})
    check(out[:CHECKED], first_curves(batch, CHECKED), cases.scan(ANGLES))

    def simulate() -> None:
        for _ in range(4):
            cuda_engine.simulate(own.on, own.device, n_curve, 0, own.stream)
        own.stream.synchronize()

    return 4 * n_curve / cases.clock(simulate, seconds=2.0).best


def jacobian_rate() -> Figures:
    """Curves with their derivatives in seven parameters a second, float64, and the largest error to the processor."""
    batch = cases.batch(JACOBIANS)
    values = np.tile(cases.GARNET, (JACOBIANS, 1))
    depth = cases.gauss_depths(batch.upper, batch.thickness).reshape(JACOBIANS, -1)
    slopes = [own.reshape(JACOBIANS, cases.CELLS, 2, 7) for own in cases.STRAIN.gradient(depth, values)]
    on_gpu, on_cpu = (
        angle_tables(cases.scan(ANGLES), cases.BARE, dtype=np.float64, device=name)
        for name in ("cuda", "cpu")
    )
    _, found = reflectivity_jacobian(on_gpu, batch, *slopes)
    few = [own[:8] for own in slopes]
    _, expected = reflectivity_jacobian(on_cpu, first_curves(batch, 8), *few)
    error = float((np.abs(found[:8] - expected).max(axis=-1) / np.abs(expected).max(axis=-1)).max())
    if not error < 1e-9:
        raise AssertionError(f"the GPU's derivatives are {error:.2g} of their largest off; it must be < 1e-9.")
    best = cases.clock(lambda: reflectivity_jacobian(on_gpu, batch, *slopes), seconds=3.0).best
    return {"gpu_jacobians_per_s": JACOBIANS / best, "gpu_jacobian_error": error}


def training_rates() -> Figures:
    """Scans/s that the GPU simulates for the training ggg444-lab, and with the network's steps; batches stay there.

    Nothing where torch knows no GPU.
    """
    import torch

    if not torch.cuda.is_available():
        return {}

    from strainscope.estimator.plan import load_training_plan
    from strainscope.measurement.on_device import DeviceSimulator
    from strainscope.training.device_data import DeviceLabStream
    from strainscope.training.lab_data import LabSource
    from strainscope.training.loop import task_of
    from strainscope.training.run import Run
    from strainscope.training.settings import full_plan
    from strainscope.training.team import fabric_of

    plan = full_plan(load_training_plan("ggg444-lab"))
    source = LabSource(plan, plan.lab)
    simulator = source.scans.simulators[0]
    device = torch.device("cuda")
    there = DeviceSimulator(simulator, device)
    profile = simulator.profiles(0)
    known = simulator.reflect(profile).reflectivity
    found = there.optics.reflect(torch.as_tensor(profile, device=device)).reflectivity.cpu().numpy()
    error = cases.rms_log10(*(np.maximum(curves, LEAST_SEEN) for curves in (found, known)))
    if not error < LARGEST_SCAN_RMS:
        raise AssertionError(
            f"the GPU's reflections are {error:.2g} rms of log10 off; it must be < {LARGEST_SCAN_RMS:g}."
        )
    generator = torch.Generator(device).manual_seed(1)

    def scans() -> None:
        there.scans(SCANS, generator)
        torch.cuda.synchronize()

    simulated = SCANS / cases.clock(scans, seconds=3.0).best
    fabric = fabric_of(plan.precision)
    task = task_of(plan, source)
    run = Run(plan, task, task.build(), source, fabric)
    if not isinstance(run.stream, DeviceLabStream):
        raise AssertionError("the training's scans come from the processor.")
    batches = iter(run.stream)

    def steps() -> None:
        for _ in range(STEPS):
            run.step(*next(batches))
        torch.cuda.synchronize()

    trained = STEPS * plan.batch / cases.clock(steps, seconds=10.0).best
    return {
        "gpu_scans_per_s": simulated,
        "gpu_training_scans_per_s": trained,
        "gpu_scan_rms": error,
    }


def run() -> Figures:
    """All figures, on a GPU."""
    figures: Figures = {}
    for name, dtype in (("float32", np.float32), ("float64", np.float64)):
        figures[f"gpu_curves_per_s_{name}"], figures[f"gpu_rms_{name}"] = curve_rate(dtype)
        figures[f"gpu_resident_curves_per_s_{name}"] = resident_rate(dtype)
    figures |= jacobian_rate() | training_rates()
    figures["cpu_curves_per_s_float32"] = engine.rate(np.float32, 1024)
    use_device("cuda")
    figures["gpu_rms_to_converged"] = engine.errors(cases.BARE)["rms_float32"]
    use_device("cpu")
    operations = cases.CELLS * ANGLES * engine.FLOPS_PER_CELL_AND_ANGLE
    _, figures["gpu_float32_peak_flops"] = peak_flops()
    figures["gpu_flops"] = figures["gpu_resident_curves_per_s_float32"] * operations
    return figures


def report(f: Figures) -> None:
    """Prints the figures, the processor's beside them."""
    ours, processor = f["gpu_curves_per_s_float32"], f["cpu_curves_per_s_float32"]
    print(f"\n{peak_flops()[0]}: bare GGG 444, 701 angles, sigma and pi, 160 cells of 50 Å")
    rows = (
        ("float32, sublayers sent and curves fetched", ours),
        ("float32, both left on the GPU", f["gpu_resident_curves_per_s_float32"]),
        ("float64, sublayers sent and curves fetched", f["gpu_curves_per_s_float64"]),
        ("float64, both left on the GPU", f["gpu_resident_curves_per_s_float64"]),
        ("float32 on the processor, the same run", processor),
        ("float64 with derivatives in seven parameters", f["gpu_jacobians_per_s"]),
    )
    if "gpu_scans_per_s" in f:
        rows += (
            ("scans of ggg444-lab, left on the GPU", f["gpu_scans_per_s"]),
            ("the same with the network's training steps", f["gpu_training_scans_per_s"]),
        )
    for name, value in rows:
        print(f"  {name:<48}{value:12,.0f} a second{value / processor:10.1f} ×")
    met = "met" if ours >= WANTED_CURVES_PER_S else "MISSED"
    print(f"  wanted in float32: {WANTED_CURVES_PER_S:,}; {met}")
    print(
        f"  rms of log10: {f['gpu_rms_float32']:.2g} to the processor's float64, {f['gpu_rms_to_converged']:.2g} to "
        f"the converged curve; float64 {f['gpu_rms_float64']:.2g}"
    )
    share = f["gpu_flops"] / f["gpu_float32_peak_flops"]
    print(
        f"  kernels {f['gpu_flops'] / 1e12:.2f} TFLOP/s in float32, {share:.0%} of the card's "
        f"{f['gpu_float32_peak_flops'] / 1e12:.1f}"
    )


def simulator() -> None:
    """How far the kernels are from the processor in numba's CUDA simulator, on a small case; asserted."""
    theta = cases.scan(SMALL_ANGLES)
    batch = cases.batch(SMALL_CURVES, SMALL_CELLS, SMALL_DEPTH)
    print(f"numba's CUDA simulator, {SMALL_CURVES} curves of {SMALL_ANGLES} angles and {SMALL_CELLS} cells of 50 Å:")
    for name, dtype in (("float32", np.float32), ("float64", np.float64)):
        tables = angle_tables(theta, cases.BARE, dtype=dtype, device="cuda")
        error = check(reflectivities(tables, batch), batch, theta)
        print(f"  {name}: {error:.2g} rms of log10 to the processor's float64")


def main() -> None:
    """A GPU's figures, or what there is without one."""
    if "--simulator" in sys.argv[1:]:
        simulator()
        return
    print(cases.machine())
    if chosen_device("auto") == "cuda":
        report(run())
        return
    try:
        chosen_device("cuda")
    except ValueError as error:
        print(f"no figures of a GPU here: {error}", flush=True)
    command = [sys.executable, "-m", "benchmarks.gpu", "--simulator"]
    subprocess.run(command, env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}, check=True)


if __name__ == "__main__":
    main()
