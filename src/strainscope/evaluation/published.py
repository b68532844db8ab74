"""What an estimator that ships has to reach."""

BALANCED_SET = "balanced"
COMPARED_SETS = (BALANCED_SET, "balanced-film", "continuous")
"""Noise-free, like the curves that the predecessor's errors were measured on."""
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
