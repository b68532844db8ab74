"""What every profile family has in common: named parameters, constraints, checks, and the five methods."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from strainscope.profile.shape import UNIFORM, LogUniform, PriorShape

Floats = NDArray[np.float64]

THINNEST = 1e-6
"""Length [Å] below which a width or a depth is taken as its limit zero, so that nothing divides by zero."""

ROUNDING = 1e-12
"""Relative excess of a sum over its bound that is rounding: 0.01 + 0.02 <= 0.03 must hold."""


@dataclass(frozen=True, kw_only=True)
class ParameterSpec:
    """One named parameter: its unit ("1", "Å", "arcsec", "deg"), the default range of its prior, and its shape."""

    name: str
    unit: str
    lower: float
    upper: float
    description: str
    shape: PriorShape = UNIFORM

    def __post_init__(self) -> None:
        if self.unit not in ("1", "Å", "arcsec", "deg"):
            raise ValueError(
                f"unit of {self.name} = {self.unit!r}; it must be '1' or 'Å' or 'arcsec' or 'deg'."
            )
        if not self.lower < self.upper:
            raise ValueError(
                f"{self.name} = {self.lower:g} to {self.upper:g}; its lower bound must be < the upper."
            )
        if isinstance(self.shape, LogUniform) and not self.lower + self.shape.shift > 0:
            raise ValueError(f"{self.name} = {self.lower:g} to {self.upper:g}; its lower bound must be > 0.")


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """A linear inequality between parameters: sum of coefficient × parameter <= upper, inclusive."""

    terms: tuple[tuple[str, float], ...]
    upper: float

    def __str__(self) -> str:
        total = " ".join(
            f"{'-' if factor < 0 else '+'} {'' if abs(factor) == 1 else f'{abs(factor):g} '}{name}"
            for name, factor in self.terms
        )
        return f"{total.removeprefix('+ ')} <= {self.upper:g}"


class Parametrised(ABC):
    """Anything with named parameters whose values come as arrays of shape (*, parameter)."""

    @property
    @abstractmethod
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """The parameters, in the order of the last axis of ``values``."""

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """Inequalities between parameters that a prior has to respect (none unless stated)."""
        return ()

    def violations(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Whether any of the constraints is broken, exact and inclusive.

        A sum may exceed its bound by a relative 1e-12, which is rounding: decimal grids keep every
        combination that decimal arithmetic allows.

        Args:
            values: Parameters, shape (*, parameter).

        Returns:
            True where a constraint is broken, shape (*).
        """
        values = np.asarray(values, dtype=np.float64)
        index = {spec.name: i for i, spec in enumerate(self.parameters)}
        broken = np.zeros(values.shape[:-1], dtype=np.bool_)
        for constraint in self.constraints:
            total, size = np.zeros(broken.shape), np.full(broken.shape, abs(constraint.upper))
            for name, factor in constraint.terms:
                term = factor * values[..., index[name]]
                total += term
                size += abs(term)
            broken |= total - constraint.upper > ROUNDING * size
        return broken

    def check(self, values: ArrayLike) -> None:
        """Raise unless the family is defined at these values (the other methods do not check).

        Args:
            values: Parameters, shape (*, parameter).

        Raises:
            ValueError: wrong number of parameters, a value that is not finite, or one where the formula has
                no meaning; the message says which and what would do.
        """
        values = np.asarray(values, dtype=np.float64)
        names = [spec.name for spec in self.parameters]
        if values.ndim == 0 or values.shape[-1] != len(names):
            raise ValueError(
                f"values has shape {values.shape}; its last axis must hold "
                f"{len(names)} parameters: {', '.join(names)}."
            )
        for i, spec in enumerate(self.parameters):
            require(spec, values[..., i], np.isfinite(values[..., i]), "it must be finite")
        self._check_domain(dict(zip(names, np.moveaxis(values, -1, 0), strict=True)))

    def _check_domain(self, named: dict[str, Floats]) -> None:  # noqa: B027 (most families add to it)
        """Raise where the family's formula has no meaning (nowhere unless stated)."""

    def spec(self, name: str) -> ParameterSpec:
        """The parameter of that name."""
        return next(spec for spec in self.parameters if spec.name == name)


