"""Explain predictions: which parts of a face support a label."""
