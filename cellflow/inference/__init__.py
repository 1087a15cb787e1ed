"""Image to `FlowField` to `Prediction`."""
