"""Looks for secrets where they must not be: files, arguments, environments, printed text."""
