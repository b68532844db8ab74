"""Frozen test sets: 10,000 curves each that training never sees, checked by the hash of their parameters.

A set is generated from a recorded plan whenever it is asked for; a copy in the user's cache folder only saves time.
Sets from other simulators join with :func:`register`.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strainscope.dataset.plan import Plan, load_plan
from strainscope.dataset.simulate import BLOCK, Simulator
from strainscope.evaluation.curve_cache import kept_curves
from strainscope.evaluation.metrics import error_ranges
from strainscope.evaluation.rows import rounded, row_bytes
from strainscope.profile import Constraint
from strainscope.sample.messages import hint, sentence

Floats = NDArray[np.float64]
Curves = NDArray[Any]

BOUNDED = 200
"""Curves of a set whose Cramér-Rao bounds are computed."""

SIZE = 10_000
"""Curves of a frozen set."""

FIRST_HELD_OUT = 2_700_000
"""The grid sets are samples from here on of plans that draw without replacement; training may use those before."""

CONTINUOUS_SEED = 410_623
"""Of the set `continuous`; plans for training must not use it."""

DIGITS = 7
"""Significant digits that the parameters of a set have: machines differ in the last ones of what they draw."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FrozenTestSet:
    """Parameters and curves that can be made again at any time, and what is known of them.

    Attributes:
        name: Short name.
        title: What it is, in words.
        origin: How it is made, in words: plan, seed, which samples.
        names: Parameters, in the order of the columns.
        units: Unit of each.
        bounds: Smallest and largest value of each.
        constraints: Inequalities between them.
        angle_arcsec: Points of the curves [arcsec], shape (angle,).
        sha256: Of the parameters, see `parameters_sha256`.
        size: Number of curves.
        draw: Gives the parameters, shape (size, parameter); they are rounded to 7 significant digits.
        simulate: Gives the curves of samples first to last - 1 from (parameters of the whole set, first, last), shape
            (last - first, angle) or with more axes, or a structured array: estimators get it as it is. Where noise is
            added, it may depend on seed and index alone.
        columns: Gives quantities of each curve to bin by, such as maximum strain, from the parameters.
        seen_columns: The same from what `simulate` gives, such as the counts at the peak.
        cramer_rao: Gives the bounds of the first so many curves as standard deviations, (number, parameter); None where
            there is no noise.
        identity: All that decides the curves, as plain data: the key of the cache.
        caveat: What to know beside a verdict on calibration, a sentence; empty if nothing.
    """

    name: str
    title: str
    origin: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    bounds: Mapping[str, tuple[float, float]]
    constraints: tuple[Constraint, ...]
    angle_arcsec: Floats
    sha256: str
    size: int = SIZE
    draw: Callable[[], Floats] = field(repr=False)
    simulate: Callable[[Floats, int, int], Curves] = field(repr=False)
    columns: Callable[[Floats], Mapping[str, Floats]] = field(repr=False, default=lambda _: {})
    seen_columns: Callable[[Curves], Mapping[str, Floats]] = field(repr=False, default=lambda _: {})
    cramer_rao: Callable[[int], Floats] | None = field(repr=False, default=None)
    identity: Mapping[str, Any] = field(repr=False)
    caveat: str = ""

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """What errors are given in % of, by parameter."""
        return error_ranges(self.bounds, self.identity.get("sample"))

    def parameters(self) -> Floats:
        """Parameters of the whole set, shape (size, parameter); checked.

        Raises:
            ValueError: they are not those that were frozen.
        """
        values = rounded(self.draw(), DIGITS)
        if values.shape != (self.size, len(self.names)):
            raise ValueError(
                f"test set {self.name} has parameters of shape {values.shape}; "
                f"it must be {(self.size, len(self.names))}."
            )
        found = parameters_sha256(values)
        if found != self.sha256:
            raise ValueError(
                f"test set {self.name} is not the frozen one: the SHA-256 of its parameters is {found[:16]}…, it must "
                f"be {self.sha256[:16]}…. Its plan, or how plans are drawn, has changed; results would not compare."
            )
        return values


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedTestSet:
    """A test set in memory, or its first curves.

    Attributes:
        frozen: Which one.
        parameters: Shape (curve, parameter).
        curves: Shape (curve, angle), as the set's simulator gives them.
        columns: Quantities of each curve to bin by, shape (curve,) each.
    """

    frozen: FrozenTestSet
    parameters: Floats
    curves: Curves
    columns: Mapping[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.parameters)


