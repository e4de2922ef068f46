"""Captures made by hand, as a writer in another language could make them."""

from hashlib import sha256
from pathlib import Path

import zstandard

from cab.scoring.capture import CapturedAnswer, CapturedBody, CapturedCall, PartPlace
from cab.scoring.capture.layout import cell_folder_name, lines_file, parts_file
from cab.scoring.capture.lines import dump_line

CELL = "local/aider/acme/demo-2/polyglot/python-cron#run1"


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def body_of(parts: list[bytes]) -> CapturedBody:
    whole = b"".join(parts)
    return CapturedBody(
        sha256=digest(whole),
        bytes=len(whole),
        media_type="application/json",
        complete=True,
        parts=[digest(part) for part in parts],
    )


def write_call(
    capture: Path,
    call_id: str,
    request: list[bytes],
    answer: list[bytes],
    cell: str | None = CELL,
    writer: int = 0,
    seq: int | None = 1,
) -> CapturedCall:
    """Append one call, all of whose parts are new, and return it."""
    folder = capture / cell_folder_name(cell)
    folder.mkdir(parents=True, exist_ok=True)
    lines = lines_file(folder, writer)
    places = list[PartPlace]()
    with parts_file(lines).open("ab") as file:
        for part in [*request, *answer]:
            packed = zstandard.compress(part)
            at, size = file.tell(), len(packed)
            places.append(PartPlace(sha256=digest(part), at=at, size=size, bytes=len(part)))
            file.write(packed)
    answered = CapturedAnswer(**body_of(answer).model_dump(), status=200, headers={})
    call = CapturedCall(
        kind="call",
        call_id=call_id,
        cell_id=cell,
        seq=seq,
        endpoint="chat.completions",
        stream=False,
        request_hash=None,
        method="POST",
        path="/v1/chat/completions",
        recorded_at="2026-01-01T00:00:00.000000Z",
        end_reason="completed",
        request=body_of(request),
        response=answered,
        redactions=0,
        note=None,
        new_parts=places,
    )
    with lines.open("ab") as file:
        file.write(dump_line(call))
    return call
