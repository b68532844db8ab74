"""The seven-parameter strain of an implanted garnet: an asymmetric Gaussian plus a decaying one."""

from dataclasses import dataclass
from math import exp, log

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
from strainscope.profile.summit import STRETCH, summit

LEAST_DECAY = 0.05
"""Least ln(D/Dmin): below it a Gaussian of height D would hardly fall before it reaches Dmin."""


@dataclass(frozen=True, kw_only=True)
class DoubleGaussian(StrainProfile):
    r"""Strain as an asymmetric Gaussian around Rp1 plus a Gaussian that falls from the surface on.

    .. math::
        e(z) &= D_{max1} \exp[-(z - R_{p1})^2/s] + D_{02} \exp[(R_{p2}^2 - (z - R_{p2})^2)/s_3] \\
        s &= (L_1 - R_{p1})^2 / \ln(D_{max1}/D_{min}) \quad (z \ge R_{p1}), \qquad
             R_{p1}^2 / \ln(D_{max1}/D_{01}) \quad (z < R_{p1}) \\
        s_3 &= L_2 (L_2 - 2 R_{p2}) / \ln(D_{02}/D_{min})

    It is worked with 1/s, so that every singular value takes its limit: D01 = Dmax1 is flat above Rp1;
    Rp1 = 0 has no upper side; L1 = Rp1 drops at once beyond Rp1. Widths below 1e-6 Å count as zero.
    Dmax1 or D02 at Dmin has no useful limit (the Gaussian would never end): :meth:`check` asks for
    ln(D/Dmin) >= 0.05, and below that the methods keep the decay of 0.05, so that a Gaussian fades
    smoothly to nothing with its height instead of growing without bound.

    Args:
        minimum_strain: Dmin [1], the strain that the first Gaussian has at L1 and the second at L2.
        sign: +1 for expansion, -1 for contraction; multiplies the strain.
        largest_surface_strain: Upper bound [1] of D01 + D02.
    """

    minimum_strain: float = 1e-4
    sign: int = 1
    largest_surface_strain: float = 0.03

    def __post_init__(self) -> None:
        if not self.minimum_strain > 0:
            raise ValueError(f"minimum_strain = {self.minimum_strain:g}; it must be > 0, for example 1e-4.")
        if self.sign not in (1, -1):
            raise ValueError(f"sign = {self.sign}; it must be +1 (expansion) or -1 (contraction).")
        if not self.largest_surface_strain > 0:
            raise ValueError(f"largest_surface_strain = {self.largest_surface_strain:g}; it must be > 0.")

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Dmax1, D01, L1, Rp1, D02, L2, Rp2."""
        rows = (
            ("Dmax1", "1", 0.002, 0.030, "maximum strain of the first Gaussian"),
            ("D01", "1", 0.001, 0.030, "strain of the first Gaussian at the surface"),
            ("L1", "Å", 500.0, 7000.0, "depth at which the first Gaussian has fallen to Dmin"),
            ("Rp1", "Å", 0.0, 7000.0, "depth of the first Gaussian's maximum"),
            ("D02", "1", 0.002, 0.030, "strain of the second Gaussian at the surface"),
            ("L2", "Å", 500.0, 7000.0, "depth at which the second Gaussian has fallen to Dmin"),
            ("Rp2", "Å", -6010.0, 0.0, "virtual position of the second Gaussian's maximum"),
        )
        return tuple(
            ParameterSpec(name=name, unit=unit, lower=lower, upper=upper, description=text)
            for name, unit, lower, upper, text in rows
        )

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """D01 <= Dmax1, D01 + D02 <= 0.03, Rp1 <= L1, L2 <= L1."""
        return (
            Constraint(terms=(("D01", 1.0), ("Dmax1", -1.0)), upper=0.0),
            Constraint(terms=(("D01", 1.0), ("D02", 1.0)), upper=self.largest_surface_strain),
            Constraint(terms=(("Rp1", 1.0), ("L1", -1.0)), upper=0.0),
            Constraint(terms=(("L2", 1.0), ("L1", -1.0)), upper=0.0),
        )

    def _check_domain(self, named: dict[str, Floats]) -> None:
        least = self.minimum_strain * exp(LEAST_DECAY)
        rule = f"it must be >= {least:.4g}, 1.0513 × minimum_strain; lower minimum_strain for less"
        for name in ("Dmax1", "D02"):
            require(self.spec(name), named[name], named[name] >= least * (1 - ROUNDING), rule)
        d01, l1 = named["D01"], named["L1"]
        require(self.spec("D01"), d01, d01 > 0, "it must be > 0; a small one such as 1e-6 does")
        # What `violations` lets pass as rounding has to pass here too.
        require(self.spec("D01"), d01, d01 <= named["Dmax1"] * (1 + ROUNDING), "it must be <= Dmax1")
        require(self.spec("Rp1"), named["Rp1"], named["Rp1"] >= 0, "it must be >= 0 Å; use 0 for none")
        require(self.spec("L1"), l1, l1 >= named["Rp1"] * (1 - ROUNDING), "it must be >= Rp1")
        require(self.spec("L2"), named["L2"], named["L2"] > 0, "it must be > 0 Å")
        require(self.spec("Rp2"), named["Rp2"], named["Rp2"] <= 0, "it must be <= 0 Å")

    @property
    def amplitude_names(self) -> tuple[str, ...]:
        """Heights of the two Gaussians and the surface strain of the first."""
        return ("Dmax1", "D01", "D02")

    def evaluate(self, depth: ArrayLike, values: ArrayLike) -> Floats:
        """Strain Δd/d [1], shape (*, z); depth (*, z) [Å], values (*, 7)."""
        z = np.asarray(depth, dtype=np.float64)
        dmax1, _, _, rp1, d02, _, rp2 = rows = columns(values)
        upper, lower, second = self._decays(rows)
        first: Floats = z - rp1
        rate = np.where(first < 0, -upper, -lower)
        np.multiply(first, first, out=first)
        first *= rate
        np.exp(first, out=first)
        first *= self.sign * dmax1
        tail = z - 2 * rp2
        tail *= z
        tail *= -second
        np.exp(tail, out=tail)
        tail *= self.sign * d02
        first += tail
        return first

    def gradient(self, depth: ArrayLike, values: ArrayLike) -> Floats:
        """Derivatives of the strain, shape (*, z, 7); where a width is zero, those of the limit."""
        z = np.asarray(depth, dtype=np.float64)
        dmax1, d01, l1, rp1, d02, l2, rp2 = rows = columns(values)
        log_upper, log_lower, log_second = self._logarithms(rows)
        above, below = np.maximum(rp1, THINNEST), np.maximum(l1 - rp1, THINNEST)
        t = z - rp1
        upper = t < 0
        result = np.empty((*t.shape, 7))

        share = np.where(upper, (t / above) ** 2, (t / below) ** 2)
        shape = self.sign * np.exp(-share * np.where(upper, log_upper, log_lower))
        first = shape * dmax1
        # The height also sets the width, but only while ln(D/Dmin) is above its least value.
        free = np.where(upper, 1.0, log_lower > LEAST_DECAY)
        result[..., 0] = shape * (1 - share * free)
        result[..., 1] = np.where(upper, first * share / d01, 0.0)
        result[..., 2] = np.where(upper, 0.0, first * log_lower * 2 * share / below)
        result[..., 3] = first * np.where(
            upper,
            log_upper * 2 * t * (1 + t / above) / above**2,
            log_lower * 2 * t * (1 - t / below) / below**2,
        )

        width, reach = np.maximum(l2, THINNEST), np.maximum(l2 - 2 * rp2, THINNEST)
        share = z * (z - 2 * rp2) / (width * reach)
        shape = self.sign * np.exp(-share * log_second)
        slope = shape * d02 * log_second
        result[..., 4] = shape * (1 - share * (log_second > LEAST_DECAY))
        result[..., 5] = slope * share * (1 / width + 1 / reach)
        result[..., 6] = slope * 2 * (z / (width * reach) - share / reach)
        return result

    def breakpoints(self, values: ArrayLike) -> Floats:
        """Rp1 [Å], shape (*, 1): the second derivative jumps there."""
        return np.array(np.asarray(values, dtype=np.float64)[..., 3:4])

    def extent(self, values: ArrayLike, tolerance: float | Floats) -> Floats:
        """Depth [Å], shape (*), beyond which each of the two Gaussians is at most half the tolerance."""
        rows = columns(values)[..., 0]
        dmax1, _, _, rp1, d02, _, rp2 = rows
        _, lower, second = self._decays(rows)
        half = tolerance / 2
        first = rp1 + np.sqrt(np.log(np.maximum(dmax1 / half, 1)) / lower)
        tail = rp2 + np.sqrt(rp2**2 + np.log(np.maximum(d02 / half, 1)) / second)
        result: Floats = np.maximum(first, tail)
        return result

    def maximum(self, values: ArrayLike) -> tuple[Floats, Floats]:
        """Largest strain [1] by magnitude and its depth [Å], between the surface and Rp1; both (*)."""
        rows = columns(values)
        dmax1, _, _, rp1, d02, _, rp2 = rows
        upper, _, second = self._decays(rows)
        # Beyond Rp1 both Gaussians fall, so the maximum is not there.
        flat = np.stack([own.ravel() for own in (dmax1, rp1, upper, d02, rp2, second)])
        size, depth = summit(flat, STRETCH)
        return size.reshape(rows.shape[1:-1]), depth.reshape(rows.shape[1:-1])

    def _logarithms(self, rows: Floats) -> tuple[Floats, Floats, Floats]:
        """ln(Dmax1/D01), ln(Dmax1/Dmin), ln(D02/Dmin), the last two not below 0.05."""
        floor = self.minimum_strain * exp(LEAST_DECAY)
        lower = np.log(np.maximum(rows[0], floor)) - log(self.minimum_strain)
        second = np.log(np.maximum(rows[4], floor)) - log(self.minimum_strain)
        return np.log(rows[0] / rows[1]), lower, second

    def _decays(self, rows: Floats) -> tuple[Floats, Floats, Floats]:
        """1/s2 (above Rp1), 1/s1 (below it) and 1/s3 [1/Å²]."""
        _, _, l1, rp1, _, l2, rp2 = rows
        upper, lower, second = self._logarithms(rows)
        return (
            upper / np.maximum(rp1, THINNEST) ** 2,
            lower / np.maximum(l1 - rp1, THINNEST) ** 2,
            second / (np.maximum(l2, THINNEST) * np.maximum(l2 - 2 * rp2, THINNEST)),
        )
