"""What the beam brings along: the emission lines as they spread over the scan, and its polarization."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import fft

from strainscope.crystal import ARCSEC
from strainscope.instrument.grid import STENCIL, Floats, cardinal_weights

# Parts of a step into which a line is cut before its parts are laid onto the grid.
_PARTS = 8


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    r"""Emission lines on the axis of the scan: Lorentzians, the reflectivity curve repeated at each.

    .. math:: S(\delta) = \sum_i w_i L(\delta - s_i; fwhm_i)

    Args:
        shifts_arcsec: Position s of each line [arcsec]; 0 for the reference wavelength.
        weights: Share of each line [1]; they must add to 1.
        fwhm_arcsec: Natural width of each line [arcsec]; 0 for a sharp one.
    """

    shifts_arcsec: tuple[float, ...]
    weights: tuple[float, ...]
    fwhm_arcsec: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("shifts_arcsec", "weights", "fwhm_arcsec"):
            object.__setattr__(self, name, tuple(float(x) for x in getattr(self, name)))
            if not all(map(math.isfinite, getattr(self, name))):
                raise ValueError(f"{name} = {getattr(self, name)}; every number must be finite.")
        numbers = (len(self.shifts_arcsec), len(self.weights), len(self.fwhm_arcsec))
        if len(set(numbers)) != 1 or not numbers[0]:
            raise ValueError(f"{numbers} shifts, weights, widths; give one of each a line, one line or more.")
        if min(self.weights) < 0 or not math.isclose(sum(self.weights), 1.0, rel_tol=1e-9):
            raise ValueError(f"weights = {self.weights}; they must be >= 0 and add to 1.")
        if min(self.fwhm_arcsec) < 0:
            raise ValueError(f"fwhm_arcsec = {self.fwhm_arcsec}; widths must be >= 0 arcsec.")

    def broaden(self, kernel: Floats, step_arcsec: float) -> Floats:
        """Kernels convolved with the lines, each line keeping its area.

        Args:
            kernel: Densities [1/arcsec] at lags of -half to +half steps, shape (*, 2 half + 1); taken as 0
                beyond.
            step_arcsec: Step [arcsec].

        Returns:
            Densities [1/arcsec] at the same lags, shape (*, 2 half + 1).
        """
        half = kernel.shape[-1] // 2
        lines = _line_weights(self, step_arcsec, 2 * half)
        # Lags l and l' of result and kernel differ by up to 2 half; this period keeps all of them apart.
        length = fft.next_fast_len(4 * half + 1, real=True)
        product = fft.rfft(kernel, length, axis=-1, workers=1) * fft.rfft(lines, length, workers=1)
        result: Floats = fft.irfft(product, length, axis=-1, workers=1)
        # Both begin at their most negative lag: -half, and -2 half.
        return result[..., 2 * half : 4 * half + 1]


def spectrum_on_axis(
    lines: Iterable[tuple[float, float, float]],
    *,
    reference_wavelength: float,
    bragg_angle: float,
    monochromator_bragg_angle: float | None = None,
    dispersive: bool = False,
) -> Spectrum:
    r"""How far apart and how wide a scan sees the lines of the source.

    .. math:: s = \Delta\theta_s \mp \Delta\theta_m, \qquad
        \Delta\theta = \arcsin(\sin\theta\, \lambda/\lambda_{ref}) - \theta \approx \tan\theta\,
        \Delta\lambda/\lambda

    minus in the non-dispersive position (+, -), plus in the dispersive one (+, +), no second term without a
    monochromator. Only the angle is followed; χ is taken as at the reference wavelength.

    Args:
        lines: Wavelength [Å], relative weight, natural width [Å] of each, as `crystal.emission_lines` gives.
        reference_wavelength: Wavelength [Å] whose peak is at zero.
        bragg_angle: Of the sample at that wavelength [rad].
        monochromator_bragg_angle: Of the monochromator at that wavelength [rad]; None without one.
        dispersive: Whether the crystals are in the dispersive position.

    Raises:
        ValueError: no line, or one too long for the crystals to reflect.
    """
    rows = tuple(lines)
    total = sum(weight for _, weight, _ in rows)
    if not rows or not total > 0:
        raise ValueError("lines holds none of weight > 0; give one or more, as emission_lines returns.")
    shifts, widths = [], []
    for wavelength, _, fwhm in rows:
        angle, rate = _deflection(bragg_angle, wavelength, reference_wavelength)
        if monochromator_bragg_angle is not None:
            sign = 1.0 if dispersive else -1.0
            other, other_rate = _deflection(monochromator_bragg_angle, wavelength, reference_wavelength)
            angle, rate = angle + sign * other, rate + sign * other_rate
        shifts.append(angle / ARCSEC)
        widths.append(abs(rate) * fwhm / ARCSEC)
    return Spectrum(
        shifts_arcsec=tuple(shifts),
        weights=tuple(weight / total for _, weight, _ in rows),
        fwhm_arcsec=tuple(widths),
    )


def monochromator_polarization(
    bragg_angle: float, kind: Literal["dynamical", "mosaic"] | None = "dynamical"
) -> tuple[float, float]:
    """Shares of sigma and pi in an unpolarised beam behind a monochromator; they add to 1.

    The integrated reflectivity of a perfect crystal ("dynamical") goes as the polarization factor,
    pi : sigma = |cos 2θ|; that of an ideally imperfect one ("mosaic") as its square.

    Args:
        bragg_angle: Of the monochromator [rad].
        kind: None without one.
    """
    if kind not in ("dynamical", "mosaic", None):
        raise ValueError(f"kind = {kind!r}; it must be 'dynamical', 'mosaic' or None.")
    factor = abs(math.cos(2.0 * bragg_angle))
    pi = 1.0 if kind is None else factor if kind == "dynamical" else factor**2
    return 1.0 / (1.0 + pi), pi / (1.0 + pi)


def _deflection(bragg_angle: float, wavelength: float, reference: float) -> tuple[float, float]:
    """Bragg angle at a wavelength minus that at the reference [rad], and its derivative [rad/Å]."""
    sine = math.sin(bragg_angle) * wavelength / reference
    if not (0.0 < bragg_angle < 0.5 * math.pi and 0.0 < sine < 1.0):
        raise ValueError(
            f"wavelength = {wavelength:g} Å with a Bragg angle of {math.degrees(bragg_angle):g}° at "
            f"{reference:g} Å has no reflection; give angles in rad within 0 to π/2 and shorter lines."
        )
    angle = math.asin(sine)
    return angle - bragg_angle, math.tan(angle) / wavelength


@lru_cache(maxsize=8)
def _line_weights(spectrum: Spectrum, step: float, half: int) -> Floats:
    """Mass of the lines at lags of -half to +half steps, shape (2 half + 1,).

    A line is cut into parts around its centre, each of its exact mass, and every part laid onto the six
    nearest points as interpolation would: right for lines of any width, down to none.
    """
    # Room for parts beyond the ends, which belong to lags that are not wanted.
    margin = half + STENCIL
    result = np.zeros(2 * margin + 1)
    for shift, weight, fwhm in zip(
        spectrum.shifts_arcsec, spectrum.weights, spectrum.fwhm_arcsec, strict=True
    ):
        centre = shift / step
        parts = np.arange(
            math.ceil((-half - 3 - centre) * _PARTS), math.floor((half + 3 - centre) * _PARTS) + 1
        )
        low, high = ((2.0 * parts + side) * step / _PARTS for side in (-1, 1))
        # The difference of two arctangents without their cancellation; a line of width 0 is all in part 0.
        mass = np.arctan2(fwhm * (high - low), fwhm**2 + low * high) / np.pi
        where = centre + parts / _PARTS
        cell = np.floor(where)
        first = (cell - 2 + margin).astype(np.intp)
        shares = weight * mass * cardinal_weights(where - cell)
        for q in range(STENCIL):
            result += np.bincount(first + q, shares[q], result.size)
    wanted = result[margin - half : margin + half + 1]
    wanted.flags.writeable = False
    return wanted
