"""Static Debye-Waller factor over depth: tied to strain, an exponential, an amorphous layer."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from strainscope.profile.family import (
    ROUNDING,
    THINNEST,
    Constraint,
    Floats,
    ParameterSpec,
    Parametrised,
    Profile,
    broadcast,
    columns,
    require,
)

_SMALLEST_SHARE = 1e-30
"""Least strain/maximum in a derivative: f^(n-1) stays within float32, and f^n is nothing by then."""

_EDGE = 3.0
"""Half-width of an amorphous layer's edge, in standard deviations, within which cells must be short."""


class TiedDerivatives(NamedTuple):
    """Derivatives of a tied Debye-Waller factor; the chain rule to strain parameters is the caller's."""

    strain: Floats
    """With respect to the strain at the same depth, shape (*, z)."""

    strain_max: Floats
    """With respect to the largest strain, shape (*, z)."""

    values: Floats
    """With respect to K and n, shape (*, z, 2)."""


@dataclass(frozen=True, kw_only=True)
class TiedDisorder(Parametrised):
    r"""Static Debye-Waller factor tied to the strain.

    .. math:: E = 1 - K f^n, \qquad f = |e| / \max|e|

    It is a function of strain, not of depth, so its methods take the strain and its largest magnitude
    (``maximum`` of the strain family). A crystal without strain has E = 1. Where the strain vanishes and
    n < 1 the derivative with respect to strain is infinite; it is given as 0 at f = 0 (that of the
    symmetric function), falling linearly to it below f = 1e-30, and exactly above; so it stays
    finite, and so does its product with a strain's derivative that vanishes as the strain does.
    """

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """K, n."""
        return (
            ParameterSpec(name="K", unit="1", lower=0.0, upper=1.0, description="loss at the largest strain"),
            ParameterSpec(
                name="n", unit="1", lower=0.3, upper=8.0, description="exponent of relative strain"
            ),
        )

    def _check_domain(self, named: dict[str, Floats]) -> None:
        k, n = named["K"], named["n"]
        require(self.spec("K"), k, (k >= 0) & (k <= 1), "it must lie in 0 to 1")
        require(self.spec("n"), n, (n >= 0.3) & (n <= 8), "it must lie in 0.3 to 8")

    def evaluate(self, strain: ArrayLike, strain_max: ArrayLike, values: ArrayLike) -> Floats:
        """Static Debye-Waller factor.

        Args:
            strain: Strain Δd/d [1], shape (*, z).
            strain_max: Largest abs(strain) over all depths [1], shape (*).
            values: K and n, shape (*, 2).

        Returns:
            E [1] in [0, 1], shape (*, z).
        """
        k, n = columns(values)
        share = self._share(strain, strain_max)
        result: Floats = np.power(share, n)
        result *= -k
        result += 1
        return result

    def gradient(self, strain: ArrayLike, strain_max: ArrayLike, values: ArrayLike) -> TiedDerivatives:
        """Derivatives of the static Debye-Waller factor; arguments as for :meth:`evaluate`."""
        k, n = columns(values)
        largest = np.asarray(strain_max, dtype=np.float64)[..., None]
        share = self._share(strain, strain_max)
        floored = np.maximum(share, _SMALLEST_SHARE)
        power = np.power(share, n)
        inverse = np.divide(1.0, largest, out=np.zeros_like(largest), where=largest > 0)
        return TiedDerivatives(
            strain=-k * n * share * np.power(floored, n - 2) * np.sign(strain) * inverse,
            strain_max=k * n * power * inverse,
            values=np.stack((-power, -k * power * np.log(floored)), axis=-1),
        )

    def strain_tolerance(self, strain_max: ArrayLike, values: ArrayLike, tolerance: float) -> Floats:
        """Strain [1], shape (*), up to which 1 - E <= tolerance: what to ask the strain's ``extent`` for."""
        k, n = columns(values)[..., 0]
        share = np.power(tolerance / np.maximum(k, tolerance), 1 / n)
        result: Floats = np.maximum(share * np.asarray(strain_max, dtype=np.float64), 1e-300)
        return result

    @staticmethod
    def _share(strain: ArrayLike, strain_max: ArrayLike) -> Floats:
        """abs(strain) / strain_max, 0 without strain; not above 1, which only rounding exceeds."""
        largest = np.asarray(strain_max, dtype=np.float64)[..., None]
        share: Floats = abs(np.asarray(strain, dtype=np.float64)) / np.where(largest > 0, largest, 1.0)
        return np.minimum(share, 1.0, out=share)


