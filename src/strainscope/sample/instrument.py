"""Instrument files: what a reference said of the resolution, as a prior for the scans that follow."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from strainscope.readers import read_text
from strainscope.sample.base import Miller, Settings
from strainscope.sample.families import MeasuredResolutionSettings, ResolutionSettings
from strainscope.sample.messages import first_problem, sentence
from strainscope.sample.parts import FitSettings, MonochromatorSettings, SpectrumSettings
from strainscope.sample.reading import LARGEST_SAMPLE_BYTES, parse_yaml
from strainscope.sample.sample import Sample, validated
from strainscope.sample.settings import SampleSettings, overlaid

# Bragg angles [°] of the reference and of the sample may differ by this much: their lattice parameters do a little.
BRAGG_TOLERANCE_DEG = 0.1


class Instrument(Settings):
    """What an instrument file says.

    Attributes:
        reflection: Of the reference; an instrument serves the sample's reflection of these indices.
        bragg_angle_deg: Its Bragg angle [°].
        monochromator, spectrum: As they were when the resolution was fitted.
        resolution: Its family.
        fit: Its parameters.
    """

    reflection: Miller
    bragg_angle_deg: float
    monochromator: MonochromatorSettings | None = None
    spectrum: SpectrumSettings = SpectrumSettings()
    resolution: ResolutionSettings
    fit: dict[str, FitSettings]


def instrument_text(sample: Sample, found: Mapping[str, tuple[float, float]], *, about: str) -> str:
    """An instrument file.

    Args:
        sample: Of the reference.
        found: Mean and standard deviation of the resolution's parameters, by name.
        about: Comments, a line each.
    """
    document: dict[str, Any] = {
        "reflection": list(sample.reflection),
        "bragg_angle_deg": round(float(np.degrees(sample.substrate.bragg_angle)), 5),
    }
    if sample.monochromator is not None:
        document["monochromator"] = sample.monochromator.model_dump(mode="json", exclude_none=True)
    document["spectrum"] = sample.spectrum.model_dump(mode="json", exclude_none=True)
    document["resolution"] = sample.resolution.model_dump(mode="json")
    if isinstance(sample.resolution, MeasuredResolutionSettings):
        document["resolution"]["path"] = str(Path(sample.resolution.path).resolve())
    held = {name: {"value": value, "held": True} for name, value in _held_of_resolution(sample).items()}
    document["fit"] = held | {
        name: {"mean": float(f"{mean:.6g}"), "sd": float(f"{sd:.3g}")} for name, (mean, sd) in found.items()
    }
    head = "".join(f"# {line}\n" for line in about.splitlines())
    return head + yaml.safe_dump(document, sort_keys=False, default_flow_style=None, allow_unicode=True)


def _held_of_resolution(sample: Sample) -> dict[str, float]:
    own = {spec.name for spec in sample.experiment().resolution.parameters}
    return {name: value for name, value in sample.held().items() if name in own}


def load_instrument(path: str) -> Instrument:
    """The instrument of a file.

    Raises:
        OSError: it is missing or cannot be read.
        ValueError: what is wrong in it, in one line.
    """
    text = read_text(Path(path), what="instrument", limit_bytes=LARGEST_SAMPLE_BYTES)
    data = parse_yaml(text, source=path)
    try:
        return Instrument.model_validate(data, context={"folder": Path(path).parent})
    except ValidationError as error:
        raise ValueError(sentence(f"{path}: {first_problem(error)}")) from None


def with_instrument(sample: Sample, path: str) -> Sample:
    """A sample whose reflection of the same indices has the resolution of an instrument file.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it is no instrument file, or not one of the sample's instrument.
    """
    own = load_instrument(path)
    reflections = sample.by_reflection()
    names = [list(other.reflection) for other in reflections]
    if list(own.reflection) not in names:
        raise ValueError(
            f"{path}: is of reflection {list(own.reflection)}, the sample has {', '.join(map(str, names))}; "
            "calibrate with a reference at the sample's."
        )
    number = names.index(list(own.reflection))
    _check_alike(own, reflections[number], path)
    known = {spec.name for spec in sample.experiment().profile.parameters}
    settings = sample.model_dump(exclude_unset=True)
    given = own.model_dump(exclude_unset=True, include={"resolution", "fit"})
    for name in given["fit"]:
        if name in known:
            raise ValueError(f"{path}: fit.{name} is of the sample, not of the instrument; leave it out.")
    entries = list(settings.get("reflections", ()))
    if entries:
        entries[number] = _laid_over(entries[number], given, reflections[number])
        settings["reflections"] = entries
    if number == 0:
        settings = _laid_over(settings, given, sample)
    return validated(settings, source=path, folder=None)


def _laid_over(settings: dict[str, Any], given: dict[str, Any], sample: Sample) -> dict[str, Any]:
    """Settings with the instrument's in their place; of what they said of its parameters only bounds are kept."""
    former = {spec.name for spec in sample.experiment().resolution.parameters}
    fit = dict(settings.get("fit") or {})
    for name in former | set(given["fit"]):
        entry = fit.pop(name, None) or {}
        if name in given["fit"] and entry.get("bounds") is not None:
            fit[name] = {"bounds": entry["bounds"]}
    new = {name: fit.get(name, {}) | own for name, own in given["fit"].items()}
    return overlaid(settings | {"fit": fit}, {"resolution": given["resolution"], "fit": new})


def _check_alike(own: Instrument, sample: SampleSettings, path: str) -> None:
    """Raise unless the instrument was calibrated as the sample says that it is measured."""
    bragg = float(np.degrees(sample.substrate.bragg_angle))
    if abs(own.bragg_angle_deg - bragg) > BRAGG_TOLERANCE_DEG:
        raise ValueError(
            f"{path}: was calibrated at a Bragg angle of {own.bragg_angle_deg:g}°, the sample's is {bragg:.4f}°; they "
            f"may differ by {BRAGG_TOLERANCE_DEG:g}°. Calibrate with a reference of the same crystal and wavelength."
        )
    for key in ("monochromator", "spectrum"):
        theirs, ours = getattr(own, key), getattr(sample, key)
        if _plain(theirs) != _plain(ours):
            raise ValueError(
                f"{path}: {key} is {_plain(theirs)}, but the sample's is {_plain(ours)}; calibrate and invert with "
                "the same."
            )


def _plain(settings: Settings | None) -> dict[str, Any] | None:
    return None if settings is None else settings.model_dump(mode="json", exclude_none=True)
