"""Ordinary calls on our own wire: what most calls are, served without a task for each."""
