"""Training plans in YAML: which network, on which simulated data, for how long, and how."""

from collections.abc import Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from strainscope.dataset.plan import Plan, load_plan
from strainscope.measurement import LabSettings
from strainscope.readers import read_text
from strainscope.sample import Sample, load_sample, parse_yaml
from strainscope.sample.base import Positive, Settings
from strainscope.sample.messages import at_key, first_problem, hint, sentence

LARGEST_PLAN_BYTES = 1_000_000
Count = Annotated[int, Field(ge=1)]
_MOST_VALIDATION = 65_536


class DataSettings(Settings):
    """A dataset that is simulated for the training, or is there already."""

    plan: str
    size: Count | None = None
    seed: Annotated[int, Field(ge=0)] | None = None

    def build(self) -> Plan:
        """Its plan."""
        return load_plan(self.plan, size=self.size, seed=self.seed)


class LabData(Settings):
    """Scans of a sample, or of several, as laboratories measure them, simulated while the training goes on."""

    sample: str | Annotated[tuple[str, ...], Field(min_length=1)]
    scans: LabSettings = LabSettings()

    def build(self) -> tuple[Sample, ...]:
        """The samples."""
        with at_key("lab.sample"):
            return tuple(load_sample(name) for name in self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Presets' names or files' paths of the samples."""
        return (self.sample,) if isinstance(self.sample, str) else self.sample


class NetworkSettings(Settings):
    """Sizes of the posterior network."""

    width: Count = 384
    inner: Count = 1024
    blocks: Count = 4
    context: Count = 128
    transforms: Count = 3
    bins: Count = 8
    hidden: Count = 128


class CurriculumSettings(Settings):
    """Low strain first: what is used grows from `start` of the quantity's range to all of it over the first share."""

    share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    quantity: str = "Dmax1"
    start: Annotated[float, Field(gt=0, le=1)] = 0.1


class TrainingPlan(Settings):
    """The keys of a training plan.

    Samples count curves seen, each as often as it comes; the learning rate rises over the first `warm_up`, then falls
    as half a cosine to the end. With `minutes` a training ends, and the rate falls, by samples or by time, whichever
    has more of its share behind it; how far it comes then depends on the machine. At `annealed_at` samples the rate has
    fallen to its end once before, as if the training were over there. With `fresh` the curves of the data are
    simulated as the training goes, each for one batch, and none is stored. Samples, minutes and seed are those of each
    member of an ensemble; the seeds of later ones follow. None stands for what the model does by itself.
    """

    title: str = ""
    model: Literal["posterior", "v1", "v2", "v3", "cnn2023"] = "posterior"
    data: tuple[DataSettings, ...] = ()
    fresh: bool = False
    lab: LabData | None = None
    network: NetworkSettings = NetworkSettings()
    coordinates: Literal["probit", "logit"] = "probit"
    window: Annotated[int, Field(ge=0)] = 0
    loss: Literal["default", "weighted", "penalised"] = "default"
    curriculum: CurriculumSettings | None = None
    ensemble: Annotated[int, Field(ge=1, le=5)] = 1
    samples: Count = 10_000_000
    annealed_at: Count | None = None
    minutes: Positive | None = None
    batch: Annotated[int, Field(ge=2, le=65_536)] | None = None
    learning_rate: Annotated[float, Field(gt=0, le=0.1)] | None = None
    weight_decay: Annotated[float, Field(ge=0, le=1)] | None = None
    schedule: Literal["default", "cosine"] = "default"
    warm_up: Annotated[int, Field(ge=0)] | None = None
    point_weight: Annotated[float, Field(ge=0)] = 20.0
    average: Annotated[float, Field(ge=0, lt=1)] | None = None
    clip: Positive | None = None
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    seed: Annotated[int, Field(ge=0)] = 0
    validation: Annotated[int, Field(ge=64)] = 4096
    validate_every: Count = 200_000
    patience: Count | None = None
    recalibrate: Annotated[int, Field(ge=0, le=32_768)] = 0

    @cached_property
    def plans(self) -> tuple[Plan, ...]:
        """Plans of the data.

        Raises:
            OSError, ValueError: what is wrong in one; the message names the key.
        """
        plans = []
        for i, data in enumerate(self.data):
            with at_key(f"data[{i}]"):
                plans.append(data.build())
        return tuple(plans)

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest value of each parameter over all data."""
        found: dict[str, tuple[float, float]] = {}
        for data in self.plans:
            for name, (low, high) in data.bounds().items():
                least, most = found.get(name, (low, high))
                found[name] = (min(least, low), max(most, high))
        return found

    def check(self) -> None:
        """Raise ValueError where data do not fit together; the message names the key."""
        if self.annealed_at is not None and not self.annealed_at < self.samples:
            raise ValueError(f"annealed_at = {self.annealed_at}; it must lie below samples = {self.samples}")
        if self.validation > _MOST_VALIDATION:
            raise ValueError(
                f"validation = {self.validation:,}; it must be <= {_MOST_VALIDATION:,}: all of them are simulated "
                "before the first step and looked at again and again, and more tell the mean errors no better"
            )
        if self.warm_up is not None and not self.warm_up < self.samples:
            raise ValueError(
                f"warm_up = {self.warm_up:,}; it must lie below samples = {self.samples:,}, or the learning rate never "
                "reaches its height; lower it, or leave it out"
            )
        if bool(self.data) == (self.lab is not None):
            raise ValueError("give either data (datasets of curves) or lab (simulated scans), and not both")
        if self.lab is not None:
            self._check_lab()
            return
        self._check_fresh()
        first = self.plans[0]
        for i, other in enumerate(self.plans[1:], start=1):
            for what, one, two in (
                ("parameters", first.names, other.names),
                ("angles", first.angles, other.angles),
                ("sample", first.sample_settings.settings(), other.sample_settings.settings()),
            ):
                if one != two:
                    raise ValueError(f"data[{i}] has other {what} than data[0]; one network needs the same")
        self._check_model(first)
        if self.curriculum is not None and self.curriculum.quantity not in first.names:
            raise ValueError(
                f"curriculum.quantity = {self.curriculum.quantity!r}{hint(self.curriculum.quantity, first.names)}"
            )

    def _check_fresh(self) -> None:
        """Raise where curves cannot each come once."""
        if not self.fresh:
            return
        if self.curriculum is not None:
            raise ValueError("curriculum goes with stored data; leave it out, or fresh")
        if any(own.sampling.method == "sobol" for own in self.plans):
            raise ValueError(
                "fresh does not go with sampling.method: sobol, which counts from its first sample; use random"
            )
        there = sum(own.size for own in self.plans)
        if there < self.samples:
            raise ValueError(
                f"fresh: samples = {self.samples:,}, of data that are {there:,} in all; give data[].size, "
                f"{self.samples:,} together or more, so that no sample comes twice"
            )

    def _check_lab(self) -> None:
        """Raise where a key does not go with scans."""
        for key in ("window", "loss", "curriculum", "fresh"):
            if getattr(self, key) != TrainingPlan.model_fields[key].default:
                raise ValueError(f"{key} goes with data, not with lab; leave it out")
        if self.model != "posterior":
            raise ValueError(f"model = {self.model} reads curves, not scans; lab goes with model: posterior")
        if self.lab is not None:
            self.lab.build()

    def _check_model(self, data: Plan) -> None:
        """Raise where a model does not go with other keys, or with the points of the curves."""
        if self.annealed_at is not None and self.model != "posterior" and self.schedule != "cosine":
            raise ValueError(
                f"annealed_at goes with schedule: cosine, which {self.model} does not have by default"
            )
        if self.model == "posterior" and self.loss == "penalised":
            raise ValueError(
                "loss = penalised goes with model: v1, v2, v3 or cnn2023; what the posterior gives obeys the "
                "constraints already"
            )
        if self.model != "posterior" and self.network != NetworkSettings():
            raise ValueError(f"network goes with model: posterior, not {self.model}; leave it out")
        if self.model != "posterior" and self.recalibrate:
            raise ValueError(f"recalibrate goes with model: posterior, not {self.model}; leave it out")
        if self.model != "posterior" and self.coordinates != "probit":
            raise ValueError(f"coordinates goes with model: posterior, not {self.model}; leave it out")
        least = 171 if self.model == "cnn2023" else 20
        left = data.angles.number - self.window
        if left < least:
            raise ValueError(
                f"window = {self.window} leaves {max(left, 0)} of {data.angles.number} points; {self.model} needs at "
                f"least {least}"
            )


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
            sentence(f"plan = {name_or_path!r} is no file{hint(name_or_path, training_presets())}")
        )
    data = parse_yaml(read_text(path, what="plan", limit_bytes=LARGEST_PLAN_BYTES), source=name_or_path)
    entries, lab = data.get("data"), data.get("lab")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and "plan" in entry:
            entry["plan"] = _beside(path, entry["plan"])
    if isinstance(lab, dict) and "sample" in lab:
        names = lab["sample"]
        lab["sample"] = [_beside(path, n) for n in names] if isinstance(names, list) else _beside(path, names)
    return checked_training(data, source=name_or_path)


def _beside(plan: Path, name: object) -> object:
    """The whole path of a file that a plan names from its own folder; what is none stays as it is."""
    place = plan.parent.resolve() / name if isinstance(name, str) else None
    return str(place) if place is not None and place.is_file() else name


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
