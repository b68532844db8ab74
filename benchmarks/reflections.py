"""One network for several reflections: does it learn each, beside networks of one reflection on the same time?

`python -m benchmarks.reflections` trains three networks for the same time, on scans of GGG 444, of GGG 888, and of both
in turn, and asks each about fresh scans of the reflections that it was trained on. Lengths and angles are in lattice
units, so that one network can answer for both. Writes docs/studies/reflections.md and .json.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import cases
from strainscope import training
from strainscope.estimator.load import load_estimator
from strainscope.estimator.plan import checked_training
from strainscope.evaluation import rows_of
from strainscope.measurement import LabMixture, LabSettings
from strainscope.sample import load_sample

SAMPLES = ("ggg444", "ggg888")
SHOWN = ("Dmax1", "D01", "L1", "Rp1", "D02", "L2", "Rp2", "K", "n")
# Trainings use seed 0, frozen sets another.
TEST_SEED, TEST_SCANS = 55_201, 2_000

Errors = dict[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, ask, write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reflections", description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.0, help="of each training (8)")
    parser.add_argument("--folder", type=Path, default=Path("build/reflections"), help="of the trainings")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where the page is written (docs)")
    given = parser.parse_args(arguments)
    print(cases.machine(), flush=True)
    tests = {name: scans_of(name) for name in SAMPLES}
    rows: dict[str, dict[str, Any]] = {
        "no network (the prior's median)": {
            "errors": {
                name: errors(np.median(truth, axis=0)[None], truth, name)
                for name, (_, truth) in tests.items()
            }
        }
    }
    for asked in ((SAMPLES[0],), (SAMPLES[1],), SAMPLES):
        print(f"training on {' and '.join(asked)}", flush=True)
        weights = train(asked, given.folder / "-".join(asked), given.minutes)
        rows[" and ".join(asked)] = answers(weights, asked, tests)
    page = write_page(rows, given.minutes, given.docs)
    print(page)
    return 0


def train(samples: tuple[str, ...], folder: Path, minutes: float) -> Path:
    """Train on scans of some samples; goes on where it was."""
    document = {
        "lab": {"sample": list(samples)},
        "minutes": minutes,
        "samples": 10**9,
        "precision": "bf16-mixed",
    }
    plan = checked_training(document, source="reflections")
    return training.train(plan, folder, resume=folder.exists())


def scans_of(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows and true values of fresh scans of a sample, in its own units."""
    batch = LabMixture([load_sample(name)], LabSettings(), seed=TEST_SEED).scans(0, TEST_SCANS)
    return rows_of(batch), batch.values


def answers(
    weights: Path, samples: tuple[str, ...], tests: dict[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, Any]:
    """Errors of an estimator on scans of the samples that it knows."""
    estimator = load_estimator(weights)
    mixture = LabMixture([load_sample(name) for name in samples], LabSettings(), seed=TEST_SEED)
    found = {}
    for i, name in enumerate(samples):
        rows, truth = tests[name]
        found[name] = errors(mixture.in_own(estimator.point(rows), i), truth, name)
    about = estimator.about
    return {
        "errors": found,
        "scans_seen": about["seen"],
        "core_minutes": about["core_seconds"] / 60,
        "minutes": about["training_seconds"] / 60,
    }


def errors(estimate: np.ndarray, truth: np.ndarray, name: str) -> Errors:
    """Mean absolute errors in % of the range of a sample's prior."""
    mixture = LabMixture([load_sample(name)], LabSettings(), seed=TEST_SEED)
    result = {}
    for column, parameter in enumerate(mixture.names):
        if parameter in SHOWN:
            low, high = mixture.bounds[parameter]
            gap = np.abs(estimate[:, column] - truth[:, column]).mean()
            result[parameter] = float(100 * gap / (high - low))
    return result


def write_page(rows: dict[str, dict[str, Any]], minutes: float, docs: Path) -> Path:
    """Table and JSON below docs."""
    place = docs / "studies" / "reflections.md"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(page_text(rows, minutes), encoding="utf-8")
    document = {"minutes": minutes, "cores": torch.get_num_threads(), "scans": TEST_SCANS, "rows": rows}
    place.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return place


def page_text(rows: dict[str, dict[str, Any]], minutes: float) -> str:
    """The page as Markdown."""
    cores = torch.get_num_threads()
    head = ["trained on", "asked about", "scans seen", *SHOWN]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(head) - 2)]
    for label, row in rows.items():
        for name, own in row["errors"].items():
            seen = f"{row['scans_seen']:,}" if "scans_seen" in row else ""
            figures = [f"{own[parameter]:.1f}" for parameter in SHOWN]
            lines.append("| " + " | ".join([label, name, seen, *figures]) + " |")
    both = rows[" and ".join(SAMPLES)]["errors"]
    alone = {name: rows[name]["errors"][name] for name in SAMPLES}
    ratios = [both[name][p] / alone[name][p] for name in SAMPLES for p in SHOWN]
    return "\n".join(
        [
            "# One network for several reflections",
            "",
            "Does a network that is trained on scans of two reflections at once learn both? It reads curves on one "
            "grid of lattice units, is told coupling and absorption of the reflection, and gives lengths as numbers "
            "of lattice planes.",
            "",
            f"**Budget.** {minutes:g} minutes on {cores} core{'s' if cores > 1 else ''} for each network, simulating "
            f"the scans as it goes. Errors are mean absolute errors of posterior medians in % of the range, on "
            f"{TEST_SCANS:,} fresh scans of laboratories of each reflection (any counts, steps and ranges).",
            "",
            *lines,
            "",
            f"**What came out.** On the same time, the errors of the network of both are {min(ratios):.2f} to "
            f"{max(ratios):.2f} times (median {np.median(ratios):.2f}) those of the networks of one reflection, which "
            "saw that reflection twice as often.",
            "",
            f"[All numbers](reflections.json). Again: `python -m benchmarks.reflections --minutes {minutes:g}`",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
