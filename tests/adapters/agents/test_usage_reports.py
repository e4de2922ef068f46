"""Reading what agents say of their tokens as JSON."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.adapters.agents.usage_reports import (
    ReportedTokens,
    add_up,
    count,
    json_lines,
    kept_lines,
    member,
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


def test_files_in_order(tmp_path: Path) -> None:
    """Kept files are read in the order of their names; none of them is no report, not an error."""
    for name in ("b", "a"):
        (tmp_path / f"{name}.jsonl").write_text(f'{{"name": "{name}"}}\n')

    assert [line["name"] for line in kept_lines(tmp_path, "*.jsonl", "agent")] == ["a", "b"]
    assert list(kept_lines(tmp_path, "*.json", "agent")) == []


def test_file_that_is_no_text(tmp_path: Path) -> None:
    """Bytes that are no text spoil their own line at most."""
    (tmp_path / "a.jsonl").write_bytes(b'\xff\xfe\n{"name": "\xff"}\n')

    assert list(kept_lines(tmp_path, "*.jsonl", "agent")) == [{"name": "\ufffd"}]


def test_folder_for_a_file(tmp_path: Path) -> None:
    """What cannot be read is an error that names it."""
    (tmp_path / "a.jsonl").mkdir()

    with pytest.raises(BadSelfReport, match=r"agent's a\.jsonl cannot be read"):
        list(kept_lines(tmp_path, "*.jsonl", "agent"))


@pytest.mark.parametrize("value", [None, True, -1, 1.0, "1", [], {}])
def test_no_count(value: object) -> None:
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
