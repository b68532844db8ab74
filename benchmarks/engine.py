"""How fast the diffraction engine simulates, how right it is meanwhile, and how others do.

Case: bare GGG 444, Cu Kα1, 701 angles, sigma and pi, 160 fourth-order cells of 50 Å, before resolution.
Run with `python -m benchmarks.engine`.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from benchmarks import cases
from strainscope.crystal import HC_KEV_ANGSTROM
from strainscope.diffraction import Stack, Sublayers, coefficients, rocking_curve, uniform_sublayers
from strainscope.diffraction import reference as slow
from strainscope.diffraction.engine import angle_tables, reflectivities, reflectivity_jacobian, worker_count

PREDECESSOR = 51.0  # curves/s, quoted: dl = 100 Å (80 sublayers), film, two processes, on the same 2 cores
# Of `fast._cell` and two of `fast._fold` in float32, a multiplication or an addition each counting one:
#   φ 3, y 1, h c̃ 3, φ² 1, sinc 10, its slope 4 + 2, ρ 4 + 2, decay 4, cos 12 + 1, s 2, g 6, p 5,
#   g ē and g c̃ 4, h12 and h21 4, d h12 6, p ρ d 8                                               = 82
#   sigma: p + z 2, fold 22; pi: C² e 2, p + C² z 4, fold 22                                      = 52
FLOPS_PER_CELL_AND_ANGLE = 134

Figures = dict[str, float]


def rate(dtype, n_curve, *, stack=cases.BARE, n_cell=cases.CELLS, depth=cases.DEPTH, n_angle=701) -> float:
    """Curves/s of the fast engine, tables made beforehand."""
    tables = angle_tables(cases.scan(n_angle), stack, dtype=dtype)
    batch = cases.batch(n_curve, n_cell, depth, stack)
    out = np.empty((n_curve, 2, n_angle), dtype=dtype)
    return n_curve / cases.clock(lambda: reflectivities(tables, batch, out), seconds=1.0).best


def errors(stack: Stack) -> Figures:
    """Error of the timed cells against cells of 5 Å by the reference engine; asserted."""
    theta = cases.scan()
    batch = cases.batch(1, stack=stack)
    fine = cases.batch(1, 10 * cases.CELLS, stack=stack)
    one = Sublayers(**{key: value[0] for key, value in vars(fine).items()})
    converged = rocking_curve(theta, stack, one, engine="reference")
    figures = {}
    for name, dtype in (("float32", np.float32), ("float64", np.float64)):
        curve = rocking_curve(theta, stack, batch, dtype=dtype)[0]
        figures[f"rms_{name}"] = cases.rms_log10(curve, converged)
        figures[f"max_{name}"] = float(np.abs(np.log10(curve / converged)).max())
        if figures[f"rms_{name}"] >= 1e-4:
            raise AssertionError(f"{name}: rms of log10 = {figures[f'rms_{name}']:.2g}; it must be < 1e-4.")
    return figures


def simulation() -> Figures:
    """The case's rates and errors, bare and through a film."""
    bare, film = errors(cases.BARE), errors(cases.FILM)
    return {
        "simulate_curves_per_s_float32": rate(np.float32, 1024),
        "simulate_curves_per_s_float64": rate(np.float64, 512),
        "simulate_film_curves_per_s_float32": rate(np.float32, 1024, stack=cases.FILM),
        "simulate_film_curves_per_s_float64": rate(np.float64, 512, stack=cases.FILM),
        "simulate_rms_log10_error": bare["rms_float32"],
        "simulate_max_log10_error": bare["max_float32"],
        "simulate_rms_log10_error_float64": bare["rms_float64"],
        "simulate_film_rms_log10_error": film["rms_float32"],
    }


def peak(figures: Figures) -> Figures:
    """What share of the processor's float32 matrix product the kernel's counted operations are."""
    n = 3000
    a = np.ones((n, n), dtype=np.float32)
    b, c = np.ones_like(a), np.empty_like(a)
    product = 2 * n**3 / cases.clock(lambda: np.matmul(a, b, out=c)).best
    if c[0, 0] != n:
        raise AssertionError(f"matrix product gives {c[0, 0]}, not {n}.")
    kernel = figures["simulate_curves_per_s_float32"] * cases.CELLS * 701 * FLOPS_PER_CELL_AND_ANGLE
    return {
        "float32_peak_gflops": product / 1e9,
        "kernel_gflops": kernel / 1e9,
        "kernel_share_of_float32_peak": kernel / product,
    }


