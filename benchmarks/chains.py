"""Whether chains of exact steps that begin at the truth come to the draws: by other means than weights.

A truth that was drawn from the prior is itself a draw of the posterior of its scan, so that chains which begin there
are in equilibrium from the first step, over many scans. Where their means end at those of the draws, both agree; where
they do not, the truth lies in an arm or a mode that chains of this length do not leave, and the weight that the draws
give to what lies there tells whether they know of it. Scans are those of `benchmarks.coverage`; steps are differences
of draws, accepted by the exact density. Further chains begin at the draws: if these are right, intervals stay as
wide as they are. Results go to a file, a line for each scan, so that a run that was stopped goes on.

Run: python -m benchmarks.chains FILE [--first 0] [--number 24] [--every 1] [--report]

References:
    ter Braak & Vrugt, Stat. Comput. 18 (2008) 435, doi:10.1007/s11222-008-9104-9 (steps by differences of known places)
"""

import sys

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.coverage import invert_missing, lines_of, options
from benchmarks.gold import fast_draws, target_of
from strainscope.inversion.invert import Explanation
from strainscope.inversion.target import Target
from strainscope.scan import Scan

CHAINS, STEPS, COUNTED = 48, 600, 200
# Chains that begin at draws.
FROM_DRAWS = 240
# Lengths of steps in differences of two draws, by turns: the best for a normal distribution in 16 dimensions, others.
LENGTHS = (0.42, 0.2, 1.0, 0.1)
# Means this near, in sd of the draws, are the same: chains have a few dozen independent places.
ALIKE = 0.5
# Draws are where the chains came to if they lie as near its middle as this share of the chains' own places.
REACHED = 0.95
# Scans of at least so many effective draws are those whose draws are to be believed.
MANY = 1000


def main() -> int:
    """Follow chains of what is missing; with --report, say what came out."""
    given = options("chains", __doc__, number=24).parse_args()
    if not given.report:
        with threadpool_limits(limits=1):
            invert_missing(given.file, range(given.first, given.number, given.every), _line)
    _report(lines_of(given.file))
    return 0


def _line(i: int, scan: Scan, truth: np.ndarray, found: Explanation, seconds: float) -> dict:
    target, draws, rng = target_of(found), fast_draws(found), np.random.default_rng([i, 1])
    share = np.exp(draws.log_weight)
    known = draws.z[rng.choice(len(share), 4000, p=share)]
    places, misfit = _chains(target, np.repeat(target.place(truth[None]), CHAINS, axis=0), known, rng)
    others, _ = _chains(target, known[:FROM_DRAWS], known, rng)
    mean = share @ draws.z
    sd = np.sqrt(share @ (draws.z - mean) ** 2)
    return {
        "scan": i,
        "counts": float(scan.intensity.max()),
        "seconds": round(seconds, 2),
        "effective": round(draws.effective, 1),
        "misfit": [round(float(own.mean()), 2) for own in (misfit, target.misfit(known))],
        "apart": [round(float(own), 3) for own in (places.mean(axis=0) - mean) / sd],
        "reached": round(_weight_near(places, draws.z, share), 4),
        "wider": [round(float(own), 3) for own in _width(others) / _width(known)],
    }


def _chains(
    target: Target, z: np.ndarray, known: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Places (n, d) of the last steps of chains that begin at places (chain, d), and misfits (n,) there."""
    misfit, kept = target.misfit(z), []
    for step in range(STEPS):
        first, second = known[rng.integers(len(known), size=(2, len(z)))]
        tried = z + LENGTHS[step % len(LENGTHS)] * (first - second)
        there = target.misfit(tried)
        taken = 2 * np.log(rng.random(len(z))) < misfit - there
        z, misfit = np.where(taken[:, None], tried, z), np.where(taken, there, misfit)
        if step >= STEPS - COUNTED:
            kept.append((z, misfit))
    return np.concatenate([own for own, _ in kept]), np.concatenate([own for _, own in kept])


def _width(places: np.ndarray) -> np.ndarray:
    """Widths (d,) of the intervals that hold 90 % of places (n, d)."""
    low, high = np.quantile(places, (0.05, 0.95), axis=0)
    return np.asarray(high - low)


def _weight_near(places: np.ndarray, draws: np.ndarray, share: np.ndarray) -> float:
    """Weight of the draws (n, d) that lie where chains came to, by Mahalanobis' distance from their middle."""
    middle, covariance = places.mean(axis=0), np.cov(places, rowvar=False)
    own, others = (
        ((z - middle) * np.linalg.solve(covariance, (z - middle).T).T).sum(axis=1) for z in (places, draws)
    )
    return float(share[others <= np.quantile(own, REACHED)].sum())


def _report(lines: list[dict]) -> None:
    known = [line for line in lines if "apart" in line]
    print(f"{len(lines)} scans, {len(lines) - len(known)} refused; at the draws: all means within {ALIKE:g} sd")
    for words, good in ((f"at least {MANY}", True), ("fewer", False)):
        own = [line for line in known if (line["effective"] >= MANY) == good]
        apart = np.array([line["apart"] for line in own]).reshape(len(own), -1 if own else 0)
        alike = (np.abs(apart) <= ALIKE).all(axis=1)
        print(f"{words} effective draws, {len(own)} scans: chains end at the draws in {alike.sum()}")
        wider = np.array([line["wider"] for line in own if "wider" in line])
        if len(wider):
            print(
                f"  90 % intervals of chains that begin at the draws: {wider.mean():.3f} times the draws' in the mean, "
                f"by parameter {wider.mean(axis=0).min():.2f} to {wider.mean(axis=0).max():.2f} ({len(wider)} scans)"
            )
        if alike.any():
            misfit = np.array([line["misfit"] for line in own])[alike]
            print(
                f"  there misfit by chains less by draws {(misfit[:, 0] - misfit[:, 1]).mean():+.2f} in the mean, rms "
                f"of the means' differences {np.sqrt((apart[alike] ** 2).mean()):.2f} sd"
            )
        for line, shift in zip(own, np.abs(apart).max(axis=1, initial=0.0), strict=True):
            if shift > ALIKE:
                print(
                    f"  scan {line['scan']:4d}  {line['counts']:10.0f} counts  stays {shift:.1f} sd off at most; "
                    f"misfit {line['misfit'][0]:.1f}, of the draws {line['misfit'][1]:.1f}; "
                    f"{line['reached']:.1%} of the draws' weight is there"
                )


if __name__ == "__main__":
    sys.exit(main())
