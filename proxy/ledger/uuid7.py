"""Identifiers of calls: UUIDs that sort by time."""

import os

_POOL = bytearray()
"""Random bytes that are not used yet; a forked process must not use them: none is forked."""


def uuid7(wall_ns: int) -> str:
    """Return a new UUIDv7 for an instant.

    Args:
        wall_ns: Nanoseconds since the Unix epoch; its milliseconds become the first 48 bits.

    Source:
        RFC 9562, section 5.7.
    """
    random = _random_bytes().hex()
    milliseconds = f"{(wall_ns // 1_000_000) & ((1 << 48) - 1):012x}"
    variant = "89ab"[int(random[3], 16) & 3]
    return (
        f"{milliseconds[:8]}-{milliseconds[8:]}-7{random[:3]}-{variant}{random[4:7]}-{random[7:19]}"
    )


def _random_bytes() -> bytes:
    """Return ten random bytes; asking the system for each call's takes longer than all else here."""
    if len(_POOL) < 10:
        _POOL[:] = os.urandom(2560)
    taken = bytes(_POOL[-10:])
    del _POOL[-10:]
    return taken
