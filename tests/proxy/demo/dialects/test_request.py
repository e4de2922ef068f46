"""What the readers of all dialects share, and what each of them rejects."""

import contextlib
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.demo.dialects.fields import BadChat
from cab.proxy.demo.dialects.request import conversation, messages_in, texts_of
from tests.proxy.demo.dialects.reading import READERS, reader
from tests.proxy.forwarding.jsonlike import request_like

FIELDS = {
    "chat": ["messages", "tools", "response_format", "tool_choice", "stream", "stream_options"],
    "messages": ["messages", "system", "tools", "output_config", "tool_choice", "stream"],
    "responses": ["input", "instructions", "tools", "text", "tool_choice", "stream"],
    "gemini": ["contents", "systemInstruction", "tools", "generationConfig", "toolConfig"],
}
every_dialect = pytest.mark.parametrize("dialect", READERS)

messages = st.lists(
    st.builds(
        lambda role, content: {"role": role, "content": content},
        st.sampled_from(["system", "user", "assistant", "tool"]),
        st.text("ab", max_size=3),
    ),
    max_size=12,
)


@given(messages)
def test_what_an_assistant_writes_in_a_row_is_one_message(history: list[dict[str, str]]) -> None:
    """No two messages of an assistant follow each other, and no text is lost."""
    found = conversation(None, history)
    roles = [message["role"] for message in found]
    assert ("assistant", "assistant") not in itertools.pairwise(roles)
    text = "".join(message["content"] for message in found).replace("\n", "")
    assert text == "".join(message["content"] for message in history)
    others = [message for message in history if message["role"] != "assistant"]
    assert [message for message in found if message["role"] != "assistant"] == others


def test_texts_are_joined_by_line_ends() -> None:
    """Items without words leave no trace in the joined text; instructions come first."""
    history = [{"role": "assistant", "content": text} for text in ("one", "", "two")]
    joined = {"role": "assistant", "content": "one\ntwo"}
    assert conversation("", history) == [joined]
    assert conversation("rules", history) == [{"role": "system", "content": "rules"}, joined]


def test_texts_of_all_kinds_of_content() -> None:
    """The text of a message is its string, or its text parts joined; others have none."""
    history: list[dict[str, Any]] = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "not asked for"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "two"}, {"type": "image_url"}, "odd"],
        },
        {"role": "system", "content": None},
    ]
    assert texts_of(history, "user", "system") == ["one", "two", ""]


@pytest.mark.parametrize(
    ("given_messages", "param"),
    [([], "messages"), (["hi"], "messages[0]"), ([{"role": "user"}, {}], "messages[1]")],
)
def test_messages_have_roles(given_messages: list[Any], param: str) -> None:
    """There is one message at least, and each is an object with a role."""
    with pytest.raises(BadChat) as caught:
        messages_in({"messages": given_messages})
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("dialect", "fields", "param"),
    [
        ("chat", {"model": None}, "model"),
        ("chat", {"model": 4}, "model"),
        ("chat", {"messages": None}, "messages"),
        ("chat", {"messages": []}, "messages"),
        ("chat", {"messages": {}}, "messages"),
        ("chat", {"messages": ["hi"]}, "messages[0]"),
        ("chat", {"messages": [{"role": "user"}, {}]}, "messages[1]"),
        ("chat", {"stream": 1}, "stream"),
        ("chat", {"n": True}, "n"),
        ("chat", {"n": 0}, "n"),
        ("chat", {"n": 17}, "n"),
        ("chat", {"tools": {}}, "tools"),
        ("chat", {"stream_options": {}}, "stream_options"),
        ("chat", {"stream": True, "stream_options": 1}, "stream_options"),
        ("chat", {"stream": True, "stream_options": {"include_usage": "yes"}}, "include_usage"),
        ("messages", {"model": None}, "model"),
        ("messages", {"max_tokens": None}, "max_tokens"),
        ("messages", {"max_tokens": "9"}, "max_tokens"),
        ("messages", {"messages": []}, "messages"),
        ("messages", {"messages": [{"content": "hi"}]}, "messages[0]"),
        ("messages", {"stream": 1}, "stream"),
        ("messages", {"tools": {}}, "tools"),
        ("responses", {"model": None}, "model"),
        ("responses", {"input": None}, "input"),
        ("responses", {"input": []}, "input"),
        ("responses", {"input": {}}, "input"),
        ("responses", {"input": ["hi"]}, "input[0]"),
        ("responses", {"input": [{"type": "message"}]}, "input[0]"),
        ("responses", {"stream": "yes"}, "stream"),
        ("responses", {"tools": {}}, "tools"),
        ("responses", {"instructions": 3}, "instructions"),
        ("responses", {"previous_response_id": "resp_1"}, "previous_response_id"),
        ("responses", {"conversation": {"id": "c"}}, "conversation"),
        ("gemini", {"contents": []}, "contents"),
        ("gemini", {"contents": None}, "contents"),
        ("gemini", {"contents": ["hi"]}, "contents[0]"),
    ],
)
def test_bad_requests_name_the_field(dialect: str, fields: dict[str, Any], param: str) -> None:
    """What an endpoint would reject is rejected, and the field is named."""
    with pytest.raises(BadChat) as caught:
        reader(dialect)(**fields)
    assert caught.value.param == param


@every_dialect
@pytest.mark.parametrize("body", [b"", b"{", b"[]"])
def test_a_body_that_is_not_an_object_is_rejected(dialect: str, body: bytes) -> None:
    """A body without a JSON object has no field to name."""
    with pytest.raises(BadChat) as caught:
        READERS[dialect](body)
    assert caught.value.param is None


@every_dialect
@given(data=st.data())
def test_no_json_breaks_a_reader(dialect: str, data: st.DataObject) -> None:
    """Whatever JSON comes, it is a request or an error."""
    fields = data.draw(st.dictionaries(st.sampled_from(FIELDS[dialect]), request_like))
    with contextlib.suppress(BadChat):
        assert texts_of(reader(dialect)(**fields).messages, "user", "assistant") is not None


@every_dialect
@given(body=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_break_a_reader(dialect: str, body: bytes) -> None:
    """Whatever bytes come, they are a request or an error."""
    with contextlib.suppress(BadChat):
        assert READERS[dialect](body).choices >= 1


@pytest.mark.parametrize(
    ("dialect", "member", "content"),
    [
        ("chat", "messages", "content"),
        ("messages", "messages", "content"),
        ("responses", "input", "content"),
        ("gemini", "contents", "parts"),
    ],
)
@given(value=request_like)
def test_no_content_breaks_a_reader(dialect: str, member: str, content: str, value: Any) -> None:
    """Whatever a message holds, it is read, unless the body is not valid JSON."""
    with contextlib.suppress(BadChat):
        assert reader(dialect)(**{member: [{"role": "user", content: value}]}).messages
