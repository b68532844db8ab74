"""How scans are measured: settings drawn for each, and a simulated scan's points added up on the network's grid."""

import math
from dataclasses import dataclass, fields

import numpy as np
from numba import njit
from numpy.typing import NDArray

from strainscope.instrument.grid import cardinal_weights
from strainscope.measurement.settings import LabSettings
from strainscope.scan import MIN_POINTS

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Instruments:
    """How each scan of a batch is measured; arrays of shape (scan,).

    Attributes:
        fwhm_arcsec, lorentz_fraction: Of the resolution.
        diffuse_amplitude: Of the sample's diffuse scattering [1].
        correlation_length: Of its disorder [Å].
        counts: Expected at the strongest point, background included [1].
        background: Expected, over `counts` [1].
        step_arcsec: Between points [arcsec].
        low_arcsec: First point, from the scan's zero [arcsec], < 0.
        high_arcsec: No point lies beyond it [arcsec], > 0.
        zero_error_arcsec: Where the substrate's peak lies on the scan's axis [arcsec].

    Raises:
        ValueError: arrays that differ in length, or a number that no scan can have.
    """

    fwhm_arcsec: Floats
    lorentz_fraction: Floats
    diffuse_amplitude: Floats
    correlation_length: Floats
    counts: Floats
    background: Floats
    step_arcsec: Floats
    low_arcsec: Floats
    high_arcsec: Floats
    zero_error_arcsec: Floats

    def __post_init__(self) -> None:
        shapes = {field.name: getattr(self, field.name).shape for field in fields(self)}
        if set(shapes.values()) != {(len(self),)}:
            listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise ValueError(f"the arrays differ in shape: {listed}; all must be (scan,).")
        rules = {
            "fwhm_arcsec": (self.fwhm_arcsec > 0, "> 0 arcsec"),
            "lorentz_fraction": ((self.lorentz_fraction >= 0) & (self.lorentz_fraction <= 1), "0 to 1"),
            "diffuse_amplitude": (self.diffuse_amplitude > 0, "> 0"),
            "correlation_length": (self.correlation_length > 0, "> 0 Å"),
            "counts": ((self.counts > 0) & (self.counts < np.inf), "> 0"),
            "background": ((self.background >= 0) & (self.background < 1), "0 to 1 (share of the peak)"),
            "step_arcsec": (self.step_arcsec > 0, "> 0 arcsec"),
            "low_arcsec": (self.low_arcsec < -self.step_arcsec, "more than a step below 0 arcsec"),
            "high_arcsec": (self.high_arcsec > self.step_arcsec, "more than a step above 0 arcsec"),
            "zero_error_arcsec": (np.isfinite(self.zero_error_arcsec), "finite"),
        }
        for name, (holds, rule) in rules.items():
            if not holds.all():
                i = int(np.argmin(holds))
                raise ValueError(f"{name}[{i}] = {getattr(self, name)[i]:g}; it must be {rule}.")

    def __len__(self) -> int:
        return len(self.counts)

    def part(self, chosen: slice) -> "Instruments":
        """Some of them."""
        return Instruments(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})


def draw_instruments(
    settings: LabSettings,
    fwhm_range: tuple[float, float],
    strained_arcsec: Floats,
    *,
    rng: np.random.Generator,
) -> Instruments:
    """How so many scans are measured, drawn from the settings.

    Args:
        settings: Ranges.
        fwhm_range: Of the resolution's width [arcsec]; uniform.
        strained_arcsec: Angle of each sample's largest strain from the peak [arcsec], shape (scan,).
        rng: Source of randomness.
    """
    n = len(strained_arcsec)

    def logs(limits: tuple[float, float]) -> Floats:
        return np.exp(rng.uniform(np.log(limits[0]), np.log(limits[1]), n))

    step = logs(settings.step_arcsec)
    whole = np.minimum(strained_arcsec, 0.0) * rng.uniform(*settings.beyond_strain, n)
    whole -= rng.uniform(*settings.beyond_arcsec, n)
    cut = -rng.uniform(*settings.low_reach_arcsec, n)
    low = np.where(rng.random(n) < settings.whole_share, whole, cut)
    strong, weak = logs(settings.diffuse_amplitude), logs(settings.negligible_amplitude)
    return Instruments(
        fwhm_arcsec=rng.uniform(*fwhm_range, n),
        lorentz_fraction=rng.beta(*settings.lorentz_shape, n),
        diffuse_amplitude=np.where(rng.random(n) < settings.diffuse_share, strong, weak),
        correlation_length=logs(settings.correlation_length_A),
        counts=logs(settings.counts),
        background=logs(settings.background),
        step_arcsec=step,
        # Beyond the strain may still be near the peak; a scan holds what blurs the peak, and points enough.
        low_arcsec=np.minimum(low, -np.maximum(settings.low_reach_arcsec[0], MIN_POINTS * step)),
        high_arcsec=rng.uniform(*settings.high_reach_arcsec, n),
        zero_error_arcsec=settings.zero_error_steps * step * rng.uniform(-1, 1, n),
    )


