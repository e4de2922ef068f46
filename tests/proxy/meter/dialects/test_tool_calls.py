"""Which fragments of a chat stream are one tool call."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.proxy.meter.dialects import chat
from cab.proxy.meter.dialects.chat import ChatAnswer
from cab.scoring.evidence.messages.tool_calls import JsonProgress

Fragment = tuple[str | None, str | None, Any]
"""Id, name, arguments; None for an absent member."""


def answer_of(*fragments: Fragment) -> ChatAnswer:
    """Return a stream's answer whose tool calls all have the index 0."""
    answer = ChatAnswer(1 << 20)
    for call_id, name, arguments in fragments:
        function = {"name": name, "arguments": arguments}
        call = {"index": 0, "id": call_id, "function": function}
        answer.add_event(b"", {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}, 1)
    return answer


@pytest.mark.parametrize(
    ("fragments", "count"),
    [
        # vLLM's harmony parser: an id of its own and the name with every fragment.
        ([("a", "f", '{"x'), ("b", "f", '":'), ("c", "f", "1}")], 1),
        ([("a", "f", ""), ("b", "f", '{"x":'), ("c", "f", "1}"), ("d", "f", "")], 1),
        ([("a", "f", '{"x":1}'), ("b", "f", '{"y'), ("c", "f", '":2}'), ("d", "f", " ")], 2),
        ([("a", "f", '{"x":"}"'), ("b", "f", "}"), ("c", "f", "{}")], 2),
        ([(None, "f", '{"x":'), (None, "f", "1}"), (None, "f", '{"x":1}')], 2),
        # Whole calls, and calls in fragments, at one index.
        ([("a", "f", "{}"), ("b", "f", "{}"), ("c", "g", "{}")], 3),
        ([("a", "f", ""), (None, None, "{}"), ("b", "f", ""), (None, None, "{}")], 2),
        ([("0", "f", ""), ("0", None, "{}"), ("1", "f", ""), ("1", None, "{}")], 2),
        ([("a", "f", {"x": 1}), ("b", "f", {})], 2),
        # Another name is another call, whatever the one before has.
        ([("a", "f", ""), ("b", "g", "{}")], 2),
        ([("a", "f", '{"x":'), ("b", "g", "{}")], 2),
        # A call's own id, whatever it repeats.
        ([("a", "get_", ""), ("a", "weather", "{}")], 1),
        ([("a", "f", "{}"), ("a", "f", "{}")], 1),
    ],
)
def test_calls_are_told_apart_by_name_and_by_whole_arguments(
    fragments: list[Fragment], count: int
) -> None:
    """The same name begins a new call only after whole arguments; another name always does."""
    assert answer_of(*fragments).tool_calls == count


def test_a_name_that_every_fragment_repeats_is_one_text() -> None:
    """What is counted is the call as it was written: its name once, its arguments."""
    answer = answer_of(("a", "f", '{"x'), ("b", "f", '":1}'))
    assert answer.texts.joined() == ["f", '{"x":1}']
    assert answer_of(("a", "f", {"x": 1})).texts.joined() == ["f", '{"x":1}']


def test_very_long_arguments_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a bound nothing is looked at any more: the same name goes on with the call."""
    monkeypatch.setattr(chat, "_FOLLOWED_CHARS", 5)
    assert answer_of(("a", "f", '{"x":1}'), ("b", "f", "{}")).tool_calls == 1


VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | st.text(alphabet='a"\\{}[],:'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(alphabet='"\\}a'), VALUES), st.integers(0, 99), st.integers(0, 99))
def test_arguments_are_whole_at_their_end_and_not_before(
    value: dict[str, Any], first: int, second: int
) -> None:
    """However an object is cut, it is whole once its last brace has come."""
    text = orjson.dumps(value).decode()
    progress, cuts = JsonProgress(), sorted(min(cut, len(text) - 1) for cut in (first, second))
    for piece in (text[: cuts[0]], text[cuts[0] : cuts[1]]):
        progress.add(piece)
        assert not progress.is_whole
    progress.add(text[cuts[1] :])
    assert progress.is_whole
