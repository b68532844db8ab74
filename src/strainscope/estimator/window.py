"""A posterior estimator that reads only part of the curves' points."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strainscope.estimator.grids import checked_curves
from strainscope.estimator.posterior import PosteriorEstimator

Floats = NDArray[np.float64]


class WindowedEstimator:
    """Takes curves on the whole grid and leaves points at their large-angle end out.

    Args:
        whole: Estimator of the points that are left.
        window: Points that are left out.
    """

    def __init__(self, whole: PosteriorEstimator, window: int) -> None:
        self.whole, self.window = whole, window
        self.points = whole.network.points + window

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters, in the order of the columns."""
        return self.whole.names

    @property
    def about(self) -> dict[str, Any]:
        """What its file says of it."""
        return self.whole.about

    def point(self, curves: NDArray[np.floating]) -> Floats:
        """Posterior medians (n, parameter) of curves (n, angle)."""
        return self.whole.point(self._read(curves))

    def sample(self, curves: NDArray[np.floating], draws: int, seed: int) -> Floats:
        """Posterior samples of curves (n, angle), shape (n, draws, parameter)."""
        return self.whole.sample(self._read(curves), draws, seed)

    def save(self, path: Path) -> None:
        """Write weights and what is known of them, the window among it."""
        self.whole.save(path)

    def _read(self, curves: NDArray[np.floating]) -> NDArray[np.float32]:
        return checked_curves(curves, self.points)[:, : self.points - self.window]
