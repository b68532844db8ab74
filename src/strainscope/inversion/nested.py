r"""Nested sampling of the posterior: slow, and a check of the weighted draws that owes them nothing but where to look.

From the bare prior it takes hours, as the posterior fills a part in 10^20 of it and less. Here the sampler walks the
cube of a mixture q of distributions, the prior one of them, the others around the draws known so far and wider:

.. math:: Z = \int p(z)\,dz = \int_{[0, 1]^{d+1}} \frac{p(z(u))}{q(z(u))}\,du

One coordinate of u picks the distribution, the others are its quantiles; z(u) then has the density q, so that
the evidence is that of the prior, whatever q is. As the prior is part of q, the ratio is bounded everywhere. The more
even it is, the fewer shells the sampler needs: most of q bends along the valleys that the draws lie in (`Curved`).

References:
    Lange, MNRAS 525 (2023) 3181, doi:10.1093/mnras/stad2441 (nautilus)
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.special import logsumexp, ndtri

from strainscope.inversion.curved import Curved
from strainscope.inversion.mixture import WeightedDraws
from strainscope.inversion.pareto import FEWEST_DRAWS, flattened
from strainscope.inversion.sampling import Density
from strainscope.inversion.target import log_density

Floats = NDArray[np.float64]

# Shares of the prior and of normal distributions in the mixture, and how much wider than the draws the latter are.
_PRIOR_SHARE, _NORMAL_SHARE, _WIDER = 0.1, 0.2, 1.6
# The rest bends: with all draws of a mode, and with the pieces that they fall into, so many at a time.
_PIECES, _LEARNT = (1, 2, 3), 4000
# Sets of fewer draws, in dimensions, are left out; weights are flattened until so many count, in dimensions.
_LEAST_DRAWS, _LEAST_EFFECTIVE = 4, 10
_INSIDE = 1e-15
# Ratios are even enough for one small network a shell, and for shells to end when half of the evidence is inside the
# last. What was drawn to find the shells is dropped, so that neither can bias what comes out; each is filled again with
# so many draws at least.
_NETWORKS, _LAST_SHELL, _EACH_SHELL = 1, 0.5, 100
# Curves at most: a single draw of large weight would ask for many more.
_MOST = 150_000
_NETWORK = {"hidden_layer_sizes": (50, 20), "max_iter": 100, "tol": 1e-4, "n_iter_no_change": 5}


class Unfinished(RuntimeError):
    """Nested sampling that did not come to its end."""


class Part(Protocol):
    """A distribution of the mixture."""

    def place(self, normal: Floats) -> Floats:
        """Places (n, d) of standard normal draws (n, d)."""

    def log_density(self, z: Floats) -> Floats:
        """ln of its density at places (n, d)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Normal:
    """A normal distribution.

    Attributes:
        mean: Shape (d,).
        triangle: Lower triangle whose square is the covariance, shape (d, d).
    """

    mean: Floats
    triangle: Floats

    def place(self, normal: Floats) -> Floats:
        """Places (n, d) of standard normal draws (n, d)."""
        return np.asarray(self.mean + normal @ self.triangle.T)

    @cached_property
    def _inverse(self) -> Floats:
        return np.asarray(np.linalg.inv(self.triangle), dtype=np.float64)

    def log_density(self, z: Floats) -> Floats:
        """ln of its density at places (n, d)."""
        away = (z - self.mean) @ self._inverse.T
        volume = np.log(np.diag(self.triangle)).sum() + 0.5 * z.shape[1] * np.log(2 * np.pi)
        return np.asarray(-0.5 * (away**2).sum(axis=1) - volume)


@dataclass(frozen=True, kw_only=True, eq=False)
class CubeMixture:
    """Distributions whose places a unit cube holds.

    Attributes:
        share: Of each, shape (k,).
        parts: One for each share.
    """

    share: Floats
    parts: tuple[Part, ...]

    def place(self, u: Floats) -> Floats:
        """Places (n, d) of points of the unit cube (n, d + 1)."""
        which = np.searchsorted(np.cumsum(self.share)[:-1], u[:, 0])
        quantile = ndtri(np.clip(u[:, 1:], _INSIDE, 1 - _INSIDE))
        z = np.empty_like(quantile)
        for k in np.unique(which):
            z[which == k] = self.parts[k].place(quantile[which == k])
        return z

    def log_density(self, z: Floats) -> Floats:
        """ln of its density at places (n, d)."""
        logs = [
            np.log(share) + part.log_density(z) for share, part in zip(self.share, self.parts, strict=True)
        ]
        return np.asarray(logsumexp(np.stack(logs), axis=0))


