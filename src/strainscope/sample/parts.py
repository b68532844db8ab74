"""The parts of a sample file: crystal, film, monochromator, spectrum, scan, fit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from strainscope.crystal import ELASTIC_GPA, Crystal, builtin_crystal, crystal_from_cif
from strainscope.readers import read_text
from strainscope.sample.base import FilePath, Miller, Positive, Range, Settings, exactly_one
from strainscope.sample.messages import at_key

LARGEST_CIF_BYTES = 20_000_000
# Of inorganic crystals; proteins go to 1000 Å.
CellEdge = Annotated[float, Field(ge=1, le=1000)]
Stiffness = Annotated[float, Field(ge=-10_000, le=10_000)]


class Lattice(Settings):
    """Cell edges [Å]; edges that were equal stay equal unless given."""

    a: CellEdge | None = None
    b: CellEdge | None = None
    c: CellEdge | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_number(cls, data: Any) -> Any:  # noqa: ANN401
        return {"a": data} if isinstance(data, int | float) and not isinstance(data, bool) else data


class CrystalSettings(Settings):
    """A crystal: built in, or from a CIF; its lattice parameters may be replaced."""

    crystal: str | None = None
    cif: FilePath | None = None
    lattice_A: Lattice | None = None
    elastic_GPa: dict[str, Stiffness] | None = None

    @field_validator("crystal")
    @classmethod
    def _built_in(cls, value: str | None) -> str | None:
        if value is not None:
            builtin_crystal(value)
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        exactly_one(self, "crystal", "cif")
        return self

    def structure(self) -> Crystal:
        """The crystal structure.

        Raises:
            OSError: the CIF cannot be read.
            ValueError: it is no CIF of one crystal.
        """
        if self.cif is None:
            structure = builtin_crystal(str(self.crystal))
        else:
            with at_key("cif"):
                text = read_text(self.cif, what="CIF", limit_bytes=LARGEST_CIF_BYTES)
                structure = crystal_from_cif(text, name=Path(self.cif).stem)
        return structure.with_lattice(**self.lattice_A.model_dump()) if self.lattice_A else structure

    def elastic_constants(self) -> Mapping[str, float] | None:
        """Stiffness [GPa]: as given, or of the built-in crystal; None where neither is known."""
        known = ELASTIC_GPA.get(builtin_crystal(self.crystal).name) if self.crystal else None
        return self.elastic_GPa or known


class FilmSettings(CrystalSettings):
    """A film: its crystal, thickness and perpendicular mismatch."""

    thickness_A: Positive
    mismatch: Annotated[float, Field(gt=-0.5, lt=1.0)] | None = None
    perpendicular_lattice_A: Positive | None = None
    reflection: Miller | None = None

    @model_validator(mode="after")
    def _one_mismatch(self) -> Self:
        exactly_one(self, "mismatch", "perpendicular_lattice_A")
        return self


class MonochromatorSettings(CrystalSettings):
    """The monochromator crystal and what it does to the polarization."""

    reflection: Miller
    polarization: Literal["dynamical", "mosaic", "none"] = "dynamical"


class SpectrumSettings(Settings):
    """The lines of the source, and how the instrument spreads them over the axis."""

    lines: Literal["sharp", "natural", "ka1-ka2"] = "sharp"
    anode: str = "Cu"
    setting: Literal["non-dispersive", "dispersive", "none"] | None = None

    @model_validator(mode="after")
    def _has_setting(self) -> Self:
        if self.lines != "sharp" and self.setting is None:
            raise ValueError(
                f"lines: {self.lines} needs setting: non-dispersive, dispersive or none (no monochromator)"
            )
        return self


class ScanSettings(Settings):
    """What the columns of the scan are; the command line may say it instead."""

    axis: Literal["delta-theta-arcsec", "omega-deg", "two-theta-deg"] | None = None
    intensity: Literal["counts", "normalised"] | None = None


class FitSettings(Settings):
    """What the fit may do with one parameter."""

    bounds: Range | None = None
    start: float | None = None
    value: float | None = None
    held: bool = False
    mean: float | None = None
    sd: Positive | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.held and (self.value is None or self.start is not None or self.mean is not None):
            raise ValueError("held: true needs value, and neither start nor mean")
        if (self.mean is None) != (self.sd is None):
            raise ValueError("mean and sd go together: give both, or neither")
        if self.value is not None and not self.held:
            raise ValueError(f"value = {self.value:g} needs held: true; for a free parameter give start")
        number = self.value if self.held else self.start
        if self.bounds and number is not None and not self.bounds[0] <= number <= self.bounds[1]:
            what = "value" if self.held else "start"
            raise ValueError(
                f"{what} = {number:g} lies outside its bounds, [{self.bounds[0]:g}, {self.bounds[1]:g}]"
            )
        return self
