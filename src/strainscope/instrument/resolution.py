r"""Resolution functions with a formula: Gaussian, Lorentzian, and pseudo-Voigt in one piece or split.

A resolution function K is a density over angle [1/arcsec]; the instrument measures

.. math:: I(\Delta) = \sum_{pol} \int K_{pol}(\Delta - u) R_{pol}(u) du

so K(δ) is what a single sharp peak looks like, δ > 0 at larger angles.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from strainscope.instrument.grid import Floats
from strainscope.profile.family import ParameterSpec, Parametrised, require
from strainscope.profile.shape import Falling

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
_LN2 = math.log(2.0)
_GAUSSIAN_PEAK = 2.0 * math.sqrt(_LN2 / math.pi)
_LORENTZIAN_PEAK = 2.0 / math.pi


class Resolution(Parametrised):
    """A resolution function with parameters; only ``check`` checks their values."""

    @property
    def holds_polarization(self) -> bool:
        """Whether there is a kernel for each polarization, weighted by what the beam holds of it."""
        return False

    @abstractmethod
    def width(self, values: ArrayLike) -> float:
        """Narrowest full width at half maximum [arcsec], for choosing the grid; values (parameter,)."""

    @abstractmethod
    def kernel(self, delta_arcsec: ArrayLike, values: ArrayLike) -> Floats:
        """Density at angles from its centre.

        Args:
            delta_arcsec: Angles [arcsec] on a uniform grid, increasing, shape (k,).
            values: Parameters, shape (parameter,).

        Returns:
            Density [1/arcsec], shape (1, k) with integral 1 for any polarization, or (2, k) for sigma and pi
            with integrals that add to 1.
        """

    @abstractmethod
    def kernel_gradient(self, delta_arcsec: ArrayLike, values: ArrayLike) -> Floats:
        """Derivatives of the kernel with respect to the parameters, shape (1 or 2, parameter, k)."""


@dataclass(frozen=True, kw_only=True)
class NoResolution(Resolution):
    """An ideal instrument: a delta function, drawn as a triangle one step wide to either side."""

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """None."""
        return ()

    def width(self, values: ArrayLike) -> float:
        """0."""
        return 0.0

    def kernel(self, delta_arcsec: ArrayLike, values: ArrayLike) -> Floats:
        """1/step at zero and 0 elsewhere, shape (1, k)."""
        delta = _floats(delta_arcsec)
        step = uniform_step(delta)
        return np.maximum(0.0, 1.0 - abs(delta) / step)[None] / step

    def kernel_gradient(self, delta_arcsec: ArrayLike, values: ArrayLike) -> Floats:
        """Nothing, shape (1, 0, k)."""
        return np.zeros((1, 0, _floats(delta_arcsec).size))


@dataclass(frozen=True, kw_only=True)
class Gaussian(Resolution):
    r"""A Gaussian of full width at half maximum w.

    .. math:: K(\delta) = \frac{2}{w} \sqrt{\frac{\ln 2}{\pi}} \; 2^{-(2\delta/w)^2}

    Args:
        fwhm_range: Prior range of the width [arcsec].
    """

    fwhm_range: tuple[float, float] = (1.0, 200.0)

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """fwhm_arcsec."""
        return (fwhm_spec("fwhm_arcsec", self.fwhm_range, "full width at half maximum"),)

    def _check_domain(self, named: dict[str, Floats]) -> None:
        _require_widths(self, named)

    def width(self, values: ArrayLike) -> float:
        """fwhm_arcsec."""
        return float(_floats(values)[0])

    def kernel(self, delta_arcsec: ArrayLike, values: ArrayLike) -> Floats:
        """Density [1/arcsec], shape (1, k)."""
        return _gaussian(_floats(delta_arcsec), self.width(values))[0][None]

    def kernel_gradient(self, delta_arcsec: ArrayLike, values: ArrayLike) -> Floats:
        """Derivative, shape (1, 1, k)."""
        return _gaussian(_floats(delta_arcsec), self.width(values))[1][None, None]


@dataclass(frozen=True, kw_only=True)
class Lorentzian(Resolution):
    r"""A Lorentzian of full width at half maximum w, whose tails never end.

    .. math:: K(\delta) = \frac{2}{\pi w} \frac{1}{1 + (2\delta/w)^2}

    Args:
        fwhm_range: Prior range of the width [arcsec].
    """

    fwhm_range: tuple[float, float] = (1.0, 200.0)

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """fwhm_arcsec."""
        return (fwhm_spec("fwhm_arcsec", self.fwhm_range, "full width at half maximum"),)

    def _check_domain(self, named: dict[str, Floats]) -> None:
        _require_widths(self, named)

    def width(self, values: ArrayLike) -> float:
        """fwhm_arcsec."""
        return float(_floats(values)[0])

    def kernel(self, delta_arcsec: ArrayLike, values: ArrayLike) -> Floats:
        """Density [1/arcsec], shape (1, k)."""
        return lorentzian(_floats(delta_arcsec), self.width(values))[0][None]

    def kernel_gradient(self, delta_arcsec: ArrayLike, values: ArrayLike) -> Floats:
        """Derivative, shape (1, 1, k)."""
        return lorentzian(_floats(delta_arcsec), self.width(values))[1][None, None]


@dataclass(frozen=True, kw_only=True)
class PseudoVoigt(Resolution):
    r"""The sum of a Lorentzian and a Gaussian of one width, with η the Lorentzian's share of the area.

    .. math:: K = \eta L + (1 - \eta) G

    Args:
        fwhm_range: Prior range of the width [arcsec].
    """

    fwhm_range: tuple[float, float] = (1.0, 200.0)

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """fwhm_arcsec, lorentz_fraction."""
        return (
            fwhm_spec("fwhm_arcsec", self.fwhm_range, "full width at half maximum"),
            share_spec("lorentz_fraction", "Lorentzian's share of the area"),
        )

    def _check_domain(self, named: dict[str, Floats]) -> None:
        _require_widths(self, named)

    def width(self, values: ArrayLike) -> float:
        """fwhm_arcsec."""
        return float(_floats(values)[0])

    def kernel(self, delta_arcsec: ArrayLike, values: ArrayLike) -> Floats:
        """Density [1/arcsec], shape (1, k)."""
        return _pseudo_voigt(_floats(delta_arcsec), *_floats(values))[0][None]

    def kernel_gradient(self, delta_arcsec: ArrayLike, values: ArrayLike) -> Floats:
        """Derivatives, shape (1, 2, k)."""
        return _pseudo_voigt(_floats(delta_arcsec), *_floats(values))[1][None]


@dataclass(frozen=True, kw_only=True)
class SplitPseudoVoigt(Resolution):
    r"""A pseudo-Voigt S with its own width and Lorentz share on either side of its maximum.

    .. math:: K = a_{low} S_{low} (\delta < 0), \quad a_{high} S_{high} (\delta \ge 0), \qquad
        a_{low} = \frac{2 p_{high}}{p_{low} + p_{high}}, \quad a_{high} = \frac{2 p_{low}}{p_{low} + p_{high}}

    with p = S(0), so that it is continuous and its integral 1. Equal sides make a `PseudoVoigt`. "low" is the
    side of smaller angles; its width is that of the whole peak which this side is half of.

    Args:
        fwhm_range: Prior range of both widths [arcsec].
    """

    fwhm_range: tuple[float, float] = (1.0, 200.0)

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """fwhm_low_arcsec, fwhm_high_arcsec, lorentz_low, lorentz_high."""
        return (
            fwhm_spec("fwhm_low_arcsec", self.fwhm_range, "twice the half width at smaller angles"),
            fwhm_spec("fwhm_high_arcsec", self.fwhm_range, "twice the half width at larger angles"),
            share_spec("lorentz_low", "Lorentz share of the side at smaller angles"),
            share_spec("lorentz_high", "Lorentz share of the side at larger angles"),
        )

    def _check_domain(self, named: dict[str, Floats]) -> None:
        _require_widths(self, named)

    def width(self, values: ArrayLike) -> float:
        """Width of the narrower side, as that of a whole peak [arcsec]."""
        return float(_floats(values)[:2].min())

    def kernel(self, delta_arcsec: ArrayLike, values: ArrayLike) -> Floats:
        """Density [1/arcsec], shape (1, k)."""
        return self._sides(delta_arcsec, values)[0][None]

    def kernel_gradient(self, delta_arcsec: ArrayLike, values: ArrayLike) -> Floats:
        """Derivatives, shape (1, 4, k)."""
        return self._sides(delta_arcsec, values)[1][None]

    def _sides(self, delta_arcsec: ArrayLike, values: ArrayLike) -> tuple[Floats, Floats]:
        """Density (k,) and its derivatives (4, k)."""
        delta = _floats(delta_arcsec)
        fwhm_low, fwhm_high, lorentz_low, lorentz_high = _floats(values)
        density, slopes = np.empty(delta.size), np.zeros((4, delta.size))
        sides = ((delta < 0, 0, fwhm_low, lorentz_low), (delta >= 0, 1, fwhm_high, lorentz_high))
        peaks, peak_slopes = zip(
            *(_pseudo_voigt(np.zeros(1), fwhm, share) for _, _, fwhm, share in sides), strict=True
        )
        total = peaks[0] + peaks[1]
        for on, i, fwhm, share in sides:
            own, other = peaks[i], peaks[1 - i]
            shape, shape_slopes = _pseudo_voigt(delta[on], fwhm, share)
            density[on] = 2.0 * other / total * shape
            # da/dp of this side's own peak is -2 p'/(p + p')², of the other's 2 p/(p + p')².
            slopes[i::2, on] = (
                2.0 * other / total * shape_slopes - 2.0 * other / total**2 * shape * peak_slopes[i]
            )
            slopes[1 - i :: 2, on] = 2.0 * own / total**2 * shape * peak_slopes[1 - i]
        return density, slopes


def uniform_step(delta_arcsec: Floats) -> float:
    """Step of a uniform grid [arcsec]."""
    return float(delta_arcsec[-1] - delta_arcsec[0]) / (delta_arcsec.size - 1)


def fwhm_spec(name: str, limits: tuple[float, float], description: str) -> ParameterSpec:
    """The parameter that is a width [arcsec]."""
    return ParameterSpec(name=name, unit="arcsec", lower=limits[0], upper=limits[1], description=description)


# Density of a Lorentzian share: a third lies below 0.07, a tenth above 0.32.
_SHARE_SHAPE = Falling(6.0)


def share_spec(name: str, description: str) -> ParameterSpec:
    """The parameter that is the share of a Lorentzian or of wings: rather small than large."""
    return ParameterSpec(
        name=name, unit="1", lower=0.0, upper=1.0, description=description, shape=_SHARE_SHAPE
    )


def _require_widths(resolution: Resolution, named: dict[str, Floats]) -> None:
    """Widths must be above zero, shares within 0 to 1."""
    for spec in resolution.parameters:
        value = named[spec.name]
        if spec.unit == "arcsec":
            require(spec, value, value > 0, "it must be > 0 arcsec (for none, use NoResolution)")
        else:
            require(spec, value, (value >= 0) & (value <= 1), "it must lie in 0 to 1")


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _gaussian(delta: Floats, fwhm: float) -> tuple[Floats, Floats]:
    """Density and its derivative with respect to the width."""
    q = (2.0 * delta / fwhm) ** 2
    density = _GAUSSIAN_PEAK / fwhm * np.exp(-_LN2 * q)
    return density, density * (2.0 * _LN2 * q - 1.0) / fwhm


def lorentzian(delta: ArrayLike, fwhm: float) -> tuple[Floats, Floats]:
    """Density and its derivative with respect to the width."""
    q = (2.0 * np.asarray(delta, dtype=np.float64) / fwhm) ** 2
    density: Floats = _LORENTZIAN_PEAK / fwhm / (1.0 + q)
    return density, density * (q - 1.0) / (q + 1.0) / fwhm


def _pseudo_voigt(delta: Floats, fwhm: float, lorentz: float) -> tuple[Floats, Floats]:
    """Density (k,) and its derivatives (2, k) with respect to the width and the Lorentz share."""
    narrow, narrow_slope = _gaussian(delta, fwhm)
    broad, broad_slope = lorentzian(delta, fwhm)
    density = lorentz * broad + (1.0 - lorentz) * narrow
    by_width = lorentz * broad_slope + (1.0 - lorentz) * narrow_slope
    return density, np.stack((by_width, broad - narrow))
