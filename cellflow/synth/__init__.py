"""A seed to `Sample`."""
