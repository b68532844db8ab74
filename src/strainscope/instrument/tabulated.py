r"""Resolution functions given as tables: the monochromator crystal's own curve, or a measured one.

A table runs straight between its nodes and falls as the inverse square beyond its ends, the law of a
crystal's reflection curve, so that its tails reach as far as any scan; a table that ends at zero ends there.
It is brought onto an angle grid by its mass in every cell, which keeps the integral however fine or coarse
the table, corrected from the cell's mean to the value at its middle (fourth order in the step):

.. math:: K_i = m_i - (m_{i-1} - 2 m_i + m_{i+1})/24, \qquad m_i = \frac{1}{h} \int_{cell} K(x) dx

The zero of angle is the middle of the half-maximum points (its centroid does not exist, tails being what
they are; what remains of the choice is absorbed by the offset of the scan).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from strainscope.instrument.grid import STENCIL, Floats, cardinal_weights
from strainscope.instrument.resolution import (
    FWHM_PER_SIGMA,
    Resolution,
    fwhm_spec,
    lorentzian,
    share_spec,
    uniform_step,
)
from strainscope.profile.family import ParameterSpec, require

# Gaussian wings kept beyond the grid when it is convolved there, in widths (9 sigma), plus a few steps.
_PADDING_WIDTHS = 4.0
_PADDING_STEPS = 16
# Points per width of the Gaussian: with fewer, what it leaves at the highest frequency rings in the tails.
_POINTS_PER_WIDTH = 4
_FINEST = 16
# From so many steps on a Gaussian is smooth on the axis. Parts of a step that the curve is then looked at in.
_SMOOTH_STEPS, _PARTS = 6, 16


@dataclass(frozen=True, kw_only=True)
class MonochromatorCurve(Resolution):
    r"""Reflection curve of the monochromator crystal, then a Gaussian G for what else blurs.

    The sample turns against a fixed beam that the monochromator has reflected; with the same planes in the
    non-dispersive position (+, -) this correlates the two curves,

    .. math:: I(\Delta) = \sum_{pol} \int R_{mono}(\theta) R_{sample}(\theta + \Delta) d\theta,
        \qquad K_{pol}(\delta) \propto (R_{mono,pol}(-\cdot) \otimes G)(\delta)

    so the kernel is the monochromator's curve mirrored. Both polarizations enter with what the
    monochromator reflects of an unpolarised beam; together their integrals make 1.

    Args:
        offset_arcsec: Angles of incidence on the monochromator [arcsec], increasing, shape (m,).
        reflectivity: Its reflectivity [1] for sigma and pi, shape (2, m).
        fwhm_range: Prior range of the Gaussian's width [arcsec].
        wings: Whether a share η of the kernel is a Lorentzian of the Gaussian's width instead, as a second
            parameter: what the air, the slits and the crystals' own diffuse scattering add far out.

    References:
        A. H. Compton & S. K. Allison, X-Rays in Theory and Experiment (Van Nostrand, 1935), on the
        double-crystal spectrometer.
    """

    offset_arcsec: tuple[float, ...]
    reflectivity: tuple[tuple[float, ...], tuple[float, ...]]
    fwhm_range: tuple[float, float] = (0.5, 200.0)
    wings: bool = False

    def __post_init__(self) -> None:
        # Arrays and lists are welcome; tuples keep the settings hashable and comparable.
        object.__setattr__(self, "offset_arcsec", tuple(float(x) for x in self.offset_arcsec))
        rows = tuple(tuple(float(x) for x in row) for row in self.reflectivity)
        object.__setattr__(self, "reflectivity", rows)
        if len(rows) != 2:
            raise ValueError(f"reflectivity has {len(rows)} rows; give two, for sigma and pi.")
        _check_table("offset_arcsec", self.offset_arcsec, "reflectivity", rows)

    @property
    def holds_polarization(self) -> bool:
        """True."""
        return True

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """fwhm_arcsec, of the Gaussian, and lorentz_fraction with wings."""
        width = fwhm_spec("fwhm_arcsec", self.fwhm_range, "full width at half maximum of the Gaussian")
        return (
            (width, share_spec("lorentz_fraction", "share of the wings in the area"))
            if self.wings
            else (width,)
        )

    def _check_domain(self, named: dict[str, Floats]) -> None:
        fwhm = named["fwhm_arcsec"]
        least = "> 0" if self.wings else ">= 0"
        require(
            self.spec("fwhm_arcsec"),
            fwhm,
            fwhm > 0 if self.wings else fwhm >= 0,
            f"it must be {least} arcsec",
        )
        if self.wings:
            share = named["lorentz_fraction"]
            require(
                self.spec("lorentz_fraction"), share, (share >= 0) & (share <= 1), "it must lie in 0 to 1"
            )

    def width(self, values: ArrayLike) -> float:
        """Narrowest feature of the kernel [arcsec]: with wings the Lorentzian, else curve and Gaussian together."""
        fwhm = float(np.asarray(values)[0])
        return fwhm if self.wings else max(fwhm, self._table.fwhm)

    def kernel(self, delta_arcsec: ArrayLike, values: ArrayLike) -> Floats:
        """Densities [1/arcsec] for sigma and pi, shape (2, k)."""
        core = self._convolved(delta_arcsec, values, slope=False)
        if not self.wings:
            return core
        fwhm, share = (float(v) for v in np.asarray(values))
        result: Floats = (1 - share) * core + share * self._table.shares * lorentzian(delta_arcsec, fwhm)[0]
        return result

    def kernel_gradient(self, delta_arcsec: ArrayLike, values: ArrayLike) -> Floats:
        """Derivatives, shape (2, 1, k), or (2, 2, k) with wings."""
        by_width = self._convolved(delta_arcsec, values, slope=True)
        if not self.wings:
            return by_width[:, None]
        fwhm, share = (float(v) for v in np.asarray(values))
        wing, wing_slope = (self._table.shares * row for row in lorentzian(delta_arcsec, fwhm))
        core = self._convolved(delta_arcsec, values, slope=False)
        return np.stack([(1 - share) * by_width + share * wing_slope, wing - core], axis=1)

    @cached_property
    def _table(self) -> "_Table":
        x = np.array(self.offset_arcsec)
        return _Table(-x[::-1], np.array(self.reflectivity)[:, ::-1])

    def _convolved(self, delta_arcsec: ArrayLike, values: ArrayLike, *, slope: bool) -> Floats:
        r"""The curve times \exp(-2 π² σ² f²) in Fourier space, or the derivative of that by the width."""
        delta = np.asarray(delta_arcsec, dtype=np.float64)
        step, fwhm = uniform_step(delta), float(np.asarray(values)[0])
        if fwhm >= _SMOOTH_STEPS * step:
            return self._smoothed(delta, step, fwhm, slope=slope)
        parts = _FINEST if fwhm == 0 else min(_FINEST, math.ceil(_POINTS_PER_WIDTH * step / fwhm))
        pad = math.ceil(_PADDING_WIDTHS * fwhm / step) + _PADDING_STEPS
        cells = delta.size + 2 * pad
        means = self._table.means(delta[0] - (pad + 0.5) * step, step / parts, cells * parts)
        # Around the period only the padding is spoilt.
        length = fft.next_fast_len(means.shape[-1], real=True)
        omega = 2.0 * np.pi * fft.rfftfreq(length, step / parts)
        factor = np.exp(-0.5 * (omega * fwhm / FWHM_PER_SIGMA) ** 2)
        if slope:
            factor *= -fwhm * (omega / FWHM_PER_SIGMA) ** 2
        product = fft.rfft(means, length, axis=-1, workers=1) * factor
        fine: Floats = fft.irfft(product, length, axis=-1, workers=1)
        coarse = fine[:, : cells * parts].reshape(2, cells, parts).mean(axis=-1)
        return _middle_values(coarse[:, pad - 1 : pad + delta.size + 1])

    def _smoothed(self, delta: Floats, step: float, fwhm: float, *, slope: bool) -> Floats:
        """The same for a Gaussian that is smooth on the axis: then it sees the curve exactly from the axis' points."""
        # Widths of the same order share a transform.
        pad = math.ceil(_PADDING_WIDTHS * 2 ** math.ceil(math.log2(fwhm)) / step) + _PADDING_STEPS
        key = (float(delta[0]), step, delta.size, pad)
        if key not in self._projected:
            first, cells = delta[0] - pad * step, delta.size + 2 * pad
            # Around the period only the padding is spoilt.
            length = fft.next_fast_len(cells, real=True)
            omega = 2.0 * np.pi * fft.rfftfreq(length, step)
            self._projected[key] = (
                fft.rfft(self._table.projected(first, step, cells), length, axis=-1, workers=1),
                omega / FWHM_PER_SIGMA,
                length,
            )
        transform, over_width, length = self._projected[key]
        factor = np.exp(-0.5 * (over_width * fwhm) ** 2)
        if slope:
            factor *= -fwhm * over_width**2
        seen: Floats = fft.irfft(transform * factor, length, axis=-1, workers=1)
        return seen[:, pad : pad + delta.size]

    @cached_property
    def _projected(self) -> dict[tuple[float, float, int, int], tuple[NDArray[np.complex128], Floats, int]]:
        """Transforms of the curve on axes that were asked for."""
        return {}


