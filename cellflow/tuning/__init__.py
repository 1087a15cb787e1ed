"""Validation folds to thresholds."""
