"""A measured rocking curve: angles in the unit of the file, and intensities.

The angle grows from left to right whatever the file's order; repeated angles (overlapping segments) stay.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strainscope.crystal import ARCSEC

AXES = ("delta-theta-arcsec", "omega-deg", "two-theta-deg")
INTENSITIES = ("counts", "normalised")
MIN_POINTS = 20

UNITS = {"delta-theta-arcsec": "arcsec", "omega-deg": "deg", "two-theta-deg": "deg"}
SPAN_LIMITS = {
    # A span of a few units is a scan in degrees; one of 10 degrees and more is no rocking curve.
    "delta-theta-arcsec": (30.0, 36000.0),
    "omega-deg": (0.005, 90.0),
    "two-theta-deg": (0.005, 180.0),
}
LARGEST_INTENSITY = 1e15
WHOLE_NUMBER_TOLERANCE = 1e-6

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scan:
    """One measured curve; construction checks it and sorts it by angle (stable), and changes nothing else.

    Args:
        angle: The scan's own axis in the axis's unit (arcsec or degrees), shape (angle,).
        intensity: Counts or normalised intensity, >= 0, shape (angle,).
        sigma: Standard deviation of each intensity, > 0, shape (angle,); None when the file has none.
        axis: One of AXES. ``delta-theta-arcsec`` is relative to the Bragg angle, the others are absolute.
        intensity_kind: One of INTENSITIES; "counts" are whole numbers.
        name: What to call the scan in reports.
        file: What an instrument's file says of the scan beside, plain data; empty for text.

    Raises:
        ValueError: anything above does not hold, or the span is not plausible in the axis's unit.
    """

    angle: FloatArray
    intensity: FloatArray
    sigma: FloatArray | None = None
    axis: str
    intensity_kind: str
    name: str
    file: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.axis not in AXES:
            raise ValueError(f"axis = {self.axis!r}; it must be one of {', '.join(AXES)}.")
        if self.intensity_kind not in INTENSITIES:
            kinds = ", ".join(INTENSITIES)
            raise ValueError(f"intensity_kind = {self.intensity_kind!r}; it must be one of {kinds}.")
        columns = {"angle": self.angle, "intensity": self.intensity}
        if self.sigma is not None:
            columns["sigma"] = self.sigma
        columns = {name: _finite_column(name, values) for name, values in columns.items()}
        lengths = {name: values.size for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ValueError(f"the columns differ in length: {listed}.")
        if columns["angle"].size < MIN_POINTS:
            points = "1 point" if columns["angle"].size == 1 else f"{columns['angle'].size} points"
            raise ValueError(f"{points}; a scan needs at least {MIN_POINTS}.")
        order = np.argsort(columns["angle"], kind="stable")
        for name, values in columns.items():
            ordered = values[order]
            ordered.setflags(write=False)
            object.__setattr__(self, name, ordered)
        check_range(self.angle, self.axis)
        self._check_intensity()

    def _check_intensity(self) -> None:
        negative = np.flatnonzero(self.intensity < 0)
        if negative.size:
            raise ValueError(
                f"intensity = {self.intensity[negative[0]]:g} {self._at(negative[0])}; every intensity "
                "must be >= 0. Undo the background subtraction."
            )
        if not self.intensity.any():
            raise ValueError("every intensity is 0; at least one must be > 0. Check the column order.")
        too_large = np.flatnonzero(self.intensity > LARGEST_INTENSITY)
        if too_large.size:
            raise ValueError(
                f"intensity = {self.intensity[too_large[0]]:g} {self._at(too_large[0])}; the largest "
                f"accepted is {LARGEST_INTENSITY:g}. Divide the intensities by a constant."
            )
        if self.sigma is not None and not (self.sigma > 0).all():
            i = np.flatnonzero(self.sigma <= 0)[0]
            raise ValueError(
                f"sigma = {self.sigma[i]:g} {self._at(i)}; every standard deviation must be > 0. "
                "Leave the third column out for counting statistics."
            )
        if self.intensity_kind == "counts":
            away = np.abs(self.intensity - np.rint(self.intensity)) > WHOLE_NUMBER_TOLERANCE
            # Below the tolerance everything is near 0, which is no sign of counts.
            broken = np.flatnonzero(away if self.intensity.max() > 0.5 else self.intensity > 0)
            if broken.size:
                raise ValueError(
                    f"intensity = {self.intensity[broken[0]]:.9g} {self._at(broken[0])} is no whole number "
                    "of counts. For rates or scaled intensities: --intensity normalised."
                )

    def _at(self, index: np.intp) -> str:
        return f"at {self.angle[index]:g} {UNITS[self.axis]}"

    @property
    def step(self) -> float:
        """Median step between different angles, in the axis's unit."""
        steps = np.diff(self.angle)
        return float(np.median(steps[steps > 0]))

    def shown(self, angle: float) -> str:
        """An angle of the axis as text, to a tenth of the step, with its unit."""
        decimals = max(0, 1 - int(np.floor(np.log10(self.step))))
        number = f"{angle:.{decimals}f}"
        return f"{number if float(number) else number.removeprefix('-')} {UNITS[self.axis]}"

    def theta(self, *, bragg_angle: float, asymmetry: float = 0.0) -> FloatArray:
        """Glancing angle of incidence in vacuum.

        .. math:: \\theta_B - \\psi + \\Delta\\theta, \\quad \\omega, \\quad \\tfrac12 (2\\theta) - \\psi

        for the three AXES in turn.

        Args:
            bragg_angle: Bragg angle of the reflection [rad].
            asymmetry: Angle ψ between surface and diffracting planes [rad], > 0 at grazing incidence.

        Returns:
            Glancing angle of incidence [rad], shape (angle,), ascending.

        Raises:
            ValueError: the geometry is impossible, or the angles leave the interval 0 to π/2.
        """
        _check_geometry(bragg_angle, asymmetry)
        if self.axis == "delta-theta-arcsec":
            theta = bragg_angle - asymmetry + self.angle * ARCSEC
        elif self.axis == "omega-deg":
            theta = np.deg2rad(self.angle)
        else:
            theta = np.deg2rad(self.angle) / 2 - asymmetry
        if not (theta[0] > 0 and theta[-1] < np.pi / 2):
            raise ValueError(
                f"glancing angles from {np.rad2deg(theta[0]):g} to {np.rad2deg(theta[-1]):g} deg; they must "
                f"lie between 0 and 90 deg. Check --axis {self.axis} and the reflection."
            )
        return np.asarray(theta, dtype=np.float64)

    def angle_from_theta(
        self, theta: FloatArray, *, bragg_angle: float, asymmetry: float = 0.0
    ) -> FloatArray:
        """Angle on the scan's own axis and in its unit: the inverse of :meth:`theta`.

        Args:
            theta: Glancing angle of incidence [rad], shape (*,).
            bragg_angle: Bragg angle of the reflection [rad].
            asymmetry: Angle ψ between surface and diffracting planes [rad], > 0 at grazing incidence.

        Returns:
            Angle in arcsec or degrees, shape (*,).
        """
        _check_geometry(bragg_angle, asymmetry)
        theta = np.asarray(theta, dtype=np.float64)
        if self.axis == "delta-theta-arcsec":
            return np.asarray((theta - (bragg_angle - asymmetry)) / ARCSEC)
        if self.axis == "omega-deg":
            return np.asarray(np.rad2deg(theta))
        return np.asarray(2 * np.rad2deg(theta + asymmetry))