def half_maximum(smeared: Floats, start: float, step: float, window: tuple[float, float]) -> Floats:
    """Middle of the half-maximum range [arcsec] around each curve's strongest point in a window.

    Args:
        smeared: Intensities on a uniform grid, shape (curve, number).
        start, step: Of the grid [arcsec].
        window: First and last angle between which the strongest point is looked for [arcsec].

    Returns:
        Shape (curve,).
    """
    first, last = (int(np.clip(round((w - start) / step), 0, smeared.shape[1] - 1)) for w in window)
    middle = np.empty(len(smeared))
    _half_maximum(smeared, first, last, middle)
    return start + step * middle


@njit(nogil=True, cache=True)
def _half_maximum(smeared: Floats, first: int, last: int, middle: Floats) -> None:
    """In steps of the grid, between whose points the curves run straight."""
    for i in range(len(smeared)):
        row = smeared[i]
        top = first
        for j in range(first, last + 1):
            if row[j] > row[top]:
                top = j
        half = 0.5 * row[top]
        left, right = top, top
        while left > 0 and row[left - 1] >= half:
            left -= 1
        while right < len(row) - 1 and row[right + 1] >= half:
            right += 1
        low, high = float(left), float(right)
        if left > 0:
            low -= (row[left] - half) / (row[left] - row[left - 1])
        if right < len(row) - 1:
            high += (row[right] - half) / (row[right] - row[right + 1])
        middle[i] = 0.5 * (low + high)


def scan_points(instruments: Instruments, i: int, edge: Floats) -> Floats:
    """Angles of scan i on its axis [arcsec], shape (m,): those within the bins (edges, shape (point + 1,))."""
    low, step = instruments.low_arcsec[i], instruments.step_arcsec[i]
    first = max(0, math.ceil((edge[0] - low) / step))
    last = math.ceil((min(instruments.high_arcsec[i], edge[-1]) - low) / step)
    return np.asarray(low + step * np.arange(first, last), dtype=np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sums:
    """Points of scans added up over the bins of the network's grid.

    Attributes:
        total: Sum of the intensities [1], shape (scan, point).
        number: Points, shape (scan, point).
        angle: Sum of their angles on the scan's axis [arcsec], shape (scan, point).
        strongest: Largest intensity of a single point [1], shape (scan,).
    """

    total: Floats
    number: Floats
    angle: Floats
    strongest: Floats


# The six weights are looked up at the nearest of so many places in a step: off by 1e-4 of a step at most.
_PLACES = 4096
_WEIGHTS = np.ascontiguousarray(cardinal_weights((np.arange(_PLACES) + 0.5) / _PLACES).T)


def add_up(
    smeared: Floats, start: float, step: float, instruments: Instruments, offset: Floats, edge: Floats
) -> Sums:
    """Intensities at the points of scans, added up over the bins.

    Args:
        smeared: Intensities [1] on a uniform grid of angles of incidence, shape (scan, number).
        start, step: Of that grid [arcsec].
        instruments: Set the points: low_arcsec, then a step farther each, up to high_arcsec or the grid's end.
        offset: Axis of the scan minus angle of incidence [arcsec], shape (scan,).
        edge: Of the bins on the scan's axis [arcsec], shape (point + 1,).
    """
    shape = (len(smeared), len(edge) - 1)
    total, number, angle = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    strongest = np.zeros(len(smeared))
    _add_up(
        smeared,
        (start, step),
        (instruments.low_arcsec, instruments.step_arcsec, instruments.high_arcsec),
        offset,
        edge,
        _WEIGHTS,
        (total, number, angle, strongest),
    )
    return Sums(total=total, number=number, angle=angle, strongest=strongest)


@njit(nogil=True, cache=True)
def _add_up(
    smeared: Floats,
    place: tuple[float, float],
    points: tuple[Floats, Floats, Floats],
    offset: Floats,
    edge: Floats,
    weights: Floats,
    results: tuple[Floats, Floats, Floats, Floats],
) -> None:
    """See `add_up`."""
    start, grid_step = place
    low, step, high = points
    total, number, angle, strongest = results
    last_first = smeared.shape[1] - 6
    for i in range(len(smeared)):
        row = smeared[i]
        end = min(high[i], edge[-1])
        # Points below the grid count for nothing.
        k = max(0, int(np.ceil((edge[0] - low[i]) / step[i])))
        a = low[i] + k * step[i]
        j = 0
        while a < end:
            while edge[j + 1] <= a:
                j += 1
            x = (a - offset[i] - start) / grid_step
            first = min(max(int(x) - 2, 0), last_first)
            w = weights[min(max(int((x - first - 2) * len(weights)), 0), len(weights) - 1)]
            y = 0.0
            for q in range(6):
                y += w[q] * row[first + q]
            y = max(y, 0.0)
            total[i, j] += y
            number[i, j] += 1.0
            angle[i, j] += a
            strongest[i] = max(strongest[i], y)
            k += 1
            a = low[i] + k * step[i]
