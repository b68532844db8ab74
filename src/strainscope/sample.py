"""Sample files: what was measured, with what, and what is to be fitted, as YAML.

A file is checked as a whole when it is loaded: every key, every number, and that the experiment can be built
from it. What is wrong is one line that names the file, the key, the value and what is allowed.
"""

import difflib
import re
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from strainscope.crystal import (
    ARCSEC,
    Crystal,
    Incidence,
    Reflection,
    builtin_crystal,
    crystal_from_cif,
    emission_lines,
    parse_wavelength,
    reflection,
)
from strainscope.diffraction import rocking_curve, stack_from_reflections, uniform_sublayers
from strainscope.experiment import Experiment, ScanModel
from strainscope.instrument import (
    Gaussian,
    Lorentzian,
    MeasuredResolution,
    MonochromatorCurve,
    NoResolution,
    PseudoVoigt,
    Resolution,
    Spectrum,
    SplitPseudoVoigt,
    monochromator_polarization,
    spectrum_on_axis,
)
from strainscope.prior import Prior
from strainscope.profile import (
    AmorphousLayer,
    AsymmetricPseudoVoigt,
    CubicBSpline,
    DepthProfile,
    DoubleGaussian,
    ExponentialDisorder,
    NoDisorder,
    ParameterSpec,
    Parametrised,
    StrainProfile,
    Tabulated,
    TiedDisorder,
)
from strainscope.profile.pair import Disorder
from strainscope.readers import read_text
from strainscope.scan import UNITS, Scan

LARGEST_SAMPLE_BYTES = 1_000_000
LARGEST_CIF_BYTES = 20_000_000
# How far a wavelength may lie from the anode's line: lists of lines differ by 1e-4.
LINE_TOLERANCE = 2e-3
MONOCHROMATOR_RANGE_ARCSEC = 3000.0
MONOCHROMATOR_STEP_ARCSEC = 0.5

LEAST_DARWIN_WIDTHS = 3
# How far the Bragg angle may lie outside the scan: a diffractometer's zero is good to 0.1°.
LARGEST_MISALIGNMENT_ARCSEC = 360.0
LEAST_PEAK_COUNTS = 10
LEAST_PEAK_RATIO = 2.0
LEAST_PEAK_SIGMA = 6.0

LARGEST_COUNTS = 1e12
UNBOUNDED = 1e9
MOST_POINTS = 100_000
# Of an ordinary scan, where a simulation is told nothing else.
SIMULATED = {
    "diffuse_amplitude": 0.0,
    "lorentz_fraction": 0.2,
    "lorentz_low": 0.2,
    "lorentz_high": 0.2,
    "offset_arcsec": 0.0,
    "log10_scale": 0.0,
    "log10_background": -5.0,
    "background_slope": 0.0,
}

# What no bounds can be widened beyond, for the parameters that no family checks.
DOMAINS = {
    "diffuse_amplitude": (0.0, np.inf),
    "correlation_length": (0.1, np.inf),
    "log10_scale": (-30.0, 30.0),
    "log10_background": (-30.0, 30.0),
    "background_slope": (-1.0, 1.0),
}
# How pydantic says what is allowed, and how this program does.
_WORDS = {
    "Input should be": "it must be",
    "a valid tuple": "a list",
    "a valid dictionary": "a mapping (lines of key: value)",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "a valid integer": "a whole number",
    "a valid number": "a number",
}

Positive = Annotated[float, Field(gt=0)]


def _increasing(value: tuple[float, float]) -> tuple[float, float]:
    if not value[0] < value[1]:
        raise ValueError(f"[{value[0]:g}, {value[1]:g}]; the first must be < the second")
    return value


def _is_wavelength(value: object) -> float | str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"wavelength = {reprlib.repr(value)}; give Å or an emission line, such as CuKa1")
    parse_wavelength(value)
    return value


def _in_folder(value: str, info: ValidationInfo) -> str:
    return str(Path((info.context or {}).get("folder", "")) / value)


Range = Annotated[tuple[float, float], AfterValidator(_increasing)]
Miller = Annotated[tuple[int, ...], Field(min_length=3, max_length=4)]
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
                    raise ValueError(f"unknown key {reprlib.repr(key)}{_hint(key, cls.model_fields)}")
        return data


class Lattice(Settings):
    """Cell edges [Å]; edges that were equal stay equal unless given."""

    a: Positive | None = None
    b: Positive | None = None
    c: Positive | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_number(cls, data: Any) -> Any:  # noqa: ANN401
        return {"a": data} if isinstance(data, int | float) and not isinstance(data, bool) else data


class CrystalSettings(Settings):
    """A crystal: built in, or from a CIF; its lattice parameters may be replaced."""

    crystal: str | None = None
    cif: FilePath | None = None
    lattice_A: Lattice | None = None

    @field_validator("crystal")
    @classmethod
    def _built_in(cls, value: str | None) -> str | None:
        if value is not None:
            builtin_crystal(value)
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        _exactly_one(self, "crystal", "cif")
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
            text = read_text(self.cif, what="CIF", limit_bytes=LARGEST_CIF_BYTES)
            structure = crystal_from_cif(text, name=Path(self.cif).stem)
        return structure.with_lattice(**self.lattice_A.model_dump()) if self.lattice_A else structure


