"""A Lorentzian of finite reach: what spectral width leaves where slits or crystals cut it off."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erfcx

from strainscope.instrument.grid import Floats
from strainscope.instrument.resolution import Resolution, fwhm_spec, lorentzian, share_spec
from strainscope.profile.family import ParameterSpec, require


@dataclass(frozen=True, kw_only=True)
class WindowedLorentzian(Resolution):
    r"""A Lorentzian L of width w whose tails end within ρ widths, but for a share η of it.

    .. math:: K = \eta L + (1 - \eta) \frac{L e^{-(\delta/(\rho w))^2}}{e^{a^2} \mathrm{erfc}(a)}, \qquad
        a = \frac{1}{2\rho}

    Args:
        fwhm_range: Prior range of w [arcsec], the width that L has without its window.
        reach_widths: ρ, where the window has fallen to 1/e.
    """

    fwhm_range: tuple[float, float] = (1.0, 200.0)
    reach_widths: float = 2.0

    def __post_init__(self) -> None:
        if not 0.2 <= self.reach_widths <= 1000:
            raise ValueError(f"reach_widths = {self.reach_widths:g}; it must lie in 0.2 to 1000.")

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """fwhm_arcsec, lorentz_fraction."""
        return (
            fwhm_spec("fwhm_arcsec", self.fwhm_range, "full width at half maximum of the whole Lorentzian"),
            share_spec("lorentz_fraction", "share of the area whose tails do not end"),
        )

    def _check_domain(self, named: dict[str, Floats]) -> None:
        width, share = named["fwhm_arcsec"], named["lorentz_fraction"]
        require(
            self.spec("fwhm_arcsec"), width, width > 0, "it must be > 0 arcsec (for none, use NoResolution)"
        )
        require(self.spec("lorentz_fraction"), share, (share >= 0) & (share <= 1), "it must lie in 0 to 1")

    def width(self, values: ArrayLike) -> float:
        """Full width at half maximum of what the window leaves, about [arcsec]."""
        # The window at the half width of the Lorentzian, times the change of width that it makes there.
        return float(np.asarray(values)[0]) / math.sqrt(1 + 1 / (2 * self.reach_widths**2))

    def kernel(self, delta_arcsec: ArrayLike, values: ArrayLike) -> Floats:
        """Density [1/arcsec], shape (1, k)."""
        return self._parts(delta_arcsec, values)[0][None]

    def kernel_gradient(self, delta_arcsec: ArrayLike, values: ArrayLike) -> Floats:
        """Derivatives, shape (1, 2, k)."""
        return self._parts(delta_arcsec, values)[1][None]

    def _parts(self, delta_arcsec: ArrayLike, values: ArrayLike) -> tuple[Floats, Floats]:
        """Density (k,) and its derivatives (2, k)."""
        delta = np.asarray(delta_arcsec, dtype=np.float64)
        fwhm, share = np.asarray(values, dtype=np.float64).tolist()
        whole, whole_slope = lorentzian(delta, fwhm)
        exponent = (delta / (self.reach_widths * fwhm)) ** 2
        window = np.exp(-exponent) / float(erfcx(0.5 / self.reach_widths))
        cut, cut_slope = whole * window, (whole_slope + whole * 2 * exponent / fwhm) * window
        density = share * whole + (1 - share) * cut
        return density, np.stack([share * whole_slope + (1 - share) * cut_slope, whole - cut])
