"""Pixels of a map as one batch: the likelihood and the posterior of each, hundreds at once."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from strainscope.experiment import ManyCurves
from strainscope.inversion.features import read_features
from strainscope.inversion.likelihood import Likelihood
from strainscope.inversion.problem import Problem
from strainscope.inversion.target import Target, robust

Floats = NDArray[np.float64]
Whole = NDArray[np.intp]

# Curves that are compared with the scans at a time.
_CURVES_AT_ONCE = 2048


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelLikelihood(Likelihood):
    """The likelihood of many pixels, each a row of its arrays (pixel, point); points without a value count nothing.

    Attributes:
        seen: Which points have a value, shape (pixel, point).
    """

    seen: NDArray[np.bool_]

    def residuals(self, model: Floats) -> tuple[Floats, Floats]:
        """Residuals (pixel, point) of model intensities (pixel, point), and their derivatives in them."""
        residual, slope = super().residuals(model)
        return np.where(self.seen, residual, 0.0), np.where(self.seen, slope, 0.0)

    def rows(self, rows: Whole) -> "PixelLikelihood":
        """That of some of the pixels, shape (row,), each as often as it is named."""
        return replace(
            self,
            intensity=self.intensity[rows],
            sigma=None if self.sigma is None else self.sigma[rows],
            seen=self.seen[rows],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class RowProblem(Problem):
    """One whose likelihood is that of many pixels; what is coarser comes from the problem of the whole map.

    Attributes:
        shared: That of the map, whose tables are there already.
    """

    shared: Problem

    @cached_property
    def coarse(self) -> Problem:
        """The same on fewer angles and with fewer sublayers."""
        (own,), (coarser,) = self.measurements, self.shared.coarse.measurements
        likelihood = replace(own.likelihood, model_error=coarser.likelihood.model_error)
        return replace(self.shared, measurements=(replace(coarser, likelihood=likelihood),))


class Pixels:
    """Exact posterior densities of pixels, in the coordinates of `Target`.

    The tables behind it depend on what it is asked for, so that what is the same in whatever order the parts of a map
    are worked on asks one object for one part.

    Args:
        problem: Of one scan of the map, with the prior of all.
        intensity: Measured, anything where there is no value, shape (pixel, point).
        seen: Where there is a value, shape (pixel, point).
        sigma: Standard deviations (pixel, point), or None.
    """

    def __init__(
        self, problem: Problem, intensity: Floats, seen: NDArray[np.bool_], sigma: Floats | None = None
    ) -> None:
        own = problem.likelihood
        self.problem = problem
        self.likelihood = PixelLikelihood(
            intensity=np.where(seen, intensity, 1.0),
            sigma=None if sigma is None else np.where(seen, sigma, 1.0),
            counts_per_unit=own.counts_per_unit,
            model_error=own.model_error,
            description=own.description,
            seen=seen,
        )
        self._plain = Target(problem)
        self._many: ManyCurves = problem.many_curves()[0]

    def __len__(self) -> int:
        return len(self.likelihood.intensity)

    @property
    def dimension(self) -> int:
        """Free parameters."""
        return self._plain.dimension

    @property
    def points(self) -> Whole:
        """Points with a value, shape (pixel,)."""
        return np.asarray(self.likelihood.seen.sum(axis=1), dtype=np.intp)

    def values(self, z: Floats) -> Floats:
        """Values of all parameters (n, parameter) of places (n, d)."""
        return self._plain.values(z)

    def place(self, values: Floats) -> Floats:
        """Places (n, d) of values of all parameters (n, parameter)."""
        return self._plain.place(values)

    def target(self, rows: Whole) -> Target:
        """The posteriors of some pixels, a place (d,) of each at a time, in the order of the rows (n,)."""
        (own,) = self.problem.measurements
        measurement = replace(own, likelihood=self.likelihood.rows(rows))
        return Target(
            RowProblem(
                measurements=(measurement,),
                prior=self.problem.prior,
                base=self.problem.base,
                shared=self.problem,
            )
        )

    def alone(self, row: int) -> Problem:
        """The problem of one pixel, as the search for a single scan takes it."""
        (own,) = self.problem.measurements
        likelihood = self.likelihood
        position, seen = own.model.position, likelihood.seen[row]
        # The search ranks by every point.
        given = likelihood.intensity[row][seen]
        intensity = np.interp(position, position[seen], given)
        single = replace(
            own,
            likelihood=PixelLikelihood(
                intensity=intensity,
                sigma=None if likelihood.sigma is None else likelihood.sigma[row],
                counts_per_unit=likelihood.counts_per_unit,
                model_error=likelihood.model_error,
                description=likelihood.description,
                seen=seen,
            ),
            features=read_features(position[seen], given, likelihood.counts_per_unit),
        )
        return replace(self.problem, measurements=(single,))

    def misfit(self, z: Floats, rows: Whole) -> Floats:
        """-2 ln p (n,), up to a constant of each pixel, at places (n, d) of pixels (n,)."""
        found = self._summed(z, rows, shortened=bool(self.problem.model_error))
        return np.asarray(found + (z**2).sum(axis=1))

    def chi2(self, z: Floats, rows: Whole) -> Floats:
        """Plain sum of squares of the scan's residuals (n,) at places (n, d) of pixels (n,)."""
        return self._summed(z, rows, shortened=False)

    def expected(self, z: Floats) -> Floats:
        """Expected intensities (n, point) at places (n, d)."""
        return self._many.expected(self.values(z))

    def _summed(self, z: Floats, rows: Whole, *, shortened: bool) -> Floats:
        parts = []
        for first in range(0, len(z), _CURVES_AT_ONCE):
            part = slice(first, first + _CURVES_AT_ONCE)
            found = self.likelihood.rows(rows[part]).residuals(self.expected(z[part]))[0]
            parts.append(((robust(found) if shortened else found) ** 2).sum(axis=1))
        return np.concatenate(parts) if parts else np.empty(0)
