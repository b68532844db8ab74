"""The keys of a plan: ranges, ways to draw, angles."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from strainscope.dataset.grid import Axis
from strainscope.sample.base import Positive, Settings

Share = Annotated[float, Field(gt=0, le=1)]


class GridRange(Settings):
    """A parameter on a grid: start, start + step, … stop."""

    start: float
    stop: float
    step: Positive

    def axis(self, name: str) -> Axis:
        """The grid as decimals, as written."""
        start, stop, step = (Decimal(repr(value)) for value in (self.start, self.stop, self.step))
        return Axis(name=name, start=start, stop=stop, step=step)


class ContinuousRange(Settings):
    """A parameter anywhere between two bounds."""

    low: float
    high: float

    @model_validator(mode="after")
    def _increasing(self) -> "ContinuousRange":
        if not self.low < self.high:
            raise ValueError(f"low = {self.low:g}, high = {self.high:g}; low must be < high")
        return self


def _range_kind(value: object) -> str:
    keys = value if isinstance(value, Mapping) else vars(value) if hasattr(value, "__dict__") else {}
    return "grid" if "step" in keys or "start" in keys else "continuous"


ParameterRange = Annotated[
    Annotated[GridRange, Tag("grid")] | Annotated[ContinuousRange, Tag("continuous")],
    Discriminator(_range_kind),
]


class RandomSampling(Settings):
    """At random: from a grid without replacement (or with), or uniform over ranges."""

    method: Literal["random"] = "random"
    replacement: bool = False
    rounding: Literal["exact", "report"] = "exact"


class SobolSampling(Settings):
    """Quasi-random over ranges."""

    method: Literal["sobol"]


class BoxSampling(Settings):
    """Uniform in a box around given parameters; percent is of each parameter's range, to either side."""

    method: Literal["box"]
    around: dict[str, float]
    percent: Annotated[float, Field(gt=0, le=100)]


class GaussianSampling(Settings):
    """Normal around given parameters; percent is the standard deviation, of each parameter's range."""

    method: Literal["gaussian"]
    around: dict[str, float]
    percent: Annotated[float, Field(gt=0, le=100)]


class EdgeSampling(Settings):
    """Uniform, with a share of the samples where one of the parameters lies at an end of its range."""

    method: Literal["edges"]
    parameters: Annotated[tuple[str, ...], Field(min_length=1)]
    width: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    share: Share = 0.5


Sampling = Annotated[
    RandomSampling | SobolSampling | BoxSampling | GaussianSampling | EdgeSampling,
    Field(discriminator="method"),
]


class Angles(Settings):
    """Points of the curves: first, first + step, … in arcsec of incidence; growing towards larger θ.

    Their zero is the substrate's refracted peak ("peak") or its kinematic Bragg angle ("bragg").
    """

    first: float
    step: Positive
    number: Annotated[int, Field(ge=20, le=100_000)]
    zero: Literal["peak", "bragg"] = "peak"


def _strata(value: object) -> object:
    if value == "values" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError(f"{value!r}; it must be values, or a number of bins >= 1")


class PlanSettings(Settings):
    """The keys of a plan."""

    title: str = ""
    sample: str
    size: Annotated[int, Field(ge=1)] = 1_000_000
    seed: Annotated[int, Field(ge=0)] = 0
    parameters: Annotated[dict[str, ParameterRange], Field(min_length=1)]
    fixed: dict[str, float] = {}
    sampling: Sampling = RandomSampling()
    stratify: dict[str, Annotated[Literal["values"] | int, BeforeValidator(_strata)]] = {}
    angles: Angles
    tolerance: Annotated[float, Field(ge=1e-5, le=0.1)] = 1e-3
