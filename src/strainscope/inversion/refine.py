"""Bounded least squares from one start, with the exact Jacobian."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from threadpoolctl import threadpool_limits

from strainscope.diffraction.engine import worker_count
from strainscope.inversion.problem import Problem

Floats = NDArray[np.float64]

# Residuals beyond this many standard deviations count by their size, no more by their square: an edited peak
# or a tail that the instrument function misses does not bend the rest of the fit (soft-l1 loss).
ROBUST_SCALE = 2.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """Where a refinement ended.

    Attributes:
        values: All parameters, shape (parameter,).
        unit: Their unit coordinates.
        cost: What was minimised: the robust sum of squares.
        chi2: Plain sum of squared residuals.
        residuals: At the points, in standard deviations.
        model: Expected intensity at the points.
        evaluations: Model evaluations spent.
    """

    values: Floats
    unit: Floats
    cost: float
    chi2: float
    residuals: Floats
    model: Floats
    evaluations: int


class _Objective:
    """Residuals and Jacobian in the free unit coordinates; one model evaluation serves both."""

    def __init__(self, problem: Problem, start: Floats) -> None:
        self.problem, self.prior = problem, problem.prior
        self.unit = start.copy()
        self.last: tuple[bytes, Floats, Floats, Floats, Floats] | None = None
        self.evaluations = 0

    def _at(self, free: Floats) -> tuple[bytes, Floats, Floats, Floats, Floats]:
        key = free.tobytes()
        if self.last is None or self.last[0] != key:
            unit = self.unit.copy()
            unit[self.prior.free] = free
            values = self.prior.from_unit(unit)
            residual, jacobian, expected = self.problem.residuals_with_jacobian(values)
            chain = self.prior.unit_jacobian(unit)[:, self.prior.free]
            self.last = (key, residual, jacobian @ chain, values, expected)
            self.evaluations += 1
        return self.last

    def residuals(self, free: Floats) -> Floats:
        return self._at(free)[1]

    def jacobian(self, free: Floats) -> Floats:
        return self._at(free)[2]


def refine(problem: Problem, start: Floats, *, most_evaluations: int, tolerance: float = 1e-6) -> Fit:
    """Least squares from one start, within the bounds and the constraints.

    Args:
        problem: Expected intensity, residuals, bounds, constraints and held values.
        start: Unit coordinates of all parameters, shape (parameter,).
        most_evaluations: Model evaluations at most.
        tolerance: Relative change of the cost at which it is done.

    References:
        Branch, Coleman & Li, SIAM J. Sci. Comput. 21 (1999) 1 (the trust-region method of scipy).
    """
    objective = _Objective(problem, start)
    free = problem.prior.free
    first = np.clip(start[free], 1e-4, 1 - 1e-4)
    solution = least_squares(
        objective.residuals,
        first,
        jac=objective.jacobian,
        bounds=(0.0, 1.0),
        method="trf",
        x_scale="jac",
        # What the counts alone explain has no outliers.
        loss="soft_l1" if problem.model_error else "linear",
        f_scale=ROBUST_SCALE,
        ftol=tolerance,
        xtol=1e-10,
        gtol=None,
        max_nfev=most_evaluations,
    )
    _, residual, _, values, expected = objective._at(solution.x)
    unit = start.copy()
    unit[free] = solution.x
    return Fit(
        values=values,
        unit=unit,
        cost=2 * float(solution.cost),
        chi2=float(residual @ residual),
        residuals=residual,
        model=expected,
        evaluations=objective.evaluations,
    )


def refine_many(
    problem: Problem, starts: Floats, *, most_evaluations: int, tolerance: float
) -> Iterator[Fit]:
    """Fits from starts in unit coordinates (start, parameter), in order, one start a processor at a time."""
    problem.make_tables()
    # The linear algebra's own threads would only get in each other's way.
    with threadpool_limits(limits=1), ThreadPoolExecutor(worker_count()) as pool:
        yield from pool.map(
            lambda start: refine(problem, start, most_evaluations=most_evaluations, tolerance=tolerance),
            starts,
        )
