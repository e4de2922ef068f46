"""What a request says, and asking for usage on the client's behalf."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.meter import CallMeter, RequestFacts, dialect_for
from tests.proxy.meter.drive import CHAT, meter_for

ASK = {"include_usage": True}


def facts_of(path: str, body: bytes, *, inject: bool = True) -> RequestFacts:
    return meter_for(path, body, inject_usage=inject).request


@pytest.mark.parametrize(
    ("sent", "forwarded"),
    [
        (b'{"stream":true}', b'{"stream_options":{"include_usage":true},"stream":true}'),
        (
            b' {\n "stream" : true }\n',
            b' {"stream_options":{"include_usage":true},\n "stream" : true }\n',
        ),
        (
            b'{"stream":true,"stream_options":null}',
            b'{"stream":true,"stream_options":{"include_usage":true}}',
        ),
        (
            b'{"stream_options": {} ,"stream":true}',
            b'{"stream_options": {"include_usage":true} ,"stream":true}',
        ),
        (
            b'{"stream_options":{"include_usage" : false },"stream":true}',
            b'{"stream_options":{"include_usage" : true },"stream":true}',
        ),
        (
            b'{"stream_options":{"include_usage":null,"a":[1,{"include_usage":false}]},"stream":true}',
            b'{"stream_options":{"include_usage":true,"a":[1,{"include_usage":false}]},"stream":true}',
        ),
        (
            b'{"stream":true,"stream_options":{"include_obfuscation":false}}',
            b'{"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}',
        ),
        (
            b'{"messages":[{"stream":1,"stream_options":null}],"stream":true}',
            b'{"stream_options":{"include_usage":true},"messages":[{"stream":1,"stream_options":null}],"stream":true}',
        ),
        (
            rb'{"messages":"\ud83d","stream":true,"stream_option\u0073":null}',
            rb'{"messages":"\ud83d","stream":true,"stream_option\u0073":{"include_usage":true}}',
        ),
        (
            b'{"t":NaN,"stream":true}',
            b'{"stream_options":{"include_usage":true},"t":NaN,"stream":true}',
        ),
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
def test_usage_is_asked_for_by_the_smallest_edit(path: str, sent: bytes, forwarded: bytes) -> None:
    """Only the place of `include_usage` changes; every other byte is as the client sent it."""
    meter = meter_for(path, sent)
    assert meter.upstream_body == forwarded
    assert meter.request.injected
    assert not meter.request.wants_usage
    assert meter.request.not_injected is None
    assert meter.request.request_hash == facts_of(path, sent, inject=False).request_hash
    assert meter.without_injection() is sent


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, b'{"stream":true,"stream_options":{"include_usage":true}}'),
        (CHAT, b'{"stream":true,"stream_options":{"include_usage":1}}'),
        (CHAT, b'{"stream":true,"stream_options":{"include_usage":0}}'),
        (CHAT, b'{"stream":false}'),
        (CHAT, b'{"stream":null}'),
        (CHAT, b'{"stream":1}'),
        (CHAT, b'{"stream":"true"}'),
        (CHAT, b"{}"),
        (CHAT, b"[true]"),
        (CHAT, b"stream=true"),
        (CHAT, b""),
        ("/v1/responses", b'{"stream":true}'),
        ("/v1/messages", b'{"stream":true}'),
        ("/v1/embeddings", b'{"stream":true}'),
        ("/v1/models", b'{"stream":true}'),
    ],
)
def test_other_bodies_pass_as_the_same_object(path: str, body: bytes) -> None:
    """Where usage is asked for already, or is never asked for, nothing is touched."""
    meter = meter_for(path, body)
    assert meter.upstream_body is body
    assert not meter.request.injected
    assert meter.request.not_injected is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"stream":false,"stream":true}', "`stream` is repeated"),
        (
            b'{"stream":true,"stream_options":{},"stream_options":null}',
            "`stream_options` is repeated",
        ),
        (
            b'{"stream":true,"stream_options":{"include_usage":true,"include_usage":false}}',
            "`include_usage` is repeated",
        ),
        (b'{"stream":true,"stream_options":false}', "`stream_options` is not an object"),
        (b'{"stream":true,"stream_options":[]}', "`stream_options` is not an object"),
    ],
)
def test_an_ambiguous_body_is_left_alone_and_says_so(body: bytes, reason: str) -> None:
    """Where the edit could mean two things, or would hide the client's mistake, there is none."""
    meter = meter_for(CHAT, body)
    assert meter.upstream_body is body
    assert meter.request.not_injected == f"usage was not asked for: {reason} in the request"
    assert reason in (meter.outcome().unmetered or "")


