"""First guesses without a neighbour: simulated curves of many profiles, compared with a pixel's scan."""

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.problem import Problem
from strainscope.inversion.search import distinct, draw_starts

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# A misfit beyond this (in ln intensity) counts no more: one deep fringe out of place is not worse than wrong.
_CLIP = 1.0
# Points within so many widths of the substrate's peak tell little of the profile.
_PEAK_WIDTHS = 1.5


class Library:
    """Curves of profiles drawn from the prior in the map's instrument, for all pixels.

    Args:
        problem: Of the map.
        kinds: The same as some of its pixels show it: they tell how far strains may reach.
        draws: Profiles.
        seed: Of the draws.
    """

    def __init__(self, problem: Problem, kinds: tuple[Problem, ...], *, draws: int, seed: int) -> None:
        self._problem = problem
        rng = np.random.default_rng(seed)
        each = -(-draws // len(kinds))
        self._values = np.concatenate([draw_starts(own, each, rng=rng) for own in kinds])
        self._position = problem.model.position
        (many,) = problem.many_curves()
        curves = [many.expected(self._values[first : first + 1024]) for first in range(0, len(self._values), 1024)]
        self._background = 10.0 ** problem.base[problem.model.experiment.slices["scale"]][2]
        self._curves = np.log(np.maximum(np.concatenate(curves), 1e-300)).astype(np.float32)

    def starts(
        self, intensity: Floats, seen: Flags, *, peak_arcsec: float, log10_height: float, number: int
    ) -> Floats:
        """Values of all parameters of the profiles whose curves are most like a scan, shape (<= number, parameter).

        Args:
            intensity: Of the scan, shape (point,).
            seen: Where it has a value, shape (point,).
            peak_arcsec: Position of its peak.
            log10_height: log10 of the peak's intensity.
            number: Distinct profiles at most.
        """
        problem, own = self._problem, self._problem.features
        shift, rise = peak_arcsec - own.peak_arcsec, log10_height - np.log10(own.peak_intensity)
        position = self._position
        # The scan as it would be with its peak where that of the curves is.
        at = position[seen]
        least = 0.5 / problem.likelihood.counts_per_unit
        level = np.log(np.maximum(intensity[seen], least)) - np.log(10) * rise
        there = (position + shift >= at[0]) & (position + shift <= at[-1])
        away = np.abs(position - own.peak_arcsec) > _PEAK_WIDTHS * max(own.peak_fwhm_arcsec, 10.0)
        use = np.flatnonzero(there & away) if (there & away).sum() >= 10 else np.flatnonzero(there)
        measured = np.interp(position[use] + shift, at, level).astype(np.float32)
        floor = np.float32(np.log(max(self._background, least)))
        gap = np.maximum(measured, floor) - np.maximum(self._curves[:, use], floor)
        scores = np.minimum(np.abs(gap), _CLIP).mean(axis=1)
        found = distinct(problem.model.experiment, self._values, scores, number)
        where = problem.model.experiment.slices["scale"].start
        free = {int(k) for k in problem.prior.free}
        for column, change in ((where, shift), (where + 1, rise)):
            if column in free:
                found[:, column] += change
        return problem.prior.from_unit(np.clip(problem.prior.to_unit(found), 1e-3, 1 - 1e-3))
