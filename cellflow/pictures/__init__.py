"""Pictures: overlays and plots as PNG."""
