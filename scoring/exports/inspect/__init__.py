"""Cells as an Inspect log: a sample for each, its scores, its usage, and the log that holds them."""
