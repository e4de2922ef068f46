"""The contacts that packets show, from packets written by hand."""

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.adapters.doctor.isolation.traffic import contacts

SYN, RST, ACK = 2, 4, 16
QUERY = bytes([0, 1, 1, 0, 0, 1]) + bytes(6) + b"\1a\3org\0" + bytes([0, 1, 0, 1])


def packet(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    """Return an IP packet (RFC 791, 3.1; RFC 8200, 3)."""
    ends = ip_address(source).packed + ip_address(target).packed
    if ip_address(source).version == 4:
        return bytes([0x45]) + bytes(8) + bytes([protocol, 0, 0]) + ends + payload
    return bytes([0x60]) + bytes(5) + bytes([protocol, 64]) + ends + payload


def tcp(flags: int, *, sequence: int = 1, ports: tuple[int, int] = (4000, 443)) -> bytes:
    """Return a TCP header (RFC 9293, 3.1)."""
    return struct.pack(">HHIIBBHHH", *ports, sequence, 0, 0x50, flags, 0, 0, 0)


def udp(payload: bytes, port: int = 53) -> bytes:
    """Return a datagram (RFC 768)."""
    return struct.pack(">4H", 4000, port, 8 + len(payload), 0) + payload


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (packet("192.0.2.1", "192.0.2.7", 6, tcp(SYN)), ["192.0.2.7:443"]),
        (packet("2001:db8::1", "2001:db8::7", 6, tcp(SYN)), ["[2001:db8::7]:443"]),
        (packet("192.0.2.7", "192.0.2.1", 6, tcp(SYN | ACK)), []),
        (packet("127.0.0.1", "127.0.0.1", 6, tcp(SYN)), []),
        (
            packet("127.0.0.1", "127.0.0.1", 6, tcp(RST | ACK, sequence=0, ports=(11434, 4000))),
            ["127.0.0.1:11434"],
        ),
        (packet("127.0.0.1", "127.0.0.1", 6, tcp(RST | ACK)), []),
        (packet("192.0.2.1", "192.0.2.53", 17, udp(QUERY)), ["192.0.2.53:53", "a.org"]),
        (packet("192.0.2.1", "192.0.2.53", 17, udp(b"noise")), ["192.0.2.53:53"]),
        (packet("192.0.2.1", "192.0.2.9", 17, udp(b"", 123)), ["192.0.2.9:123"]),
        (packet("127.0.0.1", "127.0.0.1", 17, udp(QUERY)), []),
        (packet("192.0.2.1", "192.0.2.9", 1, bytes(8)), []),
    ],
)
def test_contacts(data: bytes, expected: list[str]) -> None:
    """A first packet to another address is a contact; to this machine only one that is refused."""
    assert list(contacts(data)) == expected


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_read(noise: bytes) -> None:
    """Noise is a contact or none, and never an error."""
    assert all(isinstance(each, str) for each in contacts(noise))
