"""Responses over WebSocket: one connection, many calls, each with its own admission and records."""
