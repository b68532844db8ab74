"""A sample: the experiment, the prior, checks and simulated scans that a sample file's settings make."""

import reprlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from strainscope.experiment import Experiment, debye_waller_power
from strainscope.prior import Prior
from strainscope.profile import ParameterSpec
from strainscope.readers import is_instrument_file, read_scan
from strainscope.sample.build import SYMMETRIC, build_experiment
from strainscope.sample.checks import check_fit
from strainscope.sample.messages import at_key, first_problem, hint, sentence
from strainscope.sample.scan_checks import check_axis, check_scan, check_wavelength
from strainscope.sample.settings import ReflectionSettings, SampleSettings, overlaid
from strainscope.sample.simulate import simulated_scan, simulated_values, simulation_notes
from strainscope.scan import Scan

# Besides the profile, what belongs to the sample rather than to one measurement of it.
OF_THE_SAMPLE = ("correlation_length", "miscut_deg")


class Sample(SampleSettings):
    """A sample file, checked, and what can be made of it."""

    def with_options(
        self, *, axis: str | None = None, intensity: str | None = None, model_error: float | None = None
    ) -> "Sample":
        """The sample with what options say in place of the file.

        Raises:
            ValueError: an option that is not allowed.
        """
        scan = {"axis": axis, "intensity": intensity}
        if model_error is None and axis is None and intensity is None:
            return self
        if self.experiment().profile.debye_waller_power != 1:
            raise ValueError(
                "a further reflection of a sample takes its axis from the sample; leave --axis out."
            )
        changed: dict[str, Any] = {
            "scan": self.scan.model_dump() | {k: v for k, v in scan.items() if v is not None}
        }
        if model_error is not None:
            changed["model_error"] = model_error
        settings = self.model_dump(exclude_unset=True)
        for entry in settings.get("reflections", ()):
            if entry.get("scan"):
                entry["scan"] |= {k: v for k, v in scan.items() if v is not None}
        # Paths are resolved already, so no folder is given.
        return validated(settings | changed, source="options", folder=None)

    def by_reflection(self) -> tuple["Sample", ...]:
        """A sample for each reflection, all with one profile; itself where there is one.

        Raises:
            ValueError: what a reflection says is not allowed.
        """
        return (self, *self._others)

    def for_scans(self, number: int) -> tuple["Sample", ...]:
        """The sample by its reflections, one for each of so many scans.

        Raises:
            ValueError: there is not one scan for each reflection.
        """
        reflections = self.by_reflection()
        if number != len(reflections):
            labels = ", ".join(own.label for own in reflections)
            raise ValueError(
                f"the sample has {len(reflections)} reflection(s), {labels}, but {number} scan(s) are given; give one "
                "scan for each, in this order."
            )
        return reflections

    @cached_property
    def _others(self) -> tuple["Sample", ...]:
        shared = {spec.name for spec in self._experiment.profile.parameters} | set(OF_THE_SAMPLE)
        others = []
        for i, entry in enumerate(self.reflections[1:], start=1):
            with at_key(f"reflections[{i}]"):
                others.append(self._other(entry, shared))
        return tuple(others)

    def _other(self, entry: ReflectionSettings, shared: set[str]) -> "Sample":
        """The sample as one of its further reflections sees it."""
        for name in entry.fit:
            if name in shared:
                raise ValueError(f"fit.{name} is the sample's; give it in fit at the top")
        if any(film.reflection for film in self.films):
            raise ValueError("films with a reflection of their own cannot have several reflections")
        data = self.model_dump(exclude_unset=True, exclude={"reflections"})
        # The first one's instrument is not this one's.
        data["fit"] = {name: own for name, own in data.get("fit", {}).items() if name in shared}
        data["surface"] = self.surface or self.reflection
        other = Sample.model_validate(overlaid(data, entry.model_dump(exclude_unset=True)))
        power = debye_waller_power(self._experiment, other._experiment, self.disorder_exponent)
        experiment = other._experiment
        other.__dict__["_experiment"] = replace(
            experiment, profile=replace(experiment.profile, debye_waller_power=power)
        )
        check_fit(other.fit, other.prior(), other.experiment())
        return other

    def at_reflection(self, indices: tuple[int, ...]) -> "Sample":
        """The sample as another reflection would see it, in the first one's instrument unless it is one of its own.

        Raises:
            ValueError: a reflection that the crystal does not have in this geometry.
        """
        for own in self.by_reflection():
            if tuple(own.reflection) == indices:
                return own.alone()
        shared = {spec.name for spec in self._experiment.profile.parameters} | set(OF_THE_SAMPLE)
        with at_key(f"reflection {' '.join(map(str, indices))}"):
            nominal = self.model_copy(update={"miscut": False})
            plain = nominal._other(ReflectionSettings(reflection=indices), shared)
            if not self.miscut or abs(plain.substrate.asymmetry) > SYMMETRIC:
                return plain
            return self._other(ReflectionSettings(reflection=indices), shared)

    def alone(self) -> "Sample":
        """Without the further reflections."""
        return self.model_copy(update={"reflections": ()}) if self.reflections else self

    @property
    def label(self) -> str:
        """The reflection's indices as one word, such as 888."""
        plain = all(0 <= index <= 9 for index in self.reflection)
        return ("" if plain else "_").join(map(str, self.reflection)).replace("-", "m")

    def experiment(self) -> Experiment:
        """The experiment that the file describes.

        Raises:
            OSError: a file that it names cannot be read.
            ValueError: something that the experiment cannot be built from; the message names the key.
        """
        return self._experiment

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Bounds given in the file, by parameter."""
        return {name: fit.bounds for name, fit in self.fit.items() if fit.bounds is not None}

    def held(self) -> dict[str, float]:
        """Values of the parameters that are not fitted, by parameter."""
        held = {name: fit.value for name, fit in self.fit.items() if fit.held and fit.value is not None}
        return held if self.background == "linear" else held | {"background_slope": 0.0}

    def start(self) -> dict[str, float]:
        """Starting values given in the file, by parameter: `start`, else `mean`."""
        given = {name: fit.mean if fit.start is None else fit.start for name, fit in self.fit.items()}
        return {name: value for name, value in given.items() if value is not None}

    def prior(self) -> Prior:
        """Every parameter with the bounds of the file or of its family, constraints and held values.

        Raises:
            ValueError: a parameter that does not exist, bounds that are not allowed or leave no room.
        """
        experiment = self.experiment()
        names = [spec.name for spec in experiment.parameters]
        for name in self.fit:
            if name not in names:
                raise ValueError(f"fit: unknown parameter {reprlib.repr(name)}{hint(name, names)}")
        if self.background == "constant" and "background_slope" in self.fit:
            raise ValueError("fit.background_slope needs background: linear; now it is constant")
        with at_key("fit"):
            return Prior(
                parameters=tuple(self._bounded(spec) for spec in experiment.parameters),
                constraints=experiment.constraints,
                held=self.held(),
            )

    def check(self) -> None:
        """Raise unless the experiment can be built and every number of `fit` is allowed.

        Raises:
            OSError: a file that it names cannot be read.
            ValueError: the message names the key.
        """
        check_fit(self.fit, self.prior(), self.experiment())
        labels = [own.label for own in self.by_reflection()]
        if len(set(labels)) < len(labels):
            raise ValueError(f"reflections: {', '.join(labels)}; give each once")

    def read_scan(self, path: Path, *, number: int | None = None, axis: str | None = None) -> Scan:
        """The scan in a file, checked: text on the sample's axis, an instrument's file on its own.

        Args:
            path: The file.
            number: Which scan of an instrument's file, from 1.
            axis: For an instrument's file, which of its axes; by default the one that was scanned.

        Raises:
            OSError: the file is missing, not a file, or cannot be read.
            ValueError: it is no scan of this sample; the message is one line that begins with its path.
        """
        recorded = is_instrument_file(path)
        own = self.scan.axis
        scan = read_scan(
            path,
            axis=axis if recorded else own,
            intensity_kind=None if recorded else self.scan.intensity,
            number=number,
            # Angles of another axis may be no scan at all on this one, which would say less.
            check_columns=lambda angle, intensity: check_axis(
                angle, intensity, axis=str(own), substrate=self.substrate
            ),
            check_recorded=lambda found: check_wavelength(found, self.wavelength),
        )
        with at_key(str(path)):
            self.check_scan(scan)
        return scan

    def check_scan(self, scan: Scan) -> None:
        """Raise unless the scan can be one of this sample: on its axis, a peak and the Bragg angle in it, wide enough.

        Raises:
            ValueError: what is wrong, and which axis would be right if one is.
        """
        check_scan(scan, self.substrate)

    def simulated_values(
        self, given: Mapping[str, float], *, counts: float | None = None
    ) -> dict[str, float]:
        """A value of every parameter: as given, held or started in the file, a usual one or a middling one.

        Usual are no diffuse scattering, a Lorentz share of 0.2, no offset, a scale of 1, and a background of
        1e-5 of the peak, with counts at least one; middling is the middle of the prior.

        Args:
            given: Values by name.
            counts: Those that :meth:`simulate` will be given.

        Raises:
            ValueError: a name that does not exist, or a value where the model is not defined.
        """
        return simulated_values(
            given,
            from_file=self.start() | self.held(),
            prior=self.prior(),
            experiment=self.experiment(),
            counts=counts,
        )

    def simulation_notes(
        self, values: Mapping[str, float], *, given: Mapping[str, float], counts: float | None = None
    ) -> tuple[str, ...]:
        """What a simulation took for values that were not given, and those that an inversion would not find."""
        return simulation_notes(
            values,
            given=given,
            from_file=self.start() | self.held(),
            prior=self.prior(),
            bounds=self.bounds(),
            counted=counts is not None,
        )

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
        return simulated_scan(
            values,
            experiment=self.experiment(),
            substrate=self.substrate,
            axis=str(self.scan.axis),
            counts=counts,
            seed=seed,
            span=span,
            step=step,
        )

    @cached_property
    def _experiment(self) -> Experiment:
        return build_experiment(self)

    def _bounded(self, spec: ParameterSpec) -> ParameterSpec:
        fit = self.fit.get(spec.name)
        if fit is None or fit.bounds is None:
            return spec
        return replace(spec, lower=fit.bounds[0], upper=fit.bounds[1])


def validated(data: dict[Any, Any], *, source: str, folder: Path | None) -> Sample:
    """The sample that the data describe, checked as a whole; paths in them are relative to the folder."""
    try:
        sample = Sample.model_validate(data, context={"folder": folder or Path()})
    except ValidationError as error:
        raise ValueError(sentence(f"{source}: {first_problem(error)}")) from None
    try:
        sample.check()
    except ValueError as error:
        raise ValueError(sentence(f"{source}: {error}")) from None
    except OSError as error:
        raise type(error)(sentence(f"{source}: {error}")) from None
    return sample
