"""Messages between cab and container root."""

import os
import socket
import threading

import pytest

from cab.adapters.runs.inside import messages
from cab.adapters.runs.inside.messages import BadMessage


def send_in_two(channel: socket.socket, header: bytes, body: bytes, descriptor: int) -> None:
    socket.send_fds(channel, [header], [descriptor])
    channel.sendall(body)


def test_a_message_brings_its_descriptors_and_no_child_inherits_them() -> None:
    """A message arrives with open files that are closed in whatever is started next."""
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    with ours, theirs:
        header, body = messages.encode({"ask": "start", "argv": ["é" * 100_000]})
        sender = threading.Thread(target=send_in_two, args=(ours, header, body, write))
        sender.start()
        received = messages.receive(theirs)
        sender.join()
    assert received is not None
    message, (descriptor,) = received
    assert message["argv"] == ["é" * 100_000]
    assert not os.get_inheritable(descriptor)
    os.write(descriptor, b"x")
    assert os.read(read, 1) == b"x"
    for number in (read, write, descriptor):
        os.close(number)


@pytest.mark.parametrize("data", [b"", b"\0\0", b"\0\0\0\5{", messages.HEADER.pack(2)])
def test_an_end_within_a_message_is_an_end(data: bytes) -> None:
    """A peer that is killed while it writes has gone."""
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(data)
        assert messages.receive(theirs) is None


@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\1{", b"\0\0\0\1\xff"]
)
def test_what_is_not_a_message_is_refused(data: bytes) -> None:
    """A length above the bound, and what is not a JSON object, are errors and take no memory."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(data)
        with pytest.raises(BadMessage):
            messages.receive(theirs)


def test_a_message_above_the_bound_is_not_sent() -> None:
    """The other side would refuse it."""
    with pytest.raises(BadMessage, match="at most"):
        messages.encode({"argv": "x" * messages.MOST_BYTES})
