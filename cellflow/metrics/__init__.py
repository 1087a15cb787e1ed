"""Truth and prediction to numbers."""