@dataclass(frozen=True, kw_only=True)
class MeasuredResolution(Resolution):
    r"""A measured (or any other) resolution function T as a table, with one parameter that stretches it.

    .. math:: K(\delta) = T(\delta/s) / (s \int T)

    Args:
        offset_arcsec: Angles [arcsec], increasing, shape (m,).
        value: What was measured there, in any unit, background taken off, shape (m,).
        stretch_range: Prior range of s [1]; 1 for the table as it is.
    """

    offset_arcsec: tuple[float, ...]
    value: tuple[float, ...]
    stretch_range: tuple[float, float] = (0.5, 2.0)

    def __post_init__(self) -> None:
        # As above.
        for name in ("offset_arcsec", "value"):
            object.__setattr__(self, name, tuple(float(x) for x in getattr(self, name)))
        _check_table("offset_arcsec", self.offset_arcsec, "value", (self.value,))

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """stretch; 1 for the table as it is."""
        low, high = self.stretch_range
        return (
            ParameterSpec(name="stretch", unit="1", lower=low, upper=high, description="factor on angle"),
        )

    def _check_domain(self, named: dict[str, Floats]) -> None:
        require(self.spec("stretch"), named["stretch"], named["stretch"] > 0, "it must be > 0")

    def width(self, values: ArrayLike) -> float:
        """Width of the stretched table [arcsec]."""
        return float(np.asarray(values)[0]) * self._table.fwhm

    def kernel(self, delta_arcsec: ArrayLike, values: ArrayLike) -> Floats:
        """Density [1/arcsec], shape (1, k)."""
        delta, stretch = np.asarray(delta_arcsec, dtype=np.float64), float(np.asarray(values)[0])
        step = uniform_step(delta) / stretch
        means = self._table.means(delta[0] / stretch - 1.5 * step, step, delta.size + 2)
        return _middle_values(means) / stretch

    def kernel_gradient(self, delta_arcsec: ArrayLike, values: ArrayLike) -> Floats:
        """Derivative, shape (1, 1, k): a cell's mass loses x K(x)/s at its upper edge, gains it below."""
        delta, stretch = np.asarray(delta_arcsec, dtype=np.float64), float(np.asarray(values)[0])
        step = uniform_step(delta) / stretch
        edges = delta[0] / stretch + step * (np.arange(delta.size + 3.0) - 1.5)
        flow = -edges * self._table.at(edges) / stretch
        return _middle_values(np.diff(flow) / (step * stretch))[:, None]

    @cached_property
    def _table(self) -> "_Table":
        return _Table(np.array(self.offset_arcsec), np.array([self.value]))


