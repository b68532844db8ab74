"""How the intensities of a scan answer to strain and E over depth, whatever family they are of."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from strainscope.diffraction.engine import side_by_side

Floats = NDArray[np.float64]


class SeenBy(Protocol):
    """What the points of a scan see of the reflectivities."""

    def seen_by(self, weights: Floats, values: Floats) -> Floats:
        """Weights of reflectivities (k, 2, node) with the same sums as weights of the intensities (k, point)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ProfileResponse:
    """Intensities of curves and their derivatives, those in strain and E as far as they are asked for.

    Attributes:
        model: Of the scan.
        values: Of all parameters, shape (curve, parameter).
        expected: Intensities, shape (curve, point).
        beside: Derivatives in what is not of the profile, shape (curve, point, other parameter).
        columns: Derivatives of the reflectivities in strain, then E, at each depth, shape (curve, 2, 2 depth, node).
    """

    model: SeenBy
    values: Floats
    expected: Floats
    beside: Floats
    columns: NDArray[Any]

    def projected(self, weights: Floats) -> Floats:
        """Derivatives (curve, k, 2 depth + others) of sums of the intensities with weights (curve, k, point)."""

        def of_profile(i: int) -> Floats:
            seen = self.model.seen_by(weights[i], self.values[i])
            sums = [own @ column.T for own, column in zip(np.swapaxes(seen, 0, 1), self.columns[i], strict=True)]
            return np.asarray(sums[0] + sums[1], dtype=np.float64)

        profile: Floats = np.stack(side_by_side(of_profile, range(len(weights))))
        return np.concatenate([profile, weights @ self.beside], axis=-1)
