"""Overlays and curves as PNG."""
