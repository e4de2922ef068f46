"""Messages between cab and container root: a length, JSON, and descriptors beside the length.

Only the standard library is imported: container root reads these.
"""

import json
import socket
import struct
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

MOST_BYTES: Final = 8 << 20
"""Longest message; arguments and environment of a program are shorter, or the kernel refuses them."""
MOST_DESCRIPTORS: Final = 3
HEADER: Final = struct.Struct("!I")


class BadMessage(Exception):
    """A message that is not one of ours."""


def encode(message: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Return header and body of a message.

    Raises:
        BadMessage: It is too long.
    """
    body = json.dumps(message).encode()
    if len(body) > MOST_BYTES:
        raise BadMessage(f"a message of {len(body)} bytes; at most {MOST_BYTES}")
    return HEADER.pack(len(body)), body


def body_length(header: bytes) -> int:
    """Return the length that a header states.

    Raises:
        BadMessage: It is above the bound.
    """
    (length,) = HEADER.unpack(header)
    if length > MOST_BYTES:
        raise BadMessage(f"a message of {length} bytes; at most {MOST_BYTES}")
    return int(length)


def decode(body: bytes) -> dict[str, Any]:
    """Return a message.

    Raises:
        BadMessage: It is not a JSON object.
    """
    try:
        message: Any = json.loads(body)
    except ValueError as error:
        raise BadMessage("not valid JSON") from error
    if not isinstance(message, dict):
        raise BadMessage("not a JSON object")
    return cast("dict[str, Any]", message)


def send(channel: socket.socket, message: Mapping[str, Any]) -> None:
    """Send a message; blocks until it is taken."""
    channel.sendall(b"".join(encode(message)))


def receive(channel: socket.socket) -> tuple[dict[str, Any], Sequence[int]] | None:
    """Return the next message and its descriptors; None when the other side has gone.

    Raises:
        BadMessage: It is not one of ours.
    """
    # Otherwise what comes would stay open in each program that is started; `socket.recv_fds` forgets its flags.
    flags = socket.MSG_WAITALL | socket.MSG_CMSG_CLOEXEC
    room = socket.CMSG_LEN(MOST_DESCRIPTORS * array("i").itemsize)
    header, beside, _, _ = channel.recvmsg(HEADER.size, room, flags)
    descriptors = [number for each in beside for number in _descriptors(*each)]
    if len(header) < HEADER.size:
        return None
    body = bytearray()
    length = body_length(header)
    while len(body) < length:
        piece = channel.recv(min(1 << 16, length - len(body)))
        if not piece:
            return None
        body += piece
    return decode(bytes(body)), descriptors


def _descriptors(level: int, kind: int, data: bytes) -> Sequence[int]:
    numbers = array("i")
    if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
        numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
    return numbers
