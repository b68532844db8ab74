"""Whether the posterior's weighted draws agree with nested sampling of the same density.

The scans of benchmarks.coverage are inverted; then the posterior is drawn a second time, by nested sampling
(`--gold`). Within each mode (the draws whose profile lies nearest to its fit, in both sets alike) means and sds
of every free parameter are compared, and so are the weights of the modes and the evidence. Results go to a file, a line
for each scan, so that a run that was stopped goes on, and several processes can share the work.

Run: python -m benchmarks.gold FILE [--first 0] [--number 20] [--every 1] [--seeds 1] [--report]
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import logsumexp
from threadpoolctl import threadpool_limits

from benchmarks.coverage import invert_missing, lines_of, options
from strainscope.inversion.invert import Explanation
from strainscope.inversion.mixture import WeightedDraws, effective_size
from strainscope.inversion.modes import nearest_fit
from strainscope.inversion.nested import Unfinished, nested_draws
from strainscope.inversion.refine import Fit
from strainscope.inversion.target import Target
from strainscope.scan import Scan

# As `--gold` has it.
LIVE, WANTED = 1000, 4000.0
# Modes of less weight in both are compared by their weight alone.
LEAST_WEIGHT = 0.02
# What counts as agreement, and in how many cases it should be met.
MEANS, SDS, WEIGHTS, BAR = 0.15, 0.15, 0.10, 0.95


@dataclass(frozen=True, kw_only=True, eq=False)
class Gold:
    """Nested sampling's draws, and what they cost."""

    draws: WeightedDraws
    seconds: float
    evaluations: int


def main() -> int:
    """Compare what is missing; with --report, say what came out."""
    parser = options("gold", __doc__, number=20)
    parser.add_argument("--seeds", type=int, default=1, help="runs of nested sampling a scan (1)")
    given = parser.parse_args()
    if not given.report:
        _run(given.file, range(given.first, given.number, given.every), given.seeds)
    report(lines_of(given.file))
    return 0


def _run(file: Path, wanted: range, seeds: int) -> None:
    def line(i: int, scan: Scan, truth: np.ndarray, found: Explanation, seconds: float) -> dict:
        told = {"scan": i, "counts": float(scan.intensity.max()), "points": len(scan.angle)}
        try:
            return told | _compared(found, seconds, seeds)
        except Unfinished as error:
            # Nested sampling that did not come to its end says nothing of the draws.
            return told | {"refused": str(error)}

    invert_missing(file, wanted, line)


def target_of(found: Explanation) -> Target:
    """The density that the draws are of."""
    return Target(found.problem, spread=found.modes[0].spread)


def fast_draws(found: Explanation) -> WeightedDraws:
    """The draws of all modes together."""
    with np.errstate(divide="ignore"):
        log_weight = np.log(np.concatenate([mode.weight * mode.share for mode in found.modes]))
    return WeightedDraws(
        z=np.concatenate([mode.z for mode in found.modes]),
        log_weight=log_weight - logsumexp(log_weight),
        log_evidence=found.modes[0].log_evidence,
    )


def parts(draws: WeightedDraws, region: np.ndarray) -> list[WeightedDraws]:
    """The draws of each region that has any weight."""
    own = [
        WeightedDraws(
            z=draws.z[region == k],
            log_weight=draws.log_weight[region == k],
            log_evidence=draws.log_evidence,
        )
        for k in np.unique(region)
    ]
    return [part for part in own if np.isfinite(part.log_weight).any()]


def gold_of(
    target: Target, around: Sequence[WeightedDraws], *, seed: int, live: int = LIVE, wanted: float = WANTED
) -> Gold:
    """Nested sampling of the density."""
    began, before = time.process_time(), target.evaluations
    with threadpool_limits(limits=1):
        draws = nested_draws(target, around, live=live, wanted=wanted, seed=seed)
    return Gold(draws=draws, seconds=time.process_time() - began, evaluations=target.evaluations - before)


def regions(target: Target, fits: Sequence[Fit], draws: WeightedDraws) -> np.ndarray:
    """Which fit's profile each draw lies nearest to, shape (draw,)."""
    return nearest_fit(target.problem.model.experiment, fits, target.values(draws.z))


def weights(draws: WeightedDraws, region: np.ndarray, number: int) -> list[float]:
    """Of so many regions."""
    return [round(float(np.exp(draws.log_weight[region == k]).sum()), 4) for k in range(number)]


def _compared(found: Explanation, seconds: float, seeds: int) -> dict:
    target, fast = target_of(found), fast_draws(found)
    fits = [mode.fit for mode in found.modes]
    around = parts(fast, regions(target, fits, fast))
    runs = [gold_of(target, around, seed=seed) for seed in range(seeds)]
    line = {
        "fast": _told(target, fits, fast) | {"seconds": round(seconds, 2)},
        "gold": [
            _told(target, fits, run.draws)
            | {"seconds": round(run.seconds, 2), "evaluations": run.evaluations}
            for run in runs
        ],
    }
    line["modes"] = _differences(target, fits, fast, runs[0].draws)
    if seeds > 1:
        line["again"] = _differences(target, fits, runs[1].draws, runs[0].draws)
    return line


