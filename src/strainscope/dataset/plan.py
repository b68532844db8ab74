"""Plans in YAML: which parameters a dataset varies, how they are drawn, and on which angles curves are simulated."""

from collections.abc import Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from strainscope.crystal import ARCSEC
from strainscope.dataset.draw import Draws, EdgeDraws, GaussianDraws, GridDraws, Region, UniformDraws
from strainscope.dataset.grid import GridSpace, components
from strainscope.dataset.plan_settings import (
    BoxSampling,
    ContinuousRange,
    EdgeSampling,
    GaussianSampling,
    GridRange,
    PlanSettings,
    RandomSampling,
    SobolSampling,
)
from strainscope.readers import read_text
from strainscope.sample import Sample, load_sample, parse_yaml
from strainscope.sample.messages import at_key, did_you_mean, first_problem, hint, sentence

LARGEST_PLAN_BYTES = 1_000_000


class Plan(PlanSettings):
    """A plan, with what follows from it."""

    @cached_property
    def sample_settings(self) -> Sample:
        """The sample that is simulated."""
        with at_key("sample"):
            return load_sample(self.sample)

    @cached_property
    def units(self) -> dict[str, str]:
        """Unit of every parameter of the sample, in order."""
        return {spec.name: spec.unit for spec in self.sample_settings.experiment().parameters}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Parameters that vary, in the sample's order."""
        return tuple(name for name in self.units if name in self.parameters)

    @cached_property
    def held(self) -> dict[str, float]:
        """Values of the parameters that do not vary."""
        # Positions count from the kinematic Bragg angle; the curves' zero may be the refracted peak instead.
        shift = (
            self.sample_settings.substrate.refraction_shift / ARCSEC if self.angles.zero == "peak" else 0.0
        )
        given = {"offset_arcsec": -shift, "log10_scale": 0.0, "log10_background": -15.0} | self.fixed
        values = self.sample_settings.simulated_values(given)
        return {name: value for name, value in values.items() if name not in self.parameters}

    @cached_property
    def draws(self) -> Draws:
        """Which parameters the i-th sample has."""
        with at_key("sampling"):
            return self._grid_draws() if self.on_grid else self._continuous_draws()

    @property
    def on_grid(self) -> bool:
        """Whether the parameters lie on grids."""
        return all(isinstance(r, GridRange) for r in self.parameters.values())

    @property
    def angle_arcsec(self) -> NDArray[np.float64]:
        """Points of the curves [arcsec], shape (angle,)."""
        return np.asarray(
            self.angles.first + self.angles.step * np.arange(self.angles.number), dtype=np.float64
        )

    def with_options(self, *, size: int | None = None, seed: int | None = None) -> "Plan":
        """The plan with another size or seed; checked."""
        document = self.model_dump(mode="json") | _given(size=size, seed=seed)
        return checked(document, source=self.title or "plan")

    def identity(self) -> dict[str, Any]:
        """All that decides the data, as plain data: the plan, and the sample's settings as used."""
        return {
            "plan": self.model_dump(mode="json"),
            "sample": self.sample_settings.settings(),
        }

    def check(self) -> None:
        """Raise ValueError where the parts of the plan do not fit together; the message names the key."""
        known = tuple(self.units)
        for key in ("parameters", "fixed"):
            for name in getattr(self, key):
                if name not in known:
                    raise ValueError(f"{key}.{name} is no parameter of {self.sample}{hint(name, known)}")
        both = [name for name in self.fixed if name in self.parameters]
        if both:
            raise ValueError(f"fixed.{both[0]} is also in parameters; give it in one of them")
        kinds = {type(r) for r in self.parameters.values()}
        if len(kinds) > 1:
            raise ValueError(
                "parameters: some are grids (start, stop, step), others ranges (low, high); use one kind"
            )
        self._check_sampling()
        with at_key("parameters"):
            for name, r in self.parameters.items():
                if isinstance(r, GridRange):
                    r.axis(name)
        _ = self.held
        self.draws.check(self.size)
        self._check_physics()

    def _check_sampling(self) -> None:
        method = self.sampling.method
        if self.on_grid and method != "random":
            raise ValueError(
                f"sampling.method = {method}; it needs ranges (low, high) in place of grids (start, stop, step)"
            )
        if isinstance(self.sampling, RandomSampling) and not self.on_grid:
            if self.sampling.replacement or self.sampling.rounding != "exact":
                raise ValueError("sampling.replacement and sampling.rounding are for grids; leave them out")
        if self.stratify and method != "random":
            raise ValueError(
                f"stratify goes with sampling.method: random, not {method}; leave one of them out"
            )
        for key, names in (
            ("stratify", self.stratify),
            ("sampling.around", getattr(self.sampling, "around", {})),
        ):
            for name in names:
                if name not in self.parameters:
                    raise ValueError(
                        f"{key}.{name} is not in parameters{did_you_mean(name, self.parameters)}"
                    )
        for name in getattr(self.sampling, "parameters", ()):
            if name not in self.parameters:
                raise ValueError(f"sampling.parameters: {name} is not in parameters")
        around = getattr(self.sampling, "around", None)
        if around is not None:
            missing = [name for name in self.parameters if name not in around]
            if missing:
                raise ValueError(f"sampling.around.{missing[0]} is missing; give a value of every parameter")
        for name, kind in self.stratify.items():
            r = self.parameters[name]
            if isinstance(r, ContinuousRange) and kind == "values":
                raise ValueError(f"stratify.{name} = values; a range has no values, give a number of bins")
            if isinstance(r, GridRange) and kind != "values" and int(kind) > len(r.axis(name)):
                raise ValueError(
                    f"stratify.{name} = {kind} bins; its grid has {len(r.axis(name))} values, use at most that many"
                )

    def _check_physics(self) -> None:
        """A few samples, and the extremes, must be profiles that the family allows."""
        own = [s.name for s in self.sample_settings.experiment().profile.parameters]
        values = self.draws.values(0, min(self.size, 64))
        everything = self.with_held(values)
        columns = [list(self.units).index(name) for name in own]
        self.sample_settings.experiment().profile.check(everything[:, columns])

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest value of each parameter that varies."""
        return {
            name: (r.low, r.high) if isinstance(r, ContinuousRange) else (r.start, r.stop)
            for name, r in self._ranges()
        }

    def grid_reach(self) -> int | None:
        """How many samples can be drawn, as far as the smallest stratum goes; None where there is no end."""
        draws = self.draws
        if isinstance(draws, GridDraws) and not draws.replacement:
            return int(draws.space.sizes.min()) * len(draws.space.sizes)
        return None

    def with_held(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values of all parameters of the sample (n, all) from those that vary (n, parameter)."""
        names = list(self.units)
        result = np.tile([self.held.get(name, 0.0) for name in names], (len(values), 1))
        result[:, [names.index(name) for name in self.names]] = values
        return result

    def _grid_draws(self) -> GridDraws:
        assert isinstance(self.sampling, RandomSampling)
        axes = [r.axis(name) for name, r in self._ranges() if isinstance(r, GridRange)]
        labels = {}
        for axis in axes:
            if axis.name in self.stratify:
                number, kind = len(axis), self.stratify[axis.name]
                bins = number if kind == "values" else int(kind)
                labels[axis.name] = np.arange(number) * bins // number
        rounding = self.sampling.rounding
        parts = components(axes, self._constraints, self.held, rounding=rounding)
        space = GridSpace(parts, labels, rounding=rounding)
        return GridDraws(space, self.names, seed=self.seed, replacement=self.sampling.replacement)

    def _continuous_draws(self) -> Draws:
        ranges = {name: (r.low, r.high) for name, r in self._ranges() if isinstance(r, ContinuousRange)}
        region = Region(ranges=ranges, constraints=self._constraints, fixed=self.held)
        sampling = self.sampling
        if isinstance(sampling, EdgeSampling):
            return EdgeDraws(
                region,
                seed=self.seed,
                parameters=sampling.parameters,
                width=sampling.width,
                share=sampling.share,
            )
        if isinstance(sampling, BoxSampling):
            box = {}
            for name, (low, high) in ranges.items():
                reach = sampling.percent / 100 * (high - low)
                box[name] = (
                    max(low, sampling.around[name] - reach),
                    min(high, sampling.around[name] + reach),
                )
                if not box[name][0] < box[name][1]:
                    raise ValueError(
                        f"around.{name} = {sampling.around[name]:g} lies outside its range, {low:g} to {high:g}"
                    )
            return UniformDraws(
                Region(ranges=box, constraints=self._constraints, fixed=self.held), seed=self.seed
            )
        if isinstance(sampling, GaussianSampling):
            sd = {name: sampling.percent / 100 * (high - low) for name, (low, high) in ranges.items()}
            return GaussianDraws(region, seed=self.seed, around=sampling.around, sd=sd)
        bins = {name: int(kind) for name, kind in self.stratify.items() if kind != "values"}
        return UniformDraws(region, seed=self.seed, bins=bins, sobol=isinstance(sampling, SobolSampling))

    def _ranges(self) -> list[tuple[str, GridRange | ContinuousRange]]:
        return [(name, self.parameters[name]) for name in self.names]

    @property
    def _constraints(self) -> Any:  # noqa: ANN401
        own = self.sample_settings.experiment().constraints
        return tuple(c for c in own if any(name in self.parameters for name, _ in c.terms))


