"""Strain and disorder together: what the diffraction engine sees over depth."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from strainscope.profile.disorder import TiedDisorder
from strainscope.profile.family import Constraint, Floats, ParameterSpec, Parametrised, Profile, StrainProfile
from strainscope.profile.undamaged import NoDisorder

Disorder = Profile | TiedDisorder
# Where E vanishes and the power is below 1 its slope has no limit.
_SMALLEST_FACTOR = 1e-6


@dataclass(frozen=True, kw_only=True)
class DepthProfile(Parametrised):
    """A strain family and a disorder family as one function of depth.

    The parameters are those of the strain, then those of the disorder; a disorder parameter whose name the
    strain uses too is called disorder_NAME.

    Attributes:
        strain: Family of the strain.
        disorder: Family of the static Debye-Waller factor E, or `TiedDisorder`, which follows the strain.
        debye_waller_power: Power p of the factor that the families give, for a reflection other than theirs: E^p.
    """

    strain: StrainProfile
    disorder: Disorder = NoDisorder()
    debye_waller_power: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.debye_waller_power < np.inf:
            raise ValueError(f"debye_waller_power = {self.debye_waller_power:g}; it must be > 0 and finite.")

    def _disorder_name(self, name: str) -> str:
        taken = {spec.name for spec in self.strain.parameters}
        return f"disorder_{name}" if name in taken else name

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Those of the strain, then those of the disorder."""
        disorder = tuple(replace(s, name=self._disorder_name(s.name)) for s in self.disorder.parameters)
        return self.strain.parameters + disorder

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """Those of both families."""
        disorder = tuple(
            Constraint(terms=tuple((self._disorder_name(n), f) for n, f in c.terms), upper=c.upper)
            for c in self.disorder.constraints
        )
        return self.strain.constraints + disorder

    def check(self, values: ArrayLike) -> None:
        """Raise unless both families are defined at these values (see `Parametrised.check`)."""
        super().check(values)
        values = np.asarray(values, dtype=np.float64)
        self.strain.check(values[..., : self._split])
        self.disorder.check(values[..., self._split :])

    @cached_property
    def _split(self) -> int:
        return len(self.strain.parameters)

    def evaluate(self, depth: Floats, values: Floats) -> tuple[Floats, Floats]:
        """Strain and E [1], each (*, z), at depths (*, z) [Å] for values (*, parameter)."""
        return self.evaluate_within(depth, values, self.normalisation(values))

    def normalisation(self, values: Floats) -> Floats:
        """Largest strain of the profile [1], which tied disorder refers to, shape (*); zero where unused."""
        if isinstance(self.disorder, TiedDisorder):
            return self.strain.maximum(values[..., : self._split])[0]
        return np.zeros(values.shape[:-1])

    def evaluate_within(self, depth: Floats, values: Floats, normalisation: Floats) -> tuple[Floats, Floats]:
        """As `evaluate`, with the largest strain given: for many small calls on one profile."""
        strain = self.strain.evaluate(depth, values[..., : self._split])
        rest = values[..., self._split :]
        if isinstance(self.disorder, TiedDisorder):
            return strain, self._raised(self.disorder.evaluate(strain, normalisation, rest))
        if isinstance(self.disorder, NoDisorder):
            return strain, np.ones_like(strain)
        return strain, self._raised(self.disorder.evaluate(depth, rest))

    def _raised(self, factor: Floats) -> Floats:
        """The families' factors to the power."""
        if self.debye_waller_power == 1:
            return factor
        return np.asarray(np.maximum(factor, 0.0) ** self.debye_waller_power)

    def power_slope(self, raised: Floats) -> Floats:
        """Derivative of factors that are raised to the power (*) by the families' ones; finite at 0."""
        p = self.debye_waller_power
        if p == 1:
            return np.ones_like(raised)
        return np.asarray(p * np.maximum(raised, _SMALLEST_FACTOR) ** (1 - 1 / p))

    def gradient(self, depth: Floats, values: Floats) -> tuple[Floats, Floats]:
        """Derivatives of strain and of E in every parameter, each (*, z, parameter)."""
        own, rest = values[..., : self._split], values[..., self._split :]
        strain_slopes = self.strain.gradient(depth, own)
        shape = (*strain_slopes.shape[:-1], values.shape[-1])
        d_strain, d_factor = np.zeros(shape), np.zeros(shape)
        d_strain[..., : self._split] = strain_slopes
        if isinstance(self.disorder, TiedDisorder):
            strain = self.strain.evaluate(depth, own)
            largest, where = self.strain.maximum(own)
            slopes = self.disorder.gradient(strain, largest, rest)
            maximum_slopes = self.strain.maximum_gradient(own, where)[..., None, :]
            steep = self.power_slope(self._raised(self.disorder.evaluate(strain, largest, rest)))
            by_strain = d_factor[..., : self._split]
            np.multiply((steep * slopes.strain)[..., None], strain_slopes, out=by_strain)
            by_strain += (steep * slopes.strain_max)[..., None] * maximum_slopes
            np.multiply(steep[..., None], slopes.values, out=d_factor[..., self._split :])
        elif rest.shape[-1]:
            steep = self.power_slope(self._raised(self.disorder.evaluate(depth, rest)))
            by_depth = self.disorder.gradient(depth, rest)
            np.multiply(steep[..., None], by_depth, out=d_factor[..., self._split :])
        return d_strain, d_factor

    def breakpoints(self, values: Floats) -> Floats:
        """Depths [Å] where a cell must end, shape (*, b)."""
        marks = [self.strain.breakpoints(values[..., : self._split])]
        if not isinstance(self.disorder, TiedDisorder):
            marks.append(self.disorder.breakpoints(values[..., self._split :]))
        marks = [np.broadcast_to(m, (*values.shape[:-1], m.shape[-1])) for m in marks]
        return np.concatenate(marks, axis=-1)

    def extent(
        self,
        values: Floats,
        *,
        strain_tolerance: float,
        factor_tolerance: float,
        normalisation: Floats | None = None,
    ) -> Floats:
        """A depth [Å] beyond which the crystal is perfect within the tolerances, shape (*).

        The normalisation is found anew unless it is given.
        """
        own, rest = values[..., : self._split], values[..., self._split :]
        # 1 - E^p is p (1 - E) where E is near 1.
        factor_tolerance = factor_tolerance / self.debye_waller_power
        if isinstance(self.disorder, TiedDisorder):
            largest = self.normalisation(values) if normalisation is None else normalisation
            follows = self.disorder.strain_tolerance(largest, rest, factor_tolerance)
            return self.strain.extent(own, np.minimum(follows, strain_tolerance))
        depth = self.strain.extent(own, strain_tolerance)
        return np.maximum(depth, self.disorder.extent(rest, factor_tolerance))
