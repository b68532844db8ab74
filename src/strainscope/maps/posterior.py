r"""Mean and standard deviation of what many pixels leave open, from two dozen weighted draws of each.

Around the maximum of a pixel's posterior the residuals are taken as linear in strain and E over depth (`Centres`), in
which its curved valleys are straight. The draws are the corners v of cross-polytopes of radius √d, turned by random
rotations,

.. math:: \sum_k v_k = 0, \qquad \frac1n \sum_k v_k v_k^T = 1,

so that mean and covariance are exact where that holds, and the exact likelihood weighs them where it does not.

References:
    Bardsley, Solonen, Haario & Laine, SIAM J. Sci. Comput. 36 (2014) A1895, doi:10.1137/140964023
    (randomize-then-optimize); Arasaratnam & Haykin, IEEE Trans. Autom. Control 54 (2009) 1254,
    doi:10.1109/TAC.2009.2019800 (the corners)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.centres import Centres
from strainscope.inversion.pareto import flattened
from strainscope.inversion.target import LinearFeatures, Target
from strainscope.inversion.warp import FARTHEST
from strainscope.maps.pixels import Pixels

Floats = NDArray[np.float64]
Whole = NDArray[np.intp]

# Draws of each pixel at first, at least; cross-polytopes of the second round, for pixels of few effective draws.
_LEAST, _MORE = 20, 2
# Share of the variance that too few draws are taken to hide, at most.
_MOST_LOST = 0.3
# Effective draws, as a share of those drawn, below which the second round comes, and below which they are few.
_SHARE, FEWEST = 0.35, 5.0
DERIVED = (
    ("maximum_strain", "1", "largest strain by magnitude"),
    ("maximum_strain_depth", "Å", "its depth"),
)
"""Name, unit and meaning of the quantities that follow from a profile."""

# Pixels that are worked on together.
_TOGETHER = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """What is known of pixels' parameters, and of quantities that follow from them.

    Attributes:
        mean: Of all parameters, shape (pixel, parameter).
        sd: Standard deviations; 0 of held ones.
        derived: Mean of the derived quantities, shape (pixel, quantity).
        derived_sd: Standard deviations.
        left: Variance in the coordinates of the prior, which is 1 there, of the free parameters, shape (pixel, d).
        best: Place of the lowest misfit, shape (pixel, d).
        effective: Effective draws, shape (pixel,).
        log_weight: ln of the posterior's integral, up to a constant of each pixel, shape (pixel,).
    """

    mean: Floats
    sd: Floats
    derived: Floats
    derived_sd: Floats
    left: Floats
    best: Floats
    effective: Floats
    log_weight: Floats


def moments(pixels: Pixels, z: Floats, rows: Whole) -> Moments:
    """Mean and standard deviation of pixels' posteriors.

    Args:
        pixels: Whose posteriors.
        z: The maximum of each, or near it, shape (n, d).
        rows: Which pixels, shape (n,).
    """
    of = Target(pixels.problem).features(np.median(z, axis=0))
    turns = int(np.ceil(_LEAST / (2 * z.shape[1])))
    goals = _corners(z.shape[1], turns + _MORE)
    parts = [
        _Block(pixels, of, z[first : first + _TOGETHER], rows[first : first + _TOGETHER]).found(
            goals[:turns], goals[turns:]
        )
        for first in range(0, len(z), _TOGETHER)
    ]
    return Moments(
        **{name: np.concatenate([getattr(p, name) for p in parts]) for name in Moments.__dataclass_fields__}
    )


def _corners(d: int, number: int) -> Floats:
    """Corners of cross-polytopes (polytope, 2 d, d), turned at random, the same each time."""
    rng = np.random.default_rng(0)
    turned = np.sqrt(d) * np.array([np.linalg.qr(rng.standard_normal((d, d)))[0] for _ in range(number)])
    return np.concatenate([turned, -turned], axis=1)


class _Block:
    """Pixels whose draws are made together."""

    def __init__(self, pixels: Pixels, of: LinearFeatures, z: Floats, rows: Whole) -> None:
        self._pixels, self._of, self._z, self._rows = pixels, of, z, rows
        self._centres = Centres(pixels.target(rows), of, z)

    def found(self, first: Floats, second: Floats) -> Moments:
        """Moments from goals (polytope, corner, d), and of pixels of few effective draws from more of them."""
        n, d = self._z.shape
        draws = first.shape[0] * first.shape[1]
        everyone = np.arange(n)
        z, log_weight, misfit = self._drawn(everyone, first.reshape(-1, d))
        _, effective = _shares(log_weight)
        few = np.flatnonzero(effective < _SHARE * draws)
        whole = [self._moments(everyone, z, log_weight, misfit)]
        if len(few):
            more = self._drawn(few, second.reshape(-1, d))
            z, log_weight, misfit = (
                np.concatenate([old[few], new], axis=1)
                for old, new in zip((z, log_weight, misfit), more, strict=True)
            )
            whole.append(self._moments(few, z, log_weight, misfit))
            for name in Moments.__dataclass_fields__:
                getattr(whole[0], name)[few] = getattr(whole[1], name)
        return whole[0]

    @staticmethod
    def _goals(draws: int, d: int) -> Floats:
        """So many goals (draw, d), as near as whole polytopes come."""
        return _corners(d, -(-draws // (2 * d))).reshape(-1, d)[:draws]

    def _drawn(self, own: Whole, goals: Floats) -> tuple[Floats, Floats, Floats]:
        """Places (own, draw, d) of goals (draw, d), ln of their weights and the misfit there (own, draw)."""
        n, draws, d = len(own), len(goals), goals.shape[1]
        centre, goal = np.repeat(own, draws), np.tile(goals, (n, 1))
        z, solved = self._centres.solve(centre, goal)
        # Where the straight coordinates have no solution there is no draw.
        solved &= np.abs(z).max(axis=1) < FARTHEST
        z = np.clip(z, -FARTHEST, FARTHEST)
        steep = self._centres.steep(centre, z)
        misfit = self._pixels.misfit(z, self._rows[centre])
        log_weight = -0.5 * misfit + 0.5 * (goal**2).sum(axis=1) - steep
        usable = solved & np.isfinite(log_weight)
        log_weight = np.where(usable, log_weight, -np.inf)
        misfit = np.where(usable, misfit, np.inf)
        return z.reshape(n, draws, d), log_weight.reshape(n, draws), misfit.reshape(n, draws)

    def _moments(self, own: Whole, z: Floats, log_weight: Floats, misfit: Floats) -> Moments:
        n, draws, d = z.shape
        share, effective = _shares(log_weight)
        lost = np.flatnonzero(np.isfinite(log_weight).sum(axis=1) <= d)
        effective[lost] = 0.0
        if len(lost):
            # Draws of the normal distribution that the curvature suggests, all alike.
            plain = self._centres.plain(own[lost], self._goals(draws, d))
            z[lost], share[lost] = np.clip(plain, -FARTHEST, FARTHEST), 1 / draws
        for k in np.flatnonzero((effective < FEWEST) & (effective > 0)):
            # A few draws of large weight would be far too narrow.
            share[k] = np.exp(flattened(log_weight[k], FEWEST))
        values = self._pixels.values(z.reshape(-1, d))
        family = self._pixels.problem.model.experiment.profile.strain
        strain = values[:, : len(family.parameters)]
        size, depth = family.maximum(strain)
        size = np.copysign(size, family.evaluate(depth[:, None], strain)[:, 0])
        derived = np.stack([size, depth], axis=1)
        counting = 1 / (share**2).sum(axis=1)
        mean, sd = _weighted(values.reshape(n, draws, -1), share, counting)
        held = np.setdiff1d(np.arange(mean.shape[1]), self._pixels.problem.prior.free)
        # As given, not as rounding leaves them.
        mean[:, held], sd[:, held] = values[0, held], 0.0
        derived_mean, derived_sd = _weighted(derived.reshape(n, draws, -1), share, counting)
        peak = np.where(np.isfinite(log_weight).any(axis=1), log_weight.max(axis=1), 0.0)
        lowest = np.argmin(misfit, axis=1)
        known = np.isfinite(misfit[np.arange(n), lowest])
        best = np.where(known[:, None], z[np.arange(n), lowest], self._z[own])
        return Moments(
            mean=mean,
            sd=sd,
            derived=derived_mean,
            derived_sd=derived_sd,
            left=_weighted(z, share, counting)[1] ** 2,
            best=best,
            effective=effective,
            log_weight=peak + np.log(np.maximum(np.exp(log_weight - peak[:, None]).mean(axis=1), 1e-300)),
        )


def _shares(log_weight: Floats) -> tuple[Floats, Floats]:
    """Weights of sum 1 (n, draw), and how many draws they make effective (n,)."""
    peak = log_weight.max(axis=1, keepdims=True)
    weight = np.exp(log_weight - np.where(np.isfinite(peak), peak, 0.0))
    share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    return share, 1 / np.maximum((share**2).sum(axis=1), 1e-300)


def _weighted(values: Floats, share: Floats, effective: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation (n, k) of weighted values (n, draw, k).

    With equal weights both are exact for a normal distribution. What fewer effective draws leave open of the mean is
    added to the variance, as is what they take from it.
    """
    mean = (share[..., None] * values).sum(axis=1)
    variance = (share[..., None] * (values - mean[:, None]) ** 2).sum(axis=1)
    lost = np.clip(1 / np.maximum(effective, 1.0) - 1 / values.shape[1], 0.0, _MOST_LOST)
    return mean, np.sqrt(variance / (1 - 2 * lost)[:, None])
