"""Tuning: validation folds → thresholds."""
