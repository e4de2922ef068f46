"""The ledger's records: one JSON object per line, schema `cab.call/1`.

The field names are a contract that other tools read. New fields may be added, so readers keep what
they do not know. A field that is unknown is `None`; a zero is a measured zero.
"""

from typing import Annotated, Any, Literal, NamedTuple, TypeGuard, get_args

import orjson
from pydantic import ConfigDict, Field, ValidationError

from cab.scoring.errors import BadRecord
from cab.scoring.introspection.texted_model import TextedModel
from cab.scoring.ledger.bounds import BrokenLine, Identity, Message
from cab.scoring.validation import first_fault, repeated_member

SCHEMA = "cab.call/1"
"""Schema tag of every ledger line."""

GENESIS = "0" * 64
"""`prev` of the first record of a chain."""

Count = Annotated[int, Field(ge=0)]
Milliseconds = Annotated[float, Field(ge=0)]
Sha256Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

Endpoint = Literal[
    "chat.completions",
    "completions",
    "fim.completions",
    "embeddings",
    "rerank",
    "responses",
    "messages",
    "gemini.generateContent",
    "audio.transcriptions",
    "audio.translations",
    "audio.speech",
    "images.generations",
    "images.edits",
    "images.variations",
    "other",
]
EndReason = Literal[
    "completed",
    "client_gone",
    "upstream_cut",
    "upstream_error",
    "upstream_unreachable",
    "timeout",
    "rejected",
    "crash",
]
UsageSource = Literal["upstream", "tokenizer", "none"]
UsageStatus = Literal["complete", "partial", "inconsistent", "overflow"]

METERED_ENDPOINTS = frozenset(get_args(Endpoint)) - {"other"}
"""Endpoints whose calls are model calls; `other` adds no tokens and is not a model call."""


class Record(TextedModel):
    """What every line of a ledger carries besides its `kind`: its schema, its place in the chain."""

    # Newer writers may add fields; a reader that drops them could not pass a slice on unchanged.
    # Strict: `true` is not a count and "12" not a number, whatever wrote them.
    model_config = ConfigDict(frozen=True, extra="allow", strict=True, protected_namespaces=())

    record_schema: str = Field(alias="schema")
    """Always `cab.call/1` today."""
    prev: Sha256Hex
    """`hash` of the record before, 64 zeros at the very start of a chain."""
    hash: Sha256Hex
    """SHA-256 of the line's bytes with this member taken out."""


class CallError(TextedModel):
    """Why a call failed, with secrets removed."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str
    """A short class name, such as `rate_limit_error` or `connect_refused`."""
    message: Message
    """One line for a person."""


class UsagePart(TextedModel):
    """What one pass over a model read and wrote: a message, a compaction, an advisor's answer."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, protected_namespaces=())

    type: str | None = None
    """As the endpoint names it."""
    model: str | None = None
    """Model of this pass; the answer's own where the endpoint names none."""
    prompt_tokens: Count | None = None
    """Tokens read by the model, cached ones included."""
    completion_tokens: Count | None = None
    """Tokens written by the model, reasoning included."""
    cache_read_tokens: Count | None = None
    """Part of `prompt_tokens` that came from a cache."""
    cache_write_tokens: Count | None = None
    """Part of `prompt_tokens` that was written to a cache."""
    billed: bool | None = None
    """Whether it is part of the call's counts: `False` for an attempt that declined before any output,
    `None` for a pass of a kind that is not known, which is not added."""


