"""What was published of a network for implanted GGG, to compare with (report of 2025-10-29)."""

from collections.abc import Mapping
from types import MappingProxyType

PUBLISHED_RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "Dmax1": (0.002, 0.030),
        "D01": (0.001, 0.030),
        "L1": (1000.0, 7000.0),
        "Rp1": (0.0, 7000.0),
        "D02": (0.002, 0.030),
        "L2": (1000.0, 7000.0),
        "Rp2": (-6000.0, 0.0),
    }
)
"""What its errors are given in per cent of; lengths in Å. No prior: grids go beyond them, such as L1 from 500 Å on."""

V2_ERRORS: Mapping[str, float] = MappingProxyType(
    {"Dmax1": 2.93, "D01": 3.84, "L1": 3.40, "Rp1": 2.47, "D02": 5.44, "L2": 5.86, "Rp2": 12.36}
)
"""Mean absolute errors of its second model in % of the ranges, by which the report weights improvements.

Of 100,000 curves of sublayers of 400 Å, noise-free, on an easier grid with five values of L2 and seven of Rp2.
"""
