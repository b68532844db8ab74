"""Weighted draws of a posterior around one mode: surrogates propose, the exact likelihood decides."""

from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from strainscope.inversion.evidence import log_normaliser
from strainscope.inversion.heavy_tailed import HeavyTailed
from strainscope.inversion.mixture import Mixture, Walked, WeightedDraws, effective_size
from strainscope.inversion.surrogate import PolynomialSurrogate
from strainscope.inversion.target import log_density
from strainscope.inversion.warp import Warp

Floats = NDArray[np.float64]

# Draws of the first round for each coefficient of the surrogate, at least so many, and how rounds grow.
_FIRST_FOR_EACH, _LEAST_FIRST, _GROWTH = 2.0, 500, 1.4
_CHAINS = 128
# Rounds that reach beyond the posterior to learn it, how far, and how far those do that follow.
_EXPLORING, _EXPLORING_TEMPERATURE, _TEMPERATURE = 2, 1.6, 1.1
# Share of each round that comes from a heavy-tailed distribution, as wide as the posterior so many times.
_HEAVY_SHARE, _HEAVY_WIDTH = 0.1, 1.2
# Places far from the posterior keep the surrogate from having modes of its own there; how fast they lose in weight with
# their distance in log density. Their misfit must not spoil the fit where the posterior is.
_FALL = 4


class Density(Protocol):
    """What is drawn from: residuals, in coordinates in which the prior is standard normal."""

    def residuals(self, z: Floats) -> Floats:
        """Residuals (n, point) at places (n, d); exp(-½ Σ r² - ½ |z|²) is the density."""

    def warp(self, z: Floats) -> Warp:
        """Coordinates of which residuals around a place (d,) are more nearly polynomials."""


def sample_around(
    target: Density,
    mean: Floats,
    covariance: Floats,
    *,
    wanted: float,
    most: int,
    rng: np.random.Generator,
) -> WeightedDraws:
    """Weighted draws of the posterior around a mode.

    Each round fits a surrogate to all that is known, walks through it, and asks for the exact residuals where the walks
    end. All rounds together are one mixture, by which the draws are weighted.

    Args:
        target: The posterior.
        mean: Where the mode is, shape (d,).
        covariance: How wide it is, roughly, shape (d, d).
        wanted: Effective draws that are enough.
        most: Evaluations of the residuals at most; a round that has begun is finished.
        rng: Source of randomness.
    """
    warp = target.warp(mean)
    known, number, mixture = _Known(target, warp), first_round(len(mean)), Mixture()
    # The first places only teach the surrogate: the mixture begins with what it proposes.
    z = _around(warp, mean, covariance, number, rng)
    begin = known.ask(z)
    pooled = WeightedDraws(z=z, log_weight=begin - logsumexp(begin), log_evidence=0.0)
    for rounds in range(most):
        temperature = _EXPLORING_TEMPERATURE if rounds < _EXPLORING else _TEMPERATURE
        walked = Walked(surrogate=known.surrogate(), temperature=temperature)
        z, own = walked.surrogate.walk(_chains(pooled, rng), number, rng=rng, temperature=temperature)
        norm = log_normaliser(walked.log_density, z, own, rng=rng)
        mixture.add(replace(walked, log_normaliser=norm), z, known.ask(z))
        heavy = _like(mixture.together())
        z = heavy.draw(round(_HEAVY_SHARE * number), rng=rng)
        mixture.add(heavy, z, known.ask(z))
        pooled = mixture.together()
        if pooled.effective >= wanted or known.number >= most:
            break
        number = min(round(_GROWTH * number), max(most - known.number, _LEAST_FIRST))
    return pooled


def first_round(d: int) -> int:
    """Draws of the first round in d dimensions: enough to determine a surrogate."""
    return max(round(_FIRST_FOR_EACH * (1 + d) * (2 + d) / 2), _LEAST_FIRST)


class _Known:
    """Where residuals were asked for, and what they are."""

    def __init__(self, target: Density, warp: Warp) -> None:
        self._target, self._warp = target, warp
        self._places: list[Floats] = []
        self._residuals: list[Floats] = []
        self._density: list[Floats] = []

    @property
    def number(self) -> int:
        """Of evaluations."""
        return sum(len(z) for z in self._places)

    def ask(self, z: Floats) -> Floats:
        """The exact log density (n,) at places (n, d)."""
        residuals = self._target.residuals(z)
        self._places.append(z)
        self._residuals.append(residuals)
        self._density.append(log_density(z, residuals))
        return self._density[-1]

    def surrogate(self) -> PolynomialSurrogate:
        """One fitted to all that is known."""
        places, density = np.concatenate(self._places), np.concatenate(self._density)
        counting = _counting(density, places.shape[1])
        return PolynomialSurrogate(places, np.concatenate(self._residuals), counting, self._warp)


def _around(warp: Warp, mean: Floats, covariance: Floats, number: int, rng: np.random.Generator) -> Floats:
    """Places (number, d) around a mode, as if the density were normal in warped coordinates, with heavier tails."""
    d = len(mean)
    slopes = warp.pulled(np.broadcast_to(mean, (d, d)), np.eye(d))
    heavy = HeavyTailed(mean=warp(mean[None])[0], scale=_HEAVY_WIDTH**2 * slopes @ covariance @ slopes.T)
    return warp.back(heavy.draw(number, rng=rng))


def _counting(density: Floats, d: int) -> Floats:
    """How much places count in the fit: wholly where the posterior is, and the less the lower their density."""
    below = density.max() - density
    return np.asarray(1 / (1 + (below / (1.5 * d + 6)) ** _FALL))


def _flattened(pooled: WeightedDraws) -> Floats:
    """Weights that sum to 1, flattened until as many count as there are chains."""
    power, drop = 1.0, pooled.log_weight - pooled.log_weight.max()
    while power > 1e-3 and effective_size(power * drop) < _CHAINS:
        power *= 0.8
    weights = np.exp(power * drop)
    return np.asarray(weights / weights.sum())


def _chains(pooled: WeightedDraws, rng: np.random.Generator) -> Floats:
    """A place for each chain to begin."""
    return np.asarray(pooled.z[rng.choice(len(pooled.z), _CHAINS, p=_flattened(pooled))])


def _like(pooled: WeightedDraws) -> HeavyTailed:
    """A heavy-tailed distribution as wide as what was drawn."""
    share = _flattened(pooled)
    mean = share @ pooled.z
    covariance = np.atleast_2d(np.cov(pooled.z, rowvar=False, aweights=share))
    return HeavyTailed(mean=mean, scale=_HEAVY_WIDTH**2 * covariance)