class FilmSettings(CrystalSettings):
    """A film: its crystal, thickness and perpendicular mismatch."""

    thickness_A: Positive
    mismatch: Annotated[float, Field(gt=-0.5, lt=1.0)] | None = None
    perpendicular_lattice_A: Positive | None = None
    reflection: Miller | None = None

    @model_validator(mode="after")
    def _one_mismatch(self) -> Self:
        _exactly_one(self, "mismatch", "perpendicular_lattice_A")
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


# Families ---------------------------------------------------------------------------------------------------


class _TableSettings(Settings):
    path: FilePath | None = None
    depth_A: tuple[float, ...] | None = None
    value: tuple[float, ...] | None = None
    interpolation: Literal["linear", "pchip"] = "pchip"

    @model_validator(mode="after")
    def _one_table(self) -> Self:
        _exactly_one(self, "path", "depth_A")
        if (self.depth_A is None) != (self.value is None):
            raise ValueError("depth_A and value belong together; give both or path")
        return self

    def table(self, quantity: Literal["strain", "debye_waller"]) -> Tabulated:
        if self.path is not None:
            depth, value = _two_columns(self.path)
        else:
            depth, value = self.depth_A or (), self.value or ()
        return Tabulated(depth=depth, value=value, quantity=quantity, interpolation=self.interpolation)


class _DoubleGaussian(Settings):
    family: Literal["double-gaussian"] = "double-gaussian"
    minimum_strain: Positive = DoubleGaussian.minimum_strain
    sign: Literal[1, -1] = 1
    largest_surface_strain: Positive = DoubleGaussian.largest_surface_strain

    def build(self) -> StrainProfile:
        return DoubleGaussian(**self.model_dump(exclude={"family"}))


class _StrainSpline(Settings):
    family: Literal["b-spline"]
    number: Annotated[int, Field(ge=1, le=60)] = CubicBSpline.number
    depth_range_A: Range = CubicBSpline.depth_range
    weight_range: Range = (-0.03, 0.03)

    def build(self) -> StrainProfile:
        return CubicBSpline(
            number=self.number, depth_range=self.depth_range_A, weight_range=self.weight_range
        )


class _AsymmetricPseudoVoigt(Settings):
    family: Literal["asymmetric-pseudo-voigt"]
    plateau: bool = AsymmetricPseudoVoigt.plateau
    height_range: Range = AsymmetricPseudoVoigt.height_range

    def build(self) -> StrainProfile:
        return AsymmetricPseudoVoigt(plateau=self.plateau, height_range=self.height_range)


class _StrainTable(_TableSettings):
    family: Literal["tabulated"]

    def build(self) -> StrainProfile:
        return self.table("strain")


class _NoDisorder(Settings):
    family: Literal["none"]

    def build(self) -> Disorder:
        return NoDisorder()


class _TiedDisorder(Settings):
    family: Literal["tied"] = "tied"

    def build(self) -> Disorder:
        return TiedDisorder()


class _DisorderSpline(Settings):
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


class _ExponentialDoubleGaussian(Settings):
    family: Literal["exponential-double-gaussian"]
    scale: Positive = 100.0
    minimum: Positive = DoubleGaussian.minimum_strain
    largest_at_surface: Positive = DoubleGaussian.largest_surface_strain

    def build(self) -> Disorder:
        exponent = DoubleGaussian(minimum_strain=self.minimum, largest_surface_strain=self.largest_at_surface)
        return ExponentialDisorder(family=exponent, scale=self.scale)


class _AmorphousLayer(Settings):
    family: Literal["amorphous"]
    buried: bool = AmorphousLayer.buried

    def build(self) -> Disorder:
        return AmorphousLayer(buried=self.buried)


class _DisorderTable(_TableSettings):
    family: Literal["tabulated"]

    def build(self) -> Disorder:
        return self.table("debye_waller")


class _NoResolution(Settings):
    family: Literal["none"]

    def build(self) -> Resolution:
        return NoResolution()


class _PeakResolution(Settings):
    family: Literal["gaussian", "lorentzian", "pseudo-voigt", "split-pseudo-voigt"] = "pseudo-voigt"
    fwhm_range_arcsec: Range = PseudoVoigt.fwhm_range

    def build(self) -> Resolution:
        if self.family == "gaussian":
            return Gaussian(fwhm_range=self.fwhm_range_arcsec)
        if self.family == "lorentzian":
            return Lorentzian(fwhm_range=self.fwhm_range_arcsec)
        if self.family == "pseudo-voigt":
            return PseudoVoigt(fwhm_range=self.fwhm_range_arcsec)
        return SplitPseudoVoigt(fwhm_range=self.fwhm_range_arcsec)


class _MonochromatorCurve(Settings):
    family: Literal["monochromator-curve"]
    fwhm_range_arcsec: Range = MonochromatorCurve.fwhm_range
    wings: bool = True