class CallStart(Record):
    """A call was accepted and is about to be forwarded."""

    kind: Literal["start"]
    """Always `start`."""
    call_id: str
    """UUIDv7, shared with the END record."""
    cell_id: Identity | None
    """The cell that pays; `None` when no key, header or option named one."""
    seq: Annotated[int, Field(ge=1)] | None
    """1-based number of the call within its cell."""
    started_at: str
    """RFC 3339 UTC, microseconds."""
    endpoint: Endpoint
    """The dialect, or `other`."""
    stream: bool | None
    """Whether the client asked for a stream."""
    request_hash: str | None
    """`sha256:` and hex of the canonical JSON of the body as the client sent it, or of its bytes."""
    request_hash_form: Literal["canonical", "raw"] | None = None
    """Which of the two was hashed, see `docs/request-hash.md`; `None` in older records, and without hash."""
    model_requested: str | None
    """Model named in the request."""
    may_cost: bool | None = None
    """Of endpoint `other`: whether such a call may cost tokens, which nobody counts."""
    key_id: str | None = None
    """`jti` of the cell's key that the call was made with; `None` without such a key, and in older records."""
    upstream: str | None = None
    """Host and port of the endpoint that the call was for; `upstream_attempts` of its end says whether it
    was sent there. `None` in older records."""
    route: Count | None = None
    """Number of that endpoint's route in the settings, from 0; `None` for the setting `upstream`."""
    prompt_tokens_at_most: Count | None = None
    """What the prompt comes to at most, by the size of the request; `None` if the request refers to what
    it does not hold, such as an image or an earlier answer."""
    completion_tokens_at_most: Count | None = None
    """What the answer comes to at most: the request's own cap (`max_tokens`) for all answers that it asks
    for; `None` if there is no cap."""
    transport: Literal["websocket"] | None = None
    """`websocket` for one of the responses on such a connection; `None` for an HTTP request of its own."""
    connection_id: str | None = None
    """The WebSocket connection, a UUIDv7."""
    stream_id: str | None = None
    """The lane of that connection as the client names it; `None` for the default one."""
    steered_from: str | None = None
    """`call_id` of the call that was steered, if that is how this response began: no request of its own."""
    warmup: bool | None = None
    """Whether the client asked for no output (`generate: false`), so that 0 completion tokens are meant."""
    traceparent: str | None = None
    """The client's `traceparent` (W3C Trace Context): which trace the call is in, and below which span; `None`
    if it sent none that is valid, and in older records."""
    clipped: list[str] | None = None
    """Fields that were too long: texts are cut, objects and lists are null."""


