"""Observes which addresses an agent tries to reach: where all addresses are local, all packets pass here."""

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
    (0x15, 0, 7, _TCP),  # not TCP: accept
    (0xB1, 0, 0, 0),  # the header's length
    (0x50, 0, 0, 13),
    (0x45, 4, 5, _SYN | _RST),
    (0x30, 0, 0, 6),
    (0x15, 0, 2, _TCP),  # not TCP: accept
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


def contacts(packet: bytes) -> Iterator[str]:
    """Yield the contacts that a packet shows: addresses with ports, and names asked of name servers.

    Local addresses count only if nothing listens there: proxy and fake endpoint are local too.

    Args:
        packet: From its IP header on.
    """
    read = _read(packet)
    if read is None or len(read.payload) < 8:
        return
    source_port, target_port = struct.unpack(">2H", read.payload[:4])
    if read.protocol == _TCP and len(read.payload) > 13:
        yield from _tcp_contacts(read, source_port, target_port)
    elif read.protocol == _UDP and not read.target.is_loopback:
        yield _address_text(read.target, target_port)
        if target_port == _NAMES_PORT:
            try:
                yield read_name(read.payload[8:])[0]
            except BadQuery:
                return


def _tcp_contacts(read: _Packet, source_port: int, target_port: int) -> Iterator[str]:
    flags, sequence = read.payload[13], int.from_bytes(read.payload[4:8])
    if flags & _SYN and not flags & _ACK and not read.target.is_loopback:
        yield _address_text(read.target, target_port)
    # A refusal of a first packet has the number 0 (RFC 9293, 3.10.7.1); other resets end connections.
    if flags & _RST and flags & _ACK and not sequence and read.source.is_loopback:
        yield _address_text(read.source, source_port)


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


def _address_text(address: IPv4Address | IPv6Address, port: int) -> str:
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"


@asynccontextmanager
async def watch_traffic(hosts: Counter[str]) -> AsyncGenerator[None]:
    """Count what any process in this network namespace tries to reach, until the block ends.

    Args:
        hosts: Name, or address and port -> how often; is added to.

    Raises:
        OSError: The kernel does not allow it.
    """
    loop = asyncio.get_running_loop()
    with socket.socket(
        socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS)
    ) as packets:
        _attach_filter(packets)
        packets.bind(("lo", _ALL_PROTOCOLS))
        packets.setblocking(False)
        loop.add_reader(packets, _receive, packets, hosts)
        try:
            yield
        finally:
            loop.remove_reader(packets)
            _receive(packets, hosts)


def _receive(packets: socket.socket, hosts: Counter[str]) -> None:
    while True:
        try:
            packet, address = packets.recvfrom(_READ_BYTES)
        except BlockingIOError:
            return
        if address[2] == _SENT:
            hosts.update(contacts(packet))


def _attach_filter(packets: socket.socket) -> None:
    code = b"".join(struct.pack("=HBBI", *line) for line in _FILTER)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HL", len(_FILTER), ctypes.addressof(buffer))
    packets.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)
