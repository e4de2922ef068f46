"""Where the chains of a ledger stand, as far as their lines are on disk."""

import os
from itertools import groupby
from pathlib import Path
from typing import Any

from cab.proxy.ledger.chain import read_link
from cab.proxy.ledger.segments import segments
from cab.scoring.ledger.segments import Segment, segment_lines

_READ_BYTES = 1 << 16


def read_heads(folder: Path) -> list[dict[str, Any]]:
    """Return the head of every chain of a ledger, in the form of `LedgerHead`.

    Each line that is named is on disk, also where another process writes it. A chain without any line
    that holds is left out.

    Raises:
        OSError: A segment cannot be read.
        BadRecord: A compressed segment cannot be unpacked.
    """
    chains = groupby(segments(folder), lambda segment: segment.chain)
    heads = (_head_of(list(chain)) for _, chain in chains)
    return [head for head in heads if head is not None]


def _head_of(chain: list[Segment]) -> dict[str, Any] | None:
    for segment in reversed(chain):
        found = _tail(segment) or _scan(segment)
        if found is not None:
            size_bytes, digest = found
            where = {"segment": segment.number, "size_bytes": size_bytes}
            return {"chain": segment.chain, **where, "hash": digest}
    return None


def _tail(segment: Segment) -> tuple[int, str] | None:
    """Return where the last line of a plain segment ends, and its hash; None if it must be searched."""
    try:
        descriptor = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # it has been compressed just now
        return None
    try:
        size = os.fstat(descriptor).st_size
        os.fsync(descriptor)
        return None if segment.compressed else _last_line(descriptor, size)
    finally:
        os.close(descriptor)


def _last_line(descriptor: int, size: int) -> tuple[int, str] | None:
    data, begin = b"", size
    while begin:
        step = min(begin, max(_READ_BYTES, len(data)))
        begin -= step
        data = os.pread(descriptor, step, begin) + data
        end = data.rfind(b"\n") + 1
        before = data.rfind(b"\n", 0, max(0, end - 1)) + 1
        if end and (before or not begin):
            link = read_link(data[before:end])
            return None if link is None else (begin + end, link.hash)
    return None


def _scan(segment: Segment) -> tuple[int, str] | None:
    """Return where the last line of a segment that holds ends, and its hash."""
    found, size_bytes = None, 0
    for line in segment_lines(segment.path):
        size_bytes += len(line)
        link = read_link(line)
        if link is not None:
            found = size_bytes, link.hash
    return found
