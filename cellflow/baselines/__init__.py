"""Baselines: the models that cellflow's own must beat."""