class _MeasuredResolution(Settings):
    family: Literal["measured"]
    path: FilePath
    stretch_range: Range = MeasuredResolution.stretch_range

    def build(self) -> Resolution:
        offset, value = _two_columns(self.path)
        return MeasuredResolution(offset_arcsec=offset, value=value, stretch_range=self.stretch_range)


def _family_alone(value: Any) -> Any:  # noqa: ANN401
    """`disorder: none` for `disorder: {family: none}`."""
    return {"family": value} if isinstance(value, str) else value


_Family = (Field(discriminator="family"), BeforeValidator(_family_alone))
StrainSettings = Annotated[_DoubleGaussian | _StrainSpline | _AsymmetricPseudoVoigt | _StrainTable, *_Family]
DisorderSettings = Annotated[
    _NoDisorder
    | _TiedDisorder
    | _DisorderSpline
    | _ExponentialDoubleGaussian
    | _AmorphousLayer
    | _DisorderTable,
    *_Family,
]
ResolutionSettings = Annotated[
    _NoResolution | _PeakResolution | _MonochromatorCurve | _MeasuredResolution, *_Family
]


class FitSettings(Settings):
    """What the fit may do with one parameter."""

    bounds: Range | None = None
    start: float | None = None
    value: float | None = None
    held: bool = False

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.held and (self.value is None or self.start is not None):
            raise ValueError("held: true needs value, and no start")
        if self.value is not None and not self.held:
            raise ValueError(f"value = {self.value:g} needs held: true; for a free parameter give start")
        number = self.value if self.held else self.start
        if self.bounds and number is not None and not self.bounds[0] <= number <= self.bounds[1]:
            what = "value" if self.held else "start"
            raise ValueError(
                f"{what} = {number:g} lies outside its bounds, [{self.bounds[0]:g}, {self.bounds[1]:g}]"
            )
        return self


# The whole --------------------------------------------------------------------------------------------------


