"""Benchmark suite: measure how fast emonet is with ``python -m benchmarks``."""
