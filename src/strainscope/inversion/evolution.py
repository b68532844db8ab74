"""Differential evolution that keeps its niches: brings every promising draw down into its own basin."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A member learns from this many nearest neighbours alone, so that separate basins do not mix.
_NEIGHBOURS = 24
_STRENGTH = (0.3, 0.9)
_CROSSOVER = 0.8
# How often a member is also drawn towards a better neighbour.
_TOWARDS_BETTER = 0.3


def evolve(
    misfit: Callable[[Floats], Floats],
    unit: Floats,
    scores: Floats,
    generations: int,
    *,
    rng: np.random.Generator,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[Floats, Floats]:
    """Members of lower misfit, each descended from its own start.

    Every generation moves each member by a difference of two of its nearest neighbours, sometimes also towards a
    third that is better, and keeps the move where the misfit falls.

    Args:
        misfit: Scores (member,) of coordinates (member, coordinate) in [0, 1].
        unit: Where the members start, shape (member, coordinate).
        scores: Their misfits, shape (member,).
        generations: How many.
        rng: Source of randomness.
        progress: Called with the share done.

    Returns:
        Coordinates and scores of the members at the end.

    References:
        Storn & Price, J. Glob. Optim. 11 (1997) 341, doi:10.1023/A:1008202821328; Qu, Suganthan & Liang, IEEE
        Trans. Evol. Comput. 17 (2013) 387, on neighbourhoods for several optima.
    """
    unit, scores = unit.copy(), scores.copy()
    size, n = unit.shape
    near = min(_NEIGHBOURS, size - 1)
    rows = np.arange(size)
    # A lone member has no one to learn from.
    for generation in range(generations if size > 1 else 0):
        squared = ((unit[:, None] - unit[None]) ** 2).sum(axis=-1)
        neighbours = np.argsort(squared, axis=1)[:, 1 : near + 1]
        first, second, third = (neighbours[rows, k] for k in rng.integers(0, near, (3, size)))
        strength = rng.uniform(*_STRENGTH, (size, 1))
        drawn = (scores[third] < scores) & (rng.uniform(size=size) < _TOWARDS_BETTER)
        step = unit[first] - unit[second] + np.where(drawn[:, None], unit[third] - unit, 0.0)
        crossed = rng.uniform(size=(size, n)) < _CROSSOVER
        crossed[rows, rng.integers(0, n, size)] = True
        trial = np.abs(unit + np.where(crossed, strength * step, 0.0))
        # Reflected at both ends of [0, 1].
        trial = np.clip(1 - np.abs(1 - trial), 0.0, 1.0)
        found = misfit(trial)
        better = found < scores
        unit[better], scores[better] = trial[better], found[better]
        progress((generation + 1) / generations)
    return unit, scores
