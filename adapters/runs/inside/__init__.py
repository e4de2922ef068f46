"""Runs one cell inside a container: container root starts cab, the agent and the checks as three users."""
