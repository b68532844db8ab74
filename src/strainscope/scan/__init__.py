"""Measured rocking curves, and what can be said of their noise."""

from strainscope.scan.counting import estimate_counts_per_unit
from strainscope.scan.scan import (
    AXES,
    INTENSITIES,
    MIN_POINTS,
    SPAN_LIMITS,
    UNITS,
    WHOLE_NUMBER_TOLERANCE,
    Scan,
    check_range,
)

__all__ = [
    "AXES",
    "INTENSITIES",
    "MIN_POINTS",
    "SPAN_LIMITS",
    "UNITS",
    "WHOLE_NUMBER_TOLERANCE",
    "Scan",
    "check_range",
    "estimate_counts_per_unit",
]
