"""The resolution of many scans at once: transforms of the kernel, tabulated over its width."""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft

from strainscope.experiment import AngleGrid, Experiment
from strainscope.instrument import Smearing

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]

WIDTH, SHARE = "fwhm_arcsec", "lorentz_fraction"


class KernelTable:
    r"""Smears reflectivities with a width and a Lorentzian share of its own for each curve.

    The kernel is linear in the share η, and between tabulated widths w taken as linear in ln w:

    .. math:: \hat K(w, η) = (1 - η) \hat G(w) + η \hat L(w)

    With 200 widths over a factor of eight what that leaves out is 2e-5 of the kernel's height.

    Args:
        experiment: Its resolution must have the parameters fwhm_arcsec and lorentz_fraction, and no others.
        grid: The uniform grid.
        fwhm_range: Least and largest width [arcsec].
        widths: How many are tabulated.

    Raises:
        ValueError: another resolution, or fewer than two widths.
    """

    def __init__(
        self, experiment: Experiment, grid: AngleGrid, fwhm_range: tuple[float, float], *, widths: int = 200
    ) -> None:
        resolution = experiment.resolution
        names = tuple(spec.name for spec in resolution.parameters)
        if names != (WIDTH, SHARE):
            raise ValueError(
                f"{type(resolution).__name__} has {', '.join(names) or 'no parameters'}; scans are simulated with "
                f"resolutions that have {WIDTH} and {SHARE}, such as monochromator-curve (with wings) or pseudo-voigt."
            )
        if widths < 2:
            raise ValueError(f"widths = {widths}; at least 2 must be tabulated.")
        low, high = fwhm_range
        self.number = grid.number
        self.length = int(fft.next_fast_len(2 * grid.number - 1, real=True))
        self._log_width = np.linspace(np.log(low), np.log(high), widths)
        # Lags from -(n - 1) to n - 1 are what a spike in the middle of a grid of 2n - 1 points spreads to.
        smearing = Smearing(
            start_arcsec=0.0,
            step_arcsec=grid.step_arcsec,
            number=2 * grid.number - 1,
            resolution=resolution,
            spectrum=experiment.spectrum,
            polarization_weights=None if resolution.holds_polarization else experiment.polarization_weights,
        )
        spike = np.zeros((2, 2, smearing.number))
        spike[[0, 1], [0, 1], grid.number - 1] = 1.0
        self._table = np.empty((widths, 4, self.length // 2 + 1), dtype=np.complex128)
        for row, width in zip(self._table, np.exp(self._log_width), strict=True):
            for share in (0, 1):
                kernel = smearing.smear(spike, (np.clip(width, low, high), float(share)))
                row[2 * share : 2 * share + 2] = self._transform(np.asarray(kernel, dtype=np.float64))

    def _transform(self, kernel: Floats) -> Complex:
        """Transforms of kernels over lags of -(n - 1) to n - 1, shape (2, frequency)."""
        wrapped = np.zeros((2, self.length))
        wrapped[:, : self.number] = kernel[:, self.number - 1 :]
        wrapped[:, self.length - self.number + 1 :] = kernel[:, : self.number - 1]
        return np.asarray(fft.rfft(wrapped, axis=-1, workers=1), dtype=np.complex128)

    def smear(self, reflectivity: Floats, fwhm_arcsec: Floats, lorentz_fraction: Floats) -> Floats:
        """Intensity [1] behind the instrument.

        Args:
            reflectivity: Sigma and pi on the grid [1], shape (curve, 2, length) with zeros behind the grid's points.
            fwhm_arcsec: Within the tabulated range, shape (curve,).
            lorentz_fraction: Shape (curve,).

        Returns:
            Shape (curve, number).
        """
        spectrum = fft.rfft(reflectivity, axis=-1, workers=1)
        last = len(self._log_width) - 2
        step = self._log_width[1] - self._log_width[0]
        place = (np.log(fwhm_arcsec) - self._log_width[0]) / step
        cell = np.clip(place.astype(np.intp), 0, last)
        total = np.empty((len(spectrum), spectrum.shape[-1]), dtype=np.complex128)
        _mix(spectrum, self._table, cell, place - cell, lorentz_fraction, total)
        return np.asarray(
            fft.irfft(total, self.length, axis=-1, workers=1, overwrite_x=True)[:, : self.number],
            dtype=np.float64,
        )


@njit(nogil=True, fastmath=True, cache=True)
def _mix(
    spectrum: Complex, table: Complex, cell: NDArray[np.intp], fraction: Floats, share: Floats, total: Complex
) -> None:
    """Σ_pol of the spectra times their kernels' transforms."""
    for i in range(len(spectrum)):
        lower, upper = table[cell[i]], table[cell[i] + 1]
        a = (1.0 - fraction[i]) * (1.0 - share[i])
        b = fraction[i] * (1.0 - share[i])
        c = (1.0 - fraction[i]) * share[i]
        d = fraction[i] * share[i]
        for f in range(spectrum.shape[2]):
            sigma = a * lower[0, f] + b * upper[0, f] + c * lower[2, f] + d * upper[2, f]
            pi = a * lower[1, f] + b * upper[1, f] + c * lower[3, f] + d * upper[3, f]
            total[i, f] = sigma * spectrum[i, 0, f] + pi * spectrum[i, 1, f]