def test_injection_can_be_switched_off() -> None:
    """With `inject_usage=False` a silent client stays silent."""
    body = b'{"stream":true}'
    meter = CallMeter(dialect_for("POST", CHAT), CHAT, body, inject_usage=False)
    assert meter.upstream_body is body


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    rest=st.dictionaries(st.text().filter(lambda name: name != "stream_options"), json_values),
    options=st.none() | st.dictionaries(st.text(), json_values),
    present=st.booleans(),
    layout=st.sampled_from(((",", ":"), (" , ", " : "), (",\n", ":\r\n"))),
    data=st.data(),
)
def test_the_edit_changes_nothing_else(
    rest: dict[str, object],
    options: dict[str, object] | None,
    present: bool,
    layout: tuple[str, str],
    data: st.DataObject,
) -> None:
    """For any body in any layout the edited one parses to the same plus `include_usage`."""
    content = {**rest, "stream": True, **({"stream_options": options} if present else {})}
    content = {name: content[name] for name in data.draw(st.permutations(list(content)))}
    options = content.get("stream_options") or {}  # type: ignore[assignment]
    body = json.dumps(content, separators=layout).encode()
    meter = meter_for(CHAT, body)
    include = (options or {}).get("include_usage")
    if include is None or include is False:
        expected = {**content, "stream_options": {**(options or {}), **ASK}}
        assert json.loads(meter.upstream_body) == expected
    else:
        assert meter.upstream_body is body


@pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        (CHAT, b'{"model":"gpt"}', "gpt"),
        (CHAT, b'{"model":""}', None),
        (CHAT, b'{"model":3}', None),
        (CHAT, rb'{"model":"a\ud83d"}', "a\ufffd"),
        ("/openai/deployments/prod/chat/completions?api-version=1", b"{}", "prod"),
        ("/openai/deployments/prod/chat/completions", b'{"model":"gpt"}', "prod"),
        ("/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse", b"{}", "gemini-2.5-pro"),
        ("/v1beta/models/org%2Fm%3Ax:generateContent/", b"{}", "org/m:x"),
        ("/v1/projects/p/locations/l/publishers/google/models/g:generateContent", b"", "g"),
    ],
)
def test_the_model_is_read_from_body_or_path(path: str, body: bytes, model: str | None) -> None:
    """A path of Gemini or Azure names the model, whatever the body says; else the body does."""
    assert facts_of(path, body).model == model


@pytest.mark.parametrize(
    ("path", "body", "stream"),
    [
        (CHAT, b'{"stream":true}', True),
        (CHAT, b'{"stream":false}', False),
        (CHAT, b'{"stream":null}', False),
        (CHAT, b"{}", False),
        (CHAT, b'{"stream":1}', None),
        (CHAT, b"x", None),
        ("/v1/models", b"{}", None),
        ("/v1/models", b'{"stream":true}', True),
        ("/v1beta/models/g:generateContent", b"", False),
        ("/v1beta/models/g:streamGenerateContent", b"x", True),
    ],
)
def test_streaming_is_asked_for_in_body_or_path(
    path: str, body: bytes, stream: bool | None
) -> None:
    """A metered body that is silent asks for no stream; an unintelligible one is unknown."""
    assert facts_of(path, body).stream is stream


def test_a_metered_body_that_is_not_an_object_is_reported() -> None:
    """A bad body is named for metered calls, and does not matter for others."""
    assert facts_of(CHAT, b"[]").body_fault == "the request's body is not a JSON object in UTF-8"
    assert facts_of(CHAT, b"").body_fault is None
    assert facts_of(CHAT, b"{}").body_fault is None
    assert facts_of("/v1/files", b"--boundary").body_fault is None
    assert facts_of(CHAT, b"").request_hash is None
    assert meter_for(CHAT, b"x").outcome().request_json is None


def test_a_client_that_asks_for_usage_is_known() -> None:
    """`wants_usage` is true for whatever is neither absent, null nor false."""
    for value, wants in (("true", True), ("1", True), ("0", True), ("false", False)):
        body = b'{"stream":true,"stream_options":{"include_usage":%s}}' % value.encode()
        assert facts_of(CHAT, body).wants_usage is wants
