"""Weighted draws of a posterior: centres and surrogates propose, the exact likelihood decides."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from strainscope.inversion.centres import Centres
from strainscope.inversion.curved import Curved
from strainscope.inversion.evidence import log_normaliser
from strainscope.inversion.mixture import Beside, Component, Mixture, Walked, WeightedDraws
from strainscope.inversion.pareto import FEWEST_DRAWS, flattened, pareto_shape
from strainscope.inversion.surrogate import PolynomialSurrogate
from strainscope.inversion.target import Described, LinearFeatures, log_density
from strainscope.inversion.warp import FARTHEST

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

# Goals for each centre; centres of the first round, those before each walk, and those before it after walks that came
# to nothing.
_EACH, _FIRST_CENTRES, _CENTRES, _MORE_CENTRES = 30, 12, 6, 24
# A draw this much above every known maximum in log density shows that there is a higher one.
_HIGHER = 1.0
# Shape of the weights' tail at most: beyond it they have no finite variance. Below the second, where enough draws are
# effective, no region is short of what was proposed, and centres have nothing to add.
_SHORT_TAIL, _COVERED = 0.5, 0.25
# Draws of the surrogates' first round, which is the least, how rounds grow, unless an effective draw took more curves,
# and how many times the draws that would be enough, if they were like those of the round before, are asked for.
_FIRST, _GROWTH, _WORTH, _ENOUGH = 500, 1.7, 30.0, 1.2
# Walkers, and the different draws that they begin at, at least.
_CHAINS, _STARTS = 256, 30
# Straight coordinates in which fewer steps are taken are learnt anew from the walk, so many times.
_MOVING, _LEARNT = 0.05, 3
# Walks reach farther than the posterior, the first ones more so: what is asked for there tells the next surrogate where
# it ends.
_TEMPERATURES = (2.0, 1.3)
# Share of each round, at least, that comes from a distribution along the valley and from walks; draws that its shape is
# learnt from, at least; draws of a walk that tell its integral.
_BESIDE, _SHAPED, _LEAST_WALKED = 0.12, 250, 1024
# Of the draws of most weight so many may be the middle.
_LIKELY = 200
# Regions of less weight are not walked through; others get at least such a share of a round.
_LEAST_WEIGHT, _LEAST_SHARE = 1e-3, 0.15
# Two regions are walked through together where so much of the weight that is drawn around one lies in the other.
_SHARED = 0.1
# Places far from the posterior keep the surrogate from having modes of its own there; how fast they lose in weight with
# their distance in log density. Their misfit must not spoil the fit where the posterior is.
_FALL = 4


class Density(Protocol):
    """What is drawn from: residuals, in coordinates in which the prior is standard normal."""

    def residuals(self, z: Floats) -> Floats:
        """Residuals (n, point) at places (n, d); exp(-½ Σ r² - ½ |z|²) is the density."""

    def linearised(self, z: Floats) -> tuple[Floats, Floats]:
        """Residuals of scan and prior (n, point + d) at places (n, d), and their derivatives."""

    def features(self, z: Floats) -> LinearFeatures:
        """Features to describe places around one (d,) by."""

    def by_features(self, z: Floats, features: LinearFeatures, weights: Floats) -> Floats:
        """Derivatives (n, k, feature) of sums of the scan's residuals with weights (n, k, point), not quite exact."""

    def climb(self, z: Floats) -> Floats:
        """The maximum (d,) of the density uphill of a place (d,)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """Weighted draws of a posterior, and the regions that they lie in.

    Attributes:
        draws: All of them.
        log_density: ln of the posterior's density there, not normalised, shape (draw,).
        region: That of each draw, shape (draw,).
        group: For each region the first of those that the weight drawn around them runs over between, shape (region,).
    """

    draws: WeightedDraws
    log_density: Floats
    region: Labels
    group: Labels


def sample(
    target: Density,
    places: Floats,
    region_of: Callable[[Floats], Labels],
    *,
    regions: int = 1,
    wanted: float,
    most: int,
    rng: np.random.Generator,
    progress: Callable[[float], None] = lambda share: None,
) -> Drawn:
    """Weighted draws of a posterior that is spread over regions.

    At first centres propose, those of each next round placed where the draws so far have large weights. Then each round
    fits a surrogate of each region to all that is known, walks through it from the draws so far, and asks for the exact
    residuals where the walks end. All rounds together are one mixture, by which the draws are weighted.

    Args:
        target: The posterior.
        places: Maxima, shape (maximum, d); more of them may turn up.
        region_of: Which region places (n, d) lie in, shape (n,).
        regions: How many there are.
        wanted: Effective draws that are enough, if the tail of their weights is short.
        most: Evaluations of the residuals at most; a round that has begun is finished.
        rng: Source of randomness.
        progress: Called with the share done.
    """
    state = _State(target, places, region_of, regions, rng)
    state.begin()
    # Draws of a round at most, curves that an effective draw took, centres before the next walk.
    most_walked, each, centres = _FIRST, 0.0, _CENTRES
    pooled = state.mixture.together()
    while True:
        before = pooled.effective, state.known.number
        covered = pooled.effective >= FEWEST_DRAWS and pareto_shape(pooled.log_weight) <= _COVERED
        if not covered or centres == _MORE_CENTRES:
            # Where weights are large too little was proposed.
            state.centre(centres)
            pooled = state.mixture.together()
        number = round(min(max(_ENOUGH * (wanted - pooled.effective) * each, _FIRST), most_walked))
        through = state.walk(number)
        pooled = state.mixture.together()
        progress(min(max(pooled.effective / wanted, state.known.number / most), 1.0))
        enough = pooled.effective >= wanted and pareto_shape(pooled.log_weight) <= _SHORT_TAIL
        if enough or state.known.number >= most:
            break
        # Longer walks through what does not resemble the posterior yet are of no use: more centres may mend that.
        centres = _CENTRES if through else _MORE_CENTRES
        if through:
            gained, asked = pooled.effective - before[0], state.known.number - before[1]
            each = asked / max(gained, 1.0)
            if each <= _WORTH:
                most_walked = round(_GROWTH * number)
    group, counts = state.groups(pooled), np.isfinite(pooled.log_weight)
    return Drawn(
        draws=replace(pooled, z=pooled.z[counts], log_weight=pooled.log_weight[counts]),
        log_density=state.known.log_density()[counts],
        region=state.regions()[counts],
        group=group,
    )


class _State:
    """What is known of a posterior so far."""

    def __init__(
        self,
        target: Density,
        places: Floats,
        region_of: Callable[[Floats], Labels],
        number: int,
        rng: np.random.Generator,
    ) -> None:
        self._target, self._places, self._rng = target, places, rng
        self._region_of, self._number = region_of, number
        self._features = target.features(places[0])
        self.known = _Known(target, self._features)
        self.mixture = Mixture(self._features)
        self._highest = -np.inf
        self._beside, self._walks = _BESIDE, 0
        # Regions of the draws, and of the centres that they came from; -1 for other draws.
        self._regions: list[Labels] = []
        self._origins: list[Labels] = []

    def begin(self) -> None:
        """Centres at the maxima, then at what they propose: something to walk from."""
        self._add_centres(self._places)
        self.centre(_FIRST_CENTRES)

    def centre(self, number: int) -> None:
        """So many centres at draws of some weight, one of them at a higher maximum if the draws show that there is."""
        places = _spread(self.mixture.together(), number, self._rng)
        best, log_density = self.known.best()
        if log_density > self._highest + _HIGHER:
            places[0] = self._target.climb(best)
        self._add_centres(places)

    def _add_centres(self, places: Floats) -> None:
        proposal = Centres(self._target, self._features, places)
        self._highest = max(self._highest, float(proposal.log_density_there.max()))
        z, origin = proposal.draw(_EACH, rng=self._rng)
        self._ask(proposal, z, self._region_of(places)[origin], asked=_EACH * len(places))

    def _ask(self, proposal: Component, z: Floats, origin: Labels, *, asked: int | None = None) -> None:
        self.mixture.add(proposal, z, self.known.ask(z), asked=asked)
        self._regions.append(self._region_of(z))
        self._origins.append(origin)

    def walk(self, number: int) -> bool:
        """A round of draws by walks through surrogates and of distributions along the valleys; whether any count."""
        pooled = self.mixture.together()
        group = self.groups(pooled)[self.regions()]
        weight = np.bincount(group, np.exp(pooled.log_weight), minlength=self._number)
        temperature = _TEMPERATURES[min(self._walks, len(_TEMPERATURES) - 1)]
        self._walks += 1
        # Draws no more than coordinates have no shape to walk by: centres go on alone there.
        counts = np.bincount(group[np.isfinite(pooled.log_weight)], minlength=self._number)
        chosen = np.flatnonzero((weight > _LEAST_WEIGHT) & (counts > pooled.z.shape[1]))
        share = np.maximum(weight[chosen], _LEAST_SHARE)
        through = False
        for k, own in zip(chosen, share / share.sum(), strict=True):
            inside = group == k
            drawn = replace(pooled, z=pooled.z[inside], log_weight=pooled.log_weight[inside])
            through |= self._walk_region(max(round(own * number), _CHAINS), drawn, inside, temperature)
        return through

    def _walk_region(
        self, number: int, drawn: WeightedDraws, inside: NDArray[np.bool_], temperature: float
    ) -> bool:
        """Walks through one region; whether they came everywhere, so that their draws count."""
        rng = self._rng
        curved = Curved.around(drawn.z, np.exp(flattened(drawn.log_weight, _SHAPED)))
        surrogate = self.known.surrogate(inside, self._straight_around(drawn))
        walked = Walked(surrogate=surrogate, along=curved, temperature=temperature)
        beside = max(round(self._beside * number), 1)
        start = self._starts(walked, drawn, self.known.log_density()[: len(inside)][inside])
        for last in range(_LEARNT, -1, -1):
            walk = surrogate.walk(
                start, max(number, _LEAST_WALKED), along=walked.along, rng=rng, temperature=temperature
            )
            if walk.taken >= _MOVING or not last:
                break
            # Few draws told nothing of the valleys' course, but the chains have gone some way along it.
            start, equal = walk.places[-_CHAINS:], np.full(len(walk.places), 1 / len(walk.places))
            walked = replace(walked, along=Curved.around(walk.places, equal))
        norm = log_normaliser(
            lambda z: walked.log_density(Described(z, self._features)), walk.places, walk.log_density, rng=rng
        )
        z = walk.places[rng.choice(len(walk.places), number - beside, replace=False)]
        self._ask(replace(walked, log_normaliser=norm), z, np.full(len(z), -1))
        places = walked.along.place(rng.standard_normal((beside, z.shape[1])))
        places = places[np.abs(places).max(axis=1) < FARTHEST]
        self._ask(Beside(along=walked.along), places, np.full(len(places), -1), asked=beside)
        # The next round has more of what has more of the weight.
        weights = np.exp(self.mixture.together().log_weight[-len(z) - len(places) :])
        share = float(weights[len(z) :].sum() / max(weights.sum(), 1e-300))
        self._beside = min(max(share, _BESIDE), 1 - _BESIDE)
        return bool(weights[: len(z)].any())

    def _starts(self, walked: Walked, drawn: WeightedDraws, log_density: Floats) -> Floats:
        """A place for each chain to begin (chain, d): draws, weighted as draws of what is walked through.

        Chains hardly change between the arms of a valley, so that these must have their shares from the beginning.
        """
        proposed = log_density - drawn.log_weight
        weight = walked.log_density(Described(drawn.z, self._features)) - proposed
        share = np.exp(flattened(weight, _STARTS))
        return np.asarray(drawn.z[self._rng.choice(len(share), _CHAINS, p=share)])

    def _straight_around(self, drawn: WeightedDraws) -> Callable[[Described], Floats]:
        """Coordinates that are straight around the draw in the midst of some."""
        likely = np.argsort(drawn.log_weight)[-_LIKELY:]
        share = np.exp(flattened(drawn.log_weight, _CHAINS))
        mean, covariance = share @ drawn.z, np.cov(drawn.z, rowvar=False, aweights=share)
        away = drawn.z[likely] - mean
        ridge = 1e-9 * np.trace(np.atleast_2d(covariance)) * np.eye(len(mean))
        distance = (away * np.linalg.solve(covariance + ridge, away.T).T).sum(axis=1)
        middle = drawn.z[[likely[np.argmin(distance)]]]
        return Centres(self._target, self._features, middle).straight

    def regions(self) -> Labels:
        """Regions of all draws."""
        return np.concatenate(self._regions)

    def groups(self, pooled: WeightedDraws) -> Labels:
        """For each region the first of those that weight runs over between: they are walked through together."""
        region, origin, n = self.regions(), np.concatenate(self._origins), self._number
        weight = np.exp(pooled.log_weight)
        flow = np.zeros((n, n))
        seen = origin >= 0
        np.add.at(flow, (origin[seen], region[seen]), weight[seen])
        own = flow / np.maximum(flow.sum(axis=1, keepdims=True), 1e-300)
        _, group = connected_components(own > _SHARED, directed=False)
        return np.array([np.flatnonzero(group == k)[0] for k in group])


class _Known:
    """Where residuals were asked for, and what they are."""

    def __init__(self, target: Density, of: LinearFeatures) -> None:
        self._target, self._of = target, of
        self._places: list[Floats] = []
        self._residuals: list[Floats] = []
        self._density: list[Floats] = []

    @property
    def number(self) -> int:
        """Of evaluations."""
        return sum(len(z) for z in self._places)

    def log_density(self) -> Floats:
        """The exact log density at all places."""
        return np.concatenate(self._density)

    def best(self) -> tuple[Floats, float]:
        """The place (d,) of highest density, and its log density."""
        density = self.log_density()
        highest = int(np.argmax(density))
        return np.concatenate(self._places)[highest], float(density[highest])

    def ask(self, z: Floats) -> Floats:
        """The exact log density (n,) at places (n, d)."""
        residuals = self._target.residuals(z)
        self._places.append(z)
        self._residuals.append(residuals)
        self._density.append(log_density(z, residuals))
        return self._density[-1]

    def surrogate(
        self, inside: NDArray[np.bool_], straight: Callable[[Described], Floats]
    ) -> PolynomialSurrogate:
        """One of straight coordinates, fitted to what is known of a part of the places; later ones are left out."""
        parts = (self._places, self._residuals, self._density)
        places, residuals, density = (np.concatenate(part)[: len(inside)][inside] for part in parts)
        weights = _counting(density, places.shape[1])
        return PolynomialSurrogate(Described(places, self._of), residuals, weights, straight)


def _spread(pooled: WeightedDraws, number: int, rng: np.random.Generator) -> Floats:
    """Different draws of large weight, around which too little was proposed so far.

    They are taken by the squares of their weights, which are flattened until several times as many count.
    """
    share = np.exp(flattened(2 * pooled.log_weight, 5 * number))
    number = min(number, int((share > 0).sum()))
    return np.asarray(pooled.z[rng.choice(len(share), number, replace=False, p=share)])


def _counting(density: Floats, d: int) -> Floats:
    """How much places count in the fit: wholly where the posterior is, and the less the lower their density."""
    below = density.max() - density
    return np.asarray(1 / (1 + (below / (1.5 * d + 6)) ** _FALL))
