"""Scores, comparisons and predictions as one self-contained HTML file."""
