"""A t-distribution in many dimensions, to draw from and to weigh by."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln
from scipy.stats import multivariate_t

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class HeavyTailed:
    """A t-distribution: what others miss in their tails is not lost.

    Attributes:
        mean: Shape (d,).
        scale: Of its width: the covariance of a normal distribution like it in the middle, shape (d, d).
        freedom: Degrees of freedom; by default tails that are heavier than any posterior's.
    """

    mean: Floats
    scale: Floats
    freedom: int = 5

    @cached_property
    def _distribution(self) -> Any:  # noqa: ANN401
        d = len(self.mean)
        ridge = 1e-8 * np.trace(self.scale) / d * np.eye(d)
        return multivariate_t(self.mean, self.scale + ridge, df=self.freedom)

    def draw(self, number: int, *, rng: np.random.Generator) -> Floats:
        """Places (number, d)."""
        drawn = self._distribution.rvs(number, random_state=rng)
        return np.asarray(drawn, dtype=np.float64).reshape(number, len(self.mean))

    def log_density(self, z: Floats) -> Floats:
        """ln of its density at places (n, d)."""
        return np.atleast_1d(np.asarray(self._distribution.logpdf(z), dtype=np.float64))


def log_density_of_unit_scale(square: Floats, d: int, freedom: float) -> Floats:
    """ln of the density (n,) of a t-distribution of unit scale in d dimensions, at squared distances (n,)."""
    norm = gammaln((freedom + d) / 2) - gammaln(freedom / 2) - 0.5 * d * np.log(freedom * np.pi)
    return np.asarray(norm - 0.5 * (freedom + d) * np.log1p(square / freedom))
