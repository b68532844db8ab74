"""Starting profiles that somebody proposes: a trained estimator, in place of the search."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.levels import Levels
from strainscope.inversion.pareto import flattened
from strainscope.inversion.search import distinct
from strainscope.scan import Scan

Floats = NDArray[np.float64]

# Proposed values end this far inside the bounds, in unit coordinates.
_INSIDE = 2e-3
# Strains that differ by this share of the maximum in the mean over depth are worth a start each.
_GAP = 0.02
# Random ones are taken by their misfit, flattened until so many times as many count.
_COUNTING = 3


class Proposal(Protocol):
    """Draws of the parameters behind a scan.

    Attributes:
        name: In reports.
    """

    name: str

    def draws(self, scan: Scan, number: int, *, seed: int) -> Mapping[str, Floats]:
        """Values of the experiment's parameters by name, shape (number,) each.

        Raises:
            ValueError: a scan of which it knows nothing.
        """


class Proposed(NamedTuple):
    """Values of all parameters that an estimator proposes.

    Attributes:
        starts: The best distinct ones, shape (<= starts, parameter), best first.
        spread: Some at random of those that are not hopeless, shape (<= spread, parameter).
    """

    starts: Floats
    spread: Floats


def proposed_starts(
    levels: Levels,
    scan: Scan,
    proposal: Proposal,
    *,
    draws: int,
    starts: int,
    spread: int,
    rng: np.random.Generator,
) -> Proposed:
    """What descents may start from, of what is proposed.

    Args:
        levels: The posterior from coarse to exact; the problem's bounds and held values win.
        scan: The scan itself.
        proposal: What proposes.
        draws: How many draws it is asked for.
        starts: Distinct ones, at most.
        spread: Random ones, at most.
        rng: Source of randomness.
    """
    proposed = proposal.draws(scan, draws, seed=int(rng.integers(2**31)))
    problem, coarse = levels.problem, levels.coarse
    prior = problem.prior
    values = np.broadcast_to(problem.base, (draws, len(problem.base))).copy()
    for i, name in enumerate(prior.names):
        if name in proposed and i in prior.free:
            values[:, i] = proposed[name]
    values = prior.from_unit(np.clip(prior.to_unit(values), _INSIDE, 1 - _INSIDE))
    # As in the coarse descents: with a model error that lets near ones count.
    scores = (coarse.residuals(coarse.place(values)) ** 2).sum(axis=1)
    share = np.exp(flattened(-0.5 * scores, _COUNTING * spread))
    random = rng.choice(draws, min(spread, int((share > 0).sum())), replace=False, p=share)
    return Proposed(
        starts=distinct(problem.model.experiment, values, scores, starts, gap=_GAP), spread=values[random]
    )
