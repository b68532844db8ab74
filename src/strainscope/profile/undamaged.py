"""The crystal as it was before anything was done to it: no strain, no disorder."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from strainscope.profile.family import Floats, ParameterSpec, Profile, StrainProfile, broadcast


class _AtItsLimit(Profile):
    """A profile that is at its limit at every depth; no parameters."""

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """None."""
        return ()

    def evaluate(self, depth: ArrayLike, values: ArrayLike) -> Floats:
        """The limit, shape (*, z); depth (*, z) [Å], values (*, 0)."""
        return np.full(broadcast(depth, values), self.limit)

    def gradient(self, depth: ArrayLike, values: ArrayLike) -> Floats:
        """Nothing, shape (*, z, 0)."""
        return np.empty((*broadcast(depth, values), 0))

    def breakpoints(self, values: ArrayLike) -> Floats:
        """None, shape (*, 0)."""
        return np.empty((*np.shape(values)[:-1], 0))

    def extent(self, values: ArrayLike, tolerance: float | Floats) -> Floats:
        """0 Å, shape (*)."""
        return np.zeros(np.shape(values)[:-1])


@dataclass(frozen=True, kw_only=True)
class NoStrain(_AtItsLimit, StrainProfile):
    """An unstrained lattice at every depth; no parameters."""

    @property
    def amplitude_names(self) -> tuple[str, ...]:
        """None."""
        return ()

    def maximum(self, values: ArrayLike) -> tuple[Floats, Floats]:
        """0 at 0 Å, each of shape (*)."""
        return np.zeros(np.shape(values)[:-1]), np.zeros(np.shape(values)[:-1])


@dataclass(frozen=True, kw_only=True)
class NoDisorder(_AtItsLimit):
    """A perfect lattice, E = 1 at every depth; no parameters."""

    @property
    def limit(self) -> float:
        """1."""
        return 1.0