def _told(target: Target, fits: Sequence[Fit], draws: WeightedDraws) -> dict:
    region = regions(target, fits, draws)
    return {
        "evidence": round(draws.log_evidence, 3),
        "effective": round(draws.effective, 1),
        "weights": weights(draws, region, len(fits)),
    }


def _differences(target: Target, fits: Sequence[Fit], fast: WeightedDraws, gold: WeightedDraws) -> list[dict]:
    """Means and sds within each mode of some weight, against those of the second set."""
    prior = target.problem.prior
    regional = [(draws, regions(target, fits, draws)) for draws in (fast, gold)]
    lines = []
    for k in range(len(fits)):
        moments = [_moments(target, draws, region == k) for draws, region in regional]
        own = {"mode": k, "weights": [round(moment[0], 4) for moment in moments]}
        if max(own["weights"]) >= LEAST_WEIGHT and min(own["weights"]) > 0:
            (_, many, mean, sd), (_, many_gold, mean_gold, sd_gold) = moments
            shift, ratio = np.abs(mean - mean_gold) / sd_gold, sd / sd_gold
            own |= {
                "effective": [round(many, 1), round(many_gold, 1)],
                "mean": {prior.names[j]: round(float(shift[j]), 4) for j in prior.free},
                "sd": {prior.names[j]: round(float(ratio[j]), 4) for j in prior.free},
            }
        lines.append(own)
    return lines


def _moments(
    target: Target, draws: WeightedDraws, inside: np.ndarray
) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Weight, effective draws, means and sds of what is inside; sds of held parameters are 1."""
    log_weight = draws.log_weight[inside]
    if not np.isfinite(log_weight).any():
        return 0.0, 0.0, np.zeros(0), np.zeros(0)
    share = np.exp(log_weight - logsumexp(log_weight))
    values = target.values(draws.z[inside])
    mean = share @ values
    sd = np.sqrt(share @ (values - mean) ** 2)
    held = np.ones(len(mean), dtype=bool)
    held[target.problem.prior.free] = False
    return (
        float(np.exp(logsumexp(log_weight))),
        effective_size(log_weight),
        mean,
        np.where(held, 1.0, np.maximum(sd, 1e-300)),
    )


def report(lines: list[dict]) -> None:
    """Shares that agree, and where others do not."""
    good = [line for line in lines if "modes" in line]
    gold = [line["gold"][0] for line in good]
    for key in ("seconds", "effective"):
        own, other = (
            np.array([told[key] for told in told_by]) for told_by in ([x["fast"] for x in good], gold)
        )
        print(
            f"{key}: fast median {np.median(own):.1f}, gold median {np.median(other):.1f}, most {other.max():.1f}"
        )
    print(f"{len(lines)} scans, {len(lines) - len(good)} refused")
    _shares("fast against gold", [mode for line in good for mode in line["modes"]])
    apart = np.array([line["fast"]["evidence"] - line["gold"][0]["evidence"] for line in good])
    print(f"  evidence, fast less gold: mean {apart.mean():+.3f}, rms {np.sqrt((apart**2).mean()):.3f}")
    twice = [line for line in good if "again" in line]
    if twice:
        _shares("gold against gold of another seed", [mode for line in twice for mode in line["again"]])
        apart = np.array([line["gold"][1]["evidence"] - line["gold"][0]["evidence"] for line in twice])
        print(f"  evidence: rms difference {np.sqrt((apart**2).mean()):.3f}, most {np.abs(apart).max():.3f}")
    print("worst scans (scan, mode, parameter, shift in sd; scan, mode, parameter, ratio of sds):")
    shifts, ratios = (
        [
            (value, line["scan"], mode["mode"], name)
            for line in good
            for mode in line["modes"]
            if key in mode
            for name, value in mode[key].items()
        ]
        for key in ("mean", "sd")
    )
    shifts.sort(reverse=True)
    ratios.sort(key=lambda own: -abs(np.log(max(own[0], 1e-9))))
    for shift, ratio in zip(shifts[:8], ratios[:8], strict=False):
        print(
            "  " + "    ".join(f"{s:5d} {k} {name:18s} {value:6.3f}" for value, s, k, name in (shift, ratio))
        )


def _shares(title: str, modes: list[dict]) -> None:
    whole = [mode for mode in modes if "mean" in mode]
    shift = np.array([value for mode in whole for value in mode["mean"].values()])
    ratio = np.array([value for mode in whole for value in mode["sd"].values()])
    apart = np.array([abs(mode["weights"][0] - mode["weights"][1]) for mode in modes])
    print(f"{title}, {len(whole)} modes of some weight:")
    for name, met in (
        (f"means within {MEANS} sd", shift <= MEANS),
        (f"sds within {SDS:.0%}", np.abs(ratio - 1) <= SDS),
        (f"weights within {100 * WEIGHTS:.0f} points", apart <= WEIGHTS),
    ):
        print(f"  {name:26s}{met.mean():8.1%}   (bar {BAR:.0%}; {met.sum()} of {len(met)})")


if __name__ == "__main__":
    sys.exit(main())
