"""Starts, limits, watches and ends processes."""
