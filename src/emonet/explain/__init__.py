"""Explain predictions: which parts of a face speak for a label."""
