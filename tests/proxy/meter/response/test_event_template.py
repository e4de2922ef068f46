"""Events that are known by their bytes are read as if each had been parsed."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.proxy.meter.response.event_template import EventTemplate
from tests.proxy.meter.drive import ASKING, drive, started

CHAT = {
    "id": "c",
    "model": "m",
    "choices": [{"index": 0, "delta": {"content": "?"}}],
    "usage": None,
}
CALL = {
    "id": "c",
    "choices": [
        {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "?"}}]}}
    ],
}
NAMED = {
    "id": "c",
    "choices": [
        {
            "index": 0,
            "delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "?"}}]},
        }
    ],
}
PATHS = {
    "/v1/chat/completions": [
        CHAT,
        {**CHAT, "obfuscation": "!"},
        {"id": "c", "choices": [{"index": 1, "delta": {"reasoning_content": "?"}}]},
        CALL,
        NAMED,
        {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {
            "id": "c",
            "choices": [],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        },
        {"error": {"message": "?"}},
    ],
    "/v1/responses": [
        {
            "type": "response.output_text.delta",
            "sequence_number": 0,
            "output_index": 0,
            "delta": "?",
            "obfuscation": "!",
        },
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "?"},
        {"type": "response.output_item.added", "item": {"type": "function_call", "name": "?"}},
        {"type": "response.in_progress", "response": {"id": "r", "status": "in_progress"}},
    ],
    "/v1/messages": [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "?"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "?"}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": "?"},
        },
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 9},
        },
    ],
}
TEXTS = st.sampled_from(
    [
        *(
            " tea",
            "tea",
            "",
            " Zürich",
            '"',
            "\\",
            "a\nb",
            "{",
            '{"a":',
            "1}",
            "}",
            "c",
            "m",
            "?",
            "stop",
            "f",
        )
    ]
)


def filled(value: Any, text: str, number: int) -> Any:
    """Return a JSON value with its place for a text, for padding and for a number taken."""
    if isinstance(value, dict):
        return {name: filled(each, text, number) for name, each in value.items()}
    if isinstance(value, list):
        return [filled(each, text, number) for each in value]
    if value == 0 and number:
        return value
    return (
        {"?": text, "!": "x" * (number % 5)}.get(value, value) if isinstance(value, str) else value
    )


@st.composite
def streams(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """Return events of one dialect, most of them like the one before."""
    path = draw(st.sampled_from(sorted(PATHS)))
    events: list[bytes] = []
    for number, (at, text) in enumerate(
        draw(st.lists(st.tuples(st.integers(0, 30), TEXTS), min_size=1, max_size=30))
    ):
        data = dict(filled(PATHS[path][at % len(PATHS[path]) if at < 12 else 0], text, number))
        if "sequence_number" in data:
            data["sequence_number"] = number
        name = (
            b"" if path == "/v1/chat/completions" else b"event: %b\n" % str(data["type"]).encode()
        )
        events.append(b"%bdata: %b\n\n" % (name, orjson.dumps(data)))
    return path, events


@settings(max_examples=150)
@given(streams(), st.booleans())
def test_the_same_is_seen_and_sent(stream: tuple[str, list[bytes]], asks: bool) -> None:
    """Event by event, where most are known, or in one piece, where each is parsed."""
    path, events = stream
    body = ASKING if asks else ASKING.replace(b"}", b',"stream_options":{"include_usage":true}}')
    known = drive(started(path, body), events)
    parsed = drive(started(path, body), [b"".join(events)])
    assert known.sent == parsed.sent
    assert known.outcome == parsed.outcome


def test_a_block_that_begins_like_the_one_before_is_another_one() -> None:
    events = [
        b'data: {"type":"content_block_start","content_block":{"type":"text","text":"%b"}}\n\n'
        % text
        for text in (b"tea", b"pot", b"s")
    ]
    known = drive(started("/v1/messages", ASKING), events)
    assert known.outcome.completion_texts == ["tea", "pot", "s"]


def test_most_events_are_known() -> None:
    """Of a usual stream all but the first two are: they tell who answers, and what the others are like."""
    text = b'{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"%b"},"logprobs":null}],"obfuscation":"%b"}'
    events = [b"data: %b\n\n" % (text % (b" w%d" % n, b"x" * (n % 7))) for n in range(50)]
    meter = started(body=ASKING)
    seen = 0
    for event in events:
        before = getattr(getattr(meter._full, "_filter", None), "_template", None)
        assert meter.feed(event, 7).data == event
        seen += (
            before is not None
            and getattr(getattr(meter._full, "_filter", None), "_template", None) is before
        )
    assert seen == len(events) - 2
    assert meter.outcome().completion_texts == ["".join(f" w{n}" for n in range(50))]


@pytest.mark.parametrize(
    ("raw", "sent", "text"),
    [
        (b'data: {"a":"x","b":"x"}\n\n', None, "x"),
        (b'data: {"a":"x\\n"}\n\n', None, "x\n"),
        (b'data: {"a":"y"}\n\n', None, "x"),
        (b'data: {"a":"x","b":1}\n\n', b'data: {"b":1}\n\n', "x"),
        (b'data: {"a":"x","b":1}\n\n', b"data: {}\n\n", "x"),
        (b'data: {"a":"x"}\n\n', b"something else\n\n", "x"),
    ],
)
def test_an_event_whose_text_cannot_be_told_apart(
    raw: bytes, sent: bytes | None, text: str
) -> None:
    """It is no template."""
    with pytest.raises(ValueError, match=r"value|escapes|piece"):
        EventTemplate(raw, raw if sent is None else sent, {}, text)


@pytest.mark.parametrize(
    "other",
    [
        b'{"id":"hi","choices":[{"index":0,"delta":{"content":"\\u0068i"}}]}',
        b'{"hi":1,"choices":[{"index":0,"delta":{"content":"h\\u0069"}}]}',
    ],
    ids=["value", "name"],
)
def test_a_text_with_escapes_is_not_taken_for_another(other: bytes) -> None:
    """What is equal to the text stands elsewhere in the event; the text itself is written with escapes."""
    raw = b"data: %b\n\n" % other
    with pytest.raises(ValueError, match="escapes"):
        EventTemplate(raw, raw, orjson.loads(other), "hi")