def mixture_around(draws: Sequence[WeightedDraws]) -> CubeMixture:
    """The prior, and around each of some sets of draws a wide normal distribution and some that bend with them."""
    d = draws[0].z.shape[1]
    shares, parts = [_PRIOR_SHARE], list[Part]([Normal(mean=np.zeros(d), triangle=np.eye(d))])
    for own in draws:
        share = _shares(own)
        covariance = np.atleast_2d(np.cov(own.z, rowvar=False, aweights=share))
        covariance += 1e-9 * np.trace(covariance) / d * np.eye(d)
        shares.append(_NORMAL_SHARE / len(draws))
        triangle = np.asarray(_WIDER * np.linalg.cholesky(covariance), dtype=np.float64)
        parts.append(Normal(mean=share @ own.z, triangle=triangle))
        for number in _PIECES:
            inside = [label for label in _cut(own.z, share, number) if _enough(share[label], d)]
            whole = sum(float(share[label].sum()) for label in inside)
            for label in inside:
                weight = float(share[label].sum())
                shares.append(weight / whole / len(draws))
                parts.append(Curved.around(own.z[label], share[label] / weight))
    # What is left by the others is that of all that bend.
    bending = np.array([isinstance(part, Curved) for part in parts])
    share = np.array(shares)
    share[bending] *= (1 - share[~bending].sum()) / max(share[bending].sum(), 1e-300)
    return CubeMixture(share=share / share.sum(), parts=tuple(parts))


def _cut(z: Floats, share: Floats, number: int) -> list[NDArray[np.bool_]]:
    """Masks of draws that lie together, so many: one bent shape may not do for a valley that forks or closes."""
    if number == 1:
        return [np.ones(len(z), dtype=np.bool_)]
    rng = np.random.default_rng(0)
    alike = z[rng.choice(len(z), _LEARNT, p=share)]
    middles, _ = kmeans2(alike, number, minit="++", rng=rng)
    nearest = np.argmin(((z[:, None] - middles) ** 2).sum(axis=-1), axis=1)
    return [nearest == k for k in range(number)]


def _enough(share: Floats, d: int) -> bool:
    """Whether weights of draws are even enough to tell a shape by."""
    return bool(share.sum() > 0) and float(share.sum() ** 2 / (share**2).sum()) > _LEAST_DRAWS * d


def _shares(draws: WeightedDraws) -> Floats:
    """Weights that sum to 1, flattened until enough draws count to tell a shape by."""
    n, d = draws.z.shape
    return np.asarray(np.exp(flattened(draws.log_weight, min(_LEAST_EFFECTIVE * d, 0.5 * n))))


def nested_draws(
    target: Density, around: Sequence[WeightedDraws], *, live: int, wanted: float, seed: int
) -> WeightedDraws:
    """Weighted draws of a posterior by nested sampling, with its evidence.

    Args:
        target: The posterior.
        around: Draws known so far, one set for each group of regions; they say where to look, not what is found.
        live: Live points.
        wanted: Effective draws; fewer, but enough to be trusted, where they would take too many curves.
        seed: Of the sampler.

    Raises:
        ValueError: the library is not installed.
        Unfinished: it took too many curves.
    """
    sampler_of = require_nested()
    mixture = mixture_around([own for own in around if len(own.z) > _LEAST_DRAWS * own.z.shape[1]] or around)
    d = around[0].z.shape[1]

    def log_ratio(u: Floats) -> Floats:
        z = mixture.place(u)
        density = log_density(z, target.residuals(z)) - 0.5 * d * np.log(2 * np.pi)
        return np.asarray(np.nan_to_num(density - mixture.log_density(z), nan=-1e300, neginf=-1e300))

    sampler = sampler_of(
        lambda u: u,
        log_ratio,
        n_dim=d + 1,
        n_live=live,
        n_networks=_NETWORKS,
        neural_network_kwargs=_NETWORK,
        vectorized=True,
        pass_dict=False,
        seed=seed,
    )
    with warnings.catch_warnings():
        # A network that is not trained to the end costs draws, not truth.
        warnings.filterwarnings("ignore", message="Stochastic Optimizer: Maximum iterations")
        sampler.run(
            f_live=_LAST_SHELL,
            n_shell=_EACH_SHELL,
            n_eff=wanted,
            n_like_max=_MOST,
            verbose=False,
            discard_exploration=True,
        )
    # Shells are filled again after the exploration: of one that is not yet, its share of the evidence is not known.
    filled = sampler.explored and bool((sampler.shell_n >= _EACH_SHELL).all())
    if not filled or sampler.n_eff < FEWEST_DRAWS:
        raise Unfinished(
            f"nested sampling did not come to an end within {_MOST:,} curves: fewer free parameters or narrower bounds "
            "may let it."
        )
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