def parameters_sha256(values: Floats) -> str:
    """SHA-256 of parameters (n, p), as little-endian float64 rounded to 12 significant digits, row by row."""
    return hashlib.sha256(row_bytes(values)).hexdigest()


def load_test_set(
    name: str | FrozenTestSet,
    *,
    size: int | None = None,
    cached: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LoadedTestSet:
    """A frozen test set, simulated, or read from the user's cache folder.

    Args:
        name: Of a registered set, or a set.
        size: Only so many, the first ones.
        cached: Whether to look into the cache folder, and to leave a whole set there.
        progress: Called with the curves done and their total.

    Raises:
        ValueError: an unknown name, a size out of range, or parameters that are not the frozen ones.
    """
    frozen = frozen_set(name) if isinstance(name, str) else name
    number = frozen.size if size is None else size
    if not 1 <= number <= frozen.size:
        raise ValueError(f"size = {number:,}; test set {frozen.name} has 1 to {frozen.size:,} curves.")
    parameters = frozen.parameters()

    def simulated(first: int, last: int) -> Curves:
        return frozen.simulate(parameters, first, last)

    def all_simulated() -> Curves:
        parts = []
        for first in range(0, number, BLOCK):
            parts.append(simulated(first, min(first + BLOCK, number)))
            progress(min(first + BLOCK, number), number)
        return np.concatenate(parts)

    if cached:
        key = json.dumps([frozen.name, frozen.sha256, frozen.identity], sort_keys=True)
        curves = kept_curves(
            frozen.name, key, size=frozen.size, number=number, make=all_simulated, some=simulated
        )
    else:
        curves = all_simulated()
    return LoadedTestSet(
        frozen=frozen,
        parameters=parameters[:number],
        curves=curves,
        columns={key: column[:number] for key, column in frozen.columns(parameters).items()}
        | dict(frozen.seen_columns(curves)),
    )


def bounds_of(test_set: LoadedTestSet) -> Floats | None:
    """Cramér-Rao bounds of the first curves, NaN for the others, shape (curve, parameter); None without noise."""
    bound = test_set.frozen.cramer_rao
    if bound is None:
        return None
    result = np.full((len(test_set), len(test_set.frozen.names)), np.nan)
    few = min(BOUNDED, len(test_set))
    result[:few] = bound(few)
    return result


# Registry ---------------------------------------------------------------------------------------------------

_FACTORIES: dict[str, Callable[[], FrozenTestSet]] = {}


def register(name: str, factory: Callable[[], FrozenTestSet]) -> None:
    """Add a test set; it is made when first asked for.

    Raises:
        ValueError: the name is taken.
    """
    if name in _FACTORIES:
        raise ValueError(f"test set {name!r} exists already; choose another name.")
    _FACTORIES[name] = factory


def frozen_set_names() -> tuple[str, ...]:
    """Names of all test sets."""
    return tuple(_FACTORIES)


@cache
def _made(factory: Callable[[], FrozenTestSet]) -> FrozenTestSet:
    return factory()


def frozen_set(name: str) -> FrozenTestSet:
    """The test set of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in _FACTORIES:
        raise ValueError(sentence(f"test set = {name!r}{hint(name, frozen_set_names())}"))
    return _made(_FACTORIES[name])


def from_plan(
    name: str, plan: Plan, *, first: int, title: str, sha256: str, source: str, caveat: str = ""
) -> FrozenTestSet:
    """Samples first to first + 9,999 of a plan.

    Args:
        name: Of the set.
        plan: Where they come from.
        first: Sample of the plan.
        title: What it is, in words.
        sha256: Of the parameters.
        source: Name of the plan.
        caveat: See `FrozenTestSet`.

    Raises:
        ValueError: the plan's strata do not hold so many samples.
    """
    # Without replacement, samples of one plan differ from each other as long as no stratum runs out.
    plan.draws.check(first + SIZE)
    simulators: list[Simulator] = []

    def simulate(parameters: Floats, start: int, stop: int) -> Curves:
        if not simulators:
            simulators.append(Simulator(plan))
        return simulators[0].simulate(parameters[start:stop])

    return curve_set(
        name,
        plan,
        title=title,
        origin=f"samples {first:,} to {first + SIZE - 1:,} of the plan {source}, seed {plan.seed}",
        bounds=plan.bounds(),
        sha256=sha256,
        draw=lambda: plan.draws.values(first, first + SIZE),
        simulate=simulate,
        identity=plan.identity(),
        caveat=caveat,
    )


def curve_set(
    name: str,
    plan: Plan,
    *,
    title: str,
    origin: str,
    bounds: Mapping[str, tuple[float, float]],
    sha256: str,
    draw: Callable[[], Floats],
    simulate: Callable[[Floats, int, int], Curves],
    identity: Mapping[str, Any],
    caveat: str = "",
) -> FrozenTestSet:
    """A set of noise-free curves with the parameters, sample and angles of a plan; see `FrozenTestSet` for the rest."""
    experiment = plan.sample_settings.experiment()

    def columns(parameters: Floats) -> Mapping[str, Floats]:
        strain = experiment.profile.strain
        own = plan.with_held(parameters)[:, experiment.slices["profile"]][:, : len(strain.parameters)]
        return {"maximum_strain": strain.maximum(own)[0]}

    return FrozenTestSet(
        name=name,
        title=title,
        origin=origin,
        names=plan.names,
        units=tuple(plan.units[n] for n in plan.names),
        bounds=bounds,
        constraints=tuple(c for c in experiment.constraints if all(n in plan.names for n, _ in c.terms)),
        angle_arcsec=plan.angle_arcsec,
        sha256=sha256,
        draw=draw,
        simulate=simulate,
        columns=columns,
        identity=identity,
        caveat=caveat,
    )


_ON_A_GRID = (
    "The values of this set lie on a grid. Where an estimator was trained on curves beside the grid, too, even the "
    "exact posterior is not calibrated on it alone: the sets continuous and own tell."
)
_GRID_SHA256 = "28cee56f91435544be49eb56a5dd8e5e4aa5b18cd51bfdd8cf8737ab0764c2b2"


def _balanced() -> FrozenTestSet:
    return from_plan(
        "balanced",
        load_plan("balanced-1m"),
        first=FIRST_HELD_OUT,
        title="Balanced grid, bare GGG 444, noise-free",
        sha256=_GRID_SHA256,
        source="balanced-1m",
        caveat=_ON_A_GRID,
    )


def _balanced_film() -> FrozenTestSet:
    return from_plan(
        "balanced-film",
        load_plan("balanced-1m-film"),
        first=FIRST_HELD_OUT,
        title="Balanced grid, YIG on GGG 444, noise-free",
        # The same grid, seed and constraints as on bare GGG, so the same parameters.
        sha256=_GRID_SHA256,
        source="balanced-1m-film",
        caveat=_ON_A_GRID,
    )


def _continuous() -> FrozenTestSet:
    return from_plan(
        "continuous",
        load_plan("uniform-1m").with_options(seed=CONTINUOUS_SEED),
        first=0,
        title="Uniform within bounds and constraints, bare GGG 444, noise-free",
        sha256="3c75690747ac0428437c8ce12a95fe57ebb1faf4d3bc5ce63aab20a5e8526cac",
        source="uniform-1m",
    )


register("balanced", _balanced)
register("balanced-film", _balanced_film)
register("continuous", _continuous)
