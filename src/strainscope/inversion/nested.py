r"""Nested sampling of the posterior: slow, and a check of the weighted draws that owes them nothing but where to look.

From the bare prior it takes hours, as the posterior fills a part in 10^20 of it and less. Here the sampler walks the
cube of a mixture q of normal distributions, the prior one of them, the others around the draws known so far and wider:

.. math:: Z = \int p(z)\,dz = \int_{[0, 1]^{d+1}} \frac{p(z(u))}{q(z(u))}\,du

One coordinate of u picks the normal distribution, the others are its quantiles; z(u) then has the density q, so that
the evidence is that of the prior, whatever q is. As the prior is part of q, the ratio is bounded everywhere.

References:
    Lange, MNRAS 525 (2023) 3181, doi:10.1093/mnras/stad2441 (nautilus)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtri

from strainscope.inversion.mixture import WeightedDraws
from strainscope.inversion.sampling import Density
from strainscope.inversion.target import log_density

Floats = NDArray[np.float64]

# Share of the prior in the mixture, and how much wider than the draws the others are.
_PRIOR_SHARE, _WIDER = 0.1, 1.6
_LEAST_DRAWS = 4
_INSIDE = 1e-15


@dataclass(frozen=True, kw_only=True, eq=False)
class NormalMixture:
    """Normal distributions, the first of them the prior.

    Attributes:
        share: Of each, shape (k,).
        mean: Shape (k, d).
        triangle: Lower triangles whose squares are the covariances, shape (k, d, d).
    """

    share: Floats
    mean: Floats
    triangle: Floats

    def place(self, u: Floats) -> Floats:
        """Places (n, d) of points of the unit cube (n, d + 1)."""
        which = np.searchsorted(np.cumsum(self.share)[:-1], u[:, 0])
        quantile = ndtri(np.clip(u[:, 1:], _INSIDE, 1 - _INSIDE))
        return np.asarray(self.mean[which] + np.einsum("nij,nj->ni", self.triangle[which], quantile))

    @cached_property
    def _inverse(self) -> Floats:
        return np.asarray(np.linalg.inv(self.triangle), dtype=np.float64)

    def log_density(self, z: Floats) -> Floats:
        """ln of its density at places (n, d)."""
        parts = []
        for share, mean, triangle, inverse in zip(
            self.share, self.mean, self.triangle, self._inverse, strict=True
        ):
            away = (z - mean) @ inverse.T
            parts.append(
                np.log(share) - 0.5 * (away**2).sum(axis=1) - np.log(np.abs(np.diag(triangle))).sum()
            )
        return np.asarray(logsumexp(np.stack(parts), axis=0) - 0.5 * z.shape[1] * np.log(2 * np.pi))


def mixture_around(draws: Sequence[WeightedDraws]) -> NormalMixture:
    """The prior, and a wide normal distribution around each of some sets of draws."""
    d = draws[0].z.shape[1]
    means: list[Floats] = [np.zeros(d)]
    triangles: list[Floats] = [np.eye(d)]
    for own in draws:
        share = np.exp(own.log_weight - logsumexp(own.log_weight))
        covariance = np.atleast_2d(np.cov(own.z, rowvar=False, aweights=share))
        covariance += 1e-9 * np.trace(covariance) / d * np.eye(d)
        means.append(share @ own.z)
        triangles.append(np.asarray(_WIDER * np.linalg.cholesky(covariance)))
    others = np.full(len(draws), (1 - _PRIOR_SHARE) / len(draws))
    return NormalMixture(
        share=np.append(_PRIOR_SHARE, others), mean=np.array(means), triangle=np.array(triangles)
    )


def nested_draws(
    target: Density, around: Sequence[WeightedDraws], *, live: int, wanted: float, seed: int
) -> WeightedDraws:
    """Weighted draws of a posterior by nested sampling, with its evidence.

    Args:
        target: The posterior.
        around: Draws known so far, one set a mode; they say where to look, not what is found.
        live: Live points.
        wanted: Effective draws.
        seed: Of the sampler.

    Raises:
        ValueError: the library is not installed.
    """
    sampler_of = require_nested()
    mixture = mixture_around([own for own in around if len(own.z) > _LEAST_DRAWS * own.z.shape[1]] or around)

    def log_ratio(u: Floats) -> Floats:
        z = mixture.place(u)
        density = log_density(z, target.residuals(z)) - 0.5 * z.shape[1] * np.log(2 * np.pi)
        return np.asarray(np.nan_to_num(density - mixture.log_density(z), nan=-1e300, neginf=-1e300))

    sampler = sampler_of(
        lambda u: u,
        log_ratio,
        n_dim=mixture.mean.shape[1] + 1,
        n_live=live,
        vectorized=True,
        pass_dict=False,
        seed=seed,
    )
    sampler.run(n_eff=wanted, verbose=False, discard_exploration=True)
    points, log_weight, _ = sampler.posterior()
    return WeightedDraws(
        z=mixture.place(np.asarray(points)),
        log_weight=np.asarray(log_weight - logsumexp(log_weight)),
        log_evidence=float(sampler.log_z),
    )


def require_nested() -> Any:  # noqa: ANN401
    """The sampler of the library.

    Raises:
        ValueError: it is not installed.
    """
    try:
        from nautilus import Sampler
    except ImportError:
        raise ValueError(
            "nested sampling needs nautilus, which is not installed; install it with: pip install 'strainscope[gold]'"
        ) from None
    return Sampler
