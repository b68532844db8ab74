"""Benchmarks: each part times its case, asserts that the result is right, and names its figures."""
