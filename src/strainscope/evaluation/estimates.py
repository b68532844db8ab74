"""What estimators have to offer, and what is taken from them: checked, in order, and timed."""

import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from strainscope.evaluation.metrics import checked_table
from strainscope.evaluation.test_sets import LoadedTestSet

Floats = NDArray[np.float64]
Curves = NDArray[Any]
Sampled = NDArray[np.floating[Any]] | tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]

_ONE_BY_ONE = 20  # curves that single ones are timed on


class PointEstimator(Protocol):
    """What can be evaluated: it gives a value of each of its parameters for each curve."""

    @property
    def names(self) -> Sequence[str]:
        """Its parameters, in the order of the columns."""

    def point(self, curves: Curves, /) -> NDArray[np.floating[Any]]:
        """Estimates, shape (curve, parameter)."""


class Sampling(PointEstimator, Protocol):
    """One that gives draws, too; by default they have equal weights."""

    def sample(self, curves: Curves, draws: int, seed: int, /) -> Sampled:
        """Draws (curve, draw, parameter), or these and their weights (curve, draw)."""


def point_estimates(
    estimator: PointEstimator, test_set: LoadedTestSet, own: tuple[str, ...], names: tuple[str, ...]
) -> tuple[Floats, float, float]:
    """Estimates, and the time that they took [ms a curve], all together and one by one."""
    curves = test_set.curves
    estimator.point(curves[:1])  # what happens only once, such as loading, is not counted
    start = time.perf_counter()
    estimate = estimator.point(curves)
    together = time.perf_counter() - start
    few = min(_ONE_BY_ONE, len(curves))
    start = time.perf_counter()
    for i in range(few):
        estimator.point(curves[i : i + 1])
    single = time.perf_counter() - start
    estimate = checked_table("estimate", np.asarray(estimate), own, len(curves))
    return estimate[:, [own.index(n) for n in names]], 1000 * together / len(curves), 1000 * single / few


class Sampler:
    """Draws of the posteriors of some curves, checked, and the time that they took."""

    def __init__(
        self,
        estimator: PointEstimator,
        test_set: LoadedTestSet,
        own: tuple[str, ...],
        names: tuple[str, ...],
        *,
        draws: int,
        seed: int,
    ) -> None:
        self._sample = getattr(estimator, "sample", None)
        self._curves, self._own, self.draws, self.seed = test_set.curves, own, draws, seed
        self._columns = [own.index(n) for n in names]
        self.seconds = 0.0

    def __call__(self, first: int, last: int) -> tuple[Floats, Floats | None]:
        """Draws (curve, draw, parameter) and weights (curve, draw) of curves first to last - 1."""
        curves = self._curves[first:last]
        start = time.perf_counter()
        result = self._sample(curves, self.draws, self.seed + first)  # type: ignore[misc]
        self.seconds += time.perf_counter() - start
        samples, weights = result if isinstance(result, tuple) else (result, None)
        samples = np.asarray(samples, dtype=np.float64)
        wanted = (len(curves), self.draws, len(self._own))
        if samples.shape != wanted:
            raise ValueError(
                f"the estimator's draws have shape {samples.shape}; it must be {wanted}: (curve, draw, parameter)."
            )
        wrong = ~np.isfinite(samples).all(axis=(1, 2))
        if wrong.any():
            raise ValueError(
                f"the estimator's draws for curve {first + int(np.argmax(wrong))} are not all finite."
            )
        return samples[..., self._columns], None if weights is None else np.asarray(weights, dtype=np.float64)

    def single_ms(self) -> float:
        """Time of a posterior by itself [ms]."""
        spent, few = self.seconds, min(_ONE_BY_ONE, len(self._curves))
        for i in range(few):
            self(i, i + 1)
        single, self.seconds = self.seconds - spent, spent
        return 1000 * single / few