class Sample(CrystalSettings):
    """A sample file: crystal and films, instrument, families, and the bounds of the fit."""

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
    strain: StrainSettings = _DoubleGaussian()
    disorder: DisorderSettings = _TiedDisorder()
    diffuse: bool = False
    resolution: ResolutionSettings = _PeakResolution()
    background: Literal["constant", "linear"] = "constant"
    bragg_law: Literal["exact", "linear"] = "exact"
    tolerance: Annotated[float, Field(gt=0, le=0.01)] = 3e-4
    model_error: Annotated[float, Field(gt=0, lt=1)] = 0.07
    fit: dict[str, FitSettings] = {}

    def with_options(
        self, *, axis: str | None = None, intensity: str | None = None, model_error: float | None = None
    ) -> "Sample":
        """The sample with what the command line says in place of the file.

        Raises:
            ValueError: an option that is not allowed.
        """
        scan = {"axis": axis, "intensity": intensity}
        if model_error is None and axis is None and intensity is None:
            return self
        changed: dict[str, Any] = {
            "scan": self.scan.model_dump() | {k: v for k, v in scan.items() if v is not None}
        }
        if model_error is not None:
            changed["model_error"] = model_error
        # Paths are resolved already, so no folder is given.
        return _validated(self.model_dump(exclude_unset=True) | changed, source="command line", folder=None)

    @cached_property
    def substrate(self) -> Reflection:
        """The substrate's reflection."""
        with _at("reflection"):
            return reflection(
                self.structure(),
                self.reflection,
                wavelength=self.wavelength,
                surface=self.surface,
                incidence=self.incidence,
                debye_waller=self.debye_waller,
            )

    def experiment(self) -> Experiment:
        """The experiment that the file describes.

        Raises:
            OSError: a file that it names cannot be read.
            ValueError: something that the experiment cannot be built from; the message names the key.
        """
        return self._experiment

    @cached_property
    def _experiment(self) -> Experiment:
        films = tuple(self._film(i) for i in range(len(self.films)))
        with _at("strain"):
            strain = self.strain.build()
        with _at("disorder"):
            disorder = self.disorder.build()
        with _at("spectrum"):
            spectrum = self._spectrum()
        with _at("resolution"):
            resolution = self._resolution()
        return Experiment(
            stack=stack_from_reflections(self.substrate, films),
            profile=DepthProfile(strain=strain, disorder=disorder),
            resolution=resolution,
            spectrum=spectrum,
            polarization_weights=self._polarization_weights(),
            diffuse=self.diffuse,
            bragg_law=self.bragg_law,
            tolerance=self.tolerance,
        )

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Bounds given in the file, by parameter."""
        return {name: fit.bounds for name, fit in self.fit.items() if fit.bounds is not None}

    def held(self) -> dict[str, float]:
        """Values of the parameters that are not fitted, by parameter."""
        held = {name: fit.value for name, fit in self.fit.items() if fit.held and fit.value is not None}
        return held if self.background == "linear" else held | {"background_slope": 0.0}

    def start(self) -> dict[str, float]:
        """Starting values given in the file, by parameter."""
        return {name: fit.start for name, fit in self.fit.items() if fit.start is not None}

    def prior(self) -> Prior:
        """Every parameter with the bounds of the file or of its family, constraints and held values.

        Raises:
            ValueError: a parameter that does not exist, bounds that are not allowed or leave no room.
        """
        experiment = self.experiment()
        names = [spec.name for spec in experiment.parameters]
        for name in self.fit:
            if name not in names:
                raise ValueError(f"fit: unknown parameter {reprlib.repr(name)}{_hint(name, names)}")
        if self.background == "constant" and "background_slope" in self.fit:
            raise ValueError("fit.background_slope needs background: linear; now it is constant")
        with _at("fit"):
            return Prior(
                parameters=tuple(self._bounded(spec) for spec in experiment.parameters),
                constraints=experiment.constraints,
                held=self.held(),
            )

    def settings(self) -> dict[str, Any]:
        """The settings as used, defaults filled in, as plain data."""
        return self.model_dump(mode="json", exclude_none=True)

    def check(self) -> None:
        """Raise unless the experiment can be built and every number of `fit` is allowed.

        Raises:
            OSError: a file that it names cannot be read.
            ValueError: the message names the key.
        """
        prior = self.prior()
        experiment = self.experiment()
        # What is held goes into the checks of the bounds, so it comes first.
        for spec in sorted(prior.parameters, key=lambda spec: spec.name not in prior.held):
            fit = self.fit.get(spec.name)
            if fit is None:
                continue
            if fit.start is not None and not spec.lower <= fit.start <= spec.upper:
                raise ValueError(
                    f"fit.{spec.name}.start = {fit.start:g}; it must lie in its bounds, "
                    f"{spec.lower:g} to {spec.upper:g} {spec.unit.replace('1', '')}".rstrip()
                )
            for value in fit.bounds or ():
                with _at(f"fit.{spec.name}.bounds"):
                    _check_value(spec, value, prior, experiment)
            if fit.value is not None:
                with _at(f"fit.{spec.name}.value"):
                    _check_value(spec, fit.value, prior, experiment)

    def check_scan(self, scan: Scan) -> None:
        """Raise unless the scan can be one of this sample: a peak in it, the Bragg angle in it, wide enough.

        Raises:
            ValueError: what is wrong, and which axis would be right if one is.
        """
        low, high = (self._position(scan, i) for i in (0, -1))
        width = self.substrate.darwin_width() / ARCSEC
        _check_peak(scan)
        if high - low < LEAST_DARWIN_WIDTHS * width:
            raise ValueError(
                f"{scan.name}: the scan spans {high - low:.3g} arcsec of incidence; it must span at "
                f"least {LEAST_DARWIN_WIDTHS} Darwin widths, {LEAST_DARWIN_WIDTHS * width:.3g} arcsec. "
                "Check --axis."
            )
        if low <= LARGEST_MISALIGNMENT_ARCSEC and high >= -LARGEST_MISALIGNMENT_ARCSEC:
            return
        unit = UNITS[scan.axis]
        runs = f"the scan runs from {scan.angle[0]:g} to {scan.angle[-1]:g} {unit}"
        if scan.axis == "delta-theta-arcsec":
            raise ValueError(f"{scan.name}: {runs}; 0, the Bragg angle, must lie in it. Check --axis.")
        bragg = f"the Bragg angle is {np.degrees(self.substrate.bragg_angle):.4g}°"
        expected = scan.angle_from_theta(
            np.array([self.substrate.incidence_angle]),
            bragg_angle=self.substrate.bragg_angle,
            asymmetry=self.substrate.asymmetry,
        )
        hint = self._fitting_axis(scan)
        raise ValueError(
            f"{scan.name}: {bragg}, at {expected[0]:.5g} {unit} on --axis {scan.axis}, but {runs}: "
            + (f"is it --axis {hint}?" if hint else "is it this reflection and wavelength?")
        )

    def simulated_values(self, given: Mapping[str, float]) -> dict[str, float]:
        """A value of every parameter: as given, held or started in the file, or else a middling one.

        Raises:
            ValueError: a name that does not exist, or a value where the model is not defined.
        """
        prior = self.prior()
        for name, value in given.items():
            if name not in prior.names:
                raise ValueError(
                    _sentence(f"unknown parameter {reprlib.repr(name)}{_hint(name, prior.names)}")
                )
            _check_value(prior.parameters[prior.names.index(name)], value, prior, self.experiment())
        usual = {name: value for name, value in SIMULATED.items() if name in prior.names}
        fixed = Prior(
            parameters=prior.parameters,
            constraints=prior.constraints,
            held=usual | self.start() | self.held() | dict(given),
        )
        values = fixed.from_unit(np.full(len(fixed.names), 0.5))
        self.experiment().profile.check(values[self.experiment().slices["profile"]])
        return dict(zip(fixed.names, values.tolist(), strict=True))

    def simulate(
        self,
        values: Mapping[str, float],
        *,
        counts: float | None = None,
        seed: int = 0,
        span: tuple[float, float] | None = None,
        step: float | None = None,
    ) -> tuple[Scan, dict[str, float]]:
        """A scan of the sample, and the values of the parameters that made it.

        Args:
            values: Of every parameter; with `counts`, log10_scale is replaced.
            counts: Expected counts at the strongest point, for Poisson noise; by default no noise.
            seed: Of the noise.
            span: First and last angle, in the axis's unit; by default all that is strained.
            step: In the axis's unit; by default from the resolution.

        Raises:
            ValueError: a range, a step or counts that make no scan.
        """
        values = dict(values)
        numbers = np.array([values[spec.name] for spec in self.experiment().parameters])
        angle = self._angles(numbers, span, step)
        blank = Scan(
            angle=angle,
            intensity=np.ones_like(angle),
            axis=str(self.scan.axis),
            intensity_kind="normalised" if counts is None else "counts",
            name="simulated",
        )
        model = self._model(numbers, blank)
        if counts is None:
            return replace(blank, intensity=model.expected(numbers)), values
        names = list(values)
        background, scale = 10.0 ** values["log10_background"], names.index("log10_scale")
        if not background < counts <= LARGEST_COUNTS:
            raise ValueError(
                f"counts = {counts:g}; they must be above the background, 10^log10_background "
                f"= {background:g} counts, and at most {LARGEST_COUNTS:g}."
            )
        # The background stays as given, so that only the rest is scaled; a slope of it is a small matter.
        numbers[scale] = 0.0
        signal = model.expected(numbers).max() - background
        values["log10_scale"] = numbers[scale] = float(np.log10((counts - background) / signal))
        noisy = np.random.default_rng(seed).poisson(model.expected(numbers)).astype(np.float64)
        return replace(blank, intensity=noisy), values

    def _angles(
        self, numbers: NDArray[np.float64], span: tuple[float, float] | None, step: float | None
    ) -> NDArray[np.float64]:
        """Angles of a simulated scan, in the axis's unit."""
        experiment = self.experiment()
        resolution = experiment.resolution.width(numbers[experiment.slices["resolution"]])
        width = max(resolution, self.substrate.darwin_width() / ARCSEC)
        strain = experiment.profile.strain
        largest, depth = strain.maximum(numbers[: len(strain.parameters)])
        size = float(largest) * float(np.sign(strain.evaluate([depth], numbers[: len(strain.parameters)])[0]))
        shifts = [0.0, size, *(film.mismatch + size for film in experiment.stack.layers[:-1])]
        places = [-shift / self.substrate.strain_per_arcsec for shift in shifts]
        margin = 0.15 * (max(places) - min(places)) + 6 * width
        # Degrees of the axis for one arcsec of incidence, and where the Bragg position is on it.
        unit, zero = {
            "delta-theta-arcsec": (1.0, 0.0),
            "omega-deg": (np.degrees(ARCSEC), np.degrees(self.substrate.incidence_angle)),
            "two-theta-deg": (2 * np.degrees(ARCSEC), 2 * np.degrees(self.substrate.bragg_angle)),
        }[str(self.scan.axis)]
        if step is None:
            step = float(f"{unit * width / 9:.1g}")
        first, last = span or (zero + unit * (min(places) - margin), zero + unit * (max(places) + margin))
        if span is None:
            first = step * np.floor(first / step)
        if not (step > 0 and first < last and (last - first) / step < MOST_POINTS):
            raise ValueError(
                f"range {first:g} to {last:g} in steps of {step:g}; the first must be < the last, the step "
                f"> 0, and the points fewer than {MOST_POINTS}."
            )
        return np.asarray(np.round(first + step * np.arange(int((last - first) / step + 1e-9) + 1), 9))

    def _model(self, numbers: NDArray[np.float64], scan: Scan) -> ScanModel:
        experiment = self.experiment()
        theta = scan.theta(bragg_angle=self.substrate.bragg_angle, asymmetry=self.substrate.asymmetry)
        where = experiment.slices
        width = max(experiment.resolution.width(numbers[where["resolution"]]), 1.0)
        own, offset = numbers[where["profile"]], float(numbers[where["scale"]][0])
        extent = experiment.profile.extent(own, strain_tolerance=1e-5, factor_tolerance=1e-3)
        return ScanModel(
            experiment=experiment,
            position=np.asarray((theta - self.substrate.incidence_angle) / ARCSEC),
            fringe_depth=max(float(extent), 1000.0),
            narrowest_fwhm_arcsec=width,
            # Room for the tails of any resolution beside the scan.
            widest_fwhm_arcsec=4 * width,
            offset_range=(offset, offset),
        )

    def _position(self, scan: Scan, i: int) -> float:
        """Angle of incidence of the i-th point minus the substrate's Bragg position [arcsec]."""
        theta = scan.theta(bragg_angle=self.substrate.bragg_angle, asymmetry=self.substrate.asymmetry)
        return float((theta[i] - self.substrate.incidence_angle) / ARCSEC)

    def _fitting_axis(self, scan: Scan) -> str | None:
        """The axis on which the scan would hold the Bragg angle."""
        for axis in ("omega-deg", "two-theta-deg"):
            with suppress(ValueError):
                other = replace(scan, axis=axis)
                if self._position(other, 0) <= 0 <= self._position(other, -1):
                    return axis
        return None

    def _bounded(self, spec: ParameterSpec) -> ParameterSpec:
        fit = self.fit.get(spec.name)
        if fit is None or fit.bounds is None:
            return spec
        return replace(spec, lower=fit.bounds[0], upper=fit.bounds[1])

    def _film(self, i: int) -> tuple[Reflection, float, float]:
        film = self.films[i]
        with _at(f"films[{i}]"):
            # Only χ is taken from it, which the surface does not change.
            own = reflection(
                film.structure(),
                film.reflection or self.reflection,
                wavelength=self.wavelength,
                debye_waller=self.debye_waller,
            )
            if film.perpendicular_lattice_A is None:
                return own, float(film.mismatch or 0.0), film.thickness_A
            mismatch = film.perpendicular_lattice_A / self._perpendicular_lattice() - 1
            if not -0.2 < mismatch < 0.2:
                raise ValueError(
                    f"perpendicular_lattice_A = {film.perpendicular_lattice_A:g} Å is {100 * mismatch:.0f} % "
                    f"off the substrate's {self._perpendicular_lattice():g} Å; give mismatch instead"
                )
            return own, mismatch, film.thickness_A

    def _perpendicular_lattice(self) -> float:
        """The substrate's lattice parameter along the surface normal [Å]: a if cubic, c if along c."""
        crystal = self.structure()
        if crystal.a == crystal.b == crystal.c and {crystal.alpha, crystal.beta, crystal.gamma} == {90.0}:
            return crystal.a
        normal = self.surface or self.reflection
        if crystal.miller(normal)[:2] == (0, 0):
            return crystal.c
        raise ValueError("perpendicular_lattice_A needs a cubic substrate, or one cut along c; give mismatch")

    def _monochromator_reflection(self, wanted_by: str) -> Reflection:
        if self.monochromator is None:
            raise ValueError(f"{wanted_by} needs monochromator: its crystal and reflection")
        with _at("monochromator"):
            return reflection(
                self.monochromator.structure(),
                self.monochromator.reflection,
                wavelength=self.wavelength,
                debye_waller=self.debye_waller,
            )

    def _polarization_weights(self) -> tuple[float, float]:
        if self.monochromator is None or self.monochromator.polarization == "none":
            return (0.5, 0.5)
        own = self._monochromator_reflection("polarization")
        return monochromator_polarization(own.bragg_angle, self.monochromator.polarization)

    def _spectrum(self) -> Spectrum | None:
        if self.spectrum.lines == "sharp":
            return None
        wavelength = parse_wavelength(self.wavelength)
        lines = emission_lines(f"{self.spectrum.anode}{'Ka1' if self.spectrum.lines == 'natural' else 'Ka'}")
        if abs(wavelength / lines[0][0] - 1) > LINE_TOLERANCE:
            raise ValueError(
                f"anode = {self.spectrum.anode}, whose Kα1 is {lines[0][0]:.5f} Å, but wavelength = "
                f"{wavelength:g} Å; name the anode, or use lines: sharp"
            )
        # Kα1 lies where the sample's wavelength says, whatever list that is from.
        factor = wavelength / lines[0][0]
        mono = None
        if self.spectrum.setting != "none":
            mono = self._monochromator_reflection(f"setting: {self.spectrum.setting}").bragg_angle
        return spectrum_on_axis(
            [(factor * line, weight, factor * width) for line, weight, width in lines],
            reference_wavelength=wavelength,
            bragg_angle=self.substrate.bragg_angle,
            monochromator_bragg_angle=mono,
            dispersive=self.spectrum.setting == "dispersive",
        )

    def _resolution(self) -> Resolution:
        if not isinstance(self.resolution, _MonochromatorCurve):
            return self.resolution.build()
        own = self._monochromator_reflection("family: monochromator-curve")
        if self.monochromator is not None and self.monochromator.polarization != "dynamical":
            raise ValueError(
                "family: monochromator-curve holds the polarization of a perfect crystal; "
                "give monochromator.polarization: dynamical"
            )
        offset, reflectivity = monochromator_table(own)
        return MonochromatorCurve(
            offset_arcsec=tuple(offset.tolist()),
            reflectivity=(tuple(reflectivity[0].tolist()), tuple(reflectivity[1].tolist())),
            fwhm_range=self.resolution.fwhm_range_arcsec,
            wings=self.resolution.wings,
        )


