"""The lines of a capture: one JSON object per call, schema `cab.capture/1`.

A field that is unknown is `None`. Newer writers may add fields, so readers keep what they do not know.
"""

from typing import Annotated, Literal

import orjson
from pydantic import Field

from cab.scoring.files import FileModel
from cab.scoring.ledger.records import EndReason, Sha256Hex

SCHEMA = "cab.capture/1"
"""Schema tag of every line."""

MAX_LINE_BYTES = 4 << 20
"""A body of 256 MiB has some 10^4 parts, whose names take 70 bytes each."""

KEPT_HEADERS = (
    *("content-type", "retry-after", "retry-after-ms", "x-should-retry"),
    *("x-request-id", "request-id"),
)
"""What of an answer's head an agent acts on, or needs to ask its endpoint."""

Size = Annotated[int, Field(ge=0)]


class PartPlace(FileModel):
    """Where a part stands in the file of parts that belongs to the line's file."""

    sha256: Sha256Hex
    """Of its bytes."""
    at: Size
    """Where its zstd frame begins, in bytes."""
    size: Annotated[int, Field(ge=1)]
    """How long the frame is, in bytes."""
    bytes: Size
    """How long the part is, unpacked."""


class CapturedBody(FileModel):
    """A body: what there was of it, and which parts it is made of."""

    sha256: Sha256Hex | None
    """Of the bytes that are kept, secrets already taken out; `None` if none are kept."""
    bytes: Size | None
    """How many bytes are kept; of a body that is not kept, how many it had, as far as that is known."""
    media_type: str | None
    """Its `content-type`, without secrets."""
    complete: bool
    """Whether the bytes that are kept are the whole body: false if it was cut off or is not kept."""
    parts: list[Sha256Hex] | None
    """The parts that it is made of, in order: it is their bytes, joined. `None` if it is not kept."""


class CapturedAnswer(CapturedBody):
    """What the client got."""

    status: Annotated[int, Field(ge=100, le=999)]
    """HTTP status."""
    headers: dict[str, str]
    """The few headers that an agent acts on, such as `retry-after`; names in lower case."""


class CapturedCall(FileModel):
    """One call: what the agent sent, and what it got."""

    line_schema: str = Field(default=SCHEMA, alias="schema")
    """Always `cab.capture/1` today."""
    kind: Literal["call"]
    """Readers pass over the kinds that they do not know."""
    call_id: str
    """As in the ledger."""
    cell_id: str | None
    """The cell that pays; `None` when none was named."""
    seq: Annotated[int, Field(ge=1)] | None
    """1-based number of the call within its cell."""
    endpoint: str
    """The dialect, as in the ledger."""
    stream: bool | None
    """Whether the client asked for a stream."""
    transport: Literal["websocket"] | None = None
    """`websocket` for one of the responses on such a connection: its bodies are the frame that asked for
    it, not kept if none did, and its events, each in a line of its own."""
    request_hash: str | None
    """As in the ledger, of the body with its secrets: what a repetition is recognised by."""
    method: str
    """HTTP method."""
    path: str
    """Path and query, without secrets."""
    recorded_at: str
    """When the call had ended, RFC 3339 UTC, microseconds."""
    end_reason: EndReason | None
    """As in the ledger; `None` if the writer did not know it."""
    request: CapturedBody
    """As the agent sent it, its content encoding undone, before the one change that the proxy makes."""
    response: CapturedAnswer | None
    """As the client got it, its content encoding undone; `None` if nothing was answered."""
    redactions: Size
    """How many secrets were taken out of the two bodies."""
    note: str | None
    """Why something is missing, in a sentence."""
    new_parts: list[PartPlace]
    """The parts that no line before it in this file has."""


def dump_line(call: CapturedCall) -> bytes:
    """Return a call as its line, newline included."""
    return orjson.dumps(call.model_dump(by_alias=True)) + b"\n"
