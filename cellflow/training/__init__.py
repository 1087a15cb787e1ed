"""Samples to a model folder."""
