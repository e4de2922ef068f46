"""The end of a response, and faults of the meter itself."""

import gzip

import pytest

from cab.proxy.meter import CallMeter, Dialect
from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.json_values import JsonObject
from tests.proxy.meter.drive import ASKING, CHAT, SSE, drive, event, events, started

JSON = "application/json"
BODY = b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}'
DONE = event(b"[DONE]")


def test_the_last_chunk_of_a_body_of_known_length_waits() -> None:
    """When `Content-Length` bytes have come, the chunk with the last of them is kept inside."""
    meter = started(content_type=JSON, length=len(BODY))
    assert meter.feed(BODY[:5], 1) == (BODY[:5], False)
    assert meter.feed(BODY[5:], 2) == (b"", True)
    assert meter.outcome().complete
    assert meter.outcome().usage is not None
    assert meter.feed(b"x", 3) == (b"", False)
    assert meter.release() == BODY[5:] + b"x"
    assert meter.feed(b"y", 4) == (b"y", False)
    assert meter.finish(5) == (b"", False)
    assert meter.cut() == b""


def test_a_body_of_unknown_length_ends_with_its_stream() -> None:
    """For a chunked body it is the end itself that tells the client."""
    meter = started(content_type=JSON)
    assert meter.feed(BODY, 1) == (BODY, False)
    assert not meter.outcome().complete
    assert meter.finish(2) == (b"", True)
    assert meter.release() == b""
    assert meter.outcome().complete


def test_without_hold_the_last_chunk_passes() -> None:
    """With `hold_terminal=False` a body of known length passes and its end is reported."""
    meter = started(content_type=JSON, length=len(BODY), hold_terminal=False)
    assert meter.feed(BODY, 1) == (BODY, True)
    assert meter.feed(b"x", 1) == (b"x", False)


@pytest.mark.parametrize("content_type", [JSON, SSE])
def test_an_empty_body_ends_at_once(content_type: str) -> None:
    """A body of length 0 has no chunk; its end is the terminal."""
    meter = started(content_type=content_type, length=0)
    assert meter.feed(b"", 1) == (b"", False)
    assert meter.finish(1) == (b"", True)
    assert meter.outcome().last_byte_ns is None
    assert not meter.outcome().complete


def test_a_stream_of_known_length_waits_too() -> None:
    """A stream that announces its length and has no terminal event waits with its last bytes."""
    stream = events(BODY)
    meter = started(length=len(stream), inject_usage=False)
    assert meter.feed(stream[:-4], 1).data == stream[:-4]
    assert meter.feed(stream[-4:], 2) == (b"", True)
    assert meter.release() == stream[-4:]
    meter = started(length=len(stream + DONE), inject_usage=False)
    assert meter.feed(stream + DONE, 1) == (stream, True)
    assert meter.finish(2) == (b"", False)
    assert meter.release() == DONE


def test_white_space_before_the_answer_passes() -> None:
    """Until the first byte that says something, bytes pass as they are."""
    meter = started(content_type=JSON, length=len(BODY) + 2)
    assert meter.feed(b"\r\n", 1) == (b"\r\n", False)
    assert meter.feed(BODY, 2) == (b"", True)
    assert meter.outcome().usage is not None
    blank = started(content_type=JSON, length=2)
    assert blank.feed(b"\r\n", 1) == (b"", True)
    assert blank.feed(b"x", 1) == (b"", False)
    assert blank.release() == b"\r\nx"


@pytest.mark.parametrize(
    ("content_type", "encoding", "injects", "alters"),
    [
        (SSE, "", True, True),
        ("", "", True, True),
        (SSE, "gzip", True, False),
        (SSE, "", False, False),
        (JSON, "", True, False),
        ("text/html", "", True, False),
    ],
)
def test_a_length_can_be_promised_unless_usage_may_be_withheld(
    content_type: str, encoding: str, injects: bool, alters: bool
) -> None:
    """Only an uncompressed stream for which usage was asked may become shorter."""
    meter = started(content_type=content_type, encoding=encoding, inject_usage=injects)
    assert meter.may_alter is alters


class Faulty(Answer):
    """An answer with a bug, as a dialect of tomorrow may have one."""

    def event(self, _kind: str, data: JsonObject, /) -> bool:
        raise KeyError(str(data))

    def body(self, data: JsonObject) -> None:
        raise KeyError(str(data))

    def done(self) -> None:
        """Take the end."""
        self.complete = True


def faulty(content_type: str, encoding: str = "") -> CallMeter:
    meter = CallMeter(Dialect("chat.completions", Faulty, usage_on_request=True), CHAT, ASKING)
    meter.start(200, content_type, encoding, None)
    return meter


@pytest.mark.parametrize(
    "chunks", [[events(BODY) + DONE], [events(BODY), DONE], [DONE, event(BODY)]]
)
@pytest.mark.parametrize(("content_type", "encoding"), [(SSE, ""), (SSE, "gzip"), (JSON, "")])
def test_a_fault_of_the_meter_never_holds_up_bytes(
    chunks: list[bytes], content_type: str, encoding: str
) -> None:
    """Whatever goes wrong inside, every byte passes, and the outcome tells of the fault."""
    chunks = [gzip.compress(chunk) for chunk in chunks] if encoding else chunks
    meter = faulty(content_type, encoding)
    driven = drive(meter, chunks)
    assert driven.sent == b"".join(chunks)
    assert driven.terminals == 1
    assert driven.outcome.unmetered is not None
    assert driven.outcome.unmetered.startswith("fault in the meter: KeyError")


def test_a_fault_at_the_end_gives_out_what_is_inside() -> None:
    """An unfinished event that leads to a fault at the very end is passed on."""
    meter = faulty(SSE)
    assert meter.feed(b"data: " + BODY, 1).data == b""
    assert meter.finish(2) == (b"data: " + BODY, True)
    broken = faulty(SSE)
    broken.feed(b"data: " + BODY, 1)
    assert broken.cut() == b"data: " + BODY
