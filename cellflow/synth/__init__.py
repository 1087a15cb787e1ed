"""Synthetic data: seed → `Sample`."""
