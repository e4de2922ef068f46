"""Taking usage back out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.meter.json_values import JsonObject, parse_object
from cab.proxy.meter.response.usage_filter import without_injected_usage, without_null_usage
from tests.proxy.meter.drive import event


def cut(payload: bytes) -> bytes | None:
    return without_null_usage(parse_object(payload) or {}, payload)


@pytest.mark.parametrize(
    ("payload", "rest"),
    [
        (b'{"a":1,"usage":null}', b'{"a":1}'),
        (b'{"a":1 , "usage" : null }', b'{"a":1  }'),
        (b'{"usage":null,"a":1}', b'{"a":1}'),
        (b'{ "usage": null, "a": 1}', b'{  "a": 1}'),
        (b'{"a":1,"usage":null,"b":2.50}', b'{"a":1,"b":2.50}'),
        (b'{"a":{"b":1,"usage":null},"usage":null}', b'{"a":{"b":1,"usage":null}}'),
        (rb'{"a":",\"usage\":null","usage":null}', rb'{"a":",\"usage\":null"}'),
        (b'{"usage":null}', None),
        (b'{"a":1,"us\\u0061ge":null}', None),
        (b'{"a":1,"usage":null,"usage":null}', None),
        (b'{"a":[' + b'{"b":1,"usage":null},' * 9 + b'1],"usage":null}', None),
    ],
)
def test_one_member_is_cut_and_nothing_else(payload: bytes, rest: bytes | None) -> None:
    """The top-level null and one comma go; where that cannot be shown, nothing does."""
    assert cut(payload) == rest


def test_usage_under_geminis_name_is_taken_out_too() -> None:
    """A chunk that holds nothing but usage is what was asked for here, whatever names it."""
    for name in ("usage", "usageMetadata"):
        for choices, left in (([], b""), ([{"delta": {"content": "x"}}], None)):
            data: JsonObject = {"choices": choices, name: {"promptTokenCount": 1}}
            payload = json.dumps(data).encode()
            assert without_injected_usage(data, payload, event(payload), finished=True) == left


@given(
    st.dictionaries(
        st.text() | st.just("usage"),
        st.recursive(
            st.none() | st.text() | st.floats(allow_nan=False),
            lambda inner: st.dictionaries(st.sampled_from(("usage", "a")), inner, max_size=2),
        ),
    ),
    st.sampled_from(((",", ":"), (", ", ": "))),
    st.data(),
)
def test_the_rest_means_the_same(
    rest: dict[str, object], layout: tuple[str, str], data: st.DataObject
) -> None:
    """For any chunk the cut text parses to the chunk without its usage, or there is no cut."""
    content = {**rest, "usage": None}
    content = {name: content[name] for name in data.draw(st.permutations(list(content)))}
    payload = json.dumps(content, separators=layout).encode()
    text = cut(payload)
    if text is not None:
        assert json.loads(text) == {name: content[name] for name in content if name != "usage"}


@pytest.mark.parametrize(
    ("payload", "instead"),
    [
        (b'{"id":"a","choices":[],"usage":{"prompt_tokens":1}}', b""),
        (b'{"id":"a","choices":null,"usage":{}}', b""),
        (b'{"usage":{"prompt_tokens":1}}', b""),
        (b'{"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":1}}', None),
        (b'{"choices":[],"usage":{"prompt_tokens":1},"error":{"message":"m"}}', None),
        (b'{"choices":[],"usage":"none"}', None),
        (b'{"choices":[]}', None),
        (b'{"choices":[],"usage":null}', b'id: 1\ndata: {"choices":[]}\n\n'),
        (b'{"usage":null}', None),
    ],
)
def test_what_was_not_asked_for_goes(payload: bytes, instead: bytes | None) -> None:
    """A chunk that holds usage alone goes; content and errors never do."""
    raw = b"id: 1\ndata: " + payload + b"\n\n"
    data = parse_object(payload) or {}
    assert without_injected_usage(data, payload, raw, finished=False) == instead
    assert without_injected_usage(data, payload, raw, finished=True) == instead


@pytest.mark.parametrize(
    ("choice", "goes"),
    [
        (b'{"index":0,"delta":{}}', True),
        (b'{"index":0,"delta":{"content":null,"tool_calls":[]},"logprobs":null}', True),
        (b'{"index":0,"text":"","finish_reason":null}', True),
        (b'{"index":0,"delta":{"role":"assistant","content":""}}', True),
        (b'{"index":0,"delta":{"reasoning":"x"}}', False),
        (b'{"index":0,"delta":{},"finish_reason":"stop"}', False),
    ],
)
def test_usage_beside_an_empty_delta_goes_after_the_finish(choice: bytes, goes: bool) -> None:
    """LiteLLM's usage chunk is the one that was asked for; before a finish reason it may not be."""
    payload = b'{"choices":[%s],"usage":{"prompt_tokens":1}}' % choice
    raw, data = event(payload), parse_object(payload) or {}
    assert without_injected_usage(data, payload, raw, finished=True) == (b"" if goes else None)
    assert without_injected_usage(data, payload, raw, finished=False) is None


def test_data_that_stand_twice_in_an_event_are_left_alone() -> None:
    """Where a comment repeats the data, the two cannot be told apart, and nothing is cut."""
    payload = b'{"a":1,"usage":null}'
    raw = b": " + payload + b"\ndata: " + payload + b"\n\n"
    assert without_injected_usage({"a": 1, "usage": None}, payload, raw, finished=True) is None
