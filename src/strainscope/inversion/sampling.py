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
from strainscope.inversion.known import Known
from strainscope.inversion.mixture import Beside, Mixture, Proposal, Walked, WeightedDraws
from strainscope.inversion.pareto import flattened, pareto_shape
from strainscope.inversion.target import Described, Features
from strainscope.inversion.warp import FARTHEST

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

# Goals for each centre, and centres of the second round and of those that follow. More rounds come before the first
# walk while fewer draws are effective than a surrogate is to start from, up to so many.
_EACH, _SECOND, _CENTRES, _LEAST_EFFECTIVE, _MORE_ROUNDS = 60, 4, 8, 50.0, 3
# A draw this much above every known maximum in log density shows that there is a higher one.
_HIGHER = 1.0
# Shape of the weights' tail at most: beyond it they have no finite variance.
_SHORT_TAIL = 0.5
# Draws of the surrogates' first round, and how rounds grow.
_FIRST, _GROWTH = 500, 1.4
# Effective draws from which what was learnt is drawn from afresh; draws then at first, and of each centre; shares of
# what is learnt at last and in each of the rounds before, which reached farther; places of walks kept for it.
_LEARNT, _FRESH, _EACH_FRESH, _SHARES, _POOL = 500.0, 1200, 4, (0.6, 0.2, 0.2), 1200
# Walkers, and the different draws that they begin at, at least.
_CHAINS, _STARTS = 256, 30
# Walks reach farther than the posterior: what is asked for there tells the next surrogate where it ends. The first ones
# reach far, into arms that no draw has come to yet.
_TEMPERATURES = (4.0, 2.5, 1.6, 1.3)
# Share of each round, at least, that comes from a distribution along the valley and from walks; draws that its shape is
# learnt from, at least; draws of a walk that tell its integral.
_BESIDE, _SHAPED, _LEAST_WALKED = 0.12, 250, 1024
# Of the draws of most weight so many may be the middle.
_LIKELY = 200
# Regions of less weight are not walked through; others get at least such a share of a round.
_LEAST_WEIGHT, _LEAST_SHARE = 1e-3, 0.15
# Two regions are one where so much of the weight that is drawn around one lies in the other.
_SHARED = 0.1


