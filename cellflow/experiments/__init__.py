"""Variants × folds × seeds to one resumable result store, and one table of paired differences."""
