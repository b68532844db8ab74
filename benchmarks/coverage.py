"""Whether posteriors hold the truth as often as they say: scans of the sample ggg444 as laboratories measure them.

Each simulated scan (continuous prior, 1e3 to 1e8 counts at the peak, steps of 1 to 20 arcsec, whole and cut) is
inverted without a model error, with the estimator ggg444-lab proposing profiles, and with the prior that the scan was
drawn from: background and diffuse scattering are told their ranges, as intervals hold the truth as often as they say
only where truths are drawn from the prior. Of every free parameter the share of
the posterior below the truth is noted; from these follows the coverage of central intervals. Beside it stands how many
of the same truths the prior's own intervals hold: how far from its share chance has put them. Results go to a file, a
line for each scan, so that a run that was stopped goes on, and several processes can share the work.

Run: python -m benchmarks.coverage FILE [--first 0] [--number 500] [--every 1] [--report]
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from strainscope.estimator.load import load_estimator
from strainscope.estimator.proposal import ScanProposal
from strainscope.estimator.shipped import estimator_path
from strainscope.inversion import SearchSettings
from strainscope.inversion.chance import misfit_chance
from strainscope.inversion.invert import Explanation, explain
from strainscope.inversion.pareto import FEWEST_DRAWS, WORST_PARETO
from strainscope.inversion.problem import Problem, prepare
from strainscope.measurement import LabSimulator
from strainscope.measurement.scans import Instruments
from strainscope.measurement.settings import LabSettings
from strainscope.measurement.simulate import BLOCK, drawn_block
from strainscope.sample import Sample, load_sample
from strainscope.scan import Scan

SAMPLE, ESTIMATOR, SEED = "ggg444", "ggg444-lab", 77
# Amplitudes of diffuse scattering, negligible and others, are one log-uniform distribution; see `LabScans`.
_RANGES = LabSettings()
SETTINGS = LabSettings(
    diffuse_share=float(
        np.log(_RANGES.diffuse_amplitude[1] / _RANGES.diffuse_amplitude[0])
        / np.log(_RANGES.amplitude_range[1] / _RANGES.amplitude_range[0])
    )
)
AMPLITUDE = "diffuse_amplitude"
LEVELS = (0.5, 0.9, 0.95)
# A misfit that chance leaves less often than this warns of a posterior.
LEAST_CHANCE = 0.01


def main() -> int:
    """Invert what is missing; with --report, say what came out."""
    given = options("coverage", __doc__, number=500).parse_args()
    if not given.report:
        _run(given.file, range(given.first, given.number, given.every))
    _report(lines_of(given.file))
    return 0


def options(name: str, description: str | None, *, number: int) -> argparse.ArgumentParser:
    """Which scans, and where results go: what benchmarks of these scans ask."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("file", type=Path)
    parser.add_argument("--first", type=int, default=0, help="scan to begin with (0)")
    parser.add_argument("--number", type=int, default=number, help=f"scans in all ({number})")
    parser.add_argument("--every", type=int, default=1, help="take each so many'th (1)")
    parser.add_argument("--report", action="store_true", help="only report")
    return parser


def _run(file: Path, wanted: range) -> None:
    invert_missing(file, wanted, _line)


def invert_missing(
    file: Path, wanted: range, tell: Callable[[int, Scan, np.ndarray, Explanation, float], dict]
) -> None:
    """Invert those scans that a file has no line of; what is told of each becomes its line."""
    cases, done = LabScans(), {line["scan"] for line in lines_of(file)}
    for i in wanted:
        if i in done:
            continue
        rng = np.random.default_rng(i)
        scan, truth = cases.scan(i, rng=rng)
        began = time.process_time()
        try:
            found = cases.explain(scan, rng=rng)
        except ValueError as error:
            line = {"scan": i, "refused": str(error)}
        else:
            line = tell(i, scan, truth, found, time.process_time() - began)
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")


