"""Networks that propose profiles: posterior estimators, and published baselines to compare with."""
