"""One tile of a map: starts from a few pixels, solutions passed between neighbours, moments, verdicts.

A tile depends on its own scans, the problem and the library alone, so that a map is the same in whatever order and by
however many processes its tiles are worked on. A neighbour's solution is a start like any other: the exact posterior
density decides whether it is taken.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2 as chi2_distribution

from strainscope.inversion.levels import Levels
from strainscope.inversion.modes import alike
from strainscope.inversion.search import find_starts
from strainscope.inversion.settings import SearchSettings
from strainscope.inversion.solutions import refine_all
from strainscope.inversion.verdict import RIVAL_WEIGHT
from strainscope.maps.climb import Summits, climb
from strainscope.maps.judgement import Doubts, doubts_of
from strainscope.maps.library import Library
from strainscope.maps.pixels import Pixels
from strainscope.maps.posterior import Moments, moments

Floats = NDArray[np.float64]
Whole = NDArray[np.intp]

# Pixels this far apart get starts of their own; of each so many, steps of all, and of those that are among the best.
_APART, _STARTS, _FIRST_STEPS, _GO_ON, _STEPS = 5, 4, 5, 2, 14
# Steps from what neighbours propose: a climb that takes more began too far off, and gets another start.
_FEW_STEPS = 10
# Solved pixels that one begins from.
_GIVERS = 6
# Of the squares of distances, what keeps planes through few neighbours from tilting.
_LEVEL = 0.05
# A proposal is worth a climb if it is better by this in -2 ln p.
_BETTER = 2.0
_ROUNDS, _RESCUES, _SETTLING, _ATTEMPTS = 4, 8, 40, 2
# Chance of so large a misfit below which a pixel gets starts of its own.
_LEAST_CHANCE = 1e-4
# So many times what the model leaves where it fits best is no misfit of a pixel.
_WORSE = 2.0
# Two ends of a climb are worth comparing as long as one is not worse than this in -2 ln p.
_RIVAL = 12.0


@dataclass(frozen=True, kw_only=True, eq=False)
class TilePixels:
    """Scans of a tile.

    Attributes:
        pixels: Their posteriors.
        place: Row and column of each in the map, shape (pixel, 2).
        peak_arcsec: Position of the peak of each, shape (pixel,).
        log10_height: log10 of its intensity, shape (pixel,).
    """

    pixels: Pixels
    place: NDArray[np.intp]
    peak_arcsec: Floats
    log10_height: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class TileResult:
    """What is known of each pixel of a tile, in the order of its pixels.

    Attributes:
        moments: Of the parameters.
        doubts: About each pixel.
        chi2: Plain sum of squared residuals at the best place, shape (pixel,).
        points: Values that were fitted, shape (pixel,).
        jacobians: That were computed, of all pixels together, without those of a search.
    """

    moments: Moments
    doubts: Doubts
    chi2: Floats
    points: Whole
    jacobians: int


def invert_tile(tile: TilePixels, library: Library) -> TileResult:
    """Invert the scans of a tile."""
    state = _State(tile, library)
    state.anchor()
    state.spread()
    state.settle()
    for _ in range(_RESCUES):
        if not state.rescue():
            break
        state.settle()
    return state.result()


class _State:
    """Where the pixels of a tile have got to."""

    def __init__(self, tile: TilePixels, library: Library) -> None:
        self._tile, self._library, self.pixels = tile, library, tile.pixels
        n, d = len(self.pixels), self.pixels.dimension
        self.z, self.misfit = np.zeros((n, d)), np.full(n, np.inf)
        self.ended = np.zeros(n, dtype=np.bool_)
        self.jacobians = 0
        self._rivals: dict[int, Floats] = {}
        row, column = tile.place.T
        near = (np.abs(row[:, None] - row) <= 1) & (np.abs(column[:, None] - column) <= 1)
        self._neighbours = [np.flatnonzero(near[i] & (np.arange(n) != i)) for i in range(n)]
        # Those that have changed since their neighbours last saw them; how often each has looked around in vain since.
        self._news, self._attempts = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.int64)
        # Of the reduced sum of squares, what the model leaves even where it fits best.
        self._level = 0.0
        self._anchors = self._tried = self._chosen(np.arange(n))

    def _chosen(self, rows: Whole) -> Whole:
        """Pixels that get starts of their own: of some, one in every square, that nearest to its middle."""
        square, inside = np.divmod(self._tile.place[rows] - self._tile.place.min(axis=0), _APART)
        away = ((inside - (_APART - 1) / 2) ** 2).sum(axis=1)
        chosen: dict[tuple[int, int], int] = {}
        for k in np.argsort(away, kind="stable"):
            chosen.setdefault((int(square[k, 0]), int(square[k, 1])), int(rows[k]))
        return np.array(sorted(chosen.values()), dtype=np.intp)

    def anchor(self) -> None:
        """Climbs from the library's starts at some pixels, and between them."""
        self._from_library(self._anchors)
        self._search()
        for _ in range(_ROUNDS):
            lost = self._anchors[~self._explained()[self._anchors]]
            good = np.setdiff1d(self._anchors, lost)
            if not len(lost) or not len(good) or not self._propose(lost, self._nearest(lost, good)):
                break

    def _search(self) -> None:
        """The search of a single scan, at the best of the anchors, where the library's starts explain none of them."""
        if self._explained()[self._anchors].any():
            return
        i = int(self._anchors[np.argmin(self.misfit[self._anchors])])
        problem = self.pixels.alone(i)
        settings = SearchSettings(model_error=problem.model_error)
        starts = find_starts(problem, settings, rng=np.random.default_rng(0))
        found = refine_all(Levels(problem), starts, settings)
        values = np.array([fit.values for fit, _ in found.fits[:_GO_ON]])
        rows = np.full(len(values), i, dtype=np.intp)
        self._take(rows, self._climb(self.pixels.place(values), rows, _STEPS))
        # What a search leaves at the best, others may leave, too.
        self._level = max(1.0, float(self._reduced()[i]))

    def spread(self) -> None:
        """The others begin at the best of what the nearest of these came to."""
        others = np.setdiff1d(np.arange(len(self.pixels)), self._anchors)
        # Every other pixel of every other row first: the rest then lie between near ones.
        first = (self._tile.place[others] % 2 == 0).all(axis=1)
        for rows in (others[first], others[~first]):
            good = np.flatnonzero(self._explained())
            if len(good):
                self._propose(rows, self._nearest(rows, good))

    def _nearest(self, rows: Whole, givers: Whole) -> list[Whole]:
        """The few givers that are nearest to each of some pixels."""
        place = self._tile.place
        apart = ((place[rows][:, None] - place[givers]) ** 2).sum(axis=-1)
        return list(givers[np.argsort(apart, axis=1, kind="stable")[:, :_GIVERS]])

    def settle(self) -> None:
        """Exchanges until none takes up anything more."""
        for _ in range(_SETTLING):
            if not self.exchange():
                break

    def exchange(self) -> bool:
        """Every pixel looks at what its neighbours have come to; whether any takes it up."""
        news, self._news = self._news, np.zeros_like(self._news)
        good = self._explained()
        offered = []
        for i, own in enumerate(self._neighbours):
            heard = (news & good)[own].any()
            self._attempts[i] = 0 if heard else self._attempts[i] + 1
            # What nothing explains so far looks at every neighbour, and goes on from where it is if none offers better;
            # where that leads nowhere, not before there is news.
            every = not good[i] and self._attempts[i] < _ATTEMPTS
            offered.append(own[good[own]] if every else own[news[own] & good[own]])
        rows = np.array([i for i, own in enumerate(offered) if len(own)], dtype=np.intp)
        return self._propose(rows, [offered[i] for i in rows], going_on=~good[rows]) > 0

    def rescue(self) -> bool:
        """Some pixels that nothing explains so far get starts of their own; whether there are any."""
        lost = ~self._explained()
        lost[self._tried] = False
        rows = self._chosen(np.flatnonzero(lost))
        self._tried = np.union1d(self._tried, rows)
        self._from_library(rows)
        return len(rows) > 0

    def _reduced(self) -> Floats:
        """Sum of squares of the scan's residuals over the degrees of freedom."""
        degrees = np.maximum(self.pixels.points - self.pixels.dimension, 1)
        return np.asarray((self.misfit - (self.z**2).sum(axis=1)) / degrees)

    def _explained(self) -> NDArray[np.bool_]:
        reduced = self._reduced()
        degrees = np.maximum(self.pixels.points - self.pixels.dimension, 1)
        likely = chi2_distribution.sf(degrees * reduced, degrees) > _LEAST_CHANCE
        known = self.ended & np.isfinite(self.misfit)
        return np.asarray(known & (likely | (reduced < _WORSE * self._level)))

    def _from_library(self, rows: Whole) -> None:
        starts, owner = [], []
        own = self.pixels.likelihood
        for i in rows:
            found = self._library.starts(
                own.intensity[i],
                own.seen[i],
                peak_arcsec=float(self._tile.peak_arcsec[i]),
                log10_height=float(self._tile.log10_height[i]),
                number=_STARTS,
            )
            starts.append(self.pixels.place(found))
            owner += [i] * len(found)
        if not starts:
            return
        of = np.array(owner, dtype=np.intp)
        first = self._climb(np.concatenate(starts), of, _FIRST_STEPS)
        chosen = np.concatenate(
            [own[np.argsort(first.misfit[own], kind="stable")[:_GO_ON]] for own in _by_owner(of, rows)]
        )
        then = self._climb(first.z[chosen], of[chosen], _STEPS)
        self._take(of[chosen], then)
        self._note_rivals(of[chosen], then)

    def _propose(
        self, rows: Whole, offered: list[Whole], *, going_on: NDArray[np.bool_] | None = None
    ) -> int:
        """Let pixels (n,) begin at what others came to, if the exact density there is higher than where they are.

        Args:
            rows: The pixels.
            offered: Whose places each of them looks at.
            going_on: Which of them climb on from their own places if none of these is better, shape (n,).

        Returns:
            How many pixels came to a better place.
        """
        if not len(rows):
            return 0
        of = np.repeat(np.arange(len(rows)), [len(own) for own in offered])
        givers = np.concatenate(offered)
        known = np.isfinite(self.misfit[givers])
        of, givers = of[known], givers[known]
        candidates = self._adapted(self.z[givers], givers, rows[of])
        # What lies between several is nearer than any of them where the map is smooth.
        between, owners = self._between(candidates, givers, of, rows)
        candidates, of = np.concatenate([candidates, between]), np.concatenate([of, owners])
        reached = self.pixels.misfit(candidates, rows[of])
        starts, chosen = [], []
        for k, own in enumerate(_by_owner(of, np.arange(len(rows)))):
            if not len(own):
                continue
            best = own[np.argmin(reached[own])]
            if reached[best] < self.misfit[rows[k]] - _BETTER:
                starts.append(candidates[best])
            elif going_on is not None and going_on[k]:
                starts.append(self.z[rows[k]])
            else:
                continue
            chosen.append(rows[k])
        if not chosen:
            return 0
        which = np.array(chosen, dtype=np.intp)
        settled = int(self.ended[which].sum())
        found = self._climb(np.array(starts), which, _FEW_STEPS)
        return self._take(which, found) + int(self.ended[which].sum()) - settled

    def _between(self, candidates: Floats, givers: Whole, of: Whole, rows: Whole) -> tuple[Floats, Whole]:
        """Places (n, d) on planes through what several givers propose to a pixel, the nearer first, and whose."""
        good = self._explained()
        places, owners = [], []
        for k, own in enumerate(_by_owner(of, np.arange(len(rows)))):
            own = own[good[givers[own]]]
            if len(own) < 2:
                continue
            away = (self._tile.place[givers[own]] - self._tile.place[rows[k]]).astype(np.float64)
            square = (away**2).sum(axis=1)
            weight = 1 / np.maximum(square, 0.5)
            columns = np.concatenate([np.ones((len(own), 1)), away], axis=1)
            normal = (columns * weight[:, None]).T @ columns
            normal += np.diag([0.0, 1.0, 1.0]) * _LEVEL * (weight * square).sum()
            plane = np.linalg.solve(normal, (columns * weight[:, None]).T @ candidates[own])
            places.append(plane[0])
            owners.append(k)
        return np.array(places).reshape(-1, candidates.shape[1]), np.array(owners, dtype=np.intp)

    def _adapted(self, z: Floats, givers: Whole, takers: Whole) -> Floats:
        """Places (n, d) of some pixels, with offset and scale moved as the peaks of others are to theirs."""
        values = self.pixels.values(z)
        problem = self.pixels.problem
        where = problem.model.experiment.slices["scale"].start
        free = {int(k) for k in problem.prior.free}
        changes = (self._tile.peak_arcsec, self._tile.log10_height)
        for column, of in zip((where, where + 1), changes, strict=True):
            if column in free:
                values[:, column] += of[takers] - of[givers]
        moved = self.pixels.place(values)
        # The numbers of the others are as they were, where rounding to the bounds would move them.
        same = np.isin(problem.prior.free, [where, where + 1], invert=True)
        return np.where(same, z, moved)

    def _climb(self, start: Floats, rows: Whole, steps: int) -> Summits:
        found = climb(self.pixels, start, rows, steps=steps)
        self.jacobians += found.jacobians
        return found

    def _moments(self, z: Floats, rows: Whole) -> Moments:
        self.jacobians += len(rows)
        return moments(self.pixels, z, rows)

    def _take(self, rows: Whole, found: Summits) -> int:
        """Keep what is better than what there was; for how many pixels it is."""
        taken: set[int] = set()
        for k in np.argsort(found.misfit, kind="stable"):
            i = int(rows[k])
            if found.misfit[k] < self.misfit[i] and i not in taken:
                if found.misfit[k] < self.misfit[i] - _BETTER or found.ended[k] > self.ended[i]:
                    taken.add(i)
                    self._news[i] = True
                self.z[i], self.misfit[i], self.ended[i] = found.z[k], found.misfit[k], found.ended[k]
        return len(taken)

    def _note_rivals(self, rows: Whole, found: Summits) -> None:
        """Other ends of climbs at a pixel that are nearly as good as the best, and other profiles."""
        experiment = self.pixels.problem.model.experiment
        for own in _by_owner(rows, np.unique(rows)):
            good = own[found.misfit[own] < found.misfit[own].min() + _RIVAL]
            kinds = alike(experiment, self.pixels.values(found.z[good]), found.misfit[good])
            if len(kinds) > 1:
                self._rivals[int(rows[own[0]])] = found.z[good[kinds[1][0]]]

    def _rival_share(self, own: Moments) -> Floats:
        """Share of the posterior that another profile has, where one is known of the pixel or its nearest anchor."""
        share = np.zeros(len(self.pixels))
        if not self._rivals:
            return share
        place, givers = self._tile.place, np.array(sorted(self._rivals), dtype=np.intp)
        apart = np.abs(place[:, None] - place[givers]).max(axis=-1)
        nearest = givers[np.argmin(apart, axis=1)]
        rows = np.flatnonzero(apart.min(axis=1) < _APART)
        start = self._adapted(np.array([self._rivals[int(i)] for i in nearest[rows]]), nearest[rows], rows)
        found = self._climb(start, rows, _STEPS)
        experiment = self.pixels.problem.model.experiment
        for k, i in enumerate(rows):
            both = self.pixels.values(np.stack([self.z[i], found.z[k]]))
            if found.misfit[k] > self.misfit[i] + _RIVAL or len(alike(experiment, both, np.arange(2.0))) == 1:
                continue
            other = self._moments(found.z[[k]], rows[[k]])
            share[i] = 1 / (1 + np.exp(np.clip(own.log_weight[i] - other.log_weight[0], -50, 50)))
        return share

    def result(self) -> TileResult:
        """Moments and doubts of every pixel."""
        everyone = np.arange(len(self.pixels))
        found = self._moments(self.z, everyone)
        share = self._rival_share(found)
        chi2 = self.pixels.chi2(found.best, everyone)
        doubts = doubts_of(
            self.pixels,
            found,
            chi2=chi2,
            ended=self.ended,
            rival=share > RIVAL_WEIGHT,
        )
        return TileResult(
            moments=found, doubts=doubts, chi2=chi2, points=self.pixels.points, jacobians=self.jacobians
        )


def _by_owner(of: Whole, owners: Whole) -> list[Whole]:
    """Where each of some owners occurs."""
    return [np.flatnonzero(of == i) for i in owners]
