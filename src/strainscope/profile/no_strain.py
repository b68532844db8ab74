"""The crystal as it was before anything was done to it."""

import numpy as np
from numpy.typing import ArrayLike

from strainscope.profile.family import Floats, ParameterSpec, StrainProfile


class NoStrain(StrainProfile):
    """An unstrained lattice at every depth; no parameters."""

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """None."""
        return ()

    @property
    def amplitude_names(self) -> tuple[str, ...]:
        """None."""
        return ()

    def evaluate(self, depth: ArrayLike, values: ArrayLike) -> Floats:
        """0, shape (*, z); depth (*, z) [Å], values (*, 0)."""
        return np.zeros(_broadcast(depth, values))

    def gradient(self, depth: ArrayLike, values: ArrayLike) -> Floats:
        """Nothing, shape (*, z, 0)."""
        return np.empty((*_broadcast(depth, values), 0))

    def breakpoints(self, values: ArrayLike) -> Floats:
        """None, shape (*, 0)."""
        return np.empty((*np.shape(values)[:-1], 0))

    def extent(self, values: ArrayLike, tolerance: float | Floats) -> Floats:
        """0 Å, shape (*)."""
        return np.zeros(np.shape(values)[:-1])

    def maximum(self, values: ArrayLike) -> tuple[Floats, Floats]:
        """0 at 0 Å, each of shape (*)."""
        return np.zeros(np.shape(values)[:-1]), np.zeros(np.shape(values)[:-1])


def _broadcast(depth: ArrayLike, values: ArrayLike) -> tuple[int, ...]:
    return np.broadcast_shapes(np.shape(depth), (*np.shape(values)[:-1], 1))
