"""The case that the engine's figures are about, and the clock they are taken with."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from strainscope.crystal import ARCSEC, builtin_crystal, reflection
from strainscope.diffraction import Stack, Sublayers, stack_from_reflections
from strainscope.diffraction.sublayers import gauss_depths
from strainscope.profile import DepthProfile, DoubleGaussian, TiedDisorder

STEP = 4.671897861 * ARCSEC
GGG = reflection(builtin_crystal("GGG"), (4, 4, 4), wavelength="CuKa1")
YIG = reflection(builtin_crystal("YIG"), (4, 4, 4), wavelength="CuKa1")
BARE = stack_from_reflections(GGG)
FILM = stack_from_reflections(GGG, ((YIG, 12.376 / 12.382 - 1, 31_500.0),))
STRAIN = DepthProfile(strain=DoubleGaussian())
DISORDERED = DepthProfile(strain=DoubleGaussian(), disorder=TiedDisorder())
# Dmax1, D01, L1 [Å], Rp1 [Å], D02, L2 [Å], Rp2 [Å]
GARNET = np.array([0.01305, 0.0017, 5800.0, 3500.0, 0.004845, 4000.0, -500.0])
DEPTH = 8000.0
CELLS = 160


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of the fastest of several runs."""

    best: float
    runs: int


def clock(function: Callable[[], object], *, seconds: float = 1.5, least: int = 3) -> Timing:
    """Best time of `function`: one call to warm up, then calls for about `seconds`, at least `least`."""
    function()
    best, runs, end = np.inf, 0, time.perf_counter() + seconds
    while runs < least or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
        runs += 1
    return Timing(best=best, runs=runs)


def clock_together(*functions: Callable[[], object], seconds: float = 4.0) -> list[float]:
    """Best time [s] of each, taken in turns, so that what else the machine does weighs on all alike."""
    best, end = [np.inf] * len(functions), time.perf_counter() + seconds
    for function in functions:
        function()
    while time.perf_counter() < end:
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function()
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def scan(n_angle: int = 701) -> np.ndarray:
    """The predecessor's axis (or as many angles over the same range) [rad], growing, shape (angle,)."""
    zero = BARE.bragg_angle + GGG.refraction_shift
    return zero - np.linspace(680, -20, n_angle) * STEP


def cells_between(edges: np.ndarray, profile: DepthProfile, values: np.ndarray, stack: Stack) -> Sublayers:
    """Cells between given depths with the profiles at their Gauss points; values (curve, parameter)."""
    n_curve, thickness = len(values), np.diff(edges)
    depth = gauss_depths(edges[:-1], thickness).reshape(1, -1)
    strain, factor = profile.evaluate(np.broadcast_to(depth, (n_curve, depth.size)), values)
    shape = (n_curve, len(thickness))
    layer = np.searchsorted(stack.interfaces, 0.5 * (edges[1:] + edges[:-1]))
    return Sublayers(
        thickness=np.tile(thickness, (n_curve, 1)),
        strain=np.ascontiguousarray(strain.reshape(*shape, 2)),
        debye_waller=np.ascontiguousarray(factor.reshape(*shape, 2)),
        layer=np.tile(layer, (n_curve, 1)),
        upper=np.tile(edges[:-1], (n_curve, 1)),
    )


def batch(n_curve: int, n_cell: int = CELLS, depth: float = DEPTH, stack: Stack = BARE) -> Sublayers:
    """Uniform cells of `n_curve` profiles: the first is the case's own, the others have another strain."""
    values = np.tile(GARNET, (n_curve, 1))
    values[:, 0] *= 1 + 1e-4 * np.arange(n_curve)
    return cells_between(np.linspace(0, depth, n_cell + 1), STRAIN, values, stack)


def rms_log10(a: np.ndarray, b: np.ndarray) -> float:
    """Rms of log10(a/b)."""
    return float(np.sqrt(np.mean(np.log10(np.asarray(a, dtype=np.float64) / b) ** 2)))


def random_values(n: int, profile: DepthProfile, *, rng: np.random.Generator, steep: float) -> np.ndarray:
    """Valid parameters over the whole prior, the given share of them with L1 only 10 Å below Rp1."""
    lower, upper = (np.array([getattr(s, end) for s in profile.parameters]) for end in ("lower", "upper"))
    drawn = rng.uniform(lower, upper, (60 * n, len(lower)))
    first = int(len(drawn) * steep)
    drawn[:first, 2] = drawn[:first, 3] + 10
    good = ~profile.violations(drawn)
    n_steep = int(n * steep)
    steep_ones, others = drawn[:first][good[:first]], drawn[first:][good[first:]]
    values = np.concatenate([steep_ones[:n_steep], others[: n - n_steep]])
    if len(values) != n:
        raise RuntimeError(f"{len(values)} valid draws of {n}; draw more.")
    profile.check(values)
    return values


def machine() -> str:
    """Processors and load, to be printed beside timings."""
    load = os.getloadavg()[0]
    busy = "" if load < 0.5 else "  (NOT quiet: timings are lower bounds)"
    return f"{len(os.sched_getaffinity(0))} processors, load {load:.2f}{busy}"
