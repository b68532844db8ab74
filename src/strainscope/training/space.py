"""A sweep's space in YAML: which keys of a training plan are tried, and with which values."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from strainscope.estimator.plan import (
    CurriculumSettings,
    NetworkSettings,
    TrainingPlan,
    checked_training,
)
from strainscope.readers import read_text
from strainscope.sample import parse_yaml
from strainscope.sample.base import Settings
from strainscope.sample.messages import at_key, first_problem, hint, sentence

LARGEST_SPACE_BYTES = 100_000
Value = int | float | str

_FREE = (
    "batch",
    "learning_rate",
    "weight_decay",
    "warm_up",
    "schedule",
    "loss",
    "point_weight",
    "average",
    "clip",
    "precision",
    "coordinates",
)
SWEPT = (
    *_FREE,
    *(f"network.{name}" for name in NetworkSettings.model_fields),
    *(f"curriculum.{name}" for name in CurriculumSettings.model_fields if name != "quantity"),
)
"""Keys that may be tried. The others decide what the errors are errors of, or how long a trial takes."""


class Interval(Settings):
    """Numbers between two ends; whole ones where both ends (and the step) are."""

    low: int | float
    high: int | float
    log: bool = False
    step: Annotated[int | float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Interval":
        if not self.low < self.high:
            raise ValueError(f"low = {self.low:g}, high = {self.high:g}; low must be < high")
        if self.log and not self.low > 0:
            raise ValueError(f"low = {self.low:g}; with log it must be > 0")
        if self.step is not None:
            if self.log:
                raise ValueError("log and step do not go together; leave one out")
            steps = (self.high - self.low) / self.step
            if not math.isclose(steps, round(steps), abs_tol=1e-9) or steps < 1:
                raise ValueError(
                    f"step = {self.step:g}; from low = {self.low:g} whole steps must lead to high = {self.high:g}"
                )
        return self

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are tried."""
        return all(type(number) is int for number in (self.low, self.high, self.step or 1))


Space = Mapping[str, tuple[Value, ...] | Interval]
"""By key of the plan: a choice, or numbers between two ends."""

_CHOICES = TypeAdapter(Annotated[tuple[Value, ...], Field(min_length=2)])


def load_space(path: Path, plan: TrainingPlan) -> Space:
    """The space of a YAML file, every key's ends and choices tried on the plan.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: what is wrong in it, in one line: file, key, value, what is allowed.
    """
    data = parse_yaml(read_text(path, what="space", limit_bytes=LARGEST_SPACE_BYTES), source=str(path))
    if not data:
        raise ValueError(f"{path}: is empty; give keys of the plan with their values, such as batch: [256, 512].")
    space = {}
    for key, given in data.items():
        try:
            with at_key(str(key)):
                space[key] = _own(key, given)
        except ValueError as error:
            raise ValueError(sentence(f"{path}: {error}")) from None
        for value in _tried_first(space[key]):
            with_values(plan, {key: value}, source=str(path))
    return space


def _own(key: object, given: object) -> tuple[Value, ...] | Interval:
    """What is tried of a key.

    Raises:
        ValueError: the key cannot be tried, or what is given is neither a choice nor two ends.
    """
    if key not in SWEPT:
        if str(key).partition(".")[0] in TrainingPlan.model_fields and key not in ("network", "curriculum"):
            raise ValueError("is the same for all trials, or they could not be compared; set it in the plan")
        raise ValueError(f"is no key to try{hint(key, SWEPT)}")
    try:
        if isinstance(given, Mapping):
            return Interval.model_validate(dict(given))
        if isinstance(given, list):
            choices = _CHOICES.validate_python(given)
            if len(set(choices)) < len(choices):
                raise ValueError(f"{given}; every value may stand there once")
            return choices
    except ValidationError as error:
        raise ValueError(first_problem(error)) from None
    raise ValueError(f"{given!r}; give a list of values, or {{low: …, high: …}} with log: true or a step")


def _tried_first(own: tuple[Value, ...] | Interval) -> tuple[Value, ...]:
    """Values that show whether the others may be tried, too."""
    if not isinstance(own, Interval):
        return own
    if own.whole:
        return own.low, own.high
    # Between whole numbers, which keys that want whole ones refuse.
    inside = own.low + own.step if own.step is not None else own.low + (own.high - own.low) / math.pi
    return own.low, own.high, inside


def with_values(plan: TrainingPlan, values: Mapping[str, Value], *, source: str) -> TrainingPlan:
    """The plan with other values of some keys, such as network.width, checked as a whole.

    Raises:
        ValueError: they do not fit together, in a line that begins with the source.
    """
    document: dict[str, Any] = plan.model_dump(mode="json")
    for key, value in values.items():
        part, _, name = key.partition(".")
        document[part] = {**(document[part] or {}), name: value} if name else value
    return checked_training(document, source=source)


def combinations(space: Space) -> float:
    """How many trials can differ; infinite where a key takes any number."""
    number = 1.0
    for own in space.values():
        if not isinstance(own, Interval):
            number *= len(own)
        elif own.step is not None or own.whole:
            number *= 1 + round((own.high - own.low) / (own.step or 1))
        else:
            return math.inf
    return number


def plain(space: Space) -> dict[str, Any]:
    """The space as plain data."""
    return {
        key: own.model_dump(mode="json") if isinstance(own, Interval) else list(own) for key, own in space.items()
    }
