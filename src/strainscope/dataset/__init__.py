"""Datasets of simulated curves: plans, generation, storage, reading, and judging how even they are."""