class CallEnd(Record):
    """All that is known of a call once it is over."""

    kind: Literal["end"]
    """Always `end`."""
    call_id: str
    """UUIDv7, shared with the START record."""
    cell_id: Identity | None
    """The cell that pays; `None` when no key, header or option named one."""
    seq: Annotated[int, Field(ge=1)] | None
    """1-based number of the call within its cell."""
    started_at: str
    """RFC 3339 UTC, microseconds: the request's first byte."""
    ended_at: str
    """RFC 3339 UTC, microseconds."""
    endpoint: Endpoint
    """The dialect, or `other`."""
    stream: bool | None = None
    """Whether the client asked for a stream."""
    request_hash: str | None = None
    """`sha256:` and hex of the canonical JSON of the body as the client sent it, or of its bytes."""
    request_hash_form: Literal["canonical", "raw"] | None = None
    """Which of the two was hashed, see `docs/request-hash.md`; `None` in older records, and without hash."""
    attempt: Annotated[int, Field(ge=1)] = 1
    """1 for the first try of a request, 2 for its first repetition, and so on."""
    retry_of: str | None = None
    """`call_id` of the call's first attempt, if this is a repetition."""
    upstream_attempts: Count | None = None
    """HTTP requests made upstream for this one; 2 where the endpoint refused `stream_options`."""
    stale_connections: Count | None = None
    """Further requests that went on a kept connection which the endpoint had already closed; they cost
    nothing, and each went once more on a new connection."""
    may_cost: bool | None = None
    """Of endpoint `other`: whether such a call may cost tokens, which nobody counts."""
    model_requested: str | None = None
    """Model named in the request."""
    model_served: str | None = None
    """Model named in the answer."""
    upstream_id: str | None = None
    """The endpoint's own id of the answer."""
    system_fingerprint: str | None = None
    """As the endpoint reports it."""
    service_tier: str | None = None
    """As the endpoint names it, such as `flex` or `priority`; None where it names none."""
    status: int | None = None
    """HTTP status sent to the client; `None` when none was sent."""
    end_reason: EndReason
    """How the call ended."""
    finish_reason: str | None = None
    """As the dialect reports it, of the first choice."""
    finish_reasons: list[str] | None = None
    """All of them, when there are several choices."""
    prompt_tokens: Count | None = None
    """Tokens read by the model, cached ones included."""
    completion_tokens: Count | None = None
    """Tokens written by the model, reasoning included."""
    total_tokens: Count | None = None
    """Sum of the two."""
    cache_read_tokens: Count | None = None
    """Part of `prompt_tokens` that came from a cache."""
    cache_write_tokens: Count | None = None
    """Part of `prompt_tokens` that was written to a cache."""
    reasoning_tokens: Count | None = None
    """Part of `completion_tokens` that was reasoning."""
    key_id: str | None = None
    """`jti` of the cell's key that the call was made with; `None` without such a key, and in older records."""
    upstream: str | None = None
    """Host and port of the endpoint that the call was for; `upstream_attempts` of its end says whether it
    was sent there. `None` in older records."""
    route: Count | None = None
    """Number of that endpoint's route in the settings, from 0; `None` for the setting `upstream`."""
    prompt_tokens_at_most: Count | None = None
    """What the prompt comes to at most, by the size of the request; `None` if the request refers to what
    it does not hold, such as an image or an earlier answer."""
    completion_tokens_at_most: Count | None = None
    """What the answer comes to at most: the request's own cap (`max_tokens`) for all answers that it asks
    for; `None` if there is no cap."""
    usage_source: UsageSource = "none"
    """Who counted."""
    usage_status: UsageStatus | None = None
    """Whether the count covers the whole answer, and its parts agree."""
    usage_note: Message | None = None
    """Where a rule changed or completed what the endpoint stated, and what contradicts itself."""
    usage_parts: list[UsagePart] | None = None
    """Usage of each pass over a model, where one answer took several."""
    usage_raw: dict[str, Any] | None = None
    """The endpoint's usage object, verbatim; several of one stream are merged member by member. None
    above 16 KiB of JSON, see `clipped`."""
    latency_ms: Milliseconds | None = None
    """From the request's first byte to the response's last byte, without `queued_ms`."""
    ttft_ms: Milliseconds | None = None
    """To the first non-empty delta of any kind, without `queued_ms`."""
    upstream_ms: Milliseconds | None = None
    """From forwarding the request to the response's last byte."""
    proxy_ms: Milliseconds | None = None
    """The proxy's own share of `latency_ms`."""
    queued_ms: Milliseconds | None = None
    """How long the call waited here for a slot: for room for its body, and for other calls of its cell.
    None in records of versions that did not measure it, whose `latency_ms` holds it."""
    request_bytes: Count | None = None
    """Body bytes received from the client."""
    response_bytes: Count | None = None
    """Body bytes received from the endpoint."""
    tool_calls: Count | None = None
    """Tool calls in the answer."""
    user_agent: str | None = None
    """As the client names itself."""
    provider: str | None = None
    """Who sells the tokens, by the names of genai-prices: as the settings say, or by the endpoint's URL;
    `None` where nobody had to know."""
    cost_usd: str | float | None = None
    """Price of the call in US dollars, as decimal text; `None` unless the endpoint or a price table knows."""
    price_source: str | None = None
    """Where the price is from: `upstream` (the endpoint states it), `table:NAME@VERSION+DIGEST` (the
    operator's table), `genai-prices@VERSION`."""
    unmetered: Message | None = None
    """What of the call could not be understood."""
    transport: Literal["websocket"] | None = None
    """`websocket` for one of the responses on such a connection; `None` for an HTTP request of its own."""
    connection_id: str | None = None
    """The WebSocket connection, a UUIDv7."""
    stream_id: str | None = None
    """The lane of that connection as the client names it; `None` for the default one."""
    steered_from: str | None = None
    """`call_id` of the call that was steered, if that is how this response began: no request of its own."""
    warmup: bool | None = None
    """Whether the client asked for no output (`generate: false`), so that 0 completion tokens are meant."""
    error: CallError | None = None
    """Why the call failed."""
    traceparent: str | None = None
    """The client's `traceparent` (W3C Trace Context): which trace the call is in, and below which span; `None`
    if it sent none that is valid, and in older records."""
    clipped: list[str] | None = None
    """Fields that were too long: texts are cut, objects and lists are null."""


