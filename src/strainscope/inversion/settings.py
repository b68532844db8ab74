"""How hard the search tries."""

from dataclasses import dataclass
from numbers import Integral

MOST = 200_000
"""Of every number here: more takes hours, and memory that no machine has."""

_LEAST = {
    "draws": 16,
    "population": 8,
    "generations": 0,
    "starts": 1,
    "first_evaluations": 3,
    "coarse_steps": 1,
    "steps": 1,
    "evaluations": 3,
}


@dataclass(frozen=True, kw_only=True)
class PosteriorSettings:
    """How many draws of the posterior.

    Attributes:
        effective: Effective draws that are enough.
        evaluations: Curves simulated at most.
        nested: Live points of nested sampling in place of the weighted draws; 0 for none.
    """

    effective: int = 1000
    evaluations: int = 20_000
    nested: int = 0

    def __post_init__(self) -> None:
        for name in ("effective", "evaluations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}; it must be >= 1.")
        if self.nested and self.nested < 100:
            raise ValueError(
                f"nested = {self.nested}; nested sampling needs at least 100 live points, or 0 for none."
            )


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How hard to search.

    Attributes:
        draws: Curves simulated and ranked.
        population: Best draws that evolve.
        generations: Rounds of evolution; each simulates as many curves as the population has members.
        starts: Distinct members of the evolved population that are refined.
        first_evaluations: Model evaluations of the short fits that learn the instrument before profiles evolve.
        coarse_steps: Steps of every start's coarse descent; the better ones take twice as many more.
        steps: Steps at most for the distinct ones that go on.
        evaluations: Model evaluations at most of a free-form refinement.
        tolerance: Relative change of the sum of squares at which those are done.
        model_error: Relative error [1] granted to the model at every point; widens the bands accordingly.
        splines: Weights of a free-form refinement (B-splines for strain and E) on top; 0 for none.
    """

    draws: int = 8192
    population: int = 512
    generations: int = 30
    starts: int = 12
    first_evaluations: int = 14
    coarse_steps: int = 6
    steps: int = 15
    evaluations: int = 80
    tolerance: float = 1e-6
    model_error: float = 0.07
    splines: int = 0

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, Integral) or not least <= int(value) <= MOST:
                raise ValueError(f"{name} = {value}; it must be a whole number, {least} to {MOST:,}.")
        if not 0 <= self.model_error < 1:
            raise ValueError(f"model_error = {self.model_error:g}; it is relative, >= 0 and below 1: 7 % is 0.07.")
        if self.splines and not 3 <= self.splines <= 40:
            raise ValueError(f"splines = {self.splines}; use 3 to 40 weights, or 0 for none.")
