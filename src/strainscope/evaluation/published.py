"""What an estimator that ships has to reach."""

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
