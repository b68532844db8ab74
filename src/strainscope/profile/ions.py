"""What another program says of implanted ions over depth, to be drawn beside a profile."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class IonProfile:
    """Ions or their damage over depth; construction checks it.

    Attributes:
        what: "ions" (where they come to rest) or "damage" (vacancies).
        ion: Element and energy, in the program's words.
        depth: Depth from the surface down [Å], ascending, shape (depth,).
        value: Density at each depth, >= 0, some above 0, shape (depth,).
        unit: Of the values.
        program: That calculated it.
    """

    what: str
    ion: str
    depth: FloatArray
    value: FloatArray
    unit: str
    program: str

    def __post_init__(self) -> None:
        if self.depth.size < 2 or self.depth.shape != self.value.shape:
            raise ValueError(
                f"{self.depth.size} depths, {self.value.size} values; both must be as many, 2 or more."
            )
        if not (np.isfinite(self.depth).all() and np.isfinite(self.value).all()):
            raise ValueError("a depth or a value is not finite.")
        if not (self.depth[0] >= 0 and (np.diff(self.depth) > 0).all()):
            raise ValueError("the depths must be >= 0 Å and ascend.")
        if not ((self.value >= 0).all() and self.value.any()):
            raise ValueError("the values must be >= 0, and some above 0; was it calculated with enough ions?")

    @property
    def peak_depth(self) -> float:
        """Depth of the largest value [Å]."""
        return float(self.depth[int(self.value.argmax())])

    @property
    def label(self) -> str:
        """What a legend calls it."""
        return f"{self.ion.partition(' ')[0]} {self.what}"
