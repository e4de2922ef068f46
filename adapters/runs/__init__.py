"""Runs one cell: agent, proxy, checks and scorer, brought together into a bundle."""
