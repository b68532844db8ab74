"""The families that a sample file chooses among: of strain, of disorder and of the resolution."""

import reprlib
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from strainscope.instrument import (
    Gaussian,
    Lorentzian,
    MeasuredResolution,
    MonochromatorCurve,
    NoResolution,
    PseudoVoigt,
    Resolution,
    SplitPseudoVoigt,
    WindowedLorentzian,
)
from strainscope.profile import (
    AmorphousLayer,
    AsymmetricPseudoVoigt,
    CubicBSpline,
    DoubleGaussian,
    ExponentialDisorder,
    NoDisorder,
    StrainProfile,
    Tabulated,
    TiedDisorder,
)
from strainscope.profile.pair import Disorder
from strainscope.readers import read_text
from strainscope.sample.base import (
    LARGEST_STRAIN,
    FilePath,
    Positive,
    Range,
    Settings,
    Strain,
    StrainRange,
    exactly_one,
    strain_problem,
)
from strainscope.sample.messages import at_key

LARGEST_TABLE_BYTES = 1_000_000


# Strain -----------------------------------------------------------------------------------------------------


class TableSettings(Settings):
    """A profile over depth as a table, in the sample file or in a file of two columns."""

    path: FilePath | None = None
    depth_A: tuple[float, ...] | None = None
    value: tuple[float, ...] | None = None
    interpolation: Literal["linear", "pchip"] = "pchip"

    @model_validator(mode="after")
    def _one_table(self) -> Self:
        exactly_one(self, "path", "depth_A")
        if (self.depth_A is None) != (self.value is None):
            raise ValueError("depth_A and value belong together; give both or path")
        return self

    def table(self, quantity: Literal["strain", "debye_waller"]) -> Tabulated:
        if self.path is not None:
            with at_key("path"):
                depth, value = _two_columns(self.path)
        else:
            depth, value = self.depth_A or (), self.value or ()
        for strain in value if quantity == "strain" else ():
            if abs(strain) > LARGEST_STRAIN:
                raise ValueError(f"value = {strain_problem(f'{strain:g}', strain)}")
        return Tabulated(depth=depth, value=value, quantity=quantity, interpolation=self.interpolation)


class DoubleGaussianSettings(Settings):
    family: Literal["double-gaussian"] = "double-gaussian"
    minimum_strain: Strain = DoubleGaussian.minimum_strain
    sign: Literal[1, -1] = 1
    largest_surface_strain: Strain = DoubleGaussian.largest_surface_strain

    def build(self) -> StrainProfile:
        return DoubleGaussian(**self.model_dump(exclude={"family"}))


class StrainSplineSettings(Settings):
    family: Literal["b-spline"]
    number: Annotated[int, Field(ge=1, le=60)] = CubicBSpline.number
    depth_range_A: Range = CubicBSpline.depth_range
    weight_range: StrainRange = (-0.03, 0.03)

    def build(self) -> StrainProfile:
        return CubicBSpline(
            number=self.number, depth_range=self.depth_range_A, weight_range=self.weight_range
        )


class AsymmetricPseudoVoigtSettings(Settings):
    family: Literal["asymmetric-pseudo-voigt"]
    plateau: bool = AsymmetricPseudoVoigt.plateau
    height_range: StrainRange = AsymmetricPseudoVoigt.height_range
    end_A: Positive = AsymmetricPseudoVoigt.end

    def build(self) -> StrainProfile:
        return AsymmetricPseudoVoigt(plateau=self.plateau, height_range=self.height_range, end=self.end_A)


class StrainTableSettings(TableSettings):
    family: Literal["tabulated"]

    def build(self) -> StrainProfile:
        return self.table("strain")


# Disorder ---------------------------------------------------------------------------------------------------


class NoDisorderSettings(Settings):
    family: Literal["none"]

    def build(self) -> Disorder:
        return NoDisorder()


class TiedDisorderSettings(Settings):
    family: Literal["tied"] = "tied"

    def build(self) -> Disorder:
        return TiedDisorder()