class Density(Protocol):
    """What is drawn from: residuals, in coordinates in which the prior is standard normal."""

    def residuals(self, z: Floats) -> Floats:
        """Residuals (n, point) at places (n, d); exp(-½ Σ r² - ½ |z|²) is the density."""

    def linearised(self, z: Floats) -> tuple[Floats, Floats]:
        """Residuals of scan and prior (n, point + d) at places (n, d), and their derivatives."""

    def features(self, z: Floats) -> Features:
        """Features to describe places around one (d,) by."""

    def by_features(self, z: Floats, features: Features, weights: Floats) -> Floats:
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
        joined: For each region the lowest one that its posterior runs into, itself if none, shape (region,).
    """

    draws: WeightedDraws
    log_density: Floats
    region: Labels
    joined: Labels


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

    At first centres propose, those of each next round placed where the draws so far have weight. Then each round fits a
    surrogate of each region to all that is known, walks through it from the draws so far, and asks for the exact
    residuals where the walks end. All rounds together are one mixture, by which the draws are weighted.

    Proposals that were shaped after draws lie higher where these happen to be, which makes the posterior narrower than
    it is. So what has been learnt is kept as it is at last, and drawn from afresh: these draws count.

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
    number = _FIRST
    while True:
        # Where weights are large too little was proposed.
        state.centre(_CENTRES)
        state.walk(number)
        pooled = state.mixture.together()
        learnt = min(wanted, _LEARNT)
        progress(0.5 * min(max(pooled.effective / learnt, 2 * state.known.number / most), 1.0))
        if _is_enough(pooled, learnt) or state.known.number >= most / 2:
            break
        number = round(_GROWTH * number)
    joined = state.joined(pooled)
    draws, log_density = state.afresh(wanted, most, progress=lambda share: progress(0.5 + 0.5 * share))
    if draws.effective < min(wanted, pooled.effective):
        # Too few are left: what was learnt from counts, too.
        draws, log_density = pooled, state.known.log_density()[: len(pooled.z)]
    counts = np.isfinite(draws.log_weight)
    z = draws.z[counts]
    return Drawn(
        draws=replace(draws, z=z, log_weight=draws.log_weight[counts]),
        log_density=log_density[counts],
        region=region_of(z),
        joined=joined,
    )


def _is_enough(draws: WeightedDraws, wanted: float) -> bool:
    return draws.effective >= wanted and pareto_shape(draws.log_weight) <= _SHORT_TAIL


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
        self.known = Known(target, self._features)
        self.mixture = Mixture(self._features)
        self._highest = -np.inf
        self._beside = _BESIDE
        # Regions of the draws, and of the centres that they came from; -1 for other draws.
        self._regions: list[Labels] = []
        self._origins: list[Labels] = []
        self._centres: list[Centres] = []
        # Of each round of walks: the share, the proposal and unused places of each part.
        self._learnt: list[list[tuple[float, Walked, Floats]]] = []

    def begin(self) -> None:
        """Rounds of centres until there is something to walk from."""
        self._add_centres(self._places)
        self.centre(_SECOND)
        for _ in range(_MORE_ROUNDS):
            if self.mixture.together().effective >= _LEAST_EFFECTIVE:
                break
            self.centre(_CENTRES)

    def centre(self, number: int) -> None:
        """So many centres at draws of some weight, one of them at a higher maximum if the draws show that there is."""
        places = _spread(self.mixture.together(), number, self._rng)
        best, log_density = self.known.best()
        if log_density > self._highest + _HIGHER:
            places[0] = self._target.climb(best)
        self._add_centres(places)

    def _add_centres(self, places: Floats) -> None:
        proposal = Centres(self._target, self._features, places)
        self._centres.append(proposal)
        self._highest = max(self._highest, float(proposal.log_density_there.max()))
        z, origin = proposal.draw(_EACH, rng=self._rng)
        self._ask(proposal, z, self._region_of(places)[origin], asked=_EACH * len(places))

    def _ask(self, proposal: Proposal, z: Floats, origin: Labels, *, asked: int | None = None) -> None:
        self.mixture.add(proposal, z, self.known.ask(z), asked=asked)
        self._regions.append(self._region_of(z))
        self._origins.append(origin)

    def walk(self, number: int) -> None:
        """A round of draws by walks through surrogates and of distributions along the valleys."""
        temperature = _TEMPERATURES[min(len(self._learnt), len(_TEMPERATURES) - 1)]
        self._learnt.append(
            [
                (share, *self._walk_region(max(round(share * number), _CHAINS), drawn, inside, temperature))
                for share, inside, drawn in self._parts()
            ]
        )

    def _parts(self) -> list[tuple[float, NDArray[np.bool_], WeightedDraws]]:
        """Regions of some weight: the share of a round that each gets, which of all draws are its, and these."""
        pooled = self.mixture.together()
        region = self.regions()
        weight = np.array([np.exp(pooled.log_weight[region == k]).sum() for k in range(self._number)])
        group = self.joined(pooled)
        weight = np.array([weight[group == k].sum() for k in range(len(weight))])
        chosen = np.flatnonzero(weight > _LEAST_WEIGHT)
        share = np.maximum(weight[chosen], _LEAST_SHARE)
        parts = []
        for k, own in zip(chosen, share / share.sum(), strict=True):
            inside = group[region] == k
            drawn = replace(pooled, z=pooled.z[inside], log_weight=pooled.log_weight[inside])
            parts.append((float(own), inside, drawn))
        return parts

    def _walk_region(
        self, number: int, drawn: WeightedDraws, inside: NDArray[np.bool_], temperature: float
    ) -> tuple[Walked, Floats]:
        """Draws of one part; what was walked through, and places (n, d) that were not asked for."""
        walked, z = self._walked(number + _POOL, drawn, inside, temperature)
        beside = max(round(self._beside * number), 1)
        z, unused = np.split(self._rng.permutation(z), [number - beside])
        self._ask(walked, z, np.full(len(z), -1))
        places = self._along(walked, beside)
        self._ask(Beside(along=walked.along), places, np.full(len(places), -1), asked=beside)
        # The next round has more of what has more of the weight.
        weights = np.exp(self.mixture.together().log_weight[-len(z) - len(places) :])
        share = float(weights[len(z) :].sum() / max(weights.sum(), 1e-300))
        self._beside = min(max(share, _BESIDE), 1 - _BESIDE)
        return walked, unused

    def _walked(
        self, number: int, drawn: WeightedDraws, inside: NDArray[np.bool_], temperature: float
    ) -> tuple[Walked, Floats]:
        """A surrogate of a part, and so many places at least (n, d) that walks through it came to."""
        curved = Curved.around(drawn.z, np.exp(flattened(drawn.log_weight, _SHAPED)))
        surrogate = self.known.surrogate(inside, self._straight_around(drawn))
        walked = Walked(surrogate=surrogate, along=curved, temperature=temperature)
        start = self._starts(walked, drawn, self.known.log_density()[: len(inside)][inside])
        z, own = surrogate.walk(
            start, max(number, _LEAST_WALKED), along=curved, rng=self._rng, temperature=temperature
        )
        norm = log_normaliser(
            lambda z: walked.log_density(Described(z, self._features)), z, own, rng=self._rng
        )
        return replace(walked, log_normaliser=norm), z

    def _along(self, walked: Walked, number: int) -> Floats:
        """So many places at most (n, d) along the valley."""
        places = walked.along.place(self._rng.standard_normal((number, self._places.shape[1])))
        return np.asarray(places[np.abs(places).max(axis=1) < FARTHEST])

    def afresh(
        self, wanted: float, most: int, *, progress: Callable[[float], None]
    ) -> tuple[WeightedDraws, Floats]:
        """New draws of what has been learnt, weighted by it alone, and their exact log density.

        Args:
            wanted: Effective draws that are enough.
            most: Evaluations in all at most; what has begun is finished.
            progress: Called with the share done.
        """
        number = _FRESH
        newest = [
            (share, *self._walked(round(share * number) + _POOL, drawn, inside, _TEMPERATURES[-1]))
            for share, inside, drawn in self._parts()
        ]
        parts = [
            (of_round * share, walked, pool)
            for of_round, learnt in zip(_SHARES, (newest, *self._learnt[::-1]), strict=False)
            for share, walked, pool in learnt
        ]
        mixture, exact = Mixture(self._features), []

        def add(proposal: Proposal, z: Floats, asked: int) -> None:
            exact.append(self.known.ask(z))
            mixture.add(proposal, z, exact[-1], asked=asked)

        while True:
            number = max(min(number, most - self.known.number), _CHAINS)
            for share, walked, pool in parts:
                beside = max(round(self._beside * share * number), 1)
                z = pool[self._rng.choice(len(pool), max(round(share * number) - beside, 1))]
                add(walked, z, len(z))
                add(Beside(along=walked.along), self._along(walked, beside), beside)
            for centres in self._centres:
                add(centres, centres.draw(_EACH_FRESH, rng=self._rng)[0], _EACH_FRESH * len(centres.place))
            draws = mixture.together()
            progress(min(max(draws.effective / wanted, self.known.number / most), 1.0))
            if _is_enough(draws, wanted) or self.known.number >= most:
                return draws, np.concatenate(exact)
            missing = wanted / max(draws.effective, 1.0) - 1
            number = round(min(max(missing, 0.2), 2.0) * len(draws.z))

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

    def joined(self, pooled: WeightedDraws) -> Labels:
        """For each region the lowest one that its posterior runs into."""
        region, origin, n = self.regions(), np.concatenate(self._origins), self._number
        weight = np.exp(pooled.log_weight)
        flow = np.zeros((n, n))
        seen = origin >= 0
        np.add.at(flow, (origin[seen], region[seen]), weight[seen])
        own = flow / np.maximum(flow.sum(axis=1, keepdims=True), 1e-300)
        _, group = connected_components(own > _SHARED, directed=False)
        return np.array([np.flatnonzero(group == k)[0] for k in group])


def _spread(pooled: WeightedDraws, number: int, rng: np.random.Generator) -> Floats:
    """Different draws of some weight, with weights flattened until several times as many count."""
    share = np.exp(flattened(pooled.log_weight, 5 * number))
    number = min(number, int((share > 0).sum()))
    return np.asarray(pooled.z[rng.choice(len(share), number, replace=False, p=share)])