def jacobian() -> Figures:
    """Time of curve and Jacobian of seven parameters, in forward passes over the same batch, float64."""
    n_curve = 128
    batch = cases.batch(n_curve)
    values = np.tile(cases.GARNET, (n_curve, 1))
    depth = cases.gauss_depths(batch.upper, batch.thickness).reshape(n_curve, -1)
    d_strain, d_factor = (
        slope.reshape(n_curve, cases.CELLS, 2, 7) for slope in cases.STRAIN.gradient(depth, values)
    )
    tables = angle_tables(cases.scan(), cases.BARE, dtype=np.float64)
    curves, slopes = reflectivity_jacobian(tables, batch, d_strain, d_factor)
    forward = reflectivities(tables, batch)
    if cases.rms_log10(curves, forward) > 1e-6:
        raise AssertionError("the Jacobian's curves differ from the forward ones.")
    # One derivative by central differences: Dmax1.
    step = 1e-6
    moved = [cases.GARNET * np.r_[1 + sign * step, np.ones(6)] for sign in (1, -1)]
    edges = np.linspace(0, cases.DEPTH, cases.CELLS + 1)
    cells = [cases.cells_between(edges, cases.STRAIN, values[None], cases.BARE) for values in moved]
    up, down = (reflectivities(tables, one)[0] for one in cells)
    difference = (up - down) / (2 * step * cases.GARNET[0])
    error = np.abs(difference - slopes[0, :, 0]).max() / np.abs(difference).max()
    if error > 1e-5:
        raise AssertionError(f"∂R/∂Dmax1 is {error:.2g} of its maximum off central differences.")
    both, alone = cases.clock_together(
        lambda: reflectivity_jacobian(tables, batch, d_strain, d_factor),
        lambda: reflectivities(tables, batch),
    )
    return {"jacobian_forward_passes": both / alone, "jacobians_per_s": n_curve / both}


def xrayutilities_curve(model, strain, thickness, *, scaled, **options) -> tuple[float, np.ndarray]:
    """Rate and curve of one of xrayutilities' solvers for sigma and pi on the same cells, uniform inside."""
    import xrayutilities as xu

    material = xu.materials.GaAs  # a carrier: susceptibilities and spacings are set below
    energy = 1000 * HC_KEV_ANGSTROM / cases.GGG.wavelength
    layers = [xu.simpack.Layer(material, np.inf)]
    layers += [xu.simpack.Layer(material, float(h)) for h in thickness[::-1]]
    made = getattr(xu.simpack, model)(
        xu.simpack.LayerStack("case", *layers),
        energy=energy,
        experiment=xu.HXRD(material.Q(1, 1, 0), material.Q(0, 0, 1), en=energy),
        resolution_width=0,
        polarization="both",
    )
    made.set_hkl((0, 0, 4))
    spacing = 1 / (1 + np.append(0.0, strain[::-1]))
    share = spacing if scaled else np.ones_like(spacing)
    c = cases.BARE.polarization_factors[1]
    made.chi0 = np.conj(cases.GGG.chi_0) * share
    made.chih = {key: np.conj(cases.GGG.chi_h) * share * f for key, f in (("S", 1.0), ("P", c))}
    made.chimh = made.chih
    normal = 2 * np.pi / cases.GGG.d_spacing * spacing
    made._prepare_dyncalculation = lambda geometry: (None, 0.0, normal)
    degrees = np.degrees(cases.scan())

    def simulate():
        return made.simulate(degrees, hkl=None, **options)

    return 1 / cases.clock(simulate, seconds=1.0).best, simulate()


