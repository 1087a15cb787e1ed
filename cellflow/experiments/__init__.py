"""Variants × folds × seeds: one resumable result store, and one table of paired differences."""
