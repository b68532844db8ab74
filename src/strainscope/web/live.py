"""Curves while somebody moves a slider: models of scans are kept prepared, so that a curve takes milliseconds."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.likelihood import rms_log10
from strainscope.inversion.problem import Problem, prepare
from strainscope.profile import LogUniform, ParameterSpec
from strainscope.readers import is_instrument_file
from strainscope.sample import Sample, at_key
from strainscope.sample.messages import hint, with_unit
from strainscope.scan import UNITS, Scan
from strainscope.web.messages import with_names
from strainscope.web.samples import Cifs, read_sample, with_columns

Floats = NDArray[np.float64]

MOST_POINTS = 20_000
# No profile that a scan shows reaches deeper; what would takes long to simulate.
DEEPEST_A = 100_000.0
_ROUNDING = 1e-9
_REMEMBERED = 48


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveCurve:
    """What a scan would be with certain values.

    Attributes:
        values: Of all parameters.
        expected: Intensity at the scan's points.
        rms_log10: Of expected over measured.
        notes: What an inversion would say of the values, one sentence each.
    """

    values: dict[str, float]
    expected: Floats
    rms_log10: float
    notes: tuple[str, ...]


class LiveModel:
    """A scan of a sample, prepared.

    Args:
        sample: Told what the scan's columns are.
        scan: Measured, or simulated as a start.

    Raises:
        ValueError: the scan does not fit the sample.
    """

    def __init__(self, sample: Sample, scan: Scan) -> None:
        if scan.angle.size > MOST_POINTS:
            raise ValueError(
                f"the scan has {scan.angle.size} points; curves can follow sliders up to {MOST_POINTS}. Cut it, or "
                "invert it without."
            )
        self.sample, self.scan = sample, scan
        self.problem: Problem = prepare(
            scan,
            sample.experiment(),
            bounds=sample.bounds(),
            held=sample.held(),
            start=sample.start(),
            model_error=sample.model_error,
        )
        self.names = self.problem.prior.names
        for spec in self.problem.prior.parameters:
            if spec.unit == "Å" and max(abs(spec.lower), abs(spec.upper)) > DEEPEST_A:
                raise ValueError(
                    f"fit.{spec.name}.bounds = [{spec.lower:g}, {spec.upper:g}] Å; they must lie in "
                    f"±{DEEPEST_A:g} Å here."
                )

    @cached_property
    def start(self) -> dict[str, float]:
        """Values that sliders start at: those that the sample or the scan suggest, else middling ones."""
        prior, given = self.problem.prior, {**self.sample.start(), **self.sample.held()}
        middle = prior.from_unit(np.full((1, len(prior.names)), 0.5))[0]
        by_scan = self.problem.base
        free = {spec.name for spec in self.sample.experiment().profile.parameters} - given.keys()
        return {name: float(middle[i] if name in free else by_scan[i]) for i, name in enumerate(prior.names)}

    def parameters(self) -> list[dict[str, Any]]:
        """Each parameter as a slider needs it: unit, bounds, start, in words."""
        prior = self.problem.prior
        return [
            {
                "name": spec.name,
                "unit": spec.unit,
                "lower": spec.lower,
                "upper": spec.upper,
                "value": self.start[spec.name],
                "held": spec.name in prior.held,
                "logarithmic": isinstance(spec.shape, LogUniform) and spec.lower > 0,
                "description": spec.description,
            }
            for spec in prior.parameters
        ]

    def curve(self, given: Mapping[str, float]) -> LiveCurve:
        """The scan with values in place of those that it starts at.

        Raises:
            ValueError: a name that does not exist, or a value where the model is not defined or not prepared for.
        """
        for name, value in given.items():
            self._check(name, value)
        values = self.start | dict(given)
        numbers = np.array([values[name] for name in self.names])
        experiment = self.problem.model.experiment
        own = numbers[experiment.slices["profile"]]
        experiment.profile.check(own)
        expected = self.problem.model.expected(numbers)
        return LiveCurve(
            values=values,
            expected=expected,
            rms_log10=rms_log10(self.scan.intensity, expected),
            notes=self._notes(own),
        )

    def _check(self, name: str, value: float) -> None:
        if name not in self.names:
            raise ValueError(f"unknown parameter {name[:40]!r}{hint(name, self.names)}.")
        spec = self.problem.prior.parameters[self.names.index(name)]
        held = self.problem.prior.held.get(name)
        lower, upper = (spec.lower, spec.upper) if held is None else (held, held)
        room = _ROUNDING * (1 + abs(upper) + abs(lower))
        if not lower - room <= value <= upper + room:
            raise ValueError(_outside(spec, value, held))

    def _notes(self, own: Floats) -> tuple[str, ...]:
        profile = self.problem.model.experiment.profile
        if not profile.violations(own):
            return ()
        rules = " and ".join(map(str, profile.constraints))
        return (f"An inversion would not look here: it keeps to {rules}.",)


def _outside(spec: ParameterSpec, value: float, held: float | None) -> str:
    """What is wrong with a value out of its bounds."""
    shown = with_unit(f"{spec.name} = {value:g}", spec.unit)
    if held is not None:
        return f"{shown}, but the sample holds it at {with_unit(f'{held:g}', spec.unit)}; free it there."
    limits = with_unit(f"{spec.lower:g} to {spec.upper:g}", spec.unit)
    return f"{shown}; it must lie in {limits}. Widen fit.{spec.name}.bounds of the sample for more."


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which scan is simulated as which sample.

    Attributes:
        sample: A preset's name, or the text of a sample file.
        cifs: What the sample may name.
        reflection: Which of the sample; None for its first.
        axis: What the first column is; None for what the sample says, or the instrument's file.
        intensity: What the second column is; the same.
        path: Where the server keeps the scan.
        number: Which scan of an instrument's file, from 1.
        name: Of the scan, for messages.
    """

    sample: str
    cifs: Cifs
    reflection: tuple[int, ...] | None
    axis: str | None
    intensity: str | None
    path: Path
    number: int | None
    name: str