class CellOpen(Record):
    """A cell was opened: from here on its calls are metered, so that no call means zero calls."""

    kind: Literal["cell_open"]
    """Always `cell_open`."""
    cell_id: str
    """The cell."""
    opened_at: str
    """When, RFC 3339 in UTC."""


class OtherRecord(Record):
    """A record that is neither a call nor the opening of a cell, such as a seal or a start of a proxy."""

    kind: str
    """`proxy_start`, `proxy_stop`, `cell_seal`, or what a newer writer adds."""


AnyRecord = CallStart | CallEnd | CellOpen | OtherRecord

_LOOKED_UP = ("kind", "call_id", "cell_id", "request_hash")

_MAX_SEQ = 1 << 53
"""Beyond it not every reader of JSON has exact whole numbers, and a writer could not count on."""


class WrongMember(NamedTuple):
    """A member that no line of a ledger may have."""

    name: str
    reason: str


_MODELS: dict[str, type[CallStart | CallEnd | CellOpen]] = {
    "start": CallStart,
    "end": CallEnd,
    "cell_open": CellOpen,
}


def parse_record(line: bytes, path: str = "<record>", number: int | None = None) -> AnyRecord:
    """Return the record that one line of a ledger holds.

    Args:
        line: The line's bytes, with or without the newline.
        path: Name of the file, for the error message.
        number: 1-based line number, for the error message.

    Raises:
        BadRecord: The line is not a JSON object, or a field is missing or of the wrong type.
    """
    return as_record(parse_fields(line, path, number), path, number)


def parse_fields(line: bytes, path: str = "<record>", number: int | None = None) -> dict[str, Any]:
    """Return the members of one line of a ledger as they stand there.

    Only those are checked by which calls and cells are looked up; see `wrong_member`.

    Args:
        line: The line's bytes, with or without the newline.
        path: Name of the file, for the error message.
        number: 1-based line number, for the error message.

    Raises:
        BadRecord: The line is not a JSON object, or a member that is looked up has the wrong type.
    """
    if isinstance(line, BrokenLine):
        raise BadRecord(path, number, line.reason)
    try:
        data: object = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadRecord(path, number, f"not valid JSON: {error}") from error
    if not is_object(data):
        raise BadRecord(path, number, "not a JSON object")
    wrong = wrong_member(data)
    if wrong is not None:
        raise BadRecord(path, number, wrong.reason, field=wrong.name)
    return data


def parse_strictly(line: bytes) -> dict[str, Any]:
    """Return the members of one line as `parse_fields` does, if all readers find the same there.

    Raises:
        BadRecord: As for `parse_fields`, or a member is there twice.
    """
    fields = parse_fields(line)
    fault = repeated_member(line, fields)
    if fault is not None:
        raise BadRecord("<record>", None, fault)
    return fields


def wrong_member(fields: dict[str, Any]) -> WrongMember | None:
    """Return which of the members that calls and cells are looked up by has the wrong type.

    A line with such a member is a damaged line: nobody can say what it belongs to. A member may be
    missing, as records of other kinds lack some.
    """
    for name in _LOOKED_UP:
        value = fields.get(name)
        if value is not None and type(value) is not str:
            return WrongMember(name, "neither text nor null")
    seq = fields.get("seq")
    if seq is not None and not (type(seq) is int and seq <= _MAX_SEQ):
        return WrongMember("seq", f"neither null nor a whole number up to {_MAX_SEQ}")
    return None


def as_record(
    fields: dict[str, Any], path: str = "<record>", number: int | None = None
) -> AnyRecord:
    """Return the record that the members of a line make, checked.

    Raises:
        BadRecord: A field is missing or of the wrong type.
    """
    model = _MODELS.get(str(fields.get("kind")), OtherRecord)
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        fault = first_fault(error)
        raise BadRecord(path, number, fault.message, field=fault.field) from error


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a parsed JSON value is an object."""
    return isinstance(value, dict)
