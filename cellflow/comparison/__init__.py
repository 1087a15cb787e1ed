"""Compare several submissions in one table with error bars."""
