"""The resolution of many curves at once: transforms of the kernel, tabulated over its width."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft

from strainscope.instrument import Smearing

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]

# Widths are tabulated at this ratio and interpolated by cubics: off by 1e-6 of the kernel's height.
LOG_STEP = 0.025
# Room beyond the widths asked for, so that a table serves the next ones, too.
WIDTH_ROOM = 1.15
STENCIL = 4
_MOST_PARAMETERS = 2


class KernelTable:
    r"""Smears reflectivities with a resolution of its own for each curve.

    The resolution's first parameter w is a width or a factor on it; the kernel is linear in the second, a share η, if
    there is one:

    .. math:: \hat K(w, η) = (1 - η) \hat K(w, 0) + η \hat K(w, 1)

    Args:
        smearing: The resolution on a uniform grid.
        width_range: Least and largest value of the first parameter.

    Attributes:
        length: Reflectivities are padded with zeros to so many points.

    Raises:
        ValueError: a resolution with more parameters.
    """

    def __init__(self, smearing: Smearing, width_range: tuple[float, float]) -> None:
        names = [spec.name for spec in smearing.resolution.parameters]
        if len(names) > _MOST_PARAMETERS:
            raise ValueError(
                f"{type(smearing.resolution).__name__} has {', '.join(names)}; only resolutions of up to "
                f"{_MOST_PARAMETERS} parameters are tabulated."
            )
        self.number, self.length = smearing.number, smearing.length
        self.first = math.log(width_range[0]) - LOG_STEP if names else 0.0
        last = math.log(width_range[1]) + 2 * LOG_STEP if names else 0.0
        count = max(STENCIL, math.ceil((last - self.first) / LOG_STEP) + 1) if names else STENCIL
        self.table = np.empty((count, 4, self.length // 2 + 1), dtype=np.complex128)
        for row, log_width in zip(self.table, self.first + LOG_STEP * np.arange(count), strict=True):
            for share in (0, 1):
                row[2 * share : 2 * share + 2] = smearing.transforms(
                    (math.exp(log_width), float(share))[: len(names)]
                )

    def smear(self, reflectivity: Floats, values: Floats) -> Floats:
        """Intensity [1] behind the instrument.

        Args:
            reflectivity: Sigma and pi on the grid [1], shape (curve, 2, length) with zeros behind the grid's points.
            values: Parameters of the resolution, the first within the tabulated range, shape (curve, parameter).

        Returns:
            Shape (curve, number).
        """
        spectrum = fft.rfft(reflectivity, axis=-1, workers=1)
        nothing = np.zeros(len(values))
        place = (np.log(values[:, 0]) - self.first) / LOG_STEP if values.shape[1] else nothing + 1
        share = values[:, 1] if values.shape[1] > 1 else nothing
        cell = np.clip(place.astype(np.intp), 1, len(self.table) - STENCIL + 1) - 1
        total = np.empty((len(spectrum), spectrum.shape[-1]), dtype=np.complex128)
        _mix(spectrum, self.table, cell, _cubic(place - cell - 1), share, total)
        return np.asarray(
            fft.irfft(total, self.length, axis=-1, workers=1, overwrite_x=True)[:, : self.number],
            dtype=np.float64,
        )


def _cubic(t: Floats) -> Floats:
    """Lagrange weights of four points for places t in [0, 1] between the middle two, shape (t, 4)."""
    return np.stack(
        [
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        ],
        axis=1,
    )


@njit(nogil=True, fastmath=True, cache=True)
def _mix(
    spectrum: Complex, table: Complex, cell: NDArray[np.intp], weight: Floats, share: Floats, total: Complex
) -> None:
    """Σ_pol of the spectra times their kernels' transforms."""
    for i in range(len(spectrum)):
        total[i] = 0.0
        for q in range(weight.shape[1]):
            row = table[cell[i] + q]
            a, b = weight[i, q] * (1.0 - share[i]), weight[i, q] * share[i]
            for f in range(spectrum.shape[2]):
                total[i, f] += (a * row[0, f] + b * row[2, f]) * spectrum[i, 0, f] + (
                    a * row[1, f] + b * row[3, f]
                ) * spectrum[i, 1, f]
