"""How often the search finds the exact parameters of simulated noise-free curves.

The predecessor's task with a continuous prior: seven parameters over its ranges, bare GGG 444, 701 points in
steps of 4.671897861 arcsec, Gaussian resolution of 25 arcsec, no background, no noise. A curve counts as recovered
when every parameter comes within 0.1 % of its range. Run: python -m benchmarks.recovery [number]
"""

import sys
import time
from dataclasses import replace

import numpy as np

from strainscope.crystal import builtin_crystal, reflection
from strainscope.dataset.published import PUBLISHED_RANGES
from strainscope.diffraction import stack_from_reflections
from strainscope.experiment import Experiment, ScanModel
from strainscope.instrument import Gaussian
from strainscope.inversion import SearchSettings
from strainscope.inversion.levels import Levels
from strainscope.inversion.problem import prepare
from strainscope.inversion.search import find_starts
from strainscope.inversion.solutions import refine_all
from strainscope.profile import DepthProfile, DoubleGaussian
from strainscope.scan import Scan

NAMES = tuple(PUBLISHED_RANGES)
RANGES = np.array([high - low for low, high in PUBLISHED_RANGES.values()])
HELD = {
    "fwhm_arcsec": 25.0,
    "background_slope": 0.0,
    "offset_arcsec": 0.0,
    "log10_scale": 0.0,
    "log10_background": -14.0,
}
MODEL_ERROR = 1e-3


def truths(number: int, *, seed: int) -> np.ndarray:
    """Parameters uniform over the ranges where the constraints hold, shape (number, 7)."""
    rng = np.random.default_rng(seed)
    lower, upper = np.array([PUBLISHED_RANGES[name] for name in NAMES]).T
    drawn = np.empty((0, 7))
    while len(drawn) < number:
        values = rng.uniform(lower, upper, (4 * number, 7))
        drawn = np.concatenate([drawn, values[~DoubleGaussian().violations(values)]])
    return drawn[:number]


def recover(number: int = 200, *, seed: int = 20, settings: SearchSettings | None = None) -> dict[str, float]:
    """Share recovered, mean error of each parameter in % of its range, seconds a curve."""
    settings = settings or SearchSettings(evaluations=150, tolerance=1e-10, model_error=MODEL_ERROR)
    crystal = builtin_crystal("GGG")
    ggg = reflection(crystal, (4, 4, 4), wavelength=1.54056)
    stack = stack_from_reflections(ggg)
    experiment = Experiment(
        stack=stack, profile=DepthProfile(strain=DoubleGaussian()), resolution=Gaussian(), tolerance=3e-5
    )
    angle = np.sort(-(np.arange(701) - 20) * 4.671897861)
    simulator = ScanModel(
        experiment=replace(experiment, tolerance=1e-6),
        position=angle,
        fringe_depth=10_000.0,
        narrowest_fwhm_arcsec=10.0,
        widest_fwhm_arcsec=60.0,
        offset_range=(-100.0, 100.0),
        points_per_fringe=16.0,
    )
    errors, spent, misfits = [], [], []
    for i, truth in enumerate(truths(number, seed=seed)):
        values = np.concatenate([truth, [HELD[s.name] for s in experiment.parameters[7:]]])
        intensity = np.maximum(simulator.expected(values), 0.0)
        scan = Scan(
            angle=angle,
            intensity=intensity,
            axis="delta-theta-arcsec",
            intensity_kind="normalised",
            name=str(i),
        )
        began = time.perf_counter()
        problem = prepare(
            scan, experiment, bounds=PUBLISHED_RANGES, held=HELD, start={}, model_error=settings.model_error
        )
        chosen = find_starts(problem, settings, rng=np.random.default_rng(i))
        fits = refine_all(Levels(problem), chosen, settings).fits
        best = min((fit for fit, _ in fits), key=lambda fit: fit.cost)
        spent.append(time.perf_counter() - began)
        errors.append(100 * np.abs(best.values[:7] - truth) / RANGES)
        misfits.append(best.cost)
        if "-v" in sys.argv:
            print(
                i,
                *(f"{v:.4g}" for v in truth),
                "error %",
                *(f"{v:.2g}" for v in errors[-1]),
                f"cost {best.cost:.3g} {spent[-1]:.1f} s",
                flush=True,
            )
    errors = np.array(errors)
    result = {
        "recovery_share": float((errors.max(axis=1) < 0.1).mean()),
        "recovery_share_fitted": float((np.array(misfits) < 1.0).mean()),
        "recovery_seconds_per_curve": float(np.mean(spent)),
    }
    for name, column in zip(NAMES, errors.T, strict=True):
        result[f"recovery_mean_error_percent_{name}"] = float(column.mean())
    return result


def main(number: int = 200) -> dict[str, float]:
    """Runs and prints."""
    result = recover(number)
    for name, value in result.items():
        print(f"{name:45s} {value:.4g}")
    return result


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