def monochromator_table(own: Reflection) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reflection curve of a perfect monochromator crystal.

    Args:
        own: Its reflection.

    Returns:
        Offsets from its Bragg position [arcsec], shape (m,), and reflectivity for sigma and pi, (2, m).
    """
    stack = stack_from_reflections(own)
    number = round(MONOCHROMATOR_RANGE_ARCSEC / MONOCHROMATOR_STEP_ARCSEC)
    offset = MONOCHROMATOR_STEP_ARCSEC * np.arange(-number, number + 1.0)
    perfect = uniform_sublayers(np.array([1.0]), np.array([0.0]), stack=stack)
    curve = rocking_curve(stack.incidence_angle + ARCSEC * offset, stack, perfect)
    return offset, np.asarray(curve, dtype=np.float64)


def _check_value(spec: ParameterSpec, value: float, prior: Prior, experiment: Experiment) -> None:
    """Raise unless the model is defined at that value of one parameter."""
    lower, upper = DOMAINS.get(spec.name, (-np.inf, np.inf))
    if _is_factor_weight(spec.name, experiment):
        lower, upper = 0.0, 1.0
    if not lower <= value <= upper:
        limit = f"be >= {lower:g}" if np.isinf(upper) else f"lie in {lower:g} to {upper:g}"
        raise ValueError(f"{spec.name} = {value:g}; it must {limit}")
    try:
        # With the others where the constraints let them be.
        here = Prior(
            parameters=prior.parameters, constraints=prior.constraints, held={**prior.held, spec.name: value}
        )
    except ValueError:
        # The constraints exclude this end of the bounds, though not all of them.
        _check_alone(spec, value, prior, experiment)
        return
    values = here.from_unit(np.full(len(prior.names), 0.5))
    parts: tuple[tuple[str, Parametrised], ...] = (
        ("profile", experiment.profile),
        ("resolution", experiment.resolution),
    )
    for part, family in parts:
        where = experiment.slices[part]
        if spec.name in prior.names[where]:
            family.check(values[where])


def _check_alone(spec: ParameterSpec, value: float, prior: Prior, experiment: Experiment) -> None:
    """Raise if the profile is undefined at that value of one parameter, whatever the others are."""
    free = tuple(replace(s, lower=-UNBOUNDED, upper=UNBOUNDED) for s in prior.parameters)
    here = Prior(parameters=free, constraints=prior.constraints, held={spec.name: value})
    values = here.from_unit(np.full(len(prior.names), 0.5))
    try:
        experiment.profile.check(values[experiment.slices["profile"]])
    except ValueError as error:
        # Of the others, anything may be wrong here.
        if str(error).startswith(f"{spec.name} "):
            raise


def _check_peak(scan: Scan) -> None:
    """Raise unless something stands out of the scan's noise and floor, away from its ends."""
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(scan.intensity, 3), axis=1)
    top, middle, low = float(smooth.max()), float(np.median(smooth)), float(np.quantile(smooth, 0.1))
    scatter = 1.05 * float(np.median(np.abs(np.diff(scan.intensity))))  # a standard deviation, robustly
    few = scan.intensity_kind == "counts" and top < LEAST_PEAK_COUNTS
    if few or top < LEAST_PEAK_RATIO * low or top < middle + LEAST_PEAK_SIGMA * scatter:
        raise ValueError(
            f"{scan.name}: no peak in the scan: its largest intensity is {top:g}, half of its points are "
            f"above {middle:g}. Check the columns, or scan over the Bragg peak."
        )
    at = int(smooth.argmax())
    if at == 0 or at == smooth.size - 1:
        raise ValueError(
            f"{scan.name}: the scan is strongest at its end, {scan.angle[at + 1]:g} {UNITS[scan.axis]}, so "
            "its peak lies outside. Scan over the Bragg peak."
        )


