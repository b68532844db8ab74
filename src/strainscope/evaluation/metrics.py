"""How far estimates are from the truth, in the field's own measures, for all curves or in bins of any quantity."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strainscope.dataset.published import PUBLISHED_RANGES
from strainscope.profile import Constraint
from strainscope.profile.family import ROUNDING

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

WITHIN = 0.10
"""Relative error that counts as right in Boulle & Debelle, doi:10.1088/2632-2153/acab4c."""


@dataclass(frozen=True, kw_only=True)
class PointMetrics:
    """Errors of point estimates, by parameter.

    Attributes:
        number: Curves.
        mae_percent_of_range: Mean absolute error in % of the range.
        mae_uncertainty_percent: Standard error of that mean in % of the range; NaN for a single curve.
        median_percent_of_range: Median absolute error in % of the range.
        r2: 1 - Σ(estimate - truth)²/Σ(truth - mean)²; NaN where all truths are equal.
        within_10_percent: Share of curves [1] with a relative error of 10 % or less.
        violations: Share of estimates [1] that break any constraint.
        violations_of: Share that breaks each constraint, by its text.
    """

    number: int
    mae_percent_of_range: Mapping[str, float]
    mae_uncertainty_percent: Mapping[str, float]
    median_percent_of_range: Mapping[str, float]
    r2: Mapping[str, float]
    within_10_percent: Mapping[str, float]
    violations: float
    violations_of: Mapping[str, float]

    @property
    def mean_mae_percent_of_range(self) -> float:
        """Mean over the parameters."""
        return float(np.mean(list(self.mae_percent_of_range.values())))


def error_ranges(
    bounds: Mapping[str, tuple[float, float]], sample: Mapping[str, Any] | None
) -> dict[str, tuple[float, float]]:
    """What errors are given in % of: the published range of its parameters for implanted GGG 444, else the bounds.

    Args:
        bounds: Smallest and largest value of each parameter by the prior.
        sample: Settings of the sample; None where there is none.

    Raises:
        ValueError: an empty range.
    """
    published = PUBLISHED_RANGES if sample is not None and _is_published(sample) else {}
    for name, (low, high) in bounds.items():
        if not low < high:
            raise ValueError(f"{name} has the bounds {low:g} to {high:g}; errors in % need lower < upper.")
    return {name: published.get(name, pair) for name, pair in bounds.items()}


def _is_published(sample: Mapping[str, Any]) -> bool:
    """Whether it is the crystal, reflection and family of profiles that the ranges were published for."""
    return (
        sample.get("crystal") == "GGG"
        and list(sample.get("reflection", ())) == [4, 4, 4]
        and sample.get("strain", {}).get("family") == "double-gaussian"
    )


def checked_table(what: str, table: Floats, names: Sequence[str], number: int) -> Floats:
    """The table as float64, shape (number, parameter).

    Raises:
        ValueError: another shape, or a value that is not finite; the message says where.
    """
    table = np.asarray(table, dtype=np.float64)
    if table.shape != (number, len(names)):
        raise ValueError(f"{what} has shape {table.shape}; it must be {(number, len(names))}.")
    wrong = np.argwhere(~np.isfinite(table))
    if len(wrong):
        row, column = (int(i) for i in wrong[0])
        raise ValueError(
            f"{what} of {names[column]} for curve {row} is {table[row, column]}; all must be finite "
            f"({len(np.unique(wrong[:, 0])):,} of {number:,} curves have one that is not)."
        )
    return table


def point_metrics(
    names: Sequence[str],
    truth: Floats,
    estimate: Floats,
    *,
    widths: Floats,
    constraints: Sequence[Constraint] = (),
) -> PointMetrics:
    """Errors of estimates.

    Args:
        names: Parameters, in the order of the columns.
        truth: Shape (curve, parameter).
        estimate: Shape (curve, parameter).
        widths: Of the ranges that errors are given in, shape (parameter,).
        constraints: Those between parameters that are all here are counted, the others passed over.

    Raises:
        ValueError: no curves, shapes that do not fit, or values that are not finite.
    """
    number = len(truth)
    if not number:
        raise ValueError("there are no curves to measure errors on; give at least one.")
    truth = checked_table("truth", truth, names, number)
    estimate = checked_table("estimate", estimate, names, number)
    error = np.abs(estimate - truth)
    percent = 100 * error / np.asarray(widths)
    spread = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = np.where(spread > 0, 1 - (error**2).sum(axis=0) / spread, np.nan)
    broken = violations(names, estimate, constraints)
    anything = np.any(list(broken.values()), axis=0) if broken else np.zeros(number, dtype=np.bool_)

    def named(values: Floats) -> dict[str, float]:
        return dict(zip(names, values.tolist(), strict=True))

    return PointMetrics(
        number=number,
        mae_percent_of_range=named(percent.mean(axis=0)),
        mae_uncertainty_percent=named(
            percent.std(axis=0, ddof=1) / np.sqrt(number) if number > 1 else np.full(len(names), np.nan)
        ),
        median_percent_of_range=named(np.median(percent, axis=0)),
        r2=named(r2),
        # Rounding must not decide where the error is 10 % exactly.
        within_10_percent=named((error <= WITHIN * np.abs(truth) * (1 + ROUNDING)).mean(axis=0)),
        violations=float(anything.mean()),
        violations_of={text: float(mask.mean()) for text, mask in broken.items()},
    )


def violations(names: Sequence[str], values: Floats, constraints: Sequence[Constraint]) -> dict[str, Mask]:
    """Which rows break each constraint, by its text: exact and inclusive but for a relative 1e-12.

    Args:
        names: Parameters, in the order of the columns.
        values: Shape (*, parameter).
        constraints: Those with a parameter that is not here are passed over.
    """
    result = {}
    for constraint in constraints:
        if not all(name in names for name, _ in constraint.terms):
            continue
        terms = [factor * values[..., list(names).index(name)] for name, factor in constraint.terms]
        size = np.sum(np.abs(terms), axis=0) + abs(constraint.upper)
        result[str(constraint)] = np.asarray(np.sum(terms, axis=0) - constraint.upper > ROUNDING * size)
    return result


# Bins -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Bin:
    """Curves whose quantity lies in an interval.

    Attributes:
        quantity: Its name.
        low: Smallest value in the bin.
        high: Largest value in the bin.
        mask: Which curves, shape (curve,).
    """

    quantity: str
    low: float
    high: float
    mask: Mask

    @property
    def number(self) -> int:
        """Curves in it."""
        return int(self.mask.sum())


def bins(quantity: str, values: Floats, *, number: int = 4) -> Iterator[Bin]:
    """Curves in bins of about the same number each, along any quantity; a value never lies in two bins.

    Args:
        quantity: Its name.
        values: Of each curve, shape (curve,).
        number: Of bins; fewer where values coincide.

    Raises:
        ValueError: values that are not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{quantity} of curve {int(np.argmin(np.isfinite(values)))} is not finite.")
    if not len(values):
        return
    # Of values that occur, so that the same values are never split.
    edges = np.unique(np.quantile(values, np.arange(1, number) / number, method="lower"))
    label = np.searchsorted(edges, values, side="left")
    for k in np.unique(label):
        mask = label == k
        yield Bin(quantity=quantity, low=float(values[mask].min()), high=float(values[mask].max()), mask=mask)
