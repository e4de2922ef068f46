"""Keeps the bodies of calls, if asked to: redacted, compressed, in a thread of its own.

What is written, and how it is read, is `cab.scoring.capture`'s; docs/capture.md is for people.
"""
