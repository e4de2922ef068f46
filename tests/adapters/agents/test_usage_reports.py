"""Reading what agents say of their tokens as JSON."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.adapters.agents.usage_reports import (
    ReportedTokens,
    add_up,
    as_object,
    count,
    json_lines,
    member,
    objects_of,
    read_tokens,
)
from cab.adapters.errors import BadSelfReport

OBJECTS = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers(0, 2**53) | st.text())
PROSE = st.text(st.characters(codec="utf-8", exclude_characters="\n")).filter(
    lambda line: not line.startswith("{")
)


@given(st.lists(st.tuples(PROSE, OBJECTS)))
def test_objects_between_prose(lines: list[tuple[str, dict[str, object]]]) -> None:
    """Every object that has a line of its own comes out, and nothing else does."""
    text = "".join(f"{prose}\n{orjson.dumps(data).decode()}\n" for prose, data in lines)

    assert list(json_lines(text, "agent")) == [data for _, data in lines]


@given(OBJECTS, st.data())
def test_torn_line(data: dict[str, object], draw: st.DataObject) -> None:
    """An object that was cut anywhere is an error that names the agent."""
    whole = orjson.dumps(data).decode()
    cut = draw.draw(st.integers(1, len(whole) - 1))

    with pytest.raises(BadSelfReport, match="my-agent's output has a line of broken JSON"):
        list(json_lines(whole[:cut], "my-agent"))


@pytest.mark.parametrize("value", [None, True, -1, 1.0, "1", [], {}])
def test_not_a_count(value: object) -> None:
    """Only a whole number of 0 or more is a count."""
    with pytest.raises(BadSelfReport, match="agent's token report has tokens"):
        count({"tokens": value}, "tokens", "agent")


def test_count() -> None:
    """A count is itself, 0 too; its absence is an error unless it means a number."""
    assert count({"tokens": 0}, "tokens", "agent") == 0
    assert count({}, "tokens", "agent", default=0) == 0
    with pytest.raises(BadSelfReport, match="tokens: None"):
        count({}, "tokens", "agent")


def test_member() -> None:
    """A member that is an object is itself; anything else is an error."""
    assert member({"usage": {"a": 1}}, "usage", "agent") == {"a": 1}
    for data in ({}, {"usage": None}, {"usage": [1]}):
        with pytest.raises(BadSelfReport, match="no object usage"):
            member(data, "usage", "agent")


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9))))
def test_report(pairs: list[tuple[int, int]]) -> None:
    """A report has the sums of both kinds, and of both together."""
    report = add_up([ReportedTokens(*pair) for pair in pairs]).report()

    assert report.prompt_tokens == sum(prompt for prompt, _ in pairs)
    assert report.completion_tokens == sum(completion for _, completion in pairs)
    assert report.total_tokens == sum(map(sum, pairs))
    assert (report.source, report.exact) == ("tui_stdout", True)


NOT_OBJECTS = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers())


@given(data=NOT_OBJECTS)
def test_no_object(data: object) -> None:
    """What is not an object is an error where one must be."""
    with pytest.raises(BadSelfReport, match="toy's thing is not a JSON object"):
        as_object(data, "thing", "toy")
    with pytest.raises(BadSelfReport, match=r"no list things|things is not a JSON object"):
        objects_of({"things": [data]}, "things", "toy")


@given(data=NOT_OBJECTS.filter(lambda data: not isinstance(data, list)) | st.just({}))
def test_no_list(data: object) -> None:
    """What is not a list is an error where one must be."""
    with pytest.raises(BadSelfReport, match="no list things"):
        objects_of({"things": data}, "things", "toy")


def test_objects() -> None:
    """A list of objects comes back as it is."""
    assert objects_of({"things": [{"a": 1}, {}]}, "things", "toy") == [{"a": 1}, {}]


def test_read_tokens() -> None:
    """The members of both kinds are added; one that is not a count is an error."""
    usage = {"sent": 3, "cached": 4, "received": 5}

    assert read_tokens(usage, "agent", ("sent", "cached"), ("received",)) == (7, 5)
    with pytest.raises(BadSelfReport, match="thoughts: None"):
        read_tokens(usage, "agent", ("sent",), ("thoughts",))


def test_zero_is_not_a_measurement() -> None:
    """A prompt of 0 tokens means that the endpoint gave no count."""
    assert ReportedTokens(1, 0).nonzero("agent") == (1, 0)
    with pytest.raises(BadSelfReport, match="agent counts 0 tokens"):
        ReportedTokens(0, 3).nonzero("agent")
