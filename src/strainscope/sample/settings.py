"""All that a sample file says, key by key."""

import reprlib
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from strainscope.crystal import Incidence, Reflection, parse_wavelength, reflection
from strainscope.sample.base import Miller, Settings
from strainscope.sample.families import (
    DisorderSettings,
    DoubleGaussianSettings,
    PeakResolutionSettings,
    ResolutionSettings,
    StrainSettings,
    TiedDisorderSettings,
)
from strainscope.sample.messages import at_key
from strainscope.sample.parts import (
    CrystalSettings,
    FilmSettings,
    FitSettings,
    MonochromatorSettings,
    ScanSettings,
    SpectrumSettings,
)


def _is_wavelength(value: object) -> float | str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"wavelength = {reprlib.repr(value)}; give Å or an emission line, such as CuKa1")
    parse_wavelength(value)
    return value


def _is_relative(error: float) -> float:
    if not 0 <= error < 1:
        raise ValueError(f"model_error = {error:g}; it is relative, >= 0 and below 1: 7 % is 0.07")
    return error


class ReflectionSettings(Settings):
    """One of several reflections of a sample: in what its measurement differs from that of the first."""

    reflection: Miller
    incidence: Incidence | None = None
    monochromator: MonochromatorSettings | None = None
    spectrum: SpectrumSettings | None = None
    scan: ScanSettings | None = None
    resolution: ResolutionSettings | None = None
    background: Literal["constant", "linear"] | None = None
    fit: dict[str, FitSettings] = {}


class SampleSettings(CrystalSettings):
    """The keys of a sample file: crystal and films, instrument, families, and the bounds of the fit.

    Where there are `reflections`, the first is the sample's `reflection`, and what it says goes before the rest.
    """

    title: str = ""
    reflection: Miller
    wavelength: Annotated[float | str, BeforeValidator(_is_wavelength)]
    surface: Miller | None = None
    incidence: Incidence = "grazing"
    debye_waller: bool = True
    films: tuple[FilmSettings, ...] = ()
    monochromator: MonochromatorSettings | None = None
    spectrum: SpectrumSettings = SpectrumSettings()
    scan: ScanSettings = ScanSettings()
    strain: StrainSettings = DoubleGaussianSettings()
    disorder: DisorderSettings = TiedDisorderSettings()
    diffuse: bool = False
    resolution: ResolutionSettings = PeakResolutionSettings()
    background: Literal["constant", "linear"] = "constant"
    bragg_law: Literal["exact", "linear"] = "exact"
    tolerance: Annotated[float, Field(gt=0, le=0.01)] = 3e-4
    model_error: Annotated[float, AfterValidator(_is_relative)] = 0.07
    miscut: bool = False
    reflections: tuple[ReflectionSettings, ...] = ()
    disorder_exponent: Annotated[float, Field(gt=0, le=4)] = 1.5
    fit: dict[str, FitSettings] = {}

    @model_validator(mode="before")
    @classmethod
    def _first_reflection(cls, data: Any) -> Any:  # noqa: ANN401
        """The first reflection is the sample's."""
        if not isinstance(data, Mapping) or not isinstance(data.get("reflections"), list | tuple):
            return data
        entries = data["reflections"]
        if not entries or not isinstance(entries[0], Mapping):
            return data
        own, first = data.get("reflection"), entries[0].get("reflection")
        if own is not None and list(own) != list(first or ()):
            raise ValueError(
                f"reflection = {own}, but reflections begins with {first}; leave reflection out, the first counts"
            )
        return overlaid(data, entries[0])

    @cached_property
    def substrate(self) -> Reflection:
        """The substrate's reflection."""
        structure = self.structure()
        with at_key("reflection"):
            return reflection(
                structure,
                self.reflection,
                wavelength=self.wavelength,
                surface=self.surface,
                incidence=self.incidence,
                debye_waller=self.debye_waller,
            )

    def settings(self) -> dict[str, Any]:
        """The settings as used, defaults filled in, as plain data."""
        return self.model_dump(mode="json", exclude_none=True)


def overlaid(settings: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a sample with what one of its reflections says in their place; of `fit`, parameter by parameter."""
    given = {key: value for key, value in entry.items() if value is not None}
    fits = [part.get("fit") or {} for part in (settings, entry)]
    if all(isinstance(fit, Mapping) for fit in fits) and any(fits):
        given["fit"] = {**fits[0], **fits[1]}
    return {**settings, **given}