class _Table:
    """Densities over angle, straight between nodes, inverse squares beyond; together of integral 1.

    Args:
        x: Nodes [arcsec], shape (m,); moved so that the half-maximum points of the sum lie around 0.
        y: Values in any unit, shape (q, m).
    """

    def __init__(self, x: Floats, y: Floats) -> None:
        low, high = _half_maximum(x, y.sum(axis=0))
        self.x = x - 0.5 * (low + high)
        self.fwhm = min(high - low for low, high in (_half_maximum(x, row) for row in y if row.any()))
        tails = y[:, [0, -1]] * abs(self.x[[0, -1]])
        inner = 0.5 * (y[:, 1:] + y[:, :-1]) * np.diff(self.x)
        total = float(inner.sum() + tails.sum())
        self.y = y / total
        self.mass = np.cumsum(np.concatenate((tails[:, :1], inner), axis=1), axis=1) / total
        self.whole = self.mass[:, -1:] + tails[:, 1:] / total
        self.shares = self.whole / self.whole.sum()

    def means(self, edge: float, step: float, number: int) -> Floats:
        """Mean densities of cells one step wide, the first beginning at that edge, shape (q, number)."""
        return np.diff(self._cumulative(edge + step * np.arange(number + 1.0))) / step

    def projected(self, first: float, step: float, number: int) -> Floats:
        """What a kernel that is smooth on an axis sees of the densities from the axis' points, shape (q, number).

        Integrals times the functions that interpolate between the points, over the step.
        """
        parts = min(max(math.ceil(_PARTS * step / self.fwhm), 1), _PARTS)
        reach = STENCIL // 2
        means = self.means(first - reach * step, step / parts, (number + 2 * reach - 1) * parts)
        inside = (np.arange(parts) + 0.5) / parts
        # A part between the points n and n + 1 counts for the six around it.
        weights = cardinal_weights(inside) / parts
        cells = means.reshape(len(means), -1, parts)
        result: Floats = np.zeros((len(means), number))
        for q in range(STENCIL):
            start = STENCIL - 1 - q
            result += cells[:, start : start + number] @ weights[q]
        return result

    def at(self, x: Floats) -> Floats:
        """The densities themselves at any angles, shape (q, k)."""
        beyond = np.clip(x, self.x[0], self.x[-1])
        fall = np.where(x == beyond, 1.0, (beyond / np.where(x == 0.0, 1.0, x)) ** 2)
        return np.array([np.interp(beyond, self.x, row) for row in self.y]) * fall

    def _cumulative(self, x: Floats) -> Floats:
        """Integrals from minus infinity, shape (q, k)."""
        inside = np.clip(x, self.x[0], self.x[-1])
        i = np.clip(np.searchsorted(self.x, inside, side="right") - 1, 0, self.x.size - 2)
        t = inside - self.x[i]
        slope = np.diff(self.y) / np.diff(self.x)
        result: Floats = self.mass[:, i] + t * (self.y[:, i] + 0.5 * t * slope[:, i])
        below, above = x < self.x[0], x > self.x[-1]
        # ∫ y (end/x)² dx = y end²/|x| up to the end of the axis.
        result[:, below] = self.y[:, :1] * self.x[0] ** 2 / -x[below]
        result[:, above] = self.whole - self.y[:, -1:] * self.x[-1] ** 2 / x[above]
        return result