def _is_factor_weight(name: str, experiment: Experiment) -> bool:
    """Whether the parameter is a weight of a B-spline that is the Debye-Waller factor."""
    strain = {spec.name for spec in experiment.profile.strain.parameters}
    return isinstance(experiment.profile.disorder, CubicBSpline) and "weight_" in name and name not in strain


# Reading ----------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """Plain data only; a key given twice is refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge" or not isinstance(key_node, yaml.ScalarNode):
                continue
            line = key_node.start_mark.line + 1
            if key_node.value in seen:
                raise ValueError(
                    f"line {line}: {key_node.value} is given twice (first in line {seen[key_node.value]})"
                )
            seen[key_node.value] = line
        return super().construct_mapping(node, deep)


def presets() -> tuple[str, ...]:
    """Names of the sample files that ship, sorted."""
    names = (entry.name for entry in resources.files("strainscope").joinpath("samples").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def preset_text(name: str) -> str:
    """The YAML of a sample file that ships.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in presets():
        raise ValueError(_sentence(f"preset = {name!r}{_hint(name, presets())}"))
    return resources.files("strainscope").joinpath("samples", f"{name}.yaml").read_text(encoding="utf-8")


def load_sample(name_or_path: str) -> Sample:
    """The sample of a preset's name or of a YAML file's path, checked as a whole.

    Raises:
        OSError: a file is missing or cannot be read.
        ValueError: what is wrong in it, in one line: file, key, value, what is allowed.
    """
    if name_or_path in presets():
        return _load(preset_text(name_or_path), source=name_or_path, folder=None)
    path = Path(name_or_path)
    if path.suffix.lower() not in (".yaml", ".yml") and path.parent == Path() and not path.exists():
        raise ValueError(
            _sentence(
                f"sample = {name_or_path!r} is neither a file nor one of the presets {', '.join(presets())}"
                f"{_close(name_or_path, presets())}"
            )
        )
    text = read_text(path, what="sample", limit_bytes=LARGEST_SAMPLE_BYTES)
    return _load(text, source=name_or_path, folder=path.parent)


def _load(text: str, *, source: str, folder: Path | None) -> Sample:
    try:
        data = yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"{source}: {_yaml_problem(error)}.") from None
    except RecursionError:
        raise ValueError(f"{source}: nested too deeply for a sample file.") from None
    except ValueError as error:
        raise ValueError(f"{source}: {error}.") from None
    if not isinstance(data, dict):
        held = "nothing" if data is None else f"{reprlib.repr(data)}"
        raise ValueError(f"{source}: holds {held}; a sample file holds keys, such as crystal and reflection.")
    return _validated(data, source=source, folder=folder)


def _validated(data: dict[Any, Any], *, source: str, folder: Path | None) -> Sample:
    try:
        sample = Sample.model_validate(data, context={"folder": folder or Path()})
    except ValidationError as error:
        raise ValueError(_sentence(f"{source}: {_problem(error)}")) from None
    try:
        sample.check()
    except ValueError as error:
        raise ValueError(_sentence(f"{source}: {error}")) from None
    return sample


def _yaml_problem(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"no YAML ({' '.join(str(error).split())})"
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    problem = " ".join(str(error.problem or error.context).split())
    return f"{place}no YAML ({problem})"


def _problem(error: ValidationError) -> str:
    """The first thing that pydantic found, in a line: key, value, what is allowed."""
    errors = error.errors()
    first, more = errors[0], len(errors) - 1
    key = _key(first["loc"])
    rest = f" (and {more} more)" if more else ""
    if first["type"] == "value_error":
        text = str(first["ctx"]["error"]).rstrip(".")
        own = key.rpartition(".")[2]
        if not key or text.startswith(f"{own} = "):
            return f"{key}{text.removeprefix(own)}{rest}" if key else f"{text}{rest}"
        # Where the message begins with the number, it wants "key = " before it.
        joint = " = " if re.match(r"\[|-?\d", text) else ": "
        return f"{key}{joint}{text}{rest}"
    if first["type"] == "missing":
        return f"{key} is missing{rest}"
    if first["type"] in ("too_short", "too_long"):
        least = first["type"] == "too_short"
        number = first["ctx"]["min_length" if least else "max_length"]
        limit = f"at {'least' if least else 'most'} {number} numbers"
        return f"{key} = {reprlib.repr(first['input'])}; it must have {limit}"
    if first["type"].startswith("union_tag"):
        return f"{_family_problem(key, first['type'], first['ctx'], first['input'])}{rest}"
    message = first["msg"]
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    message = re.sub(r"a mapping \(.*?\) or .*", "a mapping (lines of key: value)", message)
    expected = re.findall(r"'([^']*)'", str(first.get("ctx", {}).get("expected", "")))
    close = _close(first["input"], expected)
    return f"{key} = {reprlib.repr(first['input'])}; {message[0].lower()}{message[1:]}{close}{rest}"


def _family_problem(key: str, kind: str, context: Mapping[str, Any], value: object) -> str:
    if kind == "union_tag_not_found":
        if isinstance(value, Mapping):
            return f"{key}.family is missing"
        return f"{key} = {reprlib.repr(value)}; give the name of a family, or family and its settings"
    known = re.findall(r"'([^']*)'", context["expected_tags"])
    close = _close(context["tag"], known)
    return f"{key}.family = {context['tag']!r}; it must be one of {', '.join(known)}{close}"


def _key(place: tuple[int | str, ...]) -> str:
    """A place such as ("films", 0, "crystal") as films[0].crystal, without the names of families."""
    parts = list(place)
    # Below a family's key pydantic names the family, which is no key of the file.
    if len(parts) > 1 and parts[0] in ("strain", "disorder", "resolution"):
        del parts[1]
    if parts[:1] == ["wavelength"]:
        del parts[1:]
    parts = [part for part in parts if part != "[key]"]
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".")


def _hint(word: object, known: Any) -> str:  # noqa: ANN401
    """What is known, and what is close to the word."""
    return f"; there are {', '.join(known)}{_close(word, known)}"


def _close(word: object, known: Any) -> str:  # noqa: ANN401
    found = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f". Did you mean {found[0]}?" if found else ""


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."


def _exactly_one(settings: Settings, *keys: str) -> None:
    given = [key for key in keys if getattr(settings, key) is not None]
    if len(given) != 1:
        what = f"{' and '.join(given)} are both given" if given else f"{' or '.join(keys)} is missing"
        raise ValueError(f"{what}; give exactly one of {' and '.join(keys)}")


@contextmanager
def _at(key: str) -> Iterator[None]:
    """Put the key before what is wrong with it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _two_columns(path: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """A table of two columns in a text file, # for comments."""
    text = read_text(path, what="table", limit_bytes=LARGEST_SAMPLE_BYTES)
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
