"""Searches files, arguments, environments and output for secrets."""
