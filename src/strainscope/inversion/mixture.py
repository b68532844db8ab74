"""Draws of several proposals, weighted as draws of all of them together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from strainscope.inversion.curved import Curved
from strainscope.inversion.pareto import effective_size
from strainscope.inversion.surrogate import PolynomialSurrogate, within
from strainscope.inversion.target import Described, LinearFeatures

Floats = NDArray[np.float64]

# A surrogate's walks have missed some of it where so much of the posterior, and so many times what their own draws
# hold, is claimed to come from them.
_CLAIMED, _TIMES = 0.03, 3.0


class Component(Protocol):
    """A distribution that draws came from."""

    def log_density(self, places: Described) -> Floats:
        """ln of its density at places (n, d)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Walked:
    """A surrogate that was walked through, as a distribution.

    Attributes:
        surrogate: Of the posterior.
        along: The straight coordinates that it was walked in.
        temperature: By which its log density was divided.
        log_normaliser: ln of the integral of what it was then.
    """

    surrogate: PolynomialSurrogate
    along: Curved
    temperature: float
    log_normaliser: float = 0.0

    def log_density(self, places: Described) -> Floats:
        """ln of its density at places (n, d)."""
        inside = within(
            self.surrogate.log_density(places) / self.temperature, self.along.straight(places.z)[0]
        )
        return np.asarray(inside - self.log_normaliser)


@dataclass(frozen=True, kw_only=True, eq=False)
class Beside:
    """A distribution along the valley.

    Attributes:
        along: Which.
    """

    along: Curved

    def log_density(self, places: Described) -> Floats:
        """ln of its density at places (n, d)."""
        return self.along.log_density(places.z)


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightedDraws:
    """Draws of a posterior with importance weights.

    Attributes:
        z: Places, shape (n, d).
        log_weight: ln of the weights, shape (n,), normalised to a sum of 1.
        log_evidence: ln ∫ exp(-½ Σ r²) N(z; 0, 1) dz.
    """

    z: Floats
    log_weight: Floats
    log_evidence: float

    @property
    def effective(self) -> float:
        """Effective sample size."""
        return effective_size(self.log_weight)


class Mixture:
    """Proposals, what was drawn of each, and the exact log density there.

    Args:
        of: Features that proposals ask for.

    References:
        Owen & Zhou, J. Am. Stat. Assoc. 95 (2000) 135 (deterministic mixtures); Cornuet et al., Scand. J. Stat. 39
        (2012) 798 (that grow)
    """

    def __init__(self, of: LinearFeatures) -> None:
        self._of = of
        self._proposals: list[Component] = []
        self._places: list[Described] = []
        self._exact: list[Floats] = []
        self._asked: list[int] = []
        # ln of every proposal's density at the draws of each.
        self._logs: list[list[Floats]] = []
        # All draws weighted, until there are more of them.
        self._together: WeightedDraws | None = None

    def add(self, proposal: Component, z: Floats, exact: Floats, *, asked: int | None = None) -> None:
        """Draws of one more proposal.

        Args:
            proposal: Where they came from.
            z: Places, shape (n, d).
            exact: The exact log density there, shape (n,).
            asked: How many were asked for, if what is proposed has a mass below 1 and may come to nothing.
        """
        self._together = None
        for own, drawn in zip(self._logs, self._places, strict=True):
            own.append(proposal.log_density(drawn))
        places = Described(z, self._of)
        self._proposals.append(proposal)
        self._places.append(places)
        self._asked.append(len(z) if asked is None else asked)
        self._exact.append(exact)
        self._logs.append([every.log_density(places) for every in self._proposals])

    def together(self) -> WeightedDraws:
        """All draws, each weighted by the exact density over that of the whole mixture.

        What is walked through is a proposal only if the walks came everywhere: others' draws tell. Where they did not
        its draws have no weight.
        """
        if self._together is None:
            self._together = self._weighted()
        return self._together

    def _weighted(self) -> WeightedDraws:
        asked = np.array(self._asked, dtype=np.float64)
        for k in self._missed(asked):
            asked[k] = 0.0
        with np.errstate(divide="ignore"):
            shares = np.log(asked / asked.sum())
        ratio = np.concatenate(
            [
                _ratio(exact, logs, shares) if own else np.full(len(exact), -np.inf)
                for exact, logs, own in zip(self._exact, self._logs, asked, strict=True)
            ]
        )
        total = float(logsumexp(ratio))
        z = np.concatenate([places.z for places in self._places])
        unit = 0.5 * z.shape[1] * float(np.log(2 * np.pi))
        return WeightedDraws(
            z=z, log_weight=ratio - total, log_evidence=total - float(np.log(asked.sum())) - unit
        )

    def _missed(self, asked: Floats) -> list[int]:
        """Which of what was walked through the walks did not come everywhere in.

        In the mean a proposal's draws hold as much of the posterior as its density claims by the draws of all others.
        """
        logs = np.concatenate([np.stack(own, axis=1) for own in self._logs]) + np.log(asked)
        exact = np.concatenate(self._exact)
        origin = np.repeat(np.arange(len(asked)), [len(own) for own in self._exact])
        walked = {k: own for k, own in enumerate(self._proposals) if isinstance(own, Walked)}
        others = np.setdiff1d(np.arange(len(asked)), list(walked))
        counts, mixture = np.isin(origin, others), logsumexp(logs[:, others], axis=1)
        missed = []
        for k, own in walked.items():
            weight = exact[counts] - mixture[counts]
            more = np.logaddexp(mixture, logs[:, k])
            claimed = logsumexp(weight + (logs[:, k] - more)[counts]) - logsumexp(weight)
            held = logsumexp((exact - more)[origin == k]) - logsumexp(weight)
            known = np.isfinite(own.log_normaliser)
            if not known or claimed > max(np.log(_CLAIMED), np.log(_TIMES) + held):
                missed.append(k)
            else:
                counts, mixture = counts | (origin == k), more
        return missed


def _ratio(exact: Floats, logs: Sequence[Floats], shares: Floats) -> Floats:
    return np.asarray(exact - logsumexp(np.stack(logs) + shares[:, None], axis=0))
