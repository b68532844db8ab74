"""Strain as a split pseudo-Voigt peak."""

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import ArrayLike

from strainscope.profile.family import (
    ROUNDING,
    THINNEST,
    Constraint,
    Floats,
    ParameterSpec,
    StrainProfile,
    columns,
    require,
)

_LN2 = log(2.0)

FADING = 0.8
"""From this share of the depth at which it ends on, the strain fades to zero."""


@dataclass(frozen=True, kw_only=True)
class AsymmetricPseudoVoigt(StrainProfile):
    r"""Strain as a pseudo-Voigt peak with its own width and Lorentz share on either side of its maximum.

    .. math:: e(z) = h [\eta/(1 + x^2) + (1 - \eta) 2^{-x^2}], \qquad x = 2 (z - c)/w

    w and eta being those of the side. With ``plateau`` the surface side falls from h to a level p instead of
    to zero: (h - p) [...] + p, as in RaDMaX (whose lengths are shares of the damaged depth and whose widths
    are in the order deep, surface). A Lorentz tail would never end, and the crystal below the damage is
    perfect: over the last fifth before `end` the strain is multiplied by

    .. math:: 1 - s^2 (3 - 2 s), \qquad s = (z/z_{end} - 0.8)/0.2

    (RaDMaX cuts it off at the damaged depth.)

    Args:
        plateau: Whether the surface side has a level of its own, as a seventh parameter.
        height_range: Prior range of the height and of the plateau [1]; both signs are allowed.
        end: Depth [Å] from which on there is no strain.

    References:
        Souilah, Boulle & Debelle, J. Appl. Cryst. 49 (2016) 311, doi:10.1107/S1600576715021019
    """

    plateau: bool = False
    height_range: tuple[float, float] = (-0.03, 0.03)
    end: float = 10_000.0

    def __post_init__(self) -> None:
        if not self.end > 0:
            raise ValueError(f"end = {self.end:g} Å; it must be > 0 Å, for example 10000.")

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """height, centre, fwhm_surface, fwhm_deep, eta_surface, eta_deep, and plateau if there is one."""
        low, high = self.height_range
        rows = (
            ("height", "1", low, high, "strain at the maximum, signed"),
            ("centre", "Å", 0.0, min(7000.0, FADING * self.end), "depth of the maximum"),
            ("fwhm_surface", "Å", 50.0, 7000.0, "full width at half maximum of the surface side"),
            ("fwhm_deep", "Å", 50.0, 7000.0, "full width at half maximum of the deep side"),
            ("eta_surface", "1", 0.0, 1.0, "Lorentz share of the surface side"),
            ("eta_deep", "1", 0.0, 1.0, "Lorentz share of the deep side"),
            ("plateau", "1", low, high, "strain to which the surface side falls"),
        )
        return tuple(
            ParameterSpec(name=name, unit=unit, lower=lower, upper=upper, description=text)
            for name, unit, lower, upper, text in rows[: 7 if self.plateau else 6]
        )

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """The centre lies above where the strain fades."""
        return (Constraint(terms=(("centre", 1.0),), upper=FADING * self.end),)

    def _check_domain(self, named: dict[str, Floats]) -> None:
        centre, deepest = named["centre"], FADING * self.end
        require(self.spec("centre"), centre, centre >= 0, "it must be >= 0 Å")
        rule = f"it must be <= {deepest:g} Å, {FADING:g} × end; raise end (end_A in a sample file), {self.end:g} Å now"
        require(self.spec("centre"), centre, centre <= deepest * (1 + ROUNDING), rule)
        for side in ("surface", "deep"):
            width, eta = named[f"fwhm_{side}"], named[f"eta_{side}"]
            require(self.spec(f"fwhm_{side}"), width, width > 0, "it must be > 0 Å")
            require(self.spec(f"eta_{side}"), eta, (eta >= 0) & (eta <= 1), "it must lie in 0 to 1")

    @property
    def amplitude_names(self) -> tuple[str, ...]:
        """The height, and the plateau where there is one."""
        return ("height", "plateau") if self.plateau else ("height",)

    def evaluate(self, depth: ArrayLike, values: ArrayLike) -> Floats:
        """Strain Δd/d [1], shape (*, z); depth (*, z) [Å], values (*, 6 or 7)."""
        rows = columns(values)
        height, centre, *_, eta_surface, eta_deep = rows[:6]
        z = np.asarray(depth, dtype=np.float64)
        q = z - centre
        upper = q < 0
        q *= np.where(upper, *self._inverse_widths(rows))
        q *= q
        eta = np.where(upper, eta_surface, eta_deep)
        result: Floats = np.exp(-_LN2 * q)
        result *= 1 - eta
        q += 1
        result += np.divide(eta, q, out=q)
        if self.plateau:
            level = np.where(upper, rows[6], 0.0)
            result *= height - level
            result += level
        else:
            result *= height
        result *= self._fading(z)
        return result

    def gradient(self, depth: ArrayLike, values: ArrayLike) -> Floats:
        """Derivatives of the strain, shape (*, z, 6 or 7)."""
        rows = columns(values)
        height, centre, *_, eta_surface, eta_deep = rows[:6]
        z = np.asarray(depth, dtype=np.float64)
        t = z - centre
        upper = t < 0
        inverse = np.where(upper, *self._inverse_widths(rows))
        x = t * inverse
        q = x * x
        eta = np.where(upper, eta_surface, eta_deep)
        gauss, lorentz = np.exp(-_LN2 * q), 1 / (1 + q)
        shape = eta * lorentz + (1 - eta) * gauss
        scale = height - np.where(upper, rows[6], 0.0) if self.plateau else height + 0 * t
        slope = -scale * (eta * lorentz**2 + (1 - eta) * _LN2 * gauss)

        result = np.empty((*t.shape, len(rows)))
        result[..., 0] = shape
        result[..., 1] = -2 * slope * x * inverse
        by_width = -slope * q * inverse
        by_share = scale * (lorentz - gauss)
        result[..., 2], result[..., 3] = by_width * upper, by_width * ~upper
        result[..., 4], result[..., 5] = by_share * upper, by_share * ~upper
        if self.plateau:
            result[..., 6] = (1 - shape) * upper
        result *= self._fading(z)[..., None]
        return result

    def _fading(self, depth: Floats) -> Floats:
        """The factor by which the strain falls to its end, in [0, 1]."""
        share = np.clip((depth / self.end - FADING) / (1 - FADING), 0.0, 1.0)
        return np.asarray(1 - share**2 * (3 - 2 * share))

    def breakpoints(self, values: ArrayLike) -> Floats:
        """The centre, where fading begins and the end [Å], shape (*, 3): the second derivative jumps there."""
        centre = np.asarray(values, dtype=np.float64)[..., 1:2]
        ends = np.broadcast_to([FADING * self.end, self.end], (*centre.shape[:-1], 2))
        return np.concatenate([centre, ends], axis=-1)

    def extent(self, values: ArrayLike, tolerance: float | Floats) -> Floats:
        """Depth [Å], shape (*): the end, or where Lorentzian and Gaussian are each at most half the tolerance."""
        height, centre, _, width, _, eta = np.moveaxis(np.asarray(values, dtype=np.float64), -1, 0)[:6]
        twice = 2 * abs(height) / tolerance
        lorentz = np.maximum(twice * eta - 1, 0)
        gauss = np.log2(np.maximum(twice * (1 - eta), 1))
        return np.asarray(np.minimum(centre + 0.5 * width * np.sqrt(np.maximum(lorentz, gauss)), self.end))

    def maximum(self, values: ArrayLike) -> tuple[Floats, Floats]:
        """Largest strain [1] by magnitude and its depth [Å]: the centre, or the surface of a high plateau."""
        centre = np.asarray(values, dtype=np.float64)[..., 1]
        # On either side the strain is monotonic, so that nothing between the two can exceed both.
        depth = np.stack((centre, np.zeros_like(centre)), axis=-1)
        size = abs(self.evaluate(depth, values))
        best = size.argmax(axis=-1)[..., None]
        size, depth = (np.take_along_axis(a, best, -1)[..., 0] for a in (size, depth))
        return size, depth

    @staticmethod
    def _inverse_widths(rows: Floats) -> tuple[Floats, Floats]:
        """2/fwhm [1/Å] of the surface side and of the deep side."""
        return 2 / np.maximum(rows[2], THINNEST), 2 / np.maximum(rows[3], THINNEST)
