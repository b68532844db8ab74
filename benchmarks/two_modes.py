"""Whether both profiles are found where two explain one scan, and with the right odds.

The phase of a reflected wave is lost, so that two distinct profiles may have the same rocking curve within the noise.
`build` looks for such pairs: descents on the noise-free curve of a drawn profile, from its turned and shifted variants
and from what an estimator proposes, that end at another mode (`inversion.modes.alike`) of nearly no misfit and of some
weight, with a barrier between both. `run` counts photons for one profile of each pair, chosen at random, inverts the
scan, and compares the odds of both with nested sampling that looks around both, twice. Results go to a file, a line for
each case, so that a run that was stopped goes on.

Run: python -m benchmarks.two_modes build [--number 40] [--first 0]
     python -m benchmarks.two_modes run FILE [--number 40] [--report]
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.coverage import LabScans, converged, lines_of, prepared
from benchmarks.gold import Gold, fast_draws, gold_of, parts, regions, target_of, weights
from strainscope.inversion.barriers import LOW, barrier
from strainscope.inversion.descent import descend
from strainscope.inversion.invert import Explanation
from strainscope.inversion.levels import Levels
from strainscope.inversion.modes import alike, nearest_fit
from strainscope.inversion.nested import Unfinished
from strainscope.inversion.problem import Problem
from strainscope.inversion.proposal import proposed_starts
from strainscope.inversion.refine import Fit
from strainscope.inversion.sampling import sample
from strainscope.inversion.target import Target
from strainscope.measurement.settings import LabSettings
from strainscope.scan import Scan

CASES = Path(__file__).with_name("two_modes.json")
SEED = 78
# Few counts, much background and cut scans leave more than one profile.
SETTINGS = LabSettings(counts=(1e3, 1e6), background=(1e-5, 1e-2), whole_share=0.4, step_arcsec=(4.0, 20.0))
# Proposed and random starts, steps of both rounds, descents of the second, and the gains at which they end.
PROPOSED, SHIFTED, STEPS, SURVIVORS, GAINS = 12, (0.5, 1.0), (8, 25), 12, (0.5, 0.02)
# A pair: misfit to the curve, least weight as far as curvatures tell, and how often the path between both is relaxed.
MISFIT, LEAST_WEIGHT, RELAXED = 3.0, 0.02, 15
# What is asked for: both found in so many cases, weights within so much of gold's.
BAR, WEIGHTS = 0.95, 0.10
# Gold's own two runs may differ by this much, or it is no measure.
UNSURE = 0.05
# Profiles count as found if some of so many draws are alike to them.
DRAWS = 2000
# Effective draws and curves around each profile by which nested sampling knows where to look, and its own draws.
AROUND, WANTED = (300.0, 3000), 2000.0


def main() -> int:
    """Build the cases, or invert what is missing; with --report, say what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.two_modes", description=__doc__)
    parser.add_argument("task", choices=("build", "run"))
    parser.add_argument("file", type=Path, nargs="?", help="where results go")
    parser.add_argument("--first", type=int, default=0, help="first candidate or case (0)")
    parser.add_argument("--number", type=int, default=40, help="cases in all (40)")
    parser.add_argument("--every", type=int, default=1, help="take each so many'th case (1)")
    parser.add_argument("--report", action="store_true", help="only report")
    given = parser.parse_args()
    with threadpool_limits(limits=1):
        if given.task == "build":
            _build(given.first, given.number)
            return 0
        if given.file is None:
            parser.error("run needs a file for the results")
        if not given.report:
            _run(given.file, range(given.first, given.number, given.every))
    _report(lines_of(given.file))
    return 0


# Cases