def xrayutilities() -> Figures:
    """The same stack of 160 uniform layers by xrayutilities' exact and simplified solvers, one process."""
    h = cases.DEPTH / cases.CELLS
    thickness = np.full(cases.CELLS, h)
    strain = cases.STRAIN.evaluate((np.arange(cases.CELLS) + 0.5) * h, cases.GARNET)[0]
    full, full_curve = xrayutilities_curve("DynamicalModel", strain, thickness, scaled=True)
    simple, _ = xrayutilities_curve("SimpleDynamicalCoplanarModel", strain, thickness, scaled=False, idxref=0)
    # Its layers are uniform: the fair comparison of the curve is with our uniform ones (midpoint rule).
    ours = rocking_curve(
        cases.scan(), cases.BARE, uniform_sublayers(thickness, strain, stack=cases.BARE), engine="reference"
    )
    # In pi it has cos 2θ of each angle where ours has cos 2θ_B: 0.02 in log10 of pi, 0.005 of the mean.
    error = cases.rms_log10(full_curve, ours.mean(axis=0))
    if error > 0.01:
        raise AssertionError(f"xrayutilities' curve is {error:.2g} rms of log10 away from ours.")
    return {
        "xrayutilities_curves_per_s": full,
        "xrayutilities_rms_log10_difference": error,
        "xrayutilities_simplified_curves_per_s": simple,
    }


@njit(nogil=True)
def _scalar_complex(y0, response, coupling, thickness, delta, x, out):
    """The textbook: for each angle, for each uniform sublayer, complex cosine, sine and square root."""
    for j in range(len(y0)):
        v = x[j]
        for k in range(len(thickness) - 1, -1, -1):
            h = thickness[k]
            half = 0.5 * (y0[j] + delta[k] * response[j])
            sigma = coupling[j] * (1 - delta[k])
            s = np.sqrt(half * half - sigma * sigma)
            cosine, sine = np.cos(s * h), 1j * np.sin(s * h) / s
            v = (sine * sigma + (cosine + sine * half) * v) / (cosine - sine * half - sine * sigma * v)
        out[j] = abs(v) ** 2


def scalar_baseline() -> Figures:
    """Scalar complex arithmetic, compiled, midpoint rule on the same 160 cells, all processors."""
    at = coefficients(cases.scan(), cases.BARE)
    h = cases.DEPTH / cases.CELLS
    thickness = np.full(cases.CELLS, h)
    strain = cases.STRAIN.evaluate((np.arange(cases.CELLS) + 0.5) * h, cases.GARNET)[0]
    delta = strain / (1 + strain)
    starts = [
        slow.semi_infinite_amplitude(at.detuning[0], c * at.coupling[0], c * at.coupling[0])
        for c in cases.BARE.polarization_factors
    ]
    n_curve = 4 * worker_count()
    out = np.empty((n_curve, 2, 701))

    def one(i):
        for p, c in enumerate(cases.BARE.polarization_factors):
            angle = (at.detuning[0], at.strain_response[0], c * at.coupling[0])
            _scalar_complex(*angle, thickness, delta, starts[p], out[i, p])

    with ThreadPoolExecutor(worker_count()) as pool:
        best = cases.clock(lambda: list(pool.map(one, range(n_curve))), seconds=0.5).best
    theta, uniform = cases.scan(), uniform_sublayers(thickness, strain, stack=cases.BARE)
    error = cases.rms_log10(out[-1], rocking_curve(theta, cases.BARE, uniform, engine="reference"))
    if error > 1e-8:
        raise AssertionError(f"the scalar baseline is {error:.2g} rms of log10 away from the reference.")
    numpy_best = cases.clock(lambda: slow.reflectivity(theta, cases.BARE, uniform), seconds=0.5, least=2).best
    return {"scalar_numba_curves_per_s": n_curve / best, "reference_engine_curves_per_s": 1 / numpy_best}


FIRST_CURVE = """
import time
start = time.perf_counter()
from benchmarks import cases
from strainscope.diffraction import rocking_curve
imported = time.perf_counter()
rocking_curve(cases.scan(), cases.BARE, cases.batch(1))
print(imported - start, time.perf_counter() - imported)
"""