def lines_of(file: Path) -> list[dict]:
    """What is known so far."""
    return (
        [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    )


class LabScans:
    """Scans of the sample as laboratories measure them, and how they are inverted.

    The simulator's amplitudes of diffuse scattering are log-uniform; here each is the one at the same place of the
    inversion's prior, which is flatter where they are next to nothing.

    Args:
        seed: Of the simulator.
        settings: How scans are measured.
    """

    def __init__(self, *, seed: int = SEED, settings: LabSettings = SETTINGS) -> None:
        self.sample, self._settings = load_sample(SAMPLE), settings
        self._simulator = LabSimulator(self.sample, settings, seed=seed)
        self.proposal = ScanProposal(load_estimator(estimator_path(ESTIMATOR)), self.sample, name=ESTIMATOR)
        self._blocks: dict[int, tuple[list, Instruments]] = {}
        self._amplitude = [spec.name for spec in self.sample.experiment().parameters].index(AMPLITUDE)

    def expected(self, i: int) -> tuple[Scan, np.ndarray, np.ndarray]:
        """Scan i without noise but in whole counts, the expected ones, and the values of all parameters behind it."""
        block, place = divmod(i, BLOCK)
        if block not in self._blocks:
            known, instruments = self._simulator.conditions(block)
            self._blocks[block] = list(self._simulator.points(known, instruments)), instruments
        points, instruments = self._blocks[block]
        angle, nearly, target = points[place]
        truth = self._simulator.targets.experiment_values(
            target[None], np.array([instruments.counts[place]])
        )[0]
        truth[self._amplitude] = self._amplitude_of_prior(truth[self._amplitude])
        scan = Scan(
            angle=angle,
            intensity=np.round(nearly),
            axis="delta-theta-arcsec",
            intensity_kind="counts",
            name=f"scan {i}",
        )
        return scan, converged(scan, self.sample, self._settings, truth), truth

    def scan(self, i: int, *, rng: np.random.Generator) -> tuple[Scan, np.ndarray]:
        """Scan i, and the values of all parameters behind it."""
        scan, expected, truth = self.expected(i)
        return replace(scan, intensity=rng.poisson(expected).astype(np.float64)), truth

    def places(self, numbers: Sequence[int]) -> np.ndarray:
        """Where truths lie in the inversion's prior (scan, parameter), without simulating any scan.

        In unit coordinates, of the parameters that are drawn from that prior: all but offset, scale and background,
        which follow from what a scan shows.
        """
        prior = self.sample.prior()
        values = np.broadcast_to(prior.from_unit(np.full((1, len(prior.names)), 0.5)), (len(numbers), len(prior.names)))
        values, columns = values.copy(), {name: k for k, name in enumerate(prior.names)}
        blocks = {block: self._drawn(block) for block in {i // BLOCK for i in numbers}}
        for row, i in zip(values, numbers, strict=True):
            for name, drawn in blocks[i // BLOCK].items():
                row[columns[name]] = drawn[i % BLOCK]
        own = [columns[name] for name in blocks[numbers[0] // BLOCK]]
        low, high = self._settings.amplitude_range
        bounds = {AMPLITUDE: (low, high)}
        specs = tuple(
            replace(spec, lower=bounds[spec.name][0], upper=bounds[spec.name][1]) if spec.name in bounds else spec
            for spec in prior.parameters
        )
        return replace(prior, parameters=specs).to_unit(values)[:, own]

    def _drawn(self, block: int) -> dict[str, np.ndarray]:
        """What the simulator draws for a block from the inversion's prior, by parameter."""
        profile, _, instruments = drawn_block(
            self.sample, self._settings, seed=self._simulator.seed, block=block
        )
        names = [spec.name for spec in self.sample.experiment().profile.parameters]
        amplitude = np.array([self._amplitude_of_prior(own) for own in instruments.diffuse_amplitude])
        return dict(zip(names, profile.T, strict=True)) | {
            AMPLITUDE: amplitude,
            "correlation_length": instruments.correlation_length,
            "fwhm_arcsec": instruments.fwhm_arcsec,
            "lorentz_fraction": instruments.lorentz_fraction,
        }

    def explain(self, scan: Scan, *, rng: np.random.Generator) -> Explanation:
        """What explains a scan.

        Raises:
            ValueError: a scan that cannot be inverted.
        """
        return explain(
            scan,
            self.sample.experiment(),
            bounds=bounds(scan, self.sample, self._settings),
            held=self.sample.held(),
            start=self.sample.start(),
            settings=SearchSettings(model_error=0.0),
            rng=rng,
            proposal=self.proposal,
        )

    def problem(self, scan: Scan) -> Problem:
        """A scan prepared as `explain` does."""
        return prepared(scan, self.sample, self._settings)

    def _amplitude_of_prior(self, log_uniform: float) -> float:
        low, high = self._settings.amplitude_range
        place = np.log(log_uniform / low) / np.log(high / low)
        shape = self.sample.experiment().parameters[self._amplitude].shape
        return float(shape.quantile(place, np.array(low), np.array(high)))


def bounds(scan: Scan, sample: Sample, settings: LabSettings) -> dict[str, tuple[float, float]]:
    """The sample's, and the ranges of what the simulator draws in a way of its own."""
    least, most = np.log10(scan.intensity.max()) + np.log10(settings.background)
    return sample.bounds() | {
        "log10_background": (float(least), float(most)),
        AMPLITUDE: settings.amplitude_range,
    }


def prepared(scan: Scan, sample: Sample, settings: LabSettings) -> Problem:
    """A scan prepared without a model error."""
    return prepare(
        scan,
        sample.experiment(),
        bounds=bounds(scan, sample, settings),
        held=sample.held(),
        start=sample.start(),
        model_error=0.0,
    )


def converged(scan: Scan, sample: Sample, settings: LabSettings, truth: np.ndarray) -> np.ndarray:
    """Expected counts to far below the noise of any scan here: those made for training err by up to 1e-3."""
    model = prepared(scan, sample, settings).model
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
    best = min((mode.fit for mode in found.modes), key=lambda fit: fit.cost)
    return {
        "scan": i,
        "counts": float(scan.intensity.max()),
        "points": len(scan.angle),
        "seconds": round(seconds, 2),
        "modes": [round(mode.weight, 4) for mode in found.modes],
        "effective": round(heaviest.effective, 1),
        "pareto": round(heaviest.pareto, 3),
        "draws": len(heaviest.share),
        "cost": round(best.cost, 2),
        "chance": float(f"{misfit_chance(found.problem, best):.3g}"),
        "below": {prior.names[k]: round(float(below[k]), 5) for k in prior.free},
    }


def _report(lines: list[dict]) -> None:
    good = [line for line in lines if "below" in line]
    seconds, effective = (np.array([line[key] for line in good]) for key in ("seconds", "effective"))
    print(
        f"{len(lines)} scans, {len(lines) - len(good)} refused; effective draws: median {np.median(effective):.0f}, "
        f"below {FEWEST_DRAWS} in {np.mean(effective < FEWEST_DRAWS):.1%}; "
        f"k above {WORST_PARETO} in "
        f"{np.mean([line['pareto'] > WORST_PARETO for line in good]):.1%}; seconds: median {np.median(seconds):.1f}, "
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
    places = LabScans().places([line["scan"] for line in good])
    by_chance = [100 * (np.abs(places - 0.5) < level / 2).mean() for level in LEVELS]
    print(f"{'the prior alone':20s}" + "".join(f"{own:8.1f}" for own in by_chance))
    error = [100 * np.sqrt(level * (1 - level) / len(good)) for level in LEVELS]
    print(f"{'1 binomial sd':20s}" + "".join(f"{own:8.1f}" for own in error))
    trusted = np.array([_trusted(line) for line in good])
    print(
        f"{f'{trusted.sum()} without a warning':20s}"
        + "".join(f"{100 * own[trusted].mean():8.1f}" for own in inside)
        + f"{100 * far[trusted].mean():8.2f} %"
    )


def _trusted(line: dict) -> bool:
    """Whether neither the weights nor the misfit warn of a posterior."""
    likely = line["chance"] >= LEAST_CHANCE
    return line["effective"] >= FEWEST_DRAWS and line["pareto"] <= WORST_PARETO and likely


if __name__ == "__main__":
    sys.exit(main())