def _middle_values(means: Floats) -> Floats:
    """Values in the middle of cells from the cells' means; takes off the outermost cells."""
    result: Floats = means[..., 1:-1] - np.diff(means, n=2) / 24.0
    return result


def _half_maximum(x: Floats, y: Floats) -> tuple[float, float]:
    """The outermost angles where y is half its maximum, which it must be on both sides."""
    half = 0.5 * float(y.max())
    above = np.flatnonzero(y >= half)
    i, j = int(above[0]), int(above[-1])
    if i == 0 or j == y.size - 1:
        end = "first" if i == 0 else "last"
        raise ValueError(f"the table's {end} value is above half its maximum; give the whole peak.")
    low = x[i] - (x[i] - x[i - 1]) * (y[i] - half) / (y[i] - y[i - 1])
    high = x[j] + (x[j + 1] - x[j]) * (y[j] - half) / (y[j] - y[j + 1])
    return float(low), float(high)


def _check_table(axis: str, angles: Sequence[float], name: str, rows: Sequence[Sequence[float]]) -> None:
    """Raise unless the table is one: finite, angles increasing, values not negative, a whole peak in it."""
    x = np.array(angles)
    if x.size < 3 or any(len(row) != x.size for row in rows):
        sizes = " and ".join(str(len(row)) for row in rows)
        raise ValueError(f"{axis} has {x.size} angles, {name} {sizes}; they must match, 3 or more.")
    y = np.array(rows)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(f"{axis} or {name} holds numbers that are not finite; leave those nodes out.")
    if not (np.diff(x) > 0).all():
        i = int(np.argmin(np.diff(x) > 0)) + 1
        raise ValueError(
            f"{axis}[{i}] = {x[i]:g} arcsec; it must be > {axis}[{i - 1}] = {x[i - 1]:g} arcsec."
        )
    if (y < 0).any() or not y.any():
        raise ValueError(f"{name} = {y.min():g} to {y.max():g}; it must be >= 0 everywhere, > 0 somewhere.")
    for row in (y.sum(axis=0), *(row for row in y if row.any())):
        _half_maximum(x, row)