class DisorderSplineSettings(Settings):
    family: Literal["b-spline"]
    number: Annotated[int, Field(ge=1, le=60)] = CubicBSpline.number
    depth_range_A: Range = CubicBSpline.depth_range
    weight_range: Range = (0.0, 1.0)

    @field_validator("weight_range")
    @classmethod
    def _is_share(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not (value[0] >= 0 and value[1] <= 1):
            raise ValueError(f"[{value[0]:g}, {value[1]:g}]; a Debye-Waller factor lies in 0 to 1")
        return value

    def build(self) -> Disorder:
        return CubicBSpline(
            number=self.number,
            quantity="debye_waller",
            depth_range=self.depth_range_A,
            weight_range=self.weight_range,
        )


class ExponentialDoubleGaussianSettings(Settings):
    family: Literal["exponential-double-gaussian"]
    scale: Positive = 100.0
    minimum: Positive = DoubleGaussian.minimum_strain
    largest_at_surface: Positive = DoubleGaussian.largest_surface_strain

    def build(self) -> Disorder:
        exponent = DoubleGaussian(minimum_strain=self.minimum, largest_surface_strain=self.largest_at_surface)
        return ExponentialDisorder(family=exponent, scale=self.scale)


class AmorphousLayerSettings(Settings):
    family: Literal["amorphous"]
    buried: bool = AmorphousLayer.buried

    def build(self) -> Disorder:
        return AmorphousLayer(buried=self.buried)


class DisorderTableSettings(TableSettings):
    family: Literal["tabulated"]

    def build(self) -> Disorder:
        return self.table("debye_waller")


# Resolution -------------------------------------------------------------------------------------------------


class NoResolutionSettings(Settings):
    family: Literal["none"]

    def build(self) -> Resolution:
        return NoResolution()


class PeakResolutionSettings(Settings):
    family: Literal["gaussian", "lorentzian", "pseudo-voigt", "split-pseudo-voigt"] = "pseudo-voigt"
    fwhm_range_arcsec: Range = PseudoVoigt.fwhm_range

    def build(self) -> Resolution:
        peaks: dict[str, type[Gaussian | Lorentzian | PseudoVoigt | SplitPseudoVoigt]] = {
            "gaussian": Gaussian,
            "lorentzian": Lorentzian,
            "pseudo-voigt": PseudoVoigt,
            "split-pseudo-voigt": SplitPseudoVoigt,
        }
        return peaks[self.family](fwhm_range=self.fwhm_range_arcsec)


class WindowedLorentzianSettings(Settings):
    family: Literal["windowed-lorentzian"]
    fwhm_range_arcsec: Range = WindowedLorentzian.fwhm_range
    reach_widths: Annotated[float, Field(ge=0.2, le=1000)] = WindowedLorentzian.reach_widths

    def build(self) -> Resolution:
        return WindowedLorentzian(fwhm_range=self.fwhm_range_arcsec, reach_widths=self.reach_widths)


class MonochromatorCurveSettings(Settings):
    family: Literal["monochromator-curve"]
    fwhm_range_arcsec: Range = MonochromatorCurve.fwhm_range
    wings: bool = True


class MeasuredResolutionSettings(Settings):
    family: Literal["measured"]
    path: FilePath
    stretch_range: Range = MeasuredResolution.stretch_range

    def build(self) -> Resolution:
        with at_key("path"):
            offset, value = _two_columns(self.path)
        return MeasuredResolution(offset_arcsec=offset, value=value, stretch_range=self.stretch_range)


# Tables and choices -----------------------------------------------------------------------------------------


def _two_columns(path: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """A table of two columns in a text file, # for comments."""
    text = read_text(path, what="table", limit_bytes=LARGEST_TABLE_BYTES)
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.split("#")[0].replace(",", " ").replace(";", " ").split()
        if not words:
            continue
        try:
            first, second = map(float, words)
        except ValueError:
            raise ValueError(
                f"{path}: line {number}: {reprlib.repr(line.strip())}; every row must hold two numbers"
            ) from None
        rows.append((first, second))
    if not rows:
        raise ValueError(f"{path}: there are no numbers")
    return tuple(row[0] for row in rows), tuple(row[1] for row in rows)


def _family_alone(value: Any) -> Any:  # noqa: ANN401
    """`disorder: none` for `disorder: {family: none}`."""
    return {"family": value} if isinstance(value, str) else value


_Family = (Field(discriminator="family"), BeforeValidator(_family_alone))
StrainSettings = Annotated[
    DoubleGaussianSettings | StrainSplineSettings | AsymmetricPseudoVoigtSettings | StrainTableSettings,
    *_Family,
]
DisorderSettings = Annotated[
    NoDisorderSettings
    | TiedDisorderSettings
    | DisorderSplineSettings
    | ExponentialDoubleGaussianSettings
    | AmorphousLayerSettings
    | DisorderTableSettings,
    *_Family,
]
ResolutionSettings = Annotated[
    NoResolutionSettings
    | PeakResolutionSettings
    | WindowedLorentzianSettings
    | MonochromatorCurveSettings
    | MeasuredResolutionSettings,
    *_Family,
]
