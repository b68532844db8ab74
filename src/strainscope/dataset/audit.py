"""How far a dataset's curves are from converged ones: some rows simulated again, finer."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from strainscope.dataset.simulate import Simulator
from strainscope.dataset.store import Dataset

# Angles so much closer, sublayers so much thinner than the dataset's own; errors fall with its fourth power and more.
REFINEMENT = 2.5
_DRAWN_BLOCK = 256


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Errors of log10 of stored curves against finer ones.

    Attributes:
        rows: Curves compared.
        rms: Over all their points.
        rms_median, rms_99, rms_largest: Over the points of one curve; median, 99th percentile and largest of the rows.
        largest: Of all points.
        worst_row: The sample with the largest rms.
        below_tolerance: Share of the rows whose rms lies below the dataset's stated tolerance.
        tolerance: That tolerance.
    """

    rows: int
    rms: float
    rms_median: float
    rms_99: float
    rms_largest: float
    largest: float
    worst_row: int
    below_tolerance: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the rms over all points keeps what the dataset states, and 99 % of its curves do."""
        return self.rms <= self.tolerance and self.below_tolerance >= 0.99

    def document(self) -> Mapping[str, float | int | bool]:
        """Plain data."""
        return asdict(self) | {"passed": self.passed}


def audit(dataset: Dataset, rows: int = 1000, *, seed: int = 0) -> Audit:
    """Simulate some rows again, finer, and compare.

    Args:
        dataset: Its curves are judged by its own plan.
        rows: How many, drawn at random without repetition.
        seed: Of the choice.

    Raises:
        ValueError: more rows than there are, or none.
    """
    if not 1 <= rows <= dataset.size:
        raise ValueError(f"rows = {rows}; it must lie in 1 to {dataset.size:,}, the samples of the dataset.")
    chosen = np.sort(np.random.default_rng(seed).choice(dataset.size, rows, replace=False))
    finer = Simulator(dataset.plan, refinement=REFINEMENT)
    gaps = []
    for first in range(0, rows, _DRAWN_BLOCK):
        own = chosen[first : first + _DRAWN_BLOCK]
        values = np.concatenate([dataset.parameters(i, i + 1) for i in own.tolist()])
        stored = np.concatenate([dataset.curves(i, i + 1) for i in own.tolist()]).astype(np.float64)
        gaps.append(log10_gap(stored, finer.simulate(values).astype(np.float64)))
    return summary(np.concatenate(gaps), chosen, tolerance=dataset.plan.tolerance)


def log10_gap(curves: np.ndarray, converged: np.ndarray) -> np.ndarray:
    """log10(curves/converged), shape (curve, angle); values that are no intensity count as a gap of 10."""
    with np.errstate(all="ignore"):
        gap = np.log10(curves / converged)
    return np.where(np.isfinite(gap), gap, 10.0)


def summary(gap: np.ndarray, rows: np.ndarray, *, tolerance: float) -> Audit:
    """The figures of gaps (row, angle) of these samples (row,)."""
    each = np.sqrt((gap**2).mean(axis=1))
    return Audit(
        rows=len(rows),
        rms=float(np.sqrt((gap**2).mean())),
        rms_median=float(np.median(each)),
        rms_99=float(np.quantile(each, 0.99)),
        rms_largest=float(each.max()),
        largest=float(np.abs(gap).max()),
        worst_row=int(rows[each.argmax()]),
        below_tolerance=float((each <= tolerance).mean()),
        tolerance=tolerance,
    )
