"""What is written is read back byte for byte, and what is cut is put together again."""

import tempfile
from hashlib import sha256
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.ledger.capture.cell_files import CellFiles
from cab.proxy.ledger.capture.cutting import MIN_PART_BYTES, cut
from cab.proxy.ledger.capture.kept_body import SentBody, kept_body
from cab.proxy.redaction import Redactor
from cab.scoring.capture import CapturedBody, CapturedCall, find_capture

OBJECT = b'{"role":"user","content":"'
WORDS = st.sampled_from([OBJECT, b"x" * 3000, b'"},', b"\n", b"\x00\xff", bytes(range(256)) * 9])
BODIES = st.lists(WORDS, max_size=30).map(b"".join) | st.binary(max_size=300)


@given(BODIES)
def test_parts_joined_are_the_body(body: bytes) -> None:
    parts = cut(body)
    assert b"".join(parts) == body
    assert all(len(part) >= MIN_PART_BYTES for part in parts[:-1])


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", None]), BODIES), max_size=8), st.integers(0, 8)
)
def test_a_call_is_read_as_it_was_written(calls: list[tuple[str | None, bytes]], stop: int) -> None:
    """Of several cells, with a restart of the writer between them."""
    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder) / "capture"
        files = CellFiles(capture, 0)
        for number, (cell, body) in enumerate(calls):
            if number == stop:
                files = CellFiles(capture, 0)
            call, parts = written(f"c{number}", cell, number + 1, body)
            files.append(call, parts)
        read = {
            (cell.cell_id, call.call_id): cell.body(call.request)
            for cell in find_capture(capture)
            for call in cell.calls
        }
        lines = b"".join(file.read_bytes() for file in capture.rglob("*.jsonl"))
    assert read == {(cell, f"c{number}"): body for number, (cell, body) in enumerate(calls)}
    assert lines.count(b"\n") == len(calls)


def written(
    call_id: str, cell: str | None, seq: int, data: bytes
) -> tuple[CapturedCall, dict[str, bytes]]:
    """Return a call with one body, and its parts."""
    body = kept_body(SentBody(data, len(data), None, "", True), Redactor(()), 1 << 20)
    assert body.parts is not None
    assert body.sha256 == sha256(data).hexdigest()
    names = list(body.names)
    request = CapturedBody(
        sha256=body.sha256, bytes=body.bytes, media_type=None, complete=True, parts=names
    )
    call = CapturedCall(
        kind="call",
        call_id=call_id,
        cell_id=cell,
        seq=seq,
        endpoint="other",
        stream=None,
        request_hash=None,
        method="POST",
        path="/",
        recorded_at="2026-01-01T00:00:00.000000Z",
        end_reason=None,
        request=request,
        response=None,
        redactions=0,
        note=None,
        new_parts=[],
    )
    return call, dict(zip(names, body.parts, strict=True))