def first_curve() -> Figures:
    """Import, and from there to the first curve, in a fresh process whose numba cache is warm [s]."""
    times = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", FIRST_CURVE], capture_output=True, text=True, check=True)
        times.append([float(word) for word in done.stdout.split()])
    imported, first = np.min(times[1:], axis=0)
    return {"import_s": float(imported), "first_curve_s": float(first)}


def scaling() -> Figures:
    """Rates over sublayers (of 12.5 Å), angles and batch, float32."""
    figures = {}
    for n in (40, 80, 160, 320, 640):
        figures[f"curves_per_s_{n}_sublayers"] = rate(np.float32, 256, n_cell=n, depth=12.5 * n)
    for n in (100, 300, 701, 1000, 3000):
        figures[f"curves_per_s_{n}_angles"] = rate(np.float32, 256, n_angle=n)
    for n in (1, 4, 16, 64, 256, 1024, 4096):
        figures[f"curves_per_s_batch_{n}"] = rate(np.float32, n)
    return figures


def run() -> Figures:
    """All figures of the engine."""
    figures = simulation()
    figures |= peak(figures)
    figures |= jacobian()
    figures |= xrayutilities()
    figures |= scalar_baseline()
    figures |= first_curve()
    figures |= scaling()
    return figures


def report(f: Figures) -> None:
    """Prints the figures as tables, others' beside ours with their ratio."""
    ours = f["simulate_curves_per_s_float32"]
    print("\nbare GGG 444, 701 angles, sigma and pi, 160 cells of 50 Å: curves/s, and the first row's ratio")
    rows = (
        ("strainscope float32", ours),
        ("strainscope float64", f["simulate_curves_per_s_float64"]),
        ("strainscope float32, YIG film on top", f["simulate_film_curves_per_s_float32"]),
        ("strainscope float64, YIG film on top", f["simulate_film_curves_per_s_float64"]),
        ("strainscope reference (numpy complex128)", f["reference_engine_curves_per_s"]),
        ("scalar complex numba, midpoint, all cores", f["scalar_numba_curves_per_s"]),
        ("xrayutilities DynamicalModel, one process", f["xrayutilities_curves_per_s"]),
        ("xrayutilities simplified model, one process", f["xrayutilities_simplified_curves_per_s"]),
        ("predecessor, dl 100 Å, film (quoted, not run)", PREDECESSOR),
    )
    for name, value in rows:
        print(f"  {name:<48}{value:10.1f}{ours / value:10.1f} ×")
    single, double, film, peer = (
        f"{f[key]:.2g}"
        for key in (
            "simulate_rms_log10_error",
            "simulate_rms_log10_error_float64",
            "simulate_film_rms_log10_error",
            "xrayutilities_rms_log10_difference",
        )
    )
    print(f"  rms of log10 to the converged curve: float32 {single}, float64 {double}, film {film}")
    print(f"  rms of log10 to DynamicalModel on the same uniform layers, both polarizations: {peer}")
    share, ours, product = (
        f[key] for key in ("kernel_share_of_float32_peak", "kernel_gflops", "float32_peak_gflops")
    )
    print(f"  kernel {ours:.0f} GFLOP/s, {share:.0%} of the {product:.0f} of a float32 matrix product")
    passes, rate_ = f["jacobian_forward_passes"], f["jacobians_per_s"]
    print(f"  curve and Jacobian of seven parameters, float64: {passes:.2f} forward passes, {rate_:.0f}/s")
    imported, first = f["import_s"], f["first_curve_s"]
    print(f"  fresh process, warm cache: import {imported:.2f} s, then the first curve {first:.3f} s")
    for label, keys in (
        ("sublayers", [k for k in f if k.endswith("_sublayers")]),
        ("angles", [k for k in f if k.endswith("_angles")]),
        ("batch", [k for k in f if k.startswith("curves_per_s_batch_")]),
    ):
        numbers = [next(word for word in key.split("_") if word.isdigit()) for key in keys]
        print(f"  {label:<10}" + "".join(f"{n:>9}" for n in numbers))
        print(f"  {'curves/s':<10}" + "".join(f"{f[key]:9.0f}" for key in keys))


if __name__ == "__main__":
    print(cases.machine())
    report(run())
