"""Whether posteriors hold the truth as often as they say: scans of the sample ggg444 as laboratories measure them.

Each simulated scan (continuous prior, 1e3 to 1e8 counts at the peak, steps of 1 to 20 arcsec, whole and cut) is
inverted without a model error, with the estimator ggg444-lab proposing profiles. Of every free parameter the share of
the posterior below the truth is noted; from these follows the coverage of central intervals. Results go to a file, a
line for each scan, so that a run that was stopped goes on, and several processes can share the work.

Run: python -m benchmarks.coverage FILE [--first 0] [--number 500] [--every 1] [--report]
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from strainscope.estimator.load import load_estimator
from strainscope.estimator.proposal import ScanProposal
from strainscope.estimator.shipped import estimator_path
from strainscope.inversion import SearchSettings
from strainscope.inversion.invert import Explanation, explain
from strainscope.inversion.problem import prepare
from strainscope.measurement import LabSimulator
from strainscope.sample import Sample, load_sample
from strainscope.scan import Scan

SAMPLE, ESTIMATOR, SEED = "ggg444", "ggg444-lab", 77
LEVELS = (0.5, 0.9, 0.95)


def main() -> int:
    """Invert what is missing; with --report, say what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--first", type=int, default=0, help="scan to begin with (0)")
    parser.add_argument("--number", type=int, default=500, help="scans in all (500)")
    parser.add_argument("--every", type=int, default=1, help="take each so many'th (1)")
    parser.add_argument("--report", action="store_true", help="only report")
    given = parser.parse_args()
    if not given.report:
        _run(given.file, range(given.first, given.number, given.every))
    _report([json.loads(line) for line in given.file.read_text(encoding="utf-8").splitlines()])
    return 0


def _run(file: Path, wanted: range) -> None:
    sample = load_sample(SAMPLE)
    simulator = LabSimulator(sample, seed=SEED)
    known, instruments = simulator.conditions(0)
    points = simulator.points(known, instruments)
    proposal = ScanProposal(load_estimator(estimator_path(ESTIMATOR)), sample, name=ESTIMATOR)
    done = set()
    if file.exists():
        done = {json.loads(line)["scan"] for line in file.read_text(encoding="utf-8").splitlines()}
    for i in wanted:
        if i in done:
            continue
        angle, nearly, target = points[i]
        rng = np.random.default_rng(i)
        truth = simulator.targets.experiment_values(target[None], np.array([instruments.counts[i]]))[0]
        scan = Scan(
            angle=angle,
            intensity=np.round(nearly),
            axis="delta-theta-arcsec",
            intensity_kind="counts",
            name=f"scan {i}",
        )
        scan = replace(scan, intensity=rng.poisson(_converged(scan, sample, truth)).astype(np.float64))
        began = time.process_time()
        try:
            found = explain(
                scan,
                sample.experiment(),
                bounds=sample.bounds(),
                held=sample.held(),
                start=sample.start(),
                settings=SearchSettings(model_error=0.0),
                rng=rng,
                proposal=proposal,
            )
        except ValueError as error:
            line = {"scan": i, "refused": str(error)}
        else:
            line = _line(i, scan, truth, found, time.process_time() - began)
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")


def _converged(scan: Scan, sample: Sample, truth: np.ndarray) -> np.ndarray:
    """Expected counts to far below the noise of any scan here: those made for training err by up to 1e-3."""
    problem = prepare(
        scan,
        sample.experiment(),
        bounds=sample.bounds(),
        held=sample.held(),
        start=sample.start(),
        model_error=0.0,
    )
    model = problem.model
    finer = replace(
        model,
        experiment=replace(model.experiment, tolerance=1e-6),
        narrowest_fwhm_arcsec=model.narrowest_fwhm_arcsec / 2,
        points_per_fringe=30.0,
    )
    return finer.expected(truth)


def _line(i: int, scan: Scan, truth: np.ndarray, found: Explanation, seconds: float) -> dict:
    prior = found.problem.prior
    below = sum(
        mode.weight * (mode.share[:, None] * (mode.values < truth)).sum(axis=0) for mode in found.modes
    )
    heaviest = max(found.modes, key=lambda mode: mode.weight)
    return {
        "scan": i,
        "counts": float(scan.intensity.max()),
        "points": len(scan.angle),
        "seconds": round(seconds, 2),
        "modes": [round(mode.weight, 4) for mode in found.modes],
        "effective": round(heaviest.effective, 1),
        "pareto": round(heaviest.pareto, 3),
        "draws": len(heaviest.share),
        "cost": round(min(mode.fit.cost for mode in found.modes), 2),
        "below": {prior.names[k]: round(float(below[k]), 5) for k in prior.free},
    }


def _report(lines: list[dict]) -> None:
    good = [line for line in lines if "below" in line]
    seconds, effective = (np.array([line[key] for line in good]) for key in ("seconds", "effective"))
    print(
        f"{len(lines)} scans, {len(lines) - len(good)} refused; effective draws: median {np.median(effective):.0f}, "
        f"below 100 in {np.mean(effective < 100):.1%}; k above 0.7 in "
        f"{np.mean([line['pareto'] > 0.7 for line in good]):.1%}; seconds: median {np.median(seconds):.1f}, "
        f"mean {seconds.mean():.1f}, 95 % {np.quantile(seconds, 0.95):.1f}"
    )
    names = list(good[0]["below"])
    below = np.array([[line["below"][name] for name in names] for line in good])
    inside = [np.abs(below - 0.5) < level / 2 for level in LEVELS]
    print(f"{'':20s}" + "".join(f"{level:>8.0%}" for level in LEVELS) + "   outside 99.9 %")
    far = np.abs(below - 0.5) > 0.4995
    for k, name in enumerate(names):
        print(
            f"{name:20s}"
            + "".join(f"{100 * own[:, k].mean():8.1f}" for own in inside)
            + f"{far[:, k].sum():8d}"
        )
    print(
        f"{'all':20s}" + "".join(f"{100 * own.mean():8.1f}" for own in inside) + f"{100 * far.mean():8.2f} %"
    )
    error = [100 * np.sqrt(level * (1 - level) / len(good)) for level in LEVELS]
    print(f"{'1 binomial sd':20s}" + "".join(f"{own:8.1f}" for own in error))


if __name__ == "__main__":
    sys.exit(main())
