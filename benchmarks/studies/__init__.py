"""Studies of trainings on equal small budgets: what balance, window, converged curves, … are worth.

Run with `python -m benchmarks.studies NAME…`; `docs/studies/README.md` explains the options.
"""
