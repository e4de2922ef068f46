"""Answers calls from a capture, without an endpoint; docs/replay.md is for people.

    recorded    which recorded call answers a request
    endpoint    a server on this machine that gives the answers

The proxy forwards to that server as to any endpoint, so calls are metered by the same code.
"""
