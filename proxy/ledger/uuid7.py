"""Identifiers of calls: UUIDs that sort by time."""

import os
import uuid


def uuid7(wall_ns: int) -> str:
    """Return a new UUIDv7 for an instant.

    Args:
        wall_ns: Nanoseconds since the Unix epoch; its milliseconds become the first 48 bits.

    Source:
        RFC 9562, section 5.7.
    """
    random = int.from_bytes(os.urandom(10), "big")
    milliseconds = (wall_ns // 1_000_000) & ((1 << 48) - 1)
    value = milliseconds << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))
