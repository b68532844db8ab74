"""One profile behind two reflections: measured curves of GGG 444 and 888, together and each alone.

    python -m benchmarks.joint FOLDER [--figure FILE.png]

FOLDER holds ggg444_dose1_counts.xy and ggg888_dose1_counts.xy. Prints rms of log10, reduced chi-square with and without
the model error, the mean 68 % band of the strain, and how well the profile of 444 alone predicts 888.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from strainscope.inversion import Companion, Result, SearchSettings, invert
from strainscope.inversion.joint import prepare_joint
from strainscope.inversion.likelihood import rms_log10
from strainscope.inversion.predict import predict
from strainscope.inversion.problem import Problem, prepare
from strainscope.inversion.refine import refine
from strainscope.readers import read_scan
from strainscope.sample import Sample, load_sample
from strainscope.scan import Scan

FILES = {"444": "ggg444_dose1_counts.xy", "888": "ggg888_dose1_counts.xy"}
MODEL_ERROR = 0.07
# Depths over which bands are compared [Å].
DEPTHS = np.linspace(0, 5000, 501)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One reflection's sample and scan."""

    sample: Sample
    scan: Scan

    def companion(self) -> Companion:
        own = self.sample
        return Companion(
            label=own.label,
            scan=self.scan,
            experiment=own.experiment(),
            bounds=own.bounds(),
            held=own.held(),
            start=own.start(),
        )

    def problem(self, model_error: float, **held: float) -> Problem:
        own = self.sample
        return prepare(
            self.scan,
            own.experiment(),
            bounds=own.bounds(),
            held={**own.held(), **held},
            start=own.start(),
            model_error=model_error,
        )

    def invert(self, *beside: "Measured", **held: float) -> Result:
        own = self.sample
        return invert(
            self.scan,
            own.experiment(),
            bounds=own.bounds(),
            held={**own.held(), **held},
            start=own.start(),
            settings=SearchSettings(model_error=MODEL_ERROR),
            seed=0,
            sample_settings={},
            beside=[other.companion() for other in beside],
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    first, second = (
        Measured(
            sample=own,
            scan=read_scan(
                options.folder / FILES[own.label], axis=str(own.scan.axis), intensity_kind="counts"
            ),
        )
        for own in load_sample("ggg444-888").by_reflection()
    )
    # The kernels are compiled before anything is timed.
    warm = first.problem(MODEL_ERROR)
    warm.residuals_many(warm.base[None], warm.many_curves())
    runs = {
        "444 and 888": lambda: first.invert(second),
        "444 alone": lambda: first.invert(),
        "888 alone": lambda: second.invert(),
        "444 alone, no miscut": lambda: first.invert(miscut_deg=0.0),
    }
    found = {name: _timed(name, run) for name, run in runs.items()}
    _without_model_error(found["444 and 888"], first, second)
    _predicted(found["444 alone"], second, options.figure)


def _timed(name: str, run) -> Result:
    began, spent = time.perf_counter(), time.process_time()
    result = run()
    wall, used = time.perf_counter() - began, time.process_time() - spent
    best = result.best
    low, high = (np.interp(DEPTHS, best.bands.depth, band) for band in best.bands.strain_68)
    fits = ", ".join(f"rms {own.rms_log10:.4f} (reduced χ² {own.reduced_chi2:.2f})" for own in best.scans)
    print(
        f"{name}: {fits}; mean 68 % band of the strain {np.mean(high - low):.2e}, "
        f"largest strain {best.maximum_strain[0]:.5f}; {len(result.modes)} mode(s), "
        f"{best.effective_draws:.0f} effective draws, {wall:.1f} s ({used:.1f} s of processor), "
        f"{result.verdict.level}",
        flush=True,
    )
    if "miscut_deg" in best.fitted_names:
        print(f"  miscut {best.parameter('miscut_deg').value:.2f} ± {best.parameter('miscut_deg').sd:.2f}°")
    return result


def _without_model_error(result: Result, first: Measured, second: Measured) -> None:
    """What the counts alone leave of the joint fit, fitted anew to them."""
    problem = prepare_joint(first.problem(0.0), [second.companion()], model_error=0.0)
    values = np.array([result.best.parameter(name).value for name in problem.prior.names])
    start = np.clip(problem.prior.to_unit(values), 1e-3, 1 - 1e-3)
    fit = refine(problem, start, most_evaluations=80)
    parts = zip(problem.measurements, problem.split(fit.residuals), problem.split(fit.model), strict=True)
    for own, residuals, model in parts:
        print(
            f"no model error, {own.label or '444'}: reduced χ² {float(residuals @ residuals) / len(residuals):.1f}, "
            f"rms {rms_log10(own.likelihood.intensity, model):.4f}"
        )


def _predicted(result: Result, second: Measured, figure: Path | None) -> None:
    """The second reflection from the first one's profile: only the instrument is fitted to it."""
    experiment = second.sample.experiment()
    found = predict(
        second.scan,
        experiment,
        profile={parameter.name: parameter.value for parameter in result.best.parameters},
        bounds=second.sample.bounds(),
        held=second.sample.held(),
        start=second.sample.start(),
        model_error=MODEL_ERROR,
    )
    print(
        f"888 from the profile of 444 alone: rms {found.rms_log10:.4f}, reduced χ² {found.reduced_chi2:.2f}"
    )
    if figure is None:
        return
    drawing = Figure(figsize=(6.3, 3.2), layout="constrained")
    axes = drawing.subplots()
    axes.semilogy(
        second.scan.angle, second.scan.intensity, "o", color="#666666", markersize=1.6, label="measured"
    )
    axes.semilogy(
        second.scan.angle, found.fitted, color="#b42318", linewidth=0.9, label="from the profile of 444"
    )
    axes.set_xlabel("Δθ (arcsec)")
    axes.set_ylabel("counts at 888")
    axes.legend(frameon=False)
    drawing.savefig(figure, dpi=150)


if __name__ == "__main__":
    main()
