r"""Diffuse scattering of many curves at once, as a histogram of disorder over strain that a Gaussian broadens.

The sum of `diffraction.diffuse_scattering`, with the detuning q = Q (δ - x(θ)) and x = -P/Q, is a convolution:

.. math:: \sum_k 2 |S|^2 w_k τ e^{-(τ Q (δ_k - x))^2/π} = 2 |S|^2 τ (H \otimes g_τ)(x), \qquad
    w_k = t_k (1 - E_k^2)

It is done on a uniform axis of x, fine enough for the longest correlation length, by FFT. That Q varies by parts in
10^5 over a scan is left out.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft
from scipy.sparse import csr_array

from strainscope.crystal import ARCSEC
from strainscope.diffraction import Stack, Sublayers, coefficients
from strainscope.instrument.grid import STENCIL, cardinal_weights, stencil

Floats = NDArray[np.float64]
Histogram = NDArray[np.float32]

# Steps of the axis per standard deviation of the narrowest Gaussian: with 0.55 interpolation errs by 2e-3 of it, with
# 0.3 by a fifth of that.
_STEP_PER_SD = 0.3
# The widest Gaussian comes round from the other end of the axis below exp(-8).
_PADDING_SD = 4.0
# A cell of the profile covers a range of strain; it is cut into parts of so many bins.
PART, MOST_PARTS = 0.5, 64


class DiffuseSpread:
    """Diffuse scattering on one uniform grid of angles.

    Args:
        stack: Films and substrate.
        position: Angles of incidence from the substrate's Bragg position [arcsec], shape (angle,).
        correlation_range: Least and largest correlation length [Å].
        strain_range: Least and largest strain that is kept apart [1]; what lies beyond counts as lying there.
        bragg_law: "exact" or "linear".
    """

    def __init__(
        self,
        stack: Stack,
        position: Floats,
        *,
        correlation_range: tuple[float, float],
        strain_range: tuple[float, float],
        bragg_law: str,
    ) -> None:
        exact = coefficients(stack.incidence_angle + ARCSEC * position, stack, bragg_law=bragg_law)
        response = exact.strain_response.real
        x = -exact.detuning.real / response
        self.linear = bragg_law == "linear"
        self.response = float(abs(response.mean()))
        sd = np.sqrt(np.pi / 2) / (np.array(correlation_range) * self.response)
        self.step = float(_STEP_PER_SD * sd[1])
        low, high = min(float(x.min()), strain_range[0]), max(float(x.max()), strain_range[1])
        self.start = low - 3 * self.step
        self.number = int(np.ceil((high - self.start) / self.step)) + 4
        self.length = int(fft.next_fast_len(self.number + int(_PADDING_SD * sd[0] / self.step), real=True))
        self.to_angles = [
            _interpolation(row, 2 * np.abs(s) ** 2, self.start, self.step, self.number)
            for row, s in zip(x, exact.coupling, strict=True)
        ]

    def histogram(self, cells: Sublayers) -> Histogram:
        """Disorder over strain of a batch of sublayers (curve, sublayer): H [Å], shape (curve, layer, bin)."""
        result = np.zeros((len(cells.thickness), len(self.to_angles), self.number), dtype=np.float32)
        delta = cells.strain if self.linear else cells.strain / (1 + cells.strain)
        _deposit((delta - self.start) / self.step, cells.thickness, cells.debye_waller, cells.layer, result)
        return result

    def intensity(self, histogram: Histogram, correlation_length: Floats) -> Floats:
        """Diffuse intensity for unit amplitude [1] and sigma; pi has C² of it.

        Args:
            histogram: From `histogram`, shape (curve, layer, bin).
            correlation_length: τ [Å], shape (curve,).

        Returns:
            Shape (angle, curve).
        """
        frequency = fft.rfftfreq(self.length, self.step)
        width = np.pi**1.5 / (correlation_length[:, None] * self.response)
        # Each cell was shared between two bins, a triangle that sinc² takes off again.
        gain = np.pi / (self.response * self.step) / np.sinc(frequency * self.step) ** 2
        transform = gain * np.exp(-((width * frequency) ** 2))
        total = np.zeros((self.to_angles[0].shape[0], len(histogram)))
        for layer, matrix in enumerate(self.to_angles):
            spectrum = fft.rfft(histogram[:, layer].astype(np.float64), self.length, axis=-1, workers=1)
            spectrum *= transform
            spread = fft.irfft(spectrum, self.length, axis=-1, workers=1)[:, : self.number]
            total += matrix @ np.ascontiguousarray(spread.T)
        # The transform rounds to 1e-16 of the largest value, to either side of zero.
        return np.asarray(np.maximum(total, 0.0))


def _interpolation(x: Floats, weight: Floats, start: float, step: float, number: int) -> csr_array:
    """Weighted six-point interpolation from the axis to x, shape (angle, bin)."""
    first, fraction = stencil(x, start, step, number)
    columns = first[:, None] + np.arange(STENCIL)
    values = (weight * cardinal_weights(fraction)).T
    rows = np.repeat(np.arange(x.size), STENCIL)
    return csr_array((values.ravel(), (rows, columns.ravel())), shape=(x.size, number))


@njit(nogil=True, cache=True)
def _deposit(
    place: Floats, thickness: Floats, factor: Floats, layer: NDArray[np.int64], result: Histogram
) -> None:
    """Spreads each cell's disorder over the strains that it covers, as parts that are shared between two bins each."""
    for i in range(len(thickness)):
        for k in range(thickness.shape[1]):
            if thickness[i, k] <= 0:
                continue
            e_upper, e_lower = factor[i, k, 0], factor[i, k, 1]
            disorder, change = 2.0 - e_upper**2 - e_lower**2, e_upper**2 - e_lower**2
            if disorder == 0.0:
                continue
            # Straight lines through the two Gauss points; they lie 1/√3 of the thickness apart.
            middle = 0.5 * (place[i, k, 0] + place[i, k, 1])
            across = 1.7320508075688772 * (place[i, k, 1] - place[i, k, 0])
            parts = min(int(abs(across) / PART) + 2, MOST_PARTS)
            for part in range(parts):
                t = (part + 0.5) / parts - 0.5
                weight = (
                    0.5 * thickness[i, k] / parts * max(disorder + 2 * 1.7320508075688772 * t * change, 0.0)
                )
                where = min(max(middle + t * across, 0.0), result.shape[2] - 1.001)
                j = int(where)
                share = where - j
                result[i, layer[i, k], j] += (1.0 - share) * weight
                result[i, layer[i, k], j + 1] += share * weight
