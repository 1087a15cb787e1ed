"""Metrics: truth and prediction → numbers."""
