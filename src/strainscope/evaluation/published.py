"""Errors to compare with, mean absolute in % of the range."""

V2_ERRORS = {
    "Dmax1": 2.93,
    "D01": 3.84,
    "L1": 3.40,
    "Rp1": 2.47,
    "D02": 5.44,
    "L2": 5.86,
    "Rp2": 12.36,
}
"""Of the predecessor's second model, as measured by its authors: 100,000 curves of sublayers of 400 Å, noise-free,
on an easier grid with five values of L2 and seven of Rp2 (report of 2025-10-29)."""

BALANCED_SET = "balanced"
BALANCED_BARS = {
    "Dmax1": 0.6,
    "D01": 1.5,
    "L1": 0.25,
    "Rp1": 0.3,
    "D02": 1.6,
    "L2": 1.5,
    "Rp2": 8.0,
}
"""What an estimator that ships has to reach on the set `balanced`."""