class Profile(Parametrised):
    """A function of depth: strain (0 in the undamaged crystal) or static Debye-Waller factor (1 there)."""

    @property
    def limit(self) -> float:
        """Value in the undamaged crystal [1]."""
        return 0.0

    @abstractmethod
    def evaluate(self, depth: ArrayLike, values: ArrayLike) -> Floats:
        """The profile [1], shape (*, z); depth (*, z) [Å] from the surface down, values (*, parameter)."""

    @abstractmethod
    def gradient(self, depth: ArrayLike, values: ArrayLike) -> Floats:
        """Its derivatives with respect to the parameters, shape (*, z, parameter)."""

    @abstractmethod
    def breakpoints(self, values: ArrayLike) -> Floats:
        """Depths [Å], shape (*, b), where the profile is not smooth or is steep: cells must end there."""

    @abstractmethod
    def extent(self, values: ArrayLike, tolerance: float | Floats) -> Floats:
        """A depth [Å], shape (*), beyond which abs(profile - limit) <= tolerance (a number, or one a row)."""


class StrainProfile(Profile):
    """A profile whose largest departure from its limit is known: what a strain profile must be."""

    @property
    @abstractmethod
    def amplitude_names(self) -> tuple[str, ...]:
        """Parameters that together set the size of the strain and leave its shape."""

    @abstractmethod
    def maximum(self, values: ArrayLike) -> tuple[Floats, Floats]:
        """Largest abs(profile - limit) [1] over depth, and its depth [Å]; both of shape (*)."""

    def maximum_gradient(self, values: ArrayLike, depth: Floats | None = None) -> Floats:
        """Derivatives of the largest abs(profile - limit) with respect to the parameters.

        By the envelope theorem, the profile's own derivatives at the fixed depth of the maximum.

        Args:
            values: Parameters, shape (*, parameter).
            depth: Where the maximum is [Å], shape (*), if that is known.

        Returns:
            Derivatives, shape (*, parameter).
        """
        at = (self.maximum(values)[1] if depth is None else depth)[..., None]
        sign = np.sign(self.evaluate(at, values) - self.limit)
        slopes: Floats = sign * self.gradient(at, values)[..., 0, :]
        return slopes


def require(spec: ParameterSpec, values: Floats, holds: NDArray[np.bool_] | np.bool_, rule: str) -> None:
    """Raise a ValueError that names the first value for which ``holds`` is False."""
    if np.all(holds):
        return
    first = tuple(int(i) for i in np.argwhere(~np.asarray(holds))[0])
    unit = "" if spec.unit == "1" else f" {spec.unit}"
    where = f"[{', '.join(map(str, first))}]" if first else ""
    raise ValueError(f"{spec.name}{where} = {values[first]:g}{unit}; {rule}.")


def columns(values: ArrayLike) -> Floats:
    """Values (*, parameter) as (parameter, *, 1): each parameter broadcasts against depth (*, z)."""
    return np.moveaxis(np.asarray(values, dtype=np.float64), -1, 0)[..., None]


def piecewise_cubic(coefficients: Floats, cell: NDArray[np.intp], x: Floats) -> Floats:
    """Value of the cell's cubic at x, by Horner's rule.

    Args:
        coefficients: Shape (power, *, cell), highest power first.
        cell: Which cell, shape (*, z).
        x: Position within the cell, in the coefficients' unit, shape (*, z).
    """
    rows, cells = coefficients.shape[1:-1], coefficients.shape[-1]
    # Flat indices: np.take is several times faster than fancy indices over rows.
    start = cells * np.arange(int(np.prod(rows)), dtype=np.intp).reshape((*rows, 1))
    flat = start + cell
    result: Floats = coefficients[0].ravel().take(flat)
    for coefficient in coefficients[1:]:
        result *= x
        result += coefficient.ravel().take(flat)
    return result


def broadcast(depth: ArrayLike, values: ArrayLike) -> tuple[int, ...]:
    """Shape (*, z) of a profile at depths (*, z) for values (*, parameter)."""
    return np.broadcast_shapes(np.shape(depth), (*np.shape(values)[:-1], 1))
