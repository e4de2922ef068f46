"""Inspect: its logs, `.eval` and `.json`."""