def check_range(angle: FloatArray, axis: str) -> None:
    """Raise unless angles (angle,), ascending, can be those of a rocking curve on one of AXES."""
    first, last = float(angle[0]), float(angle[-1])
    unit, (shortest, longest) = UNITS[axis], SPAN_LIMITS[axis]
    if axis != "delta-theta-arcsec" and not (first > 0 and last < longest):
        raise ValueError(
            f"angles from {first:g} to {last:g} {unit}; on --axis {axis} they must lie between 0 "
            f"and {longest:g} {unit}. For arcsec from the peak: --axis delta-theta-arcsec."
        )
    if last - first <= shortest:
        hint = (
            "For angles in degrees: --axis omega-deg or two-theta-deg (relative ones: multiply by 3600)."
            if axis == "delta-theta-arcsec"
            else "For angles in another unit: name it with --axis, or convert to degrees."
        )
        raise ValueError(
            f"the scan spans {last - first:g} {unit}; on --axis {axis} it must span more than "
            f"{shortest:g} {unit}. {hint}"
        )
    if last - first >= longest:
        raise ValueError(
            f"the scan spans {last - first:g} {unit}; on --axis {axis} it must span less than "
            f"{longest:g} {unit}. Check --axis, or cut the scan to one reflection."
        )


def _finite_column(name: str, values: FloatArray) -> FloatArray:
    column = np.array(values, dtype=np.float64)
    if column.ndim != 1:
        raise ValueError(f"{name} has {column.ndim} dimensions; it must have one.")
    bad = np.flatnonzero(~np.isfinite(column))
    if bad.size:
        raise ValueError(f"{name}[{bad[0]}] = {column[bad[0]]}; every value must be finite.")
    return column


def _check_geometry(bragg_angle: float, asymmetry: float) -> None:
    if not 0 < bragg_angle < np.pi / 2:
        raise ValueError(f"bragg_angle = {bragg_angle:g} rad; it must lie between 0 and π/2 rad.")
    if not abs(asymmetry) < bragg_angle:
        raise ValueError(
            f"asymmetry = {asymmetry:g} rad; in the Bragg case it must be smaller than the Bragg angle, "
            f"{bragg_angle:g} rad."
        )
