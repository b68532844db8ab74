"""What every mapping of a sample file shares: known keys, frozen, and the kinds of numbers and paths."""

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from strainscope.sample.messages import hint


def _increasing(value: tuple[float, float]) -> tuple[float, float]:
    if not value[0] < value[1]:
        raise ValueError(f"[{value[0]:g}, {value[1]:g}]; the first must be < the second")
    return value


def _strain(value: float) -> float:
    if not abs(value) <= LARGEST_STRAIN:
        raise ValueError(strain_problem(f"{value:g}", value))
    return value


def strain_problem(shown: str, value: float) -> str:
    """What is wrong with a strain that no crystal bears: most likely it is meant in percent."""
    meant = f"; for {value:g} % write {value / 100:g}" if abs(value) <= 100 * LARGEST_STRAIN else ""
    return f"{shown}; strain is Δd/d, not percent, and must lie in ±{LARGEST_STRAIN:g}{meant}"


def _strains(value: tuple[float, float]) -> tuple[float, float]:
    for end in value:
        if not abs(end) <= LARGEST_STRAIN:
            raise ValueError(strain_problem(f"[{value[0]:g}, {value[1]:g}]", end))
    return value


def _indices(value: object) -> object:
    numbers = list(value) if isinstance(value, list | tuple) else []
    if len(numbers) not in (3, 4) or not all(type(number) is int for number in numbers):
        example = "[4, 4, 4]"
        if type(value) is int and 100 <= value <= 999:
            example = f"[{', '.join(str(value))}]"
        raise ValueError(
            f"{reprlib.repr(value)}; give three whole numbers in brackets, such as {example}, or four"
        )
    return value


def _in_folder(value: str, info: ValidationInfo) -> str:
    return str(Path((info.context or {}).get("folder", "")) / value)


LARGEST_STRAIN = 0.2
Positive = Annotated[float, Field(gt=0)]
Range = Annotated[tuple[float, float], AfterValidator(_increasing)]
Strain = Annotated[Positive, AfterValidator(_strain)]
StrainRange = Annotated[Range, AfterValidator(_strains)]
Miller = Annotated[tuple[int, ...], BeforeValidator(_indices)]
FilePath = Annotated[str, AfterValidator(_in_folder)]


class Settings(BaseModel):
    """A mapping of a sample file: frozen, and it knows its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:  # noqa: ANN401
        if isinstance(data, Mapping):
            for key in data:
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key {reprlib.repr(key)}{hint(key, cls.model_fields)}")
        return data


def exactly_one(settings: Settings, *keys: str) -> None:
    """Raise unless just one of the keys is given."""
    given = [key for key in keys if getattr(settings, key) is not None]
    if len(given) != 1:
        what = f"{' and '.join(given)} are both given" if given else f"{' or '.join(keys)} is missing"
        raise ValueError(f"{what}; give exactly one of {' and '.join(keys)}")
