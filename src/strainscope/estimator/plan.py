"""Training plans in YAML: which network, on which simulated data, for how long, and how."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from strainscope.dataset.plan import Plan, load_plan
from strainscope.readers import read_text
from strainscope.sample import parse_yaml
from strainscope.sample.base import Positive, Settings
from strainscope.sample.messages import at_key, did_you_mean, first_problem, hint, sentence

LARGEST_PLAN_BYTES = 1_000_000
Count = Annotated[int, Field(ge=1)]


class DataSettings(Settings):
    """A dataset that is simulated for the training, or is there already."""

    plan: str
    size: Count | None = None
    seed: Annotated[int, Field(ge=0)] | None = None

    def build(self) -> Plan:
        """Its plan."""
        return load_plan(self.plan, size=self.size, seed=self.seed)


class NetworkSettings(Settings):
    """Sizes of the posterior network."""

    width: Count = 1024
    blocks: Count = 3
    context: Count = 256
    transforms: Count = 3
    bins: Count = 12
    hidden: Count = 192


class TrainingPlan(Settings):
    """The keys of a training plan.

    Samples count curves seen, each as often as it comes; the learning rate rises over the first `warm_up`, then falls
    as half a cosine to the end.
    """

    title: str = ""
    model: Literal["posterior"] = "posterior"
    data: Annotated[tuple[DataSettings, ...], Field(min_length=1)]
    network: NetworkSettings = NetworkSettings()
    samples: Count = 10_000_000
    batch: Annotated[int, Field(ge=2, le=65_536)] = 512
    learning_rate: Annotated[float, Field(gt=0, le=0.1)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-4
    warm_up: Annotated[int, Field(ge=0)] = 50_000
    point_weight: Annotated[float, Field(ge=0)] = 20.0
    average: Annotated[float, Field(ge=0, lt=1)] = 0.999
    clip: Positive = 1.0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    seed: Annotated[int, Field(ge=0)] = 0
    validation: Annotated[int, Field(ge=64)] = 4096
    validate_every: Count = 200_000
    patience: Count | None = None

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest value of each parameter over all data."""
        found: dict[str, tuple[float, float]] = {}
        for data in self.data:
            for name, (low, high) in data.build().bounds().items():
                least, most = found.get(name, (low, high))
                found[name] = (min(least, low), max(most, high))
        return found

    def check(self) -> None:
        """Raise ValueError where data do not fit together; the message names the key."""
        plans = []
        for i, data in enumerate(self.data):
            with at_key(f"data[{i}]"):
                plans.append(data.build())
        first = plans[0]
        for i, other in enumerate(plans[1:], start=1):
            for what, one, two in (
                ("parameters", first.names, other.names),
                ("angles", first.angles, other.angles),
                ("sample", first.sample_settings.settings(), other.sample_settings.settings()),
            ):
                if one != two:
                    raise ValueError(f"data[{i}] has other {what} than data[0]; one network needs the same")


def training_presets() -> tuple[str, ...]:
    """Names of the training plans that ship, sorted."""
    names = (entry.name for entry in resources.files("strainscope").joinpath("trainings").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def load_training_plan(name_or_path: str) -> TrainingPlan:
    """The training plan of a preset's name or of a YAML file's path.

    Raises:
        OSError: a file is missing or cannot be read.
        ValueError: what is wrong in it, in one line: file, key, value, what is allowed.
    """
    if name_or_path in training_presets():
        place = resources.files("strainscope").joinpath("trainings", f"{name_or_path}.yaml")
        return checked_training(
            parse_yaml(place.read_text(encoding="utf-8"), source=name_or_path), source=name_or_path
        )
    path = Path(name_or_path)
    if path.suffix.lower() not in (".yaml", ".yml") and path.parent == Path() and not path.exists():
        raise ValueError(
            sentence(
                f"plan = {name_or_path!r} is no file{hint(name_or_path, training_presets())}"
                f"{did_you_mean(name_or_path, training_presets())}"
            )
        )
    data = parse_yaml(read_text(path, what="plan", limit_bytes=LARGEST_PLAN_BYTES), source=name_or_path)
    for entry in data.get("data") or ():
        if isinstance(entry, dict) and (path.parent / str(entry.get("plan"))).is_file():
            entry["plan"] = str(path.parent / str(entry["plan"]))
    return checked_training(data, source=name_or_path)


def checked_training(data: Mapping[str, Any], *, source: str) -> TrainingPlan:
    """The training plan that plain data describe, checked as a whole.

    Raises:
        ValueError: what is wrong in it, in one line.
    """
    try:
        plan = TrainingPlan.model_validate(dict(data))
    except ValidationError as error:
        raise ValueError(sentence(f"{source}: {first_problem(error)}")) from None
    try:
        plan.check()
    except ValueError as error:
        raise ValueError(sentence(f"{source}: {error}")) from None
    return plan
