"""Several submissions to one table with error bars."""