def _build(first: int, number: int) -> None:
    """Add pairs to the file until it holds enough; it knows which candidates were looked at."""
    known = json.loads(CASES.read_text(encoding="utf-8")) if CASES.exists() else {"looked_at": 0, "cases": []}
    scans = LabScans(seed=SEED, settings=SETTINGS)
    candidate = max(first, known["looked_at"])
    while len(known["cases"]) < number:
        case = _pair(scans, candidate)
        if case is not None:
            known["cases"].append(case)
        candidate += 1
        known["looked_at"] = candidate
        rows = ",\n".join(json.dumps(own) for own in known["cases"])
        text = f'{{"looked_at": {candidate}, "cases": [\n{rows}\n]}}\n'
        CASES.write_text(text, encoding="utf-8")
        print(f"{len(known['cases'])} pairs in {candidate} candidates", flush=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ends:
    """Where descents ended, in the coordinates of the target, (end, d), and their misfits."""

    z: np.ndarray
    misfit: np.ndarray


def _pair(scans: LabScans, candidate: int) -> dict | None:
    """The drawn profile and the other one that explains its curve best, if there is one."""
    scan, expected, truth = scans.expected(candidate)
    problem = noise_free(scans.problem(scan), expected)
    target, rng = Target(problem), np.random.default_rng([SEED, candidate])
    ends = _descents(scans, scan, target, truth, rng)
    values, experiment = target.values(ends.z), problem.model.experiment
    # The last descent began at the truth; its kind is the first.
    order = ends.misfit.copy()
    order[-1] = -1.0
    own = ends.z[-1]
    best = None
    for lead, _ in alike(experiment, values, order)[1:]:
        other = ends.z[lead]
        misfit = float((target.residuals(other[None]) ** 2).sum())
        odds = _log_weight(target, other) - _log_weight(target, own)
        if misfit > MISFIT or abs(odds) > -np.log(LEAST_WEIGHT):
            continue
        height = barrier(target, own, other, relaxed=RELAXED)
        if height >= LOW and (best is None or height > best["barrier"]):
            best = {"misfit": misfit, "log_odds": odds, "barrier": height, "other": values[lead]}
    if best is None:
        return None
    names = problem.prior.names
    return {
        "candidate": candidate,
        "counts": round(float(expected.max()), 1),
        "points": len(scan.angle),
        "angle": [float(scan.angle[0]), float(scan.angle[-1])],
        **{key: round(best[key], 3) for key in ("misfit", "log_odds", "barrier")},
        "profiles": [
            {name: float(f"{value:.8g}") for name, value in zip(names, own_values, strict=True)}
            for own_values in (truth, best["other"])
        ],
    }


def noise_free(problem: Problem, expected: np.ndarray) -> Problem:
    """The problem with expected counts, which need not be whole, in the place of counts."""
    own = problem.measurements[0]
    return replace(
        problem,
        measurements=(replace(own, likelihood=replace(own.likelihood, intensity=expected)),),
    )


def _descents(
    scans: LabScans, scan: Scan, target: Target, truth: np.ndarray, rng: np.random.Generator
) -> _Ends:
    """Ends of descents: distinct ones, and that from the truth as the last."""
    problem = target.problem
    levels, experiment = Levels(problem), problem.model.experiment
    own = target.place(truth[None])
    starts = np.concatenate(
        [
            target.place(
                proposed_starts(
                    levels, scan, scans.proposal, draws=2048, starts=PROPOSED, spread=1, rng=rng
                ).starts
            ),
            *_variants(target, own, rng),
        ]
    )
    z, misfit = _descended(levels.coarse, starts, 0)
    leads = [kind[0] for kind in alike(experiment, levels.coarse.values(z), misfit, share=0.25)]
    leads = [k for k in leads if misfit[k] <= 3 * misfit.min() + 60][:SURVIVORS]
    z, misfit = _descended(target, np.concatenate([z[leads], own]), 1)
    return _Ends(z=z, misfit=misfit)


def _descended(target: Target, starts: np.ndarray, round_: int) -> tuple[np.ndarray, np.ndarray]:
    """Where starts (n, d) end, each by itself, and the misfits there."""
    ended = descend(target, starts, steps=STEPS[round_], tolerance=GAINS[round_], alike=lambda z, misfit: [])
    return ended.z, ended.misfit


def _variants(target: Target, own: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Profiles with one parameter turned over within its range, then shifted at random; place (1, d)."""
    n_profile = target.problem.model.experiment.slices["profile"].stop
    profile = np.flatnonzero(target.problem.prior.free < n_profile)
    turned = np.repeat(own, len(profile), axis=0)
    turned[np.arange(len(profile)), profile] *= -1
    yield turned
    for width in SHIFTED:
        shifted = np.repeat(own, 6, axis=0)
        shifted[:, profile] += width * rng.standard_normal((6, len(profile)))
        yield shifted


def _log_weight(target: Target, maximum: np.ndarray) -> float:
    """ln of the weight of a mode, not normalised, from height and curvature at its maximum (d,)."""
    residuals, jacobian = (own[0] for own in target.linearised(maximum[None]))
    return -0.5 * float(residuals @ residuals) - 0.5 * float(np.linalg.slogdet(jacobian.T @ jacobian)[1])


# Runs


def _run(file: Path, wanted: range) -> None:
    known = json.loads(CASES.read_text(encoding="utf-8"))["cases"]
    scans = LabScans(seed=SEED, settings=SETTINGS)
    done = {line["case"] for line in lines_of(file)}
    for i in wanted:
        if i in done or i >= len(known):
            continue
        line = {"case": i} | _inverted(scans, known[i], np.random.default_rng([SEED, i, 1]))
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")


def _inverted(scans: LabScans, case: dict, rng: np.random.Generator) -> dict:
    """What is found where photons are counted for one of both profiles."""
    bare, _, _ = scans.expected(case["candidate"])
    names = prepared(bare, scans.sample, SETTINGS).prior.names
    profiles = np.array([[own[name] for name in names] for own in case["profiles"]])
    if len(bare.angle) != case["points"] or not np.allclose(bare.angle[[0, -1]], case["angle"]):
        raise ValueError(f"candidate {case['candidate']} is another one by now; build the cases anew.")
    chosen = int(rng.integers(2))
    expected = converged(bare, scans.sample, SETTINGS, profiles[chosen])
    scan = replace(bare, intensity=rng.poisson(expected).astype(np.float64))
    told = {"candidate": case["candidate"], "counts": float(scan.intensity.max()), "made_of": chosen}
    began = time.process_time()
    try:
        found = scans.explain(scan, rng=rng)
    except ValueError as error:
        return told | {"refused": str(error)}
    told |= {
        "seconds": round(time.process_time() - began, 2),
        "modes": [round(m.weight, 4) for m in found.modes],
    }
    target = target_of(found)
    peaks, misfit = _descended(target, target.place(profiles), 1)
    told["misfits"] = [round(float(own), 2) for own in misfit]
    told["barrier"] = round(barrier(target, *peaks, relaxed=RELAXED), 2)
    if told["barrier"] < LOW or _alike_to(target, target.values(peaks)[0], target.values(peaks)[1:]).any():
        return told | {"merged": True}
    told |= _found(target, found, profiles, peaks, rng)
    told["by_curvature"] = _by_curvature(target, found, peaks)
    try:
        return told | _odds(target, found, peaks, rng)
    except Unfinished as error:
        # Nested sampling that did not come to its end says nothing of the odds.
        return told | {"refused": str(error)}


def _alike_to(target: Target, profile: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of some profiles (n, parameter) are alike to one (parameter,), shape (n,)."""
    costs = np.append(0.0, np.ones(len(others)))
    kinds = alike(target.problem.model.experiment, np.concatenate([profile[None], others]), costs)
    return np.isin(np.arange(1, len(others) + 1), kinds[0][1])


def _found(
    target: Target, found: Explanation, profiles: np.ndarray, peaks: np.ndarray, rng: np.random.Generator
) -> dict:
    """In which mode each profile, or the maximum that noise made of it, is among the draws, if in any."""
    numbers = rng.multinomial(DRAWS, [mode.weight for mode in found.modes])
    drawn, mode = [], []
    for k, (own, number) in enumerate(zip(found.modes, numbers, strict=True)):
        drawn.append(own.values[rng.choice(len(own.values), number, p=own.share)])
        mode.append(np.full(number, k))
    values, modes = np.concatenate(drawn), np.concatenate(mode)
    inside: list[int | None] = []
    for pair in zip(profiles, target.values(peaks), strict=True):
        like = np.any([_alike_to(target, own, values) for own in pair], axis=0)
        # The mode of whose draws the largest share is alike.
        alike_draws = np.bincount(modes[like], minlength=len(numbers))
        inside.append(int(np.argmax(alike_draws / np.maximum(numbers, 1))) if like.any() else None)
    return {"in_mode": inside}


def _by_curvature(target: Target, found: Explanation, peaks: np.ndarray) -> list[float]:
    """Weights of both profiles beside all modes that are neither, as far as heights and curvatures tell."""
    maxima = list(peaks)
    for fit in _fits(target, found, peaks)[len(peaks) :]:
        climbed = target.climb(target.place(fit.values[None])[0])
        if not _alike_to(target, target.values(climbed[None])[0], target.values(np.array(maxima))).any():
            maxima.append(climbed)
    logs = np.array([_log_weight(target, own) for own in maxima])
    share = np.exp(logs - logs.max())
    return [round(float(own), 4) for own in (share / share.sum())[: len(peaks)]]


def _odds(target: Target, found: Explanation, peaks: np.ndarray, rng: np.random.Generator) -> dict:
    """Weights of both profiles, first and second, and of other modes, by the draws and by nested sampling, twice."""
    fits = _fits(target, found, peaks)
    fast = fast_draws(found)
    region = regions(target, fits, fast)
    others = parts(fast, np.where(region < 2, -1, region))[1:] if (region < 2).any() else parts(fast, region)
    runs = [
        _gold_around(target, fits, peaks, others, order, rng)
        for order in (np.array([0, 1]), np.array([1, 0]))
    ]
    return {
        "fast": weights(fast, region, len(fits)),
        "gold": [weights(run.draws, regions(target, fits, run.draws), len(fits)) for run in runs],
        "evidence": [round(own.log_evidence, 3) for own in (fast, *(run.draws for run in runs))],
        "effective": [round(own.effective, 1) for own in (fast, *(run.draws for run in runs))],
        "gold_seconds": [round(run.seconds, 2) for run in runs],
    }


def _fits(target: Target, found: Explanation, peaks: np.ndarray) -> list[Fit]:
    """Both profiles, and the modes that are neither: only the values of these fits are used."""
    fits = [replace(found.modes[0].fit, values=own) for own in target.values(peaks)]
    for mode in found.modes:
        if not _alike_to(target, mode.fit.values, np.array([fit.values for fit in fits])).any():
            fits.append(mode.fit)
    return fits


def _gold_around(
    target: Target,
    fits: Sequence[Fit],
    peaks: np.ndarray,
    others: list,
    order: np.ndarray,
    rng: np.random.Generator,
) -> Gold:
    """Nested sampling that looks around both maxima, of draws that know of one each, whatever was found before."""
    experiment = target.problem.model.experiment

    def nearest(z: np.ndarray) -> np.ndarray:
        return nearest_fit(experiment, fits, target.values(z))

    around = []
    for k in order:
        drawn = sample(
            target, peaks[[k]], nearest, regions=len(fits), wanted=AROUND[0], most=AROUND[1], rng=rng
        )
        inside = drawn.region == k
        around.append(
            replace(drawn.draws, z=drawn.draws.z[inside], log_weight=drawn.draws.log_weight[inside])
        )
    return gold_of(target, [*around, *others], seed=int(rng.integers(2**31)), wanted=WANTED)


def _report(lines: list[dict]) -> None:
    """Shares of the cases in which both are found, and whose weights agree."""
    sure = [line for line in lines if "gold" in line]
    pair = [np.array([own[:2] for own in line["gold"]]) for line in sure]
    apart = np.array([np.abs(own[0] - own[1]).max() for own in pair])
    gold = np.array([own.mean(axis=0) for own in pair]).reshape(-1, 2)
    single, unsure = gold.min(axis=1) < LEAST_WEIGHT, apart > UNSURE
    refused = sum("in_mode" not in line and "merged" not in line for line in lines)
    print(
        f"{len(lines)} cases: left out are {refused} refused, "
        f"{sum('merged' in line for line in lines)} that noise made one, {single.sum()} whose second profile has less "
        f"than {LEAST_WEIGHT:.0%} by gold; of {sum('in_mode' in line and 'gold' not in line for line in lines)} more "
        "gold came to no end, so that their odds are not known"
    )
    weak = {line["case"] for line, out in zip(sure, single, strict=True) if out}
    left = [line for line in lines if "in_mode" in line and line["case"] not in weak]
    drawn = [None not in line["in_mode"] for line in left]
    own = [both and len(set(line["in_mode"])) == 2 for both, line in zip(drawn, left, strict=True)]
    print(f"both among the draws: {sum(drawn)} of {len(left)} (bar {BAR:.0%})")
    print(f"both there in modes of their own: {sum(own)} of {len(left)} (bar {BAR:.0%})")
    missed = [line for line, there in zip(left, own, strict=True) if not there]
    for line in missed:
        light = line.get("by_curvature", "not known")
        print(f"  case {line['case']:3d}  in modes {line['in_mode']}, weights by curvature {light}")
    measured = ~single & ~unsure
    fast = np.array([line["fast"][:2] for line in sure]).reshape(-1, 2)
    off = np.abs(fast - gold).max(axis=1)[measured]
    print(
        f"weights within {100 * WEIGHTS:.0f} points of gold's: {(off <= WEIGHTS).sum()} of {len(off)} (bar {BAR:.0%}); "
        f"left out {(~single & unsure).sum()} of which gold's own two runs differ by more than {100 * UNSURE:.0f}"
    )
    for k in np.flatnonzero(~single):
        line = sure[k]
        print(
            f"  case {line['case']:3d}  {line['counts']:10.0f} counts  gold {line['gold'][0][:2]} {line['gold'][1][:2]}"
            f"  fast {line['fast'][:2]}  in modes {line['in_mode']}"
            f"  {line['seconds']:.0f} s, gold {sum(line['gold_seconds']) / 2:.0f} s"
        )


if __name__ == "__main__":
    sys.exit(main())
