"""Whether verdicts tell what can be believed: good scans, and scans that something is wrong with.

Simulated scans of implanted GGG on an absolute axis (continuous prior, 3e4 to 1e6 counts at the peak) are inverted as
they are and with one thing wrong each: axis turned or taken for another, cut before the strained region, saturated,
nothing but noise, another crystal, another wavelength. Printed is how often each is called reliable. Results go to a
file, a line for each inversion, so that a run that was stopped goes on.

Run: python -m benchmarks.trust FILE [--number 20] [--kinds good,cut] [--report]
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.coverage import lines_of
from strainscope.inversion import SearchSettings, invert
from strainscope.sample import Sample, load_sample
from strainscope.scan import Scan

SEED = 5
# Taken for the sample's: garnets whose lattice is 1 % and 0.1 % larger, and Kβ.
OTHER_LATTICE_A, NEAR_LATTICE_A, OTHER_WAVELENGTH = 12.507, 12.395, "CuKb1"
SATURATED_SHARE = 0.03


def main() -> int:
    """Invert what is missing; with --report, say what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trust", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--number", type=int, default=20, help="scans of each kind (20)")
    parser.add_argument("--kinds", default=",".join(KINDS), help="some of " + ", ".join(KINDS))
    parser.add_argument("--report", action="store_true", help="only report")
    given = parser.parse_args()
    if not given.report:
        _run(given.file, given.number, given.kinds.split(","))
    _report(lines_of(given.file))
    return 0


def _run(file: Path, number: int, kinds: list[str]) -> None:
    done = {(line["kind"], line["scan"]) for line in lines_of(file)}
    for i in range(number):
        for kind in kinds:
            if (kind, i) in done:
                continue
            sample, scan = KINDS[kind](i)
            line = {"kind": kind, "scan": i} | _judged(sample, scan)
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(line) + "\n")


def _judged(sample: Sample, scan: Scan) -> dict:
    try:
        sample.check_scan(scan)
        found = invert(
            scan,
            sample.experiment(),
            bounds=sample.bounds(),
            held=sample.held(),
            start=sample.start(),
            settings=SearchSettings(model_error=0.0),
            seed=0,
            sample_settings={},
        )
    except ValueError as error:
        return {"level": "refused", "reasons": [str(error)]}
    return {"level": found.verdict.level, "reasons": list(found.verdict.reasons)}


def _sample() -> Sample:
    return load_sample("ggg444").with_options(axis="omega-deg", intensity="counts", model_error=0.0)


def _good(i: int, made_of: Sample | None = None) -> tuple[Sample, Scan]:
    """A scan and the sample that it is taken for, as which it is made unless another is given."""
    sample = _sample()
    made_of = made_of or sample
    rng = np.random.default_rng([SEED, i])
    prior = sample.prior()
    drawn = dict(zip(prior.names, prior.sample(1, rng=rng)[0].tolist(), strict=True))
    profile = {spec.name for spec in sample.experiment().profile.parameters}
    counts = 10 ** rng.uniform(4.5, 6)
    given = {name: value for name, value in drawn.items() if name in profile}
    given |= {
        "fwhm_arcsec": rng.uniform(15, 45),
        "lorentz_fraction": rng.uniform(0.0, 0.05),
        "diffuse_amplitude": rng.uniform(0.05, 0.5),
        "correlation_length": rng.uniform(50, 500),
        "offset_arcsec": rng.uniform(-60, 60),
        "log10_background": np.log10(counts) - rng.uniform(3.5, 4.5),
    }
    values = made_of.simulated_values(given, counts=counts)
    return sample, made_of.simulate(values, counts=counts, seed=i)[0]


def _turned(i: int) -> tuple[Sample, Scan]:
    """The axis runs the other way about the peak."""
    sample, scan = _good(i)
    middle = 2 * scan.angle[int(np.argmax(scan.intensity))]
    return sample, replace(scan, angle=middle - scan.angle[::-1], intensity=scan.intensity[::-1])


def _doubled(i: int) -> tuple[Sample, Scan]:
    """A θ-2θ axis taken for ω, its zero at the peak: strains come out twice as large."""
    sample, scan = _good(i)
    middle = scan.angle[int(np.argmax(scan.intensity))]
    return sample, replace(scan, angle=middle + 2 * (scan.angle - middle))


def _cut(i: int) -> tuple[Sample, Scan]:
    """The scan begins at the substrate's peak, beyond all strain."""
    sample, scan = _good(i)
    middle = scan.angle[int(np.argmax(scan.intensity))]
    inside = scan.angle > middle - 100 / 3600
    return sample, replace(scan, angle=scan.angle[inside], intensity=scan.intensity[inside])


def _saturated(i: int) -> tuple[Sample, Scan]:
    """The detector counts no more than a share of the peak."""
    sample, scan = _good(i)
    most = np.round(SATURATED_SHARE * scan.intensity.max())
    return sample, replace(scan, intensity=np.minimum(scan.intensity, most))


def _noise(i: int) -> tuple[Sample, Scan]:
    """Background and no crystal."""
    sample, scan = _good(i)
    rng = np.random.default_rng([SEED, i, 1])
    level = 10 ** rng.uniform(0, 4)
    return sample, replace(scan, intensity=rng.poisson(level, len(scan.angle)).astype(np.float64))


def _crystal(i: int) -> tuple[Sample, Scan]:
    """Another lattice parameter."""
    return _of_lattice(i, OTHER_LATTICE_A)


def _near_crystal(i: int) -> tuple[Sample, Scan]:
    """A lattice parameter so near that the zero of the axis may hide it."""
    return _of_lattice(i, NEAR_LATTICE_A)


def _of_lattice(i: int, a: float) -> tuple[Sample, Scan]:
    other = Sample.model_validate(_sample().model_dump(exclude_unset=True) | {"lattice_A": {"a": a}})
    return _good(i, other)


def _wavelength(i: int) -> tuple[Sample, Scan]:
    """Another line."""
    plain = _sample()
    other = Sample.model_validate(plain.model_dump(exclude_unset=True) | {"wavelength": OTHER_WAVELENGTH})
    return _good(i, other)


KINDS: dict[str, Callable[[int], tuple[Sample, Scan]]] = {
    "good": _good,
    "turned axis": _turned,
    "doubled axis": _doubled,
    "cut": _cut,
    "saturated": _saturated,
    "noise": _noise,
    "another crystal": _crystal,
    "a near crystal": _near_crystal,
    "another wavelength": _wavelength,
}


def _report(lines: list[dict]) -> None:
    print(f"{'':20s}{'scans':>6s}{'reliable':>10s}{'check':>8s}{'do not use':>12s}{'refused':>9s}")
    for kind in KINDS:
        levels = [line["level"] for line in lines if line["kind"] == kind]
        if levels:
            shares = (levels.count(level) for level in ("reliable", "check", "do not use", "refused"))
            print(f"{kind:20s}{len(levels):6d}" + "{:10d}{:8d}{:12d}{:9d}".format(*shares))


if __name__ == "__main__":
    sys.exit(main())
