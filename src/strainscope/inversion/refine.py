"""Bounded least squares from one start, with the exact Jacobian."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from strainscope.experiment import ScanModel
from strainscope.inversion.likelihood import Likelihood
from strainscope.prior import Prior

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
        jacobian: Of the residuals in the free unit coordinates, shape (point, free), scaled so that its square
            approximates the cost's curvature.
        evaluations: Model evaluations spent.
    """

    values: Floats
    unit: Floats
    cost: float
    chi2: float
    residuals: Floats
    model: Floats
    jacobian: Floats
    evaluations: int


class _Objective:
    """Residuals and Jacobian in the free unit coordinates; one model evaluation serves both."""

    def __init__(self, model: ScanModel, likelihood: Likelihood, prior: Prior, start: Floats) -> None:
        self.model, self.likelihood, self.prior = model, likelihood, prior
        self.unit = start.copy()
        self.last: tuple[bytes, Floats, Floats, Floats, Floats] | None = None
        self.evaluations = 0

    def _at(self, free: Floats) -> tuple[bytes, Floats, Floats, Floats, Floats]:
        key = free.tobytes()
        if self.last is None or self.last[0] != key:
            unit = self.unit.copy()
            unit[self.prior.free] = free
            values = self.prior.from_unit(unit)
            expected, jacobian = self.model.expected_with_jacobian(values)
            residual, slope = self.likelihood.residuals(expected)
            chain = self.prior.unit_jacobian(unit)[:, self.prior.free]
            self.last = (key, residual, slope[:, None] * (jacobian @ chain), values, expected)
            self.evaluations += 1
        return self.last

    def residuals(self, free: Floats) -> Floats:
        return self._at(free)[1]

    def jacobian(self, free: Floats) -> Floats:
        return self._at(free)[2]


def refine(
    model: ScanModel,
    likelihood: Likelihood,
    prior: Prior,
    start: Floats,
    *,
    most_evaluations: int,
    tolerance: float = 1e-6,
) -> Fit:
    """Least squares from one start, within the bounds and the constraints.

    Args:
        model: Expected intensity.
        likelihood: Residuals.
        prior: Bounds, constraints, held values.
        start: Unit coordinates of all parameters, shape (parameter,).
        most_evaluations: Model evaluations at most.
        tolerance: Relative change of the cost at which it is done.

    References:
        Branch, Coleman & Li, SIAM J. Sci. Comput. 21 (1999) 1 (the trust-region method of scipy).
    """
    objective = _Objective(model, likelihood, prior, start)
    first = np.clip(start[prior.free], 1e-4, 1 - 1e-4)
    solution = least_squares(
        objective.residuals,
        first,
        jac=objective.jacobian,
        bounds=(0.0, 1.0),
        method="trf",
        x_scale="jac",
        loss="soft_l1",
        f_scale=ROBUST_SCALE,
        ftol=tolerance,
        xtol=1e-10,
        gtol=None,
        max_nfev=most_evaluations,
    )
    _, residual, _, values, expected = objective._at(solution.x)
    unit = start.copy()
    unit[prior.free] = solution.x
    return Fit(
        values=values,
        unit=unit,
        cost=2 * float(solution.cost),
        chi2=float(residual @ residual),
        residuals=residual,
        model=expected,
        jacobian=np.asarray(solution.jac),
        evaluations=objective.evaluations,
    )
