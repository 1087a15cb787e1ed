"""Synthetic data: seed → images with truth."""
