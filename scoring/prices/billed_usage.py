"""What a call's record says of the usage that is billed: its passes over models, and their parts."""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from cab.scoring.ledger.bounds import MAX_COUNT
from cab.scoring.ledger.totals import Fields, is_counted

_RAW = ("usage_raw", "usage_parts")
_MEDIA_ENDPOINTS = ("audio.", "images.")
_MEDIA = ("IMAGE", "VIDEO", "DOCUMENT")


class BilledUsage(NamedTuple):
    """Counts of one pass over a model; a part that the endpoint does not state is 0, and in the whole."""

    prompt: int | None
    """All that was read."""
    completion: int | None
    """All that was written."""
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    """Part of `cache_write`."""
    reasoning: int = 0
    input_audio: int = 0
    output_audio: int = 0
    web_searches: int = 0
    has_media: bool = False
    """Whether images, videos or the like may be part of the tokens."""


class Pass(NamedTuple):
    """A pass over a model."""

    model: str | None
    """As the endpoint names it; None: the call's own."""
    usage: BilledUsage


def passes_of(call: Fields) -> list[Pass] | None:
    """Return the passes that a call is billed for; None if its usage does not cover all of it.

    Args:
        call: The members of an END record. What is not of the right type counts as not stated.
    """
    if not is_counted(call) or call.get("usage_status") in ("partial", "overflow"):
        return None
    clipped = call.get("clipped")
    if clipped and any(name in clipped for name in _RAW):
        return None  # a part of what was billed is not in the record
    parts = call.get("usage_parts")
    if isinstance(parts, list):
        return list(_of_parts(call, cast("list[object]", parts)))
    return [Pass(None, _whole(call))]


def _whole(call: Fields) -> BilledUsage:
    raw = _object(call.get("usage_raw"))
    written = _count(call.get("cache_write_tokens"))
    return BilledUsage(
        _known(call.get("prompt_tokens")),
        _known(call.get("completion_tokens")),
        _count(call.get("cache_read_tokens")),
        written,
        min(written, _written_for_an_hour(raw)) if written else 0,
        _count(call.get("reasoning_tokens")),
        *_media(str(call.get("endpoint")), raw),
    )


def _of_parts(call: Fields, parts: list[object]) -> Iterator[Pass]:
    raw = _object(call.get("usage_raw"))
    entries = raw.get("iterations")
    listed = cast("list[object]", entries) if isinstance(entries, list) else []
    billed = [part for part in map(_members, parts) if part.get("billed") is not False]
    at_top = _written_for_an_hour(raw)
    all_for_an_hour = at_top == sum(_count(part.get("cache_write_tokens")) for part in billed)
    searches = _searches(raw)
    for number, part in enumerate(map(_members, parts)):
        if part.get("billed") is False:
            continue
        written = _count(part.get("cache_write_tokens"))
        stated = _object(listed[number] if number < len(listed) else None)
        hour = _written_for_an_hour(stated)
        is_known = part.get("billed") is True
        if written and at_top and not stated.get("cache_creation"):
            # Only the top says how long the caches live; of which pass it speaks it does not.
            hour, is_known = written, is_known and all_for_an_hour
        yield Pass(
            part.get("model"),
            BilledUsage(
                _known(part.get("prompt_tokens")) if is_known else None,
                _known(part.get("completion_tokens")),
                _count(part.get("cache_read_tokens")),
                written,
                min(hour, written),
                web_searches=searches,
            ),
        )
        searches = 0  # the top counts those of all passes


def _members(part: object) -> dict[str, Any]:
    return cast("dict[str, Any]", part) if isinstance(part, dict) else vars(part)


_READ = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_WRITTEN = ("completion_tokens_details", "output_tokens_details")
_MODALITIES = ("promptTokensDetails", "candidatesTokensDetails")


def _media(endpoint: str, raw: dict[str, Any]) -> tuple[int, int, int, bool]:
    """Return tokens of sounds read and written, searches, and whether there may be images."""
    read, written, media = 0, 0, endpoint.startswith(_MEDIA_ENDPOINTS)
    for name in _READ:
        if name in raw:
            details = _object(raw[name])
            read = read or _count(details.get("audio_tokens"))
            media = media or bool(_count(details.get("image_tokens")))
    for name in _WRITTEN:
        if name in raw:
            details = _object(raw[name])
            written = written or _count(details.get("audio_tokens"))
            media = media or bool(_count(details.get("image_tokens")))
    for name, kind, count in _modalities(raw):
        if kind == "AUDIO":
            read, written = (count, written) if name == _MODALITIES[0] else (read, count)
        media = media or (kind in _MEDIA and count > 0)
    return read, written, _searches(raw), media


def _modalities(raw: dict[str, Any]) -> Iterator[tuple[str, str, int]]:
    """Yield what Gemini says of the kinds of tokens."""
    for name in _MODALITIES:
        listed: object = raw.get(name)
        for entry in cast("list[object]", listed) if isinstance(listed, list) else ():
            of_kind = _object(entry)
            yield name, str(of_kind.get("modality")), _count(of_kind.get("tokenCount"))


def _searches(raw: dict[str, Any]) -> int:
    return _count(_object(raw.get("server_tool_use")).get("web_search_requests"))


def _written_for_an_hour(raw: dict[str, Any]) -> int:
    return _count(_object(raw.get("cache_creation")).get("ephemeral_1h_input_tokens"))


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _known(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_COUNT else None


def _count(value: object) -> int:
    return _known(value) or 0
