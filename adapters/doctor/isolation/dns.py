"""A name server that answers every query with NXDOMAIN and counts the names."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

_HEADER_BYTES = 12
_MAX_LABEL_BYTES = 63
_NO_SUCH_NAME = 0x8183  # a response, recursion available, NXDOMAIN (RFC 1035, 4.1.1)


class BadQuery(ValueError):
    """Bytes that are not a query."""


def read_name(query: bytes) -> tuple[str, int]:
    r"""Return the name of a DNS query's first question, and the offset of what follows it.

    Args:
        query: One UDP message.

    Raises:
        BadQuery: It holds no question, or is cut.

    Source:
        RFC 1035, sections 4.1.1 and 4.1.2.

    >>> read_name(bytes(5) + bytes([1]) + bytes(6) + b"\x01a\x02bc\x00" + bytes(4))
    ('a.bc', 18)
    """
    if len(query) < _HEADER_BYTES or not int.from_bytes(query[4:6]):
        raise BadQuery("no question")
    labels: list[str] = []
    at = _HEADER_BYTES
    while at < len(query) and (size := query[at]):
        label = query[at + 1 : at + 1 + size]
        if size > _MAX_LABEL_BYTES or len(label) < size:
            raise BadQuery("a label is cut, or points elsewhere")
        labels.append(label.decode("ascii", "backslashreplace").lower())
        at += 1 + size
    if at + 5 > len(query):
        raise BadQuery("the question is cut")
    return ".".join(labels), at + 1


def nxdomain(query: bytes) -> bytes:
    """Return the answer that there is no such name.

    Raises:
        BadQuery: It is not a query.
    """
    _, end = read_name(query)
    counts = (1).to_bytes(2) + bytes(6)  # one question, no answers
    return query[:2] + _NO_SUCH_NAME.to_bytes(2) + counts + query[_HEADER_BYTES : end + 4]


class _NameServer(asyncio.DatagramProtocol):
    def __init__(self, names: Counter[str]) -> None:
        self._names = names

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio passes a datagram protocol nothing else.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        with contextlib.suppress(BadQuery):
            answer = nxdomain(data)
            self._names[read_name(data)[0]] += 1
            self._transport.sendto(answer, addr)


@asynccontextmanager
async def name_server(host: str = "127.0.0.1", port: int = 53) -> AsyncGenerator[Counter[str]]:
    """Run the server until the block ends; yields name -> how often it was looked up.

    Raises:
        OSError: It cannot listen there.
    """
    names: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _NameServer(names), local_addr=(host, port)
    )
    try:
        yield names
    finally:
        transport.close()
