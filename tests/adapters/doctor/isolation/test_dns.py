"""The name server that answers every query with NXDOMAIN."""

import asyncio
import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.adapters.doctor.isolation.dns import BadQuery, name_server, nxdomain, read_name

LABELS = st.lists(st.from_regex(r"\A[a-z0-9-]{1,63}\Z"), min_size=1, max_size=5)


def query(labels: list[str], number: int = 7) -> bytes:
    """Return the question for the address of a name (RFC 1035, 4.1)."""
    name = b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + name + struct.pack(">2H", 1, 1)


@settings(deadline=None)
@given(LABELS, st.integers(0, 65535))
def test_the_name_comes_back_and_the_answer_is_that_there_is_none(
    labels: list[str], number: int
) -> None:
    """An answer has the query's number, its question, the code for no such name, and no record."""
    asked = query(labels, number)
    assert read_name(asked)[0] == ".".join(labels)
    answer = nxdomain(asked)
    id_, flags, questions, *records = struct.unpack(">6H", answer[:12])
    assert (id_, flags & 0x800F, questions, records) == (number, 0x8003, 1, [0, 0, 0])
    assert answer[12:] == asked[12:]


@settings(deadline=None)
@given(LABELS, st.data())
def test_a_cut_query_is_refused(labels: list[str], data: st.DataObject) -> None:
    """The beginning of a query is not read as a complete one."""
    whole = query(labels)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(BadQuery):
        read_name(whole[:cut])


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_question_or_none(noise: bytes) -> None:
    """Whatever comes is read, or refused as not a query."""
    try:
        name, end = read_name(noise)
    except BadQuery:
        return
    assert isinstance(name, str)
    assert 12 < end <= len(noise) - 4


async def test_it_counts_the_names() -> None:
    """Each name is counted, in small letters, and noise is left unanswered."""
    free = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    loop = asyncio.get_running_loop()
    async with name_server(port=port) as asked:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(("127.0.0.1", port))
            await loop.sock_sendall(client, b"noise")
            for labels in (["API", "example", "com"], ["api", "example", "com"], ["b", "org"]):
                await loop.sock_sendall(client, query(labels))
                await loop.sock_recv(client, 512)
    assert asked == {"api.example.com": 2, "b.org": 1}
