"""Bodies, and whatever is compressed."""

import gzip

from cab.proxy.meter import Usage
from tests.proxy.meter.drive import (
    CHAT,
    CHUNK,
    DONE,
    JSON,
    USAGE,
    bytewise,
    drive,
    event,
    events,
    started,
)


def test_a_compressed_stream_is_never_altered() -> None:
    """Injected usage cannot be taken out of a compressed stream: it passes, and is metered."""
    packed = gzip.compress(events(CHUNK, USAGE) + DONE)
    meter = started(encoding="gzip")
    assert not meter.may_alter
    driven = drive(meter, [packed])
    assert driven.sent == packed
    assert driven.outcome.usage == Usage(1, 2, 3)


def test_the_chunk_with_the_end_of_a_compressed_stream_waits() -> None:
    """The compressed chunk with the terminal event is kept inside whole."""
    first = gzip.compress(events(CHUNK, USAGE))
    last = gzip.compress(DONE)
    driven = drive(started(encoding="gzip"), [first, last])
    assert (driven.early, driven.late, driven.terminals) == (first, last, 1)
    unheld = drive(started(encoding="gzip", hold_terminal=False), [first, last])
    assert (unheld.early, unheld.late) == (first + last, b"")
    late = started(encoding="gzip")
    late.feed(first + last, 1)
    assert late.feed(gzip.compress(b": x\n\n"), 2) == (b"", False)


def test_what_was_decoded_before_a_fault_still_counts() -> None:
    """A compressed answer that becomes invalid keeps its usage and is not complete."""
    packed, rubbish = gzip.compress(events(CHUNK, USAGE)), b"\x1f\x8b that is no member"
    for chunks in ([packed, rubbish], bytewise(packed + rubbish)):
        driven = drive(started(encoding="gzip"), chunks)
        assert driven.sent == packed + rubbish
        assert driven.outcome.usage == Usage(1, 2, 3)
        assert not driven.outcome.complete


def test_a_body_that_is_not_encoded_as_announced_is_named() -> None:
    """A body that is not encoded as announced is passed on and says so."""
    driven = drive(started(encoding="gzip"), [b"data: x\n\n", b"data: y\n\n"])
    assert driven.sent == b"data: x\n\ndata: y\n\n"
    assert (driven.outcome.unmetered or "").startswith(
        "the body does not match its content-encoding"
    )


def test_an_unknown_coding_is_none() -> None:
    """A charset as the coding changes nothing; bytes that cannot be read are named with it."""
    driven = drive(started(encoding="utf-8"), [events(CHUNK, USAGE)])
    assert driven.sent == events(CHUNK)
    assert driven.outcome.usage == Usage(1, 2, 3)
    assert driven.outcome.unmetered is None
    driven = drive(started(content_type=JSON, encoding="compress"), [b"\x1f\x9d"])
    assert driven.sent == b"\x1f\x9d"
    unclear = "content-encoding compress is not known; the answer is not a JSON object"
    assert (driven.outcome.unmetered or "").startswith(unclear)


def test_an_empty_compressed_body_is_empty() -> None:
    """Nothing but white space inside a coding is an empty answer."""
    outcome = drive(started(encoding="gzip"), [gzip.compress(b" \n")]).outcome
    assert outcome.unmetered == "the answer is empty"


def test_the_last_event_of_a_compressed_stream_counts_without_its_blank_line() -> None:
    """An event that the end of the stream leaves open counts under a coding too."""
    packed = gzip.compress(event(CHUNK) + b"data: " + USAGE)
    assert drive(started(encoding="gzip"), [packed]).outcome.usage == Usage(1, 2, 3)


def test_a_compressed_body_is_read() -> None:
    """A whole answer under gzip gives its figures."""
    meter = started(CHAT, content_type=JSON, encoding="gzip")
    assert drive(meter, bytewise(gzip.compress(USAGE))).outcome.usage == Usage(1, 2, 3)