class LiveModels:
    """The models that were asked for last, each made once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: OrderedDict[Asked, _Once] = OrderedDict()

    def of(self, asked: Asked) -> LiveModel:
        """The model of an uploaded scan.

        Raises:
            ValueError: what is wrong with sample or scan, in one line.
        """
        with self._lock:
            once = self._made.setdefault(asked, _Once(lambda: _model(asked)))
            self._made.move_to_end(asked)
            while len(self._made) > _REMEMBERED:
                self._made.popitem(last=False)
        return once.get()


class _Once:
    """Something that is made when it is first asked for, by whoever asks first."""

    def __init__(self, make: Callable[[], LiveModel]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._made: LiveModel | None = None

    def get(self) -> LiveModel:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made


def _model(asked: Asked) -> LiveModel:
    recorded = is_instrument_file(asked.path)
    try:
        described = with_columns(
            read_sample(asked.sample, asked.cifs), asked.axis, asked.intensity, recorded=recorded
        )
        if asked.reflection is not None:
            described = described.at_reflection(asked.reflection)
        scan = described.read_scan(asked.path, number=asked.number, axis=asked.axis)
        with at_key(asked.name):
            return LiveModel(described, scan)
    except (ValueError, OSError) as error:
        raise ValueError(with_names(str(error), [(asked.name, asked.path), *asked.cifs])) from None


def scan_text(scan: Scan, about: str) -> str:
    """A simulated scan as a text file of two columns."""
    lines = [
        f"# {about}",
        f"# {scan.axis} ({UNITS[scan.axis]})   {scan.intensity_kind}",
        *(f"{x:.10g} {y:.10g}" for x, y in zip(scan.angle, scan.intensity, strict=True)),
    ]
    return "\n".join([*lines, ""])
