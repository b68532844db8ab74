"""The resolution at work: reflectivities on a uniform angle grid -> what the instrument sees of them."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from strainscope.instrument.grid import STENCIL, Floats, Real, cardinal_weights, decimate, stencil
from strainscope.instrument.resolution import Resolution
from strainscope.instrument.spectrum import Spectrum

POINTS_PER_WIDTH = 6
"""Points per width at which a kernel is sampled: at 6 a Lorentzian's integral is right to 1e-8."""

FINEST = 64
"""Parts of a step into which a narrow kernel is resolved at most."""

_REMEMBERED = 8


def widest_step(width: float) -> float:
    """Step of the widest grid [arcsec] on which a resolution of a width [arcsec] can be smeared with."""
    return width * FINEST / POINTS_PER_WIDTH


@dataclass(frozen=True, kw_only=True)
class Smearing:
    r"""Smears reflectivities of one angle grid: a linear convolution, sampled in angle, done by FFT.

    .. math:: I_i = h \sum_{pol} \sum_j K_{pol}((i - j) h) R_{pol,j}

    The kernel is sampled in angle out to the whole length of the grid, so no tail is cut and nothing comes
    round from the other end. Beyond the grid the reflectivity counts as 0: let the grid reach past the scan.
    A kernel narrower than a few steps acts on the interpolated curve instead of its points.
    The FFT's rounding is 1e-16 of the largest intensity for float64, 1e-7 for float32: below that, float32
    tails are noise.

    Args:
        start_arcsec: First angle of the grid [arcsec].
        step_arcsec: Its step [arcsec].
        number: Its number of points n.
        resolution: The resolution function.
        spectrum: Emission lines on the axis; by default a single sharp one.
        polarization_weights: Shares of sigma and pi in the beam, by default a half each; not for a
            resolution that holds them itself.

    Raises:
        ValueError: step or number of no use, or weights where the resolution holds its own.
    """

    start_arcsec: float
    step_arcsec: float
    number: int
    resolution: Resolution
    spectrum: Spectrum | None = None
    polarization_weights: tuple[float, float] | None = None
    _transforms: dict[tuple[bytes, bool, str], NDArray[Any]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start_arcsec) and 0 < self.step_arcsec < math.inf):
            raise ValueError(
                f"start_arcsec = {self.start_arcsec:g}, step_arcsec = {self.step_arcsec:g}; "
                "the first must be finite, the second > 0 arcsec."
            )
        if self.number < STENCIL:
            raise ValueError(f"number = {self.number}; the grid must have at least {STENCIL} points.")
        weights = self.polarization_weights
        if weights is None:
            return
        if self.resolution.holds_polarization:
            raise ValueError(
                f"polarization_weights = {weights}, but {type(self.resolution).__name__} holds its own; "
                "leave them out."
            )
        if len(weights) != 2 or min(weights) < 0 or not math.isclose(sum(weights), 1.0, rel_tol=1e-9):
            raise ValueError(f"polarization_weights = {weights}; give two, >= 0, that add to 1.")

    @property
    def angles_arcsec(self) -> Floats:
        """The grid's angles [arcsec], shape (n,)."""
        return self.start_arcsec + self.step_arcsec * np.arange(float(self.number))

    def smear(self, reflectivity: Real, values: ArrayLike) -> Real:
        """Intensity behind the instrument, per unit of incident intensity.

        Being linear in the reflectivity, it serves its derivatives (columns of a Jacobian) as well.

        Args:
            reflectivity: For sigma and pi [1] on the grid, shape (*, 2, n). float32 stays float32.
            values: Parameters of the resolution, shape (parameter,).

        Returns:
            Intensity [1], shape (*, n).

        Raises:
            ValueError: shape, values, or a kernel far narrower than the step.
        """
        reflectivity = self._checked(reflectivity)
        if self.spectrum is None and self._width(values) == 0.0:
            return self._polarized(reflectivity)
        return self._convolve(reflectivity, self._transform(values, reflectivity.dtype, gradient=False))

    def smear_transposed(self, weights: Real, values: ArrayLike) -> Real:
        """Weights of reflectivities that give the same sums as weights of what `smear` makes of them.

        Args:
            weights: Of the intensities on the grid, shape (*, n).
            values: Parameters of the resolution, shape (parameter,).

        Returns:
            For sigma and pi, shape (*, 2, n).
        """
        shares = np.array(self._shares)[:, None]
        if self.spectrum is None and self._width(values) == 0.0:
            return np.asarray(shares * weights[..., None, :])
        transform = self._transform(values, weights.dtype, gradient=False)
        product = fft.rfft(weights, self.length, axis=-1, workers=1)[..., None, :] * np.conj(transform)
        result = fft.irfft(product, self.length, axis=-1, workers=1, overwrite_x=True)[..., : self.number]
        return np.asarray(result if self.resolution.holds_polarization else shares * result)

    def smear_gradient(self, reflectivity: Real, values: ArrayLike) -> Real:
        """Derivatives of `smear` with respect to the resolution's parameters, shape (*, parameter, n)."""
        reflectivity = self._checked(reflectivity)
        transforms = self._transform(values, reflectivity.dtype, gradient=True)
        columns = [
            self._convolve(reflectivity, transforms[:, i]) for i in range(len(self.resolution.parameters))
        ]
        empty = np.empty((*reflectivity.shape[:-2], 0, self.number), dtype=reflectivity.dtype)
        return np.stack(columns, axis=-2) if columns else empty

    def transforms(self, values: ArrayLike) -> NDArray[np.complex128]:
        """Fourier transforms of step × kernel × share for sigma and pi, lag 0 first, shape (2, frequency).

        Args:
            values: Parameters of the resolution, shape (parameter,).
        """
        transform = self._transform(values, np.dtype(np.float64), gradient=False)
        if not self.resolution.holds_polarization:
            transform = np.array(self._shares)[:, None] * transform
        return np.asarray(transform, dtype=np.complex128)

    def matrix(self, values: ArrayLike, positions_arcsec: ArrayLike) -> Floats:
        """`smear`, then `sample`, as one matrix: for many curves with the same resolution.

        Args:
            values: Parameters of the resolution, shape (parameter,).
            positions_arcsec: Angles [arcsec] within the grid, shape (m,).

        Returns:
            Intensity at each position for unit reflectivity at each point of the grid, shape (2, m, n).

        Raises:
            ValueError: a position outside the grid, or what `smear` raises for.
        """
        first, fraction = stencil(positions_arcsec, self.start_arcsec, self.step_arcsec, self.number)
        weights = self.step_arcsec * cardinal_weights(fraction)
        kernel = self._kernel(values, gradient=False)
        # Row i of a polarization's matrix, K(i - j) over j, is window n - 1 - i of the reversed kernel.
        windows = sliding_window_view(kernel[:, ::-1], self.number, axis=-1)
        result = np.zeros((kernel.shape[0], first.size, self.number))
        for q in range(STENCIL):
            result += weights[q][:, None] * windows[:, self.number - 1 - q - first]
        if not self.resolution.holds_polarization:
            result = np.array(self._shares)[:, None, None] * result
        return result

    @property
    def _shares(self) -> tuple[float, float]:
        return self.polarization_weights or (0.5, 0.5)

    def _checked(self, reflectivity: Real) -> Real:
        reflectivity = np.asarray(reflectivity)
        if reflectivity.dtype not in (np.float32, np.float64):
            reflectivity = reflectivity.astype(np.float64)
        if reflectivity.shape[-2:] != (2, self.number):
            raise ValueError(
                f"reflectivity has shape {reflectivity.shape}; it must end in (2, {self.number}): "
                "sigma and pi on the grid."
            )
        return reflectivity

    def _width(self, values: ArrayLike) -> float:
        """The kernel's width [arcsec], of checked values."""
        self.resolution.check(values)
        return self.resolution.width(values)

    def _polarized(self, reflectivity: Real) -> Real:
        """Both polarizations with their shares, shape (*, n)."""
        sigma, pi = np.array(self._shares, dtype=reflectivity.dtype)
        result: Real = sigma * reflectivity[..., 0, :] + pi * reflectivity[..., 1, :]
        return result

    def _convolve(self, reflectivity: Real, transform: NDArray[Any]) -> Real:
        """Convolution with the kernels of that transform, shape (1 or 2, frequency)."""
        if not self.resolution.holds_polarization:
            reflectivity = self._polarized(reflectivity)[..., None, :]
        length = self.length
        product = fft.rfft(reflectivity, length, axis=-1, workers=1)
        product *= transform
        total = product[..., 0, :] if product.shape[-2] == 1 else product[..., 0, :] + product[..., 1, :]
        result: Real = fft.irfft(total, length, axis=-1, workers=1, overwrite_x=True)
        return np.ascontiguousarray(result[..., : self.number])

    @property
    def length(self) -> int:
        """Period of the FFT: lags of -(n - 1) to n - 1 must differ in it."""
        return int(fft.next_fast_len(2 * self.number - 1, real=True))

    def _transform(self, values: ArrayLike, dtype: np.dtype[Any], *, gradient: bool) -> NDArray[Any]:
        """Fourier transform of step × kernel, lag 0 first, shape (1 or 2, [parameter,] frequency)."""
        key = (np.asarray(values, dtype=np.float64).tobytes(), gradient, dtype.char)
        known = self._transforms.get(key)
        if known is not None:
            return known
        kernel = self._kernel(values, gradient=gradient)
        wrapped = np.zeros((*kernel.shape[:-1], self.length))
        wrapped[..., : self.number] = kernel[..., self.number - 1 :]
        wrapped[..., wrapped.shape[-1] - self.number + 1 :] = kernel[..., : self.number - 1]
        # Transformed in double precision, whatever the curves' type.
        transform = self.step_arcsec * fft.rfft(wrapped, axis=-1, workers=1)
        result = transform.astype(np.complex64 if dtype == np.float32 else np.complex128, copy=False)
        if len(self._transforms) >= _REMEMBERED:
            self._transforms.clear()
        self._transforms[key] = result
        return result

    def _kernel(self, values: ArrayLike, *, gradient: bool) -> Floats:
        """Densities [1/arcsec] at lags of -(n - 1) to n - 1 steps, shape (1 or 2, [parameter,] 2n - 1)."""
        width, step = self._width(values), self.step_arcsec
        # A width of 0 is a delta function, which any grid holds exactly.
        ratio = math.ceil(POINTS_PER_WIDTH * step / width) if width else 1
        if ratio > FINEST:
            finest = step / widest_step(1.0)
            raise ValueError(
                f"the resolution is {width:g} arcsec wide; on a grid of {step:g} arcsec it must be at least "
                f"{finest:g} arcsec. Choose a finer grid, or NoResolution."
            )
        half = self.number - 1
        if self.spectrum is not None:
            # Lines bring in what lies beyond, as far as their shift; their own tails ask for twice the range.
            half = 2 * half + math.ceil(max(map(abs, self.spectrum.shifts_arcsec)) / step)
        reach = (half + STENCIL // 2) * ratio
        delta = step / ratio * np.arange(-reach, reach + 1)
        family = self.resolution
        density = family.kernel_gradient(delta, values) if gradient else family.kernel(delta, values)
        density = decimate(density, ratio, half)
        if self.spectrum is not None:
            density = self.spectrum.broaden(density, step)
        middle = density.shape[-1] // 2
        return density[..., middle - self.number + 1 : middle + self.number]
