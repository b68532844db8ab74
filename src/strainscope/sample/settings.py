"""All that a sample file says, key by key."""

import reprlib
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from strainscope.crystal import Incidence, Reflection, parse_wavelength, reflection
from strainscope.sample.base import Miller
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


class SampleSettings(CrystalSettings):
    """The keys of a sample file: crystal and films, instrument, families, and the bounds of the fit."""

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
    model_error: Annotated[float, Field(ge=0, lt=1)] = 0.07
    fit: dict[str, FitSettings] = {}

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
