"""Hears whom an agent tries to reach, by address: where all addresses are our own, all of it passes here."""

import asyncio
import ctypes
import socket
import struct
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from cab.adapters.doctor.isolation.dns import BadQuery, read_name

_ALL_PROTOCOLS = 0x0003  # linux/if_ether.h
_SENT = 4  # linux/if_packet.h: each packet passes loopback twice
_ATTACH_FILTER = 26  # asm-generic/socket.h
_TCP, _UDP = 6, 17
_SYN, _RST, _ACK = 0x02, 0x04, 0x10
_NAMES_PORT = 53
_READ_BYTES = 2048

# Of TCP only what opens or refuses a connection: the rest would fill the buffer (classic BPF).
_FILTER = (
    (0x30, 0, 0, 0),  # the version
    (0x74, 0, 0, 4),
    (0x15, 0, 5, 4),  # 4: else to IPv6
    (0x30, 0, 0, 9),
    (0x15, 0, 7, _TCP),  # no TCP: take it
    (0xB1, 0, 0, 0),  # the header's length
    (0x50, 0, 0, 13),
    (0x45, 4, 5, _SYN | _RST),
    (0x30, 0, 0, 6),
    (0x15, 0, 2, _TCP),  # no TCP: take it
    (0x30, 0, 0, 53),
    (0x45, 0, 1, _SYN | _RST),
    (0x06, 0, 0, 0x40000),
    (0x06, 0, 0, 0),
)


class _Packet(NamedTuple):
    protocol: int
    source: IPv4Address | IPv6Address
    target: IPv4Address | IPv6Address
    payload: bytes


def tried(packet: bytes) -> Iterator[str]:
    """Yield whom a packet shows to have been tried: addresses with ports, and names asked of others.

    Addresses of this machine count only if nobody listens there: proxy and fake endpoint are here too.

    Args:
        packet: From its IP header on.
    """
    read = _read(packet)
    if read is None or len(read.payload) < 8:
        return
    from_port, to_port = struct.unpack(">2H", read.payload[:4])
    if read.protocol == _TCP and len(read.payload) > 13:
        yield from _tried_by_tcp(read, from_port, to_port)
    elif read.protocol == _UDP and not read.target.is_loopback:
        yield _place(read.target, to_port)
        if to_port == _NAMES_PORT:
            try:
                yield read_name(read.payload[8:])[0]
            except BadQuery:
                return


def _tried_by_tcp(read: _Packet, from_port: int, to_port: int) -> Iterator[str]:
    flags, sequence = read.payload[13], int.from_bytes(read.payload[4:8])
    if flags & _SYN and not flags & _ACK and not read.target.is_loopback:
        yield _place(read.target, to_port)
    # A refusal of a first packet has the number 0 (RFC 9293, 3.10.7.1); other resets end connections.
    if flags & _RST and flags & _ACK and not sequence and read.source.is_loopback:
        yield _place(read.source, from_port)


def _read(packet: bytes) -> _Packet | None:
    version = packet[0] >> 4 if len(packet) >= 20 else 0
    if version == 4:
        begin = (packet[0] & 0x0F) * 4
        source, target = ip_address(packet[12:16]), ip_address(packet[16:20])
        return _Packet(packet[9], source, target, packet[begin:])
    if version == 6 and len(packet) >= 40:
        source, target = ip_address(packet[8:24]), ip_address(packet[24:40])
        return _Packet(packet[6], source, target, packet[40:])
    return None


def _place(address: IPv4Address | IPv6Address, port: int) -> str:
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"


@asynccontextmanager
async def overheard(asked: Counter[str]) -> AsyncGenerator[None]:
    """Count whom anybody in this network namespace tries to reach, until the block ends.

    Args:
        asked: Name, or address and port -> how often; is added to.

    Raises:
        OSError: The kernel lets nobody listen.
    """
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS)) as ear:
        _attach_filter(ear)
        ear.bind(("lo", _ALL_PROTOCOLS))
        ear.setblocking(False)
        loop.add_reader(ear, _listen, ear, asked)
        try:
            yield
        finally:
            loop.remove_reader(ear)
            _listen(ear, asked)


def _listen(ear: socket.socket, asked: Counter[str]) -> None:
    while True:
        try:
            packet, where = ear.recvfrom(_READ_BYTES)
        except BlockingIOError:
            return
        if where[2] == _SENT:
            asked.update(tried(packet))


def _attach_filter(ear: socket.socket) -> None:
    code = b"".join(struct.pack("=HBBI", *line) for line in _FILTER)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HL", len(_FILTER), ctypes.addressof(buffer))
    ear.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)
