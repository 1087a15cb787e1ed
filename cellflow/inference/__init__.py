"""Inference: image → `FlowField` → `Prediction`."""
