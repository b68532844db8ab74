"""A result read again, to simulate what it predicts."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from strainscope.inversion.result import SCHEMA_VERSION
from strainscope.readers import read_text
from strainscope.sample.sample import Sample, validated

_LARGEST_BYTES = 200_000_000


def is_result(place: str) -> bool:
    """Whether a place is a result's folder or its document."""
    path = Path(place)
    return path.suffix == ".json" or (path / "result.json").is_file()


def read_result(place: str) -> tuple[Sample, dict[str, float]]:
    """The sample of a result and the best values of its parameters.

    Args:
        place: Its folder, or its result.json.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no result, of another version, or damaged.
    """
    path = Path(place)
    path = path / "result.json" if path.is_dir() else path
    try:
        document: Any = json.loads(read_text(path, what="result", limit_bytes=_LARGEST_BYTES))
        made_by = document["schema_version"]
        settings = {key: value for key, value in document["sample"].items() if key != "search"}
        given = {name: own["value"] for name, own in document["parameters"].items()}
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError):
        raise ValueError(
            f"{path}: is no result of an inversion; give its folder or its result.json."
        ) from None
    if made_by != SCHEMA_VERSION:
        raise ValueError(
            f"{path}: schema_version = {made_by!r}; this version reads {SCHEMA_VERSION}. Invert the scan again."
        )
    sample = validated(settings, source=str(path), folder=None)
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{path}: parameters.{name}.value = {value!r}; it must be a number.")
    missing = [spec.name for spec in sample.experiment().parameters if spec.name not in given]
    if missing:
        raise ValueError(
            f"{path}: parameters.{missing[0]} is missing, which the sample has; only results of the sample's own "
            "families (without --splines) can be simulated."
        )
    return sample, given


def values_at(described: Sample, found: Sample, values: Mapping[str, float]) -> dict[str, float]:
    """Values of the parameters of a sample, from those of the inversion that found it.

    Args:
        described: One of its reflections, measured or not.
        found: As it was inverted.
        values: Of all parameters, by the names in the result.
    """
    labels = [own.label for own in found.by_reflection()]
    names = [spec.name for spec in described.experiment().parameters]
    if described.label in labels[1:]:
        own = {name: f"{name}_{described.label}" for name in names}
        return {
            name: values[own[name] if own[name] in values else name]
            for name in names
            if own[name] in values or name in values
        }
    if described.label == labels[0]:
        return {name: values[name] for name in names if name in values}
    # Where it was not measured its instrument is taken for the first one's, but for the scan's zero.
    return {name: values[name] for name in names if name in values and name != "offset_arcsec"}
