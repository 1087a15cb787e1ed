"""Diagnosis: what limits the score, in the data and in the model."""
