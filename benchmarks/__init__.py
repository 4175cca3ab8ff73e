"""How fast emonet is, as ratios within one run: ``python -m benchmarks``."""
