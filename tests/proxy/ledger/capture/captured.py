"""What a capture holds, as the reader gives it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

from cab.scoring.capture import CapturedCall, find_capture
from tests.tools.proxy import Meter, metered


class Kept(NamedTuple):
    """One call with its bodies."""

    call: CapturedCall
    request: bytes | None
    answer: bytes | None


def kept(folder: Path) -> list[Kept]:
    """Return all calls of a ledger's or bundle's capture; no line of it may be bad."""
    return [
        Kept(call, *(cell.body(b) if b and b.parts is not None else None for b in bodies))
        for cell in find_capture(folder, _no_bad_line)
        for call in cell.calls
        for bodies in [(call.request, call.response)]
    ]


def all_bytes(folder: Path) -> bytes:
    """Return all that is written in a capture, unpacked: whatever a line says of it."""
    out = list[bytes]()
    for file in sorted(folder.rglob("*")):
        if file.suffix == ".parts":
            packed = file.read_bytes()
            while packed:
                frame = zstandard.ZstdDecompressor().decompressobj()
                out.append(frame.decompress(packed))
                packed = frame.unused_data
        elif file.is_file():
            out.append(file.read_bytes())
    return b"\n".join(out)


@asynccontextmanager
async def capturing(upstream: str, folder: Path, **settings: Any) -> AsyncIterator[Meter]:
    """Run a proxy that keeps bodies; they are on disk once this is left."""
    async with metered(upstream, folder, capture="bodies", **settings) as meter:
        yield meter


def _no_bad_line(error: Exception) -> None:
    raise AssertionError(error)
