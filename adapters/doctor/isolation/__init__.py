"""Namespaces of an agent under examination, and what is seen of its traffic and writes there."""
