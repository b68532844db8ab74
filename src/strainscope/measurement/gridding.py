r"""Scans brought onto the network's grid, which is uniform in lattice units and so serves every crystal.

.. math:: e = 1 - \frac{γ_0 + γ_h}{γ_{0,B} + γ_{h,B}} = 1 - \sin θ/\sin θ_B \text{ (symmetric)}

with the angle counted from the scan's peak, which takes out refraction. Simulated scans and measured ones go through
the same two steps: the points within a bin of the grid are added up, then their logarithms are read at the bins'
centres, straight between the neighbouring sums. Where a scan is coarser than the grid each sum is a single point.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from strainscope.crystal import ARCSEC
from strainscope.diffraction import Stack
from strainscope.diffraction.stack import exit_cosine

Floats = NDArray[np.float64]
Channels = NDArray[np.float32]

CHANNELS = ("log10_counts", "standard_error", "measured")
# Farther apart than this many steps of the grid, neighbouring sums leave what is between them unmeasured.
LONGEST_GAP = 6.0
_NEWTON_STEPS = 30
_LEAST_BINS = 20


def lattice_angle(angle_arcsec: ArrayLike, stack: Stack) -> Floats:
    """e [1] at angles from the scan's peak [arcsec], shape (*)."""
    theta = stack.incidence_angle + ARCSEC * np.asarray(angle_arcsec, dtype=np.float64)
    return np.asarray(1 - _sines(theta, stack)[0] / _sines(np.array(stack.incidence_angle), stack)[0])


def angle_of(e: ArrayLike, stack: Stack) -> Floats:
    """Angles from the scan's peak [arcsec] at e [1], shape (*): the inverse of `lattice_angle`.

    Raises:
        ValueError: an e that no angle of incidence has.
    """
    wanted = np.asarray(e, dtype=np.float64)
    start = np.array(stack.incidence_angle)
    goal = (1 - wanted) * _sines(start, stack)[0]
    low, high = stack.incidence_limits
    theta = np.full(wanted.shape, float(start))
    for _ in range(_NEWTON_STEPS):
        value, slope = _sines(theta, stack)
        theta = np.clip(theta - (value - goal) / slope, low + 1e-9, high - 1e-9)
    missed = np.abs(_sines(theta, stack)[0] - goal) > 1e-12
    if missed.any():
        raise ValueError(
            f"e = {wanted[missed].flat[0]:g}; no angle of incidence has it. Let the network's grid start or end "
            "closer to 0."
        )
    return np.asarray((theta - start) / ARCSEC)


def _sines(theta: Floats, stack: Stack) -> tuple[Floats, Floats]:
    """γ0 + γh [1] and its derivative [1/rad]."""
    t = exit_cosine(theta, stack)
    gamma_h = np.sqrt(1 - t**2)
    return np.sin(theta) + gamma_h, np.cos(theta) + t * np.sin(theta) / gamma_h


@dataclass(frozen=True, kw_only=True)
class NetworkGrid:
    """The points that a network reads, in order of growing angle; 701 from -3177 to 93 arcsec at GGG 444.

    Attributes:
        first_e: e of the first point [1], the largest.
        step_e: How much smaller e is at each next point [1].
        number: Points.

    Raises:
        ValueError: a step or number of no use, or a grid without the peak.
    """

    first_e: float = 0.03237
    step_e: float = 4.759e-5
    number: int = 701

    def __post_init__(self) -> None:
        if not (self.step_e > 0 and self.number >= _LEAST_BINS):
            raise ValueError(
                f"step_e = {self.step_e:g}, number = {self.number}; the first must be > 0, the second >= {_LEAST_BINS}."
            )
        if not self.e[-1] < 0 < self.e[0]:
            raise ValueError(
                f"the grid goes from e = {self.e[0]:g} to {self.e[-1]:g}; it must hold the substrate's peak at e = 0."
            )

    @cached_property
    def e(self) -> Floats:
        """e of the points [1], descending, shape (point,)."""
        return self.first_e - self.step_e * np.arange(float(self.number))

    def at(self, stack: Stack) -> "GridAngles":
        """The grid's angles at a stack's reflection."""
        edges = self.first_e - self.step_e * (np.arange(self.number + 1.0) - 0.5)
        return GridAngles(grid=self, centre=angle_of(self.e, stack), edge=angle_of(edges, stack))


