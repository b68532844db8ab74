"""Measured rocking curves, and what can be said of their noise."""

from strainscope.scan.counting import estimate_counts_per_unit
from strainscope.scan.scan import AXES, INTENSITIES, MIN_POINTS, SPAN_LIMITS, UNITS, Scan

__all__ = ["AXES", "INTENSITIES", "MIN_POINTS", "SPAN_LIMITS", "UNITS", "Scan", "estimate_counts_per_unit"]
