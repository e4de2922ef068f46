"""Slurm arrays (follows)."""