@dataclass(frozen=True, kw_only=True)
class ExponentialDisorder(Profile):
    r"""Static Debye-Waller factor as the exponential of a profile of its own.

    .. math:: E(z) = \exp[-c f(z)]

    with f >= 0 of any family whose limit is 0. The parameters, with their prior ranges, are the family's;
    ``scale`` brings a family whose ranges are those of strain to exponents of order one.

    Args:
        family: The profile f.
        scale: The fixed factor c [1].
    """

    family: Profile
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.family.limit != 0:
            raise ValueError(f"limit of family = {self.family.limit:g}; it must be 0: use quantity='strain'.")
        if not self.scale > 0:
            raise ValueError(f"scale = {self.scale:g}; it must be > 0.")

    @property
    def limit(self) -> float:
        """1."""
        return 1.0

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Those of the family."""
        return self.family.parameters

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """Those of the family."""
        return self.family.constraints

    def check(self, values: ArrayLike) -> None:
        """As for the family, and the exponent must not be negative at any of 257 depths."""
        self.family.check(values)
        extent = self.family.extent(values, 1e-6 / self.scale)
        depth = extent[..., None] * np.linspace(0, 1, 257)
        exponent = self.scale * self.family.evaluate(depth, values)
        if (exponent < 0).any():
            first = tuple(np.argwhere(exponent < 0)[0])
            raise ValueError(
                f"exponent = {exponent[first]:g} at {depth[first]:g} Å; it must be >= 0 (then E <= 1)."
            )

    def evaluate(self, depth: ArrayLike, values: ArrayLike) -> Floats:
        """Static Debye-Waller factor [1], shape (*, z); depth (*, z) [Å], values (*, parameter)."""
        result = self.family.evaluate(depth, values)
        result *= -self.scale
        return np.exp(result, out=result)

    def gradient(self, depth: ArrayLike, values: ArrayLike) -> Floats:
        """Derivatives, shape (*, z, parameter)."""
        result = self.family.gradient(depth, values)
        result *= -self.scale * self.evaluate(depth, values)[..., None]
        return result

    def breakpoints(self, values: ArrayLike) -> Floats:
        """Those of the family [Å], shape (*, b)."""
        return self.family.breakpoints(values)

    def extent(self, values: ArrayLike, tolerance: float | Floats) -> Floats:
        """Depth [Å], shape (*), beyond which the exponent, and with it 1 - E, is at most the tolerance."""
        return self.family.extent(values, tolerance / self.scale)


@dataclass(frozen=True, kw_only=True)
class AmorphousLayer(Profile):
    r"""A layer without long-range order, E = 0, between two rough edges.

    .. math:: E(z) = 1 - \Phi[(z - top)/r] + \Phi[(z - bottom)/r]

    with the normal distribution Phi, that is error-function edges of standard deviation r (a step at r = 0,
    with E = 1/2 on the edge itself). If not ``buried`` the layer begins at the surface, and E is the last
    term alone. Where the layer is thinner than its edges E does not reach 0.

    Args:
        buried: Whether the layer has an upper edge.
    """

    buried: bool = True

    @property
    def limit(self) -> float:
        """1."""
        return 1.0

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """top (if buried), bottom, roughness."""
        rows = (
            ("top", 0.0, 7000.0, "depth of the layer's upper edge"),
            ("bottom", 0.0, 7000.0, "depth of the layer's lower edge"),
            ("roughness", 0.0, 500.0, "standard deviation of the edges"),
        )
        return tuple(
            ParameterSpec(name=name, unit="Å", lower=lower, upper=upper, description=text)
            for name, lower, upper, text in rows[0 if self.buried else 1 :]
        )

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """top <= bottom, if buried."""
        return (Constraint(terms=(("top", 1.0), ("bottom", -1.0)), upper=0.0),) if self.buried else ()

    def _check_domain(self, named: dict[str, Floats]) -> None:
        for name, value in named.items():
            require(self.spec(name), value, value >= 0, "it must be >= 0 Å")
        if self.buried:
            bottom = named["bottom"]
            require(self.spec("bottom"), bottom, bottom >= named["top"] * (1 - ROUNDING), "it must be >= top")

    def evaluate(self, depth: ArrayLike, values: ArrayLike) -> Floats:
        """Static Debye-Waller factor [1] in [0, 1], shape (*, z); depth (*, z) [Å], values (*, 2 or 3)."""
        z = np.asarray(depth, dtype=np.float64)
        *edges, roughness = columns(values)
        inverse = 1 / np.maximum(roughness, THINNEST)
        result: Floats = ndtr((z - edges[-1]) * inverse)
        if self.buried:
            # The complement as a tail of its own: 1 - Phi would lose its digits deep inside the layer.
            result += ndtr((edges[0] - z) * inverse)
            np.minimum(result, 1.0, out=result)
        return result

    def gradient(self, depth: ArrayLike, values: ArrayLike) -> Floats:
        """Derivatives, shape (*, z, 2 or 3)."""
        z = np.asarray(depth, dtype=np.float64)
        *edges, roughness = columns(values)
        inverse = 1 / np.maximum(roughness, THINNEST)
        result = np.zeros((*broadcast(depth, values), len(edges) + 1))
        signs = (1, -1) if self.buried else (-1,)
        for i, (edge, sign) in enumerate(zip(edges, signs, strict=True)):
            x = (z - edge) * inverse
            density = sign * np.exp(-0.5 * x * x) * inverse / np.sqrt(2 * np.pi)
            result[..., i] = density
            result[..., -1] += density * x
        return result

    def breakpoints(self, values: ArrayLike) -> Floats:
        """Each edge and three roughnesses to its either side [Å], not above the surface, shape (*, b)."""
        values = np.asarray(values, dtype=np.float64)
        width = _EDGE * values[..., -1:]
        edges = values[..., :-1]
        result: Floats = np.maximum(np.concatenate((edges - width, edges, edges + width), axis=-1), 0)
        return result

    def extent(self, values: ArrayLike, tolerance: float | Floats) -> Floats:
        """Depth [Å], shape (*), beyond which the lower edge's tail is at most the tolerance."""
        values = np.asarray(values, dtype=np.float64)
        tail = -float(ndtri(min(tolerance, 0.5)))
        # The limit r = 0 is worked as r = THINNEST, whose tail must lie inside too.
        result: Floats = values[..., -2] + tail * np.maximum(values[..., -1], THINNEST)
        return result