@dataclass(frozen=True, kw_only=True, eq=False)
class GridAngles:
    """A network's grid at one reflection; angles [arcsec] count from the scan's peak and grow.

    Attributes:
        grid: In lattice units.
        centre: Angles of the points [arcsec], shape (point,).
        edge: Between their bins, shape (point + 1,).
    """

    grid: NetworkGrid
    centre: Floats
    edge: Floats

    @property
    def peak_step(self) -> float:
        """Step at the peak [arcsec]."""
        i = int(np.argmin(np.abs(self.centre)))
        return float(self.edge[i + 1] - self.edge[i])

    def to_grid(self, angle_arcsec: ArrayLike, counts: ArrayLike) -> tuple[Channels, float]:
        """Channels of one scan.

        Args:
            angle_arcsec: Angles from the scan's peak [arcsec], ascending, shape (m,); points off the grid are left out.
            counts: At each of them, not necessarily whole numbers, >= 0, shape (m,).

        Returns:
            Channels as `channels` gives them, shape (3, point), and the counts a point at the peak [1].

        Raises:
            ValueError: arrays that do not match, angles not ascending, negative counts, or fewer than 20 bins with
                points.
        """
        angle, seen = np.asarray(angle_arcsec, np.float64), np.asarray(counts, np.float64)
        _check_scan(angle, seen)
        place = np.searchsorted(self.edge, angle, side="right") - 1
        inside = (place >= 0) & (place < self.grid.number)
        sums = [
            np.bincount(place[inside], weight[inside], self.grid.number)[None].astype(np.float64)
            for weight in (seen, np.ones_like(seen), angle)
        ]
        filled = int((sums[1] > 0).sum())
        if filled < _LEAST_BINS:
            raise ValueError(
                f"the scan has points in {filled} of the grid's {self.grid.number} bins from {self.edge[0]:.0f} to "
                f"{self.edge[-1]:.0f} arcsec around its peak; at least {_LEAST_BINS} are needed."
            )
        made, peak = self.channels(*sums)
        return made[0], float(peak[0])

    def channels(self, total: Floats, number: Floats, angle_sum: Floats) -> tuple[Channels, Floats]:
        r"""Channels from the sums over the points in each bin.

        With N counts from n points, and P the largest N/n of the scan,

        .. math:: v = \lg\frac{N + 1/2}{n} - \lg(P + 1/2), \qquad
            s = \min\left(1, \frac{1}{\ln 10 \sqrt{N + 1/2}}\right)

        at the points' mean angle; read at the bins' centres straight between neighbours, s as of independent errors.

        Args:
            total: N, shape (scan, point).
            number: n, shape (scan, point); 0 where a bin is empty.
            angle_sum: Sum of their angles [arcsec], shape (scan, point).

        Returns:
            Channels v, s and 1 where measured, shape (scan, 3, point); all three are 0 elsewhere. And P, shape (scan,).
        """
        result = np.zeros((len(total), 3, self.grid.number), dtype=np.float32)
        peak = np.zeros(len(total))
        _channels(total, number, angle_sum, self.centre, LONGEST_GAP * self.peak_step, result, peak)
        return result, peak


@njit(nogil=True, cache=True)
def _channels(
    total: Floats,
    number: Floats,
    angle_sum: Floats,
    centre: Floats,
    longest: float,
    result: Channels,
    peak: Floats,
) -> None:
    """Fills result and peak; see `GridAngles.channels`."""
    n_point = len(centre)
    at, value, error = np.empty(n_point), np.empty(n_point), np.empty(n_point)
    for i in range(len(total)):
        count = 0
        for j in range(n_point):
            n = number[i, j]
            if n > 0:
                at[count] = angle_sum[i, j] / n
                value[count] = np.log10((total[i, j] + 0.5) / n)
                error[count] = min(1.0, 0.4342944819032518 / np.sqrt(total[i, j] + 0.5))
                peak[i] = max(peak[i], total[i, j] / n)
                count += 1
        value[:count] -= np.log10(peak[i] + 0.5)
        _read(at[:count], value[:count], error[:count], number[i] > 0, centre, longest, result[i])


@njit(nogil=True, cache=True)
def _read(
    at: Floats,
    value: Floats,
    error: Floats,
    filled: NDArray[np.bool_],
    centre: Floats,
    longest: float,
    result: Channels,
) -> None:
    """Reads sums at angles `at` at the bins' centres: straight between neighbours, or in their own bins alone."""
    count, right = len(at), 0
    for j in range(len(centre)):
        x = centre[j]
        while right < count and at[right] < x:
            right += 1
        inside = 0 < right < count
        if inside and at[right] - at[right - 1] <= longest:
            t = (x - at[right - 1]) / (at[right] - at[right - 1])
            result[0, j] = (1 - t) * value[right - 1] + t * value[right]
            result[1, j] = np.sqrt(((1 - t) * error[right - 1]) ** 2 + (t * error[right]) ** 2)
            result[2, j] = 1.0
        elif filled[j]:
            # At an end of the scan, or of a gap in it.
            near = min(right, count - 1)
            if inside and x - at[right - 1] < at[right] - x:
                near = right - 1
            result[0, j], result[1, j], result[2, j] = value[near], error[near], 1.0


def _check_scan(angle: Floats, counts: Floats) -> None:
    """Raise unless they are a scan's."""
    if angle.ndim != 1 or angle.shape != counts.shape:
        raise ValueError(f"angle_arcsec has shape {angle.shape}, counts {counts.shape}; both must be (m,).")
    ascending = np.diff(angle) >= 0
    if not ascending.all():
        i = int(np.argmin(ascending)) + 1
        raise ValueError(
            f"angle_arcsec[{i}] = {angle[i]:g} arcsec; it must be >= the one before, {angle[i - 1]:g} arcsec."
        )
    bad = ~(np.isfinite(counts) & (counts >= 0))
    if bad.any():
        raise ValueError(f"counts[{int(np.argmax(bad))}] = {counts[bad][0]:g}; they must be finite and >= 0.")


TOLD = ("log10_step", "log10_peak_counts", "first_measured", "last_measured")


def told_of(channels: Channels, step_ratio: ArrayLike, peak_counts: ArrayLike) -> Floats:
    """What a network is told of scans beside the channels, of order 1 each, in the order of `TOLD`.

    Args:
        channels: Shape (scan, 3, point).
        step_ratio: Steps of the scans over the grid's, both at the peak [1], shape (scan,).
        peak_counts: Counts a point at their peaks [1], shape (scan,).

    Returns:
        log10 of the step's ratio, (log10 of the peak counts - 5)/2, and the first and last measured point as shares of
        the grid from 0 to 1; shape (scan, 4).
    """
    measured = channels[:, 2] > 0
    last = measured.shape[1] - 1
    return np.stack(
        [
            np.log10(np.broadcast_to(np.asarray(step_ratio, np.float64), len(channels))),
            (np.log10(np.broadcast_to(np.asarray(peak_counts, np.float64), len(channels))) - 5) / 2,
            measured.argmax(axis=1) / last,
            1 - measured[:, ::-1].argmax(axis=1) / last,
        ],
        axis=1,
    )
