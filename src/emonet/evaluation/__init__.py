"""Evaluation: metrics per class with confidence intervals, calibration, robustness, plots."""
