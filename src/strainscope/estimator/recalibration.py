"""Widths of posteriors made right: by how much those of a predicted width are too wide or too narrow, learnt once.

A network that cannot tell the sharpest cases from less sharp ones gives posteriors that are too wide in the former. The
draws of each parameter are moved together, or apart, around their median, by a factor that depends on their width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Classes of predicted width, each of as many scans, in which a factor is learnt.
_CLASSES = 8
# Levels of central intervals that are made right on the whole.
_LEVELS = (0.5, 0.7, 0.9)
_QUARTERS = (0.25, 0.5, 0.75)
# Draws that tell a width.
LEAST_DRAWS = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Recalibration:
    """Factors of the widths, by parameter.

    Attributes:
        log_width: Logarithms of half the distance between quartiles, in the flow's coordinates, shape (parameter,
            class), ascending.
        factor: By which draws of that width are spread [1], shape (parameter, class); straight in between.
    """

    log_width: Floats
    factor: Floats

    def apply(self, free: Floats) -> Floats:
        """Draws (curve, draw, parameter) in the flow's coordinates, spread around their medians; same shape.

        Raises:
            ValueError: too few draws to tell their width.
        """
        if free.shape[1] < LEAST_DRAWS:
            raise ValueError(f"{free.shape[1]} draws; at least {LEAST_DRAWS} tell how wide they are.")
        median, width = _median_and_width(free)
        factors = np.stack(
            [np.interp(np.log(width[:, k]), self.log_width[k], self.factor[k]) for k in range(free.shape[2])],
            axis=1,
        )
        return np.asarray(median[:, None] + factors[:, None] * (free - median[:, None]))

    def document(self) -> dict[str, list[list[float]]]:
        """Plain data."""
        return {"log_width": self.log_width.tolist(), "factor": self.factor.tolist()}


def recalibration_from(document: Mapping[str, Any] | None) -> Recalibration | None:
    """What plain data describe; None where there are none."""
    if document is None:
        return None
    return Recalibration(
        log_width=np.array(document["log_width"], dtype=np.float64),
        factor=np.array(document["factor"], dtype=np.float64),
    )


def learnt_recalibration(free: Floats, truth: Floats) -> Recalibration:
    """The recalibration that makes central intervals hold the truth as often as they should.

    Args:
        free: Draws in the flow's coordinates, shape (curve, draw, parameter), of curves that no training saw.
        truth: Coordinates of what made the curves, shape (curve, parameter).
    """
    median, width = _median_and_width(free)
    own = np.abs(free - median[:, None]) / width[:, None]
    gap = np.abs(truth - median) / width
    log_width, factor = np.empty((2, free.shape[2], _CLASSES))
    for k in range(free.shape[2]):
        for i, members in enumerate(np.array_split(np.argsort(width[:, k], kind="stable"), _CLASSES)):
            found = np.quantile(gap[members, k], _LEVELS)
            given = np.quantile(own[members, :, k], _LEVELS)
            factor[k, i] = np.median(found / given)
            log_width[k, i] = np.median(np.log(width[members, k]))
    return Recalibration(log_width=log_width, factor=factor)


def _median_and_width(free: Floats) -> tuple[Floats, Floats]:
    """Medians, and half the distances between quartiles, of draws (curve, draw, parameter); (curve, parameter) each."""
    low, median, high = np.quantile(free, _QUARTERS, axis=1)
    return median, np.maximum(0.5 * (high - low), 1e-12)