def plan_presets() -> tuple[str, ...]:
    """Names of the plans that ship, sorted."""
    names = (entry.name for entry in resources.files("strainscope").joinpath("plans").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def plan_text(name: str) -> str:
    """The YAML of a plan that ships.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in plan_presets():
        raise ValueError(sentence(f"plan = {name!r}{hint(name, plan_presets())}"))
    return resources.files("strainscope").joinpath("plans", f"{name}.yaml").read_text(encoding="utf-8")


def load_plan(name_or_path: str, *, size: int | None = None, seed: int | None = None) -> Plan:
    """The plan of a preset's name or of a YAML file's path, checked as a whole.

    Args:
        name_or_path: Of the plan.
        size: Samples, in place of the plan's.
        seed: In place of the plan's.

    Raises:
        OSError: a file is missing or cannot be read.
        ValueError: what is wrong in it, in one line: file, key, value, what is allowed.
    """
    if name_or_path in plan_presets():
        data = parse_yaml(plan_text(name_or_path), source=name_or_path)
        return checked(data | _given(size=size, seed=seed), source=name_or_path)
    path = Path(name_or_path)
    if path.suffix.lower() not in (".yaml", ".yml") and path.parent == Path() and not path.exists():
        raise ValueError(
            sentence(
                f"plan = {name_or_path!r} is neither a file nor one of the plans {', '.join(plan_presets())}"
                f"{did_you_mean(name_or_path, plan_presets())}"
            )
        )
    text = read_text(path, what="plan", limit_bytes=LARGEST_PLAN_BYTES)
    data = parse_yaml(text, source=name_or_path)
    sample = data.get("sample")
    if isinstance(sample, str) and (path.parent / sample).is_file():
        data["sample"] = str(path.parent / sample)
    return checked(data | _given(size=size, seed=seed), source=name_or_path)


def _given(**options: int | None) -> dict[str, int]:
    return {key: value for key, value in options.items() if value is not None}


def checked(data: Mapping[str, Any], *, source: str) -> Plan:
    """The plan that plain data describe, checked as a whole.

    Raises:
        ValueError: what is wrong in it, in one line.
    """
    try:
        plan = Plan.model_validate(dict(data))
    except ValidationError as error:
        raise ValueError(sentence(f"{source}: {first_problem(error)}")) from None
    try:
        plan.check()
    except ValueError as error:
        raise ValueError(sentence(f"{source}: {error}")) from None
    return plan
