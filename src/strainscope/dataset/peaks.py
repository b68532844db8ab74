"""Where the strongest point of every curve lies, and what a window that starts further on loses.

Curves are stored with angles that grow towards larger θ. Indices here count the other way, from the large-angle end,
0 first, as positive strain lies there to the right: "index 20" is the 21st point from the large-angle end.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Starts of the window study; 0 is the full curve.
STUDY_STARTS = (50, 10, 0)


@dataclass(frozen=True, kw_only=True)
class Window:
    """What is left of curves that are read from an index on, that point included.

    Attributes:
        start: Index of the first point that is read, counted from the large-angle end.
        kept: Points that are read: 651, 691 and 701 of 701 for the starts 50, 10 and 0.
        kept_after: Points after the first one that is read: 650 and 690, as an earlier report counted.
        lost: Points that are not: `start`.
        lost_arcsec: Stretch of the curve that is not read: from the first point to the window's first.
        peaks_lost: Curves whose strongest point is not read.
        points_past_peak: Points from the median peak to the window's first point; 0 where the median peak is read.
        arcsec_past_peak: The same as an angle.
    """

    start: int
    kept: int
    kept_after: int
    lost: int
    lost_arcsec: float
    peaks_lost: int
    points_past_peak: int
    arcsec_past_peak: float


@dataclass(frozen=True, kw_only=True, eq=False)
class PeakVerification:
    """Index of the strongest point of every curve of a dataset.

    Attributes:
        angle_arcsec: Points of the curves, growing towards larger θ, shape (angle,).
        histogram: Curves whose strongest point has each index from the large-angle end, shape (angle,).
    """

    angle_arcsec: Floats
    histogram: Integers

    @property
    def size(self) -> int:
        """Number of curves."""
        return int(self.histogram.sum())

    @property
    def mean(self) -> float:
        """Mean index."""
        return float(self._index @ self.histogram / self.size)

    @cached_property
    def median(self) -> float:
        """Median index; halfway between the middle two of an even number of curves."""
        below = np.cumsum(self.histogram)
        middle = ((self.size - 1) // 2, self.size // 2)
        return float(np.mean([np.searchsorted(below, rank, side="right") for rank in middle]))

    @property
    def std(self) -> float:
        """Standard deviation of the index."""
        return math.sqrt(float((self._index - self.mean) ** 2 @ self.histogram) / self.size)

    @property
    def lowest(self) -> int:
        """Smallest index."""
        return int(np.flatnonzero(self.histogram)[0])

    @property
    def highest(self) -> int:
        """Largest index."""
        return int(np.flatnonzero(self.histogram)[-1])

    def angle(self, index: float) -> float:
        """Angle [arcsec] of an index from the large-angle end, interpolated."""
        # The zero of a grid of rounded steps may come out as -1e-13.
        return round(float(np.interp(index, self._index, self.angle_arcsec[::-1])), 9) + 0.0

    def window(self, start: int) -> Window:
        """What a window that starts at an index loses.

        Raises:
            ValueError: the start is not an index of the curve.
        """
        points = len(self.angle_arcsec)
        if not 0 <= start < points:
            raise ValueError(f"window start = {start}; the curves have the indices 0 to {points - 1}.")
        past = max(0, start - math.floor(self.median))
        return Window(
            start=start,
            kept=points - start,
            kept_after=points - start - 1,
            lost=start,
            lost_arcsec=self.angle(0) - self.angle(start),
            peaks_lost=int(self.histogram[:start].sum()),
            points_past_peak=past,
            arcsec_past_peak=self.angle(start - past) - self.angle(start),
        )

    def verdict(self, start: int) -> str:
        """What a window that starts at an index loses, in a few sentences."""
        w = self.window(start)
        if not start:
            return f"Start 0: the full curve of {w.kept} points; nothing is lost."
        text = (
            f"Start {start}: {w.kept} of {w.kept + w.lost} points are read, the first {w.lost} "
            f"({w.lost_arcsec:.1f} arcsec at the large-angle end) are lost. "
        )
        if not w.peaks_lost:
            return text + f"The strongest point is read in all {self.size:,} curves."
        share = 100 * w.peaks_lost / self.size
        text += (
            f"The strongest point is among them in {w.peaks_lost:,} of {self.size:,} curves ({share:.4g} %)"
        )
        if w.points_past_peak:
            points = "1 point" if w.points_past_peak == 1 else f"{w.points_past_peak} points"
            text += f"; the window starts {points} ({w.arcsec_past_peak:.1f} arcsec) past it"
        return f"{text}. A start of at most {self.lowest} reads it in all."

    def summary(self) -> str:
        """The statistics in a sentence."""
        return (
            f"Strongest point at index (from the large-angle end): mean {self.mean:.1f}, median {self.median:g}, std "
            f"{self.std:.2f}, min {self.lowest}, max {self.highest}, over {self.size:,} curves; the median lies at "
            f"{self.angle(self.median):.1f} arcsec."
        )

    def document(self, starts: Sequence[int] = STUDY_STARTS) -> Mapping[str, Any]:
        """The same as plain data, with the windows that start at given indices."""
        present = np.flatnonzero(self.histogram)
        return {
            "curves": self.size,
            "index_counts_from": "large-angle end, 0 first",
            "mean": self.mean,
            "median": self.median,
            "std": self.std,
            "min": self.lowest,
            "max": self.highest,
            "median_angle_arcsec": self.angle(self.median),
            "histogram": {
                "index": present,
                "angle_arcsec": [self.angle(float(i)) for i in present],
                "curves": self.histogram[present],
            },
            "windows": [vars(self.window(start)) | {"verdict": self.verdict(start)} for start in starts],
        }

    @property
    def _index(self) -> Floats:
        return np.arange(len(self.angle_arcsec), dtype=np.float64)


def verify_peaks(blocks: Iterable[NDArray[np.floating]], angle_arcsec: ArrayLike) -> PeakVerification:
    """Find the strongest point of every curve; of equal ones the first from the large-angle end.

    Args:
        blocks: Curves (curve, angle); memory does not grow with their number.
        angle_arcsec: Their points, growing towards larger θ, shape (angle,).

    Raises:
        ValueError: angles that do not grow, blocks of another shape, NaN, or no curves.
    """
    angles = np.asarray(angle_arcsec, dtype=np.float64)
    if angles.ndim != 1 or not (np.diff(angles) > 0).all():
        raise ValueError(
            "angle_arcsec must be one-dimensional and grow towards larger θ; reverse curves and angles."
        )
    histogram = np.zeros(len(angles), dtype=np.int64)
    seen = 0
    for block in blocks:
        if block.ndim != 2 or block.shape[1] != len(angles):
            raise ValueError(f"a block has shape {block.shape}; it must be (curve, {len(angles)}).")
        broken = np.isnan(block).any(axis=1)
        if broken.any():
            raise ValueError(f"curve {seen + int(np.argmax(broken))} holds NaN; simulate it again.")
        histogram += np.bincount(block[:, ::-1].argmax(axis=1), minlength=len(angles))
        seen += len(block)
    if not seen:
        raise ValueError("there are no curves to verify; the dataset is empty.")
    return PeakVerification(angle_arcsec=angles, histogram=histogram)
