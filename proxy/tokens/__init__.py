"""Counts tokens with bundled encodings, where the endpoint reports none."""
