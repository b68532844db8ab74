"""One scan as an instrument's file holds it, and the scan that an inversion takes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strainscope.readers.counts import relative_efficiency, whole_counts
from strainscope.scan import AXES, Scan

FloatArray = NDArray[np.float64]

MOST_POINTS = 1_000_000
# How far 2θ may run from twice ω in a scan of both, as a share of its span.
COUPLING_TOLERANCE = 0.01
# Counts that a detector loses of those that hit it, beyond which a note says so.
DEAD_TIME_WORTH_SAYING = 0.01


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordedScan:
    """A scan as recorded; construction checks it and changes nothing.

    Attributes:
        format: Which file format, with its version.
        scanned: The scanned axis or the kind of scan, in the file's words.
        leading: Of "omega" and "two-theta" the one that the file takes for the axis of the scan.
        positions: Angles of the axes that moved [deg], each of shape (point,), by name: "omega" (of incidence),
            "two-theta", and others in the file's words.
        fixed: Angles of the axes that stood still [deg], by name.
        intensity: As the file has it, >= 0, shape (point,).
        rate: Whether the intensities are counts per second rather than counts.
        counting_time_s: Of each point [s], shape (point,); None where the file does not say.
        attenuation: Factor by which each point would be stronger without attenuator [1], shape (point,), or None.
        attenuated: Whether the intensities are as weakened; False where the factor is in them already.
        monitor: Of the beam at each point, in any unit, shape (point,), or None.
        dead_time_s: Of the detector [s], or None; it is shown, and no intensity is changed by it.
        wavelength_A: In use [Å], or None.
        lines_A: Wavelengths of the source's lines [Å], by name.
        anode: Element of the anode, or empty.
        title: What the file calls the scan, or empty.
        notes: What a reader should know of how the file was understood.
    """

    format: str
    scanned: str
    leading: str
    positions: Mapping[str, FloatArray]
    intensity: FloatArray
    fixed: Mapping[str, float] = field(default_factory=dict)
    rate: bool = False
    counting_time_s: FloatArray | None = None
    attenuation: FloatArray | None = None
    attenuated: bool = True
    monitor: FloatArray | None = None
    dead_time_s: float | None = None
    wavelength_A: float | None = None
    lines_A: Mapping[str, float] = field(default_factory=dict)
    anode: str = ""
    title: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        points = self.intensity.size
        if not 1 <= points <= MOST_POINTS:
            raise ValueError(f"{points} points in a scan; there must be 1 to {MOST_POINTS}.")
        columns: dict[str, FloatArray | None] = {"intensities": self.intensity, **self.positions}
        columns |= {"counting times": self.counting_time_s, "attenuation factors": self.attenuation}
        for name, values in (columns | {"monitor": self.monitor}).items():
            if values is None:
                continue
            if values.shape != (points,):
                raise ValueError(
                    f"{values.size} {name}, but {points} intensities; the file is damaged: export it again."
                )
            if not np.isfinite(values).all():
                raise ValueError(f"{name}: a value is not finite; the file is damaged: export it again.")
        for name, zero in (("intensities", True), ("counting times", False), ("attenuation factors", False)):
            found = columns[name]
            if found is not None and not ((found >= 0) if zero else (found > 0)).all():
                least = ">= 0" if zero else "> 0"
                raise ValueError(f"{name}: {found.min():g} is among them; each must be {least}.")

    @property
    def counts(self) -> FloatArray | None:
        """Photons as the detector counted them, whole numbers, shape (point,); None where they cannot be told."""
        return whole_counts(
            self.intensity,
            time_s=self.counting_time_s if self.rate else None,
            factor=None if self.attenuated else self.attenuation,
            rate=self.rate,
        )

    def axes(self) -> tuple[str, ...]:
        """Axes of `strainscope.scan.AXES` that the scan can be put on, the usual one for it first."""
        moved = set(self.positions)
        found = [axis for axis, name in _NAMES.items() if name in moved]
        if "two-theta" in moved and not self._coupled():
            found.remove("two-theta-deg")
        if self.leading == "two-theta":
            found.reverse()
        return (*found, "delta-theta-arcsec") if found else ()

    def _coupled(self) -> bool:
        """Whether 2θ runs twice as far as ω; where ω is not in the file, the kind of scan said so."""
        two_theta, omega = self.positions["two-theta"], self.positions.get("omega")
        if omega is None:
            return "omega" not in self.fixed
        away = (two_theta - two_theta[0]) - 2 * (omega - omega[0])
        return bool(np.abs(away).max() <= COUPLING_TOLERANCE * max(float(np.ptp(two_theta)), 1e-9))

    def scan(self, *, name: str, axis: str | None = None) -> Scan:
        """The scan for an inversion, on an axis of the file's.

        Raw counts taken in one time behind one attenuator stay counts. Other counts N are divided by what a photon's
        chance was, their time over their attenuation, times the monitor over its mean,

        .. math:: I = N / e, \\qquad \\sigma = \\sqrt{\\max(N, 1)} / e,

        so that I²/σ² is N, and Poisson statistics stay those of the raw counts.

        Args:
            name: What to call it.
            axis: One of `axes()`; by default the first. On "delta-theta-arcsec" 0 is the strongest point.

        Raises:
            ValueError: the scan is none of ω or of θ and 2θ together, or not on that axis.
        """
        angle = self._angle(axis)
        kind = axis or self.axes()[0]
        counts = self.counts
        efficiency = relative_efficiency(
            time_s=None if self.rate and counts is None else self.counting_time_s,
            attenuation=self.attenuation if self.attenuated or counts is not None else None,
            monitor=self.monitor,
            points=self.intensity.size,
        )
        common: dict[str, Any] = {"angle": angle, "axis": kind, "name": name, "file": self.document()}
        if counts is not None and np.ptp(efficiency) <= 1e-9 * efficiency[0]:
            return Scan(intensity=counts, intensity_kind="counts", **common)
        return Scan(
            intensity=(self.intensity if counts is None else counts) / efficiency,
            sigma=None if counts is None else np.sqrt(np.maximum(counts, 1.0)) / efficiency,
            intensity_kind="normalised",
            **common,
        )

    def _angle(self, axis: str | None) -> FloatArray:
        """Angles on an axis, in its unit."""
        known = self.axes()
        if not known:
            moved = ", ".join(self.positions) or "no axis"
            raise ValueError(
                f"this is no rocking curve: {moved} moved ({self.scanned}); a scan of ω, or of θ and 2θ together, is "
                "needed."
            )
        if axis is not None and axis not in known:
            words = f"the file's are {', '.join(known)}" if axis in AXES else f"one of {', '.join(AXES)}"
            raise ValueError(f"--axis {axis}: {words}.")
        if axis != "delta-theta-arcsec":
            return self.positions[_NAMES[axis or known[0]]]
        absolute = self.positions[_NAMES[known[0]]]
        half = 1800.0 if known[0] == "two-theta-deg" else 3600.0
        return np.asarray(half * (absolute - absolute[int(self.true_intensity.argmax())]))

    @property
    def true_intensity(self) -> FloatArray:
        """Intensities as they would be without attenuators, in the file's unit, shape (point,)."""
        if self.attenuation is None or not self.attenuated:
            return self.intensity
        return self.intensity * self.attenuation

    def remarks(self) -> tuple[str, ...]:
        """Notes of the reader, and what follows from the numbers."""
        found = list(self.notes)
        if self.counts is None:
            found.append(
                "the intensities are no whole counts, nor are they with counting time and attenuators: "
                "their noise is estimated from the scatter of neighbouring points"
            )
        if "two-theta" in self.positions and self._coupled() and "omega" not in self.positions:
            found.append("2θ moved and ω is not in the file: they are taken to have moved together")
        lost = self._lost()
        if lost > DEAD_TIME_WORTH_SAYING:
            found.append(
                f"with this dead time the detector may have lost {100 * lost:.2g} % of the photons at the strongest "
                "point; the intensities are taken as they are"
            )
        return tuple(found)

    def _lost(self) -> float:
        """Share of the photons that the dead time hides at the strongest point, at most; 0 where it is unknown."""
        counts = self.counts
        if self.dead_time_s is None or counts is None or self.counting_time_s is None:
            return 0.0
        return float(min(1.0, self.dead_time_s * (counts / self.counting_time_s).max()))

    def document(self) -> dict[str, Any]:
        """What was understood, as plain data."""
        ends = {name: [float(x[0]), float(x[-1])] for name, x in self.positions.items()}
        counts = self.counts
        return {
            "format": self.format,
            "title": self.title,
            "scanned": self.scanned,
            "points": self.intensity.size,
            "axes_deg": ends,
            "steps_deg": {name: _step(x) for name, x in self.positions.items()},
            "fixed_deg": dict(self.fixed),
            "usable_axes": list(self.axes()),
            "intensity": "counts per second" if self.rate else "counts" if counts is not None else "unknown",
            "largest_intensity": float(self.intensity.max()),
            "largest_counts": None if counts is None else float(counts.max()),
            "counting_time_s": _range(self.counting_time_s),
            "attenuation": _range(self.attenuation),
            "monitor": _range(self.monitor),
            "dead_time_s": self.dead_time_s,
            "wavelength_A": self.wavelength_A,
            "lines_A": dict(self.lines_A),
            "anode": self.anode,
            "notes": list(self.remarks()),
        }


# The absolute axes and the positions that they are; ω first.
_NAMES = {"omega-deg": "omega", "two-theta-deg": "two-theta"}


def _step(positions: FloatArray) -> float:
    """Median distance of neighbouring positions that differ; 0 where none do."""
    steps = np.abs(np.diff(positions))
    return float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0


def _range(values: FloatArray | None) -> list[float] | None:
    """Smallest and largest of a column; None where there is none."""
    return None if values is None else [float(values.min()), float(values.max())]
