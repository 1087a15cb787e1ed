"""Dynamics: `FlowField` → labels."""
