"""Namespaces of an agent under examination; its traffic and its writes are observed there."""
