"""Ports that behave in a known way for as long as a test needs it, whatever else runs on this machine."""

import secrets
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress


@contextmanager
def port_without_listener() -> Generator[int]:
    """Hold a port on which connections are refused: one that is only known to be free can be taken meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


def free_port() -> int:
    """Return a port for a program that has to be given one.

    It lies below those that the kernel hands to whoever asks for any: one of them may be taken before the program has
    it. It is not drawn from `random`, which starts alike in each process of the tests.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with suppress(OSError), socket.socket() as tried:
            tried.bind(("127.0.0.1", port))
            return port
