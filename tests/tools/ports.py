"""Ports that behave in a known way for as long as a test needs it, whatever else runs on this machine."""

import socket
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def port_without_listener() -> Generator[int]:
    """Hold a port on which connections are refused: one that is only known to be free can be taken meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])
