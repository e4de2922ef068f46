"""Anthropic's iterations: passes over models that the counts beside them leave out."""

from typing import Any

import pytest

from cab.proxy.meter import Usage
from cab.proxy.meter.json_values import JsonObject
from cab.proxy.meter.usage import UsageReading, messages_usage, read_usage


def counts(fresh: int, output: int, read: int = 0, written: int = 0) -> dict[str, Any]:
    return {
        "input_tokens": fresh,
        "output_tokens": output,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
    }


def entry(kind: str, *numbers: int, model: str | None = None) -> dict[str, Any]:
    return {"type": kind, **counts(*numbers), **({} if model is None else {"model": model})}


def reading(top: JsonObject, *entries: JsonObject) -> UsageReading:
    return read_usage({**top, "iterations": list(entries)}, messages_usage)


def part(
    kind: str,
    prompt: int,
    completion: int,
    read: int = 0,
    written: int = 0,
    *,
    model: str | None = None,
    billed: bool | None = True,
) -> dict[str, Any]:
    return {
        "type": kind,
        "model": model,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "billed": billed,
    }


def test_compaction_is_added() -> None:
    """The counts at the top leave the compaction out; it was billed."""
    said = reading(
        counts(23000, 1000), entry("compaction", 180000, 3500), entry("message", 23000, 1000)
    )
    assert said.usage == Usage(203000, 4500, 207500, 0, 0)
    assert said.parts == [part("compaction", 180000, 3500), part("message", 23000, 1000)]
    assert said.notes == ["usage.iterations was added up"]
    assert said.faults == []


@pytest.mark.parametrize("top", [counts(412, 531), counts(1760, 531, 412)])
def test_advisors_are_added_with_their_own_model(top: JsonObject) -> None:
    """The top holds the first message's input or that of all messages; never the advisor's."""
    said = reading(
        top,
        entry("message", 412, 89),
        entry("advisor_message", 823, 1612, model="claude-big"),
        entry("message", 1348, 442, 412),
    )
    assert said.usage == Usage(412 + 823 + 1348 + 412, 89 + 1612 + 442, 5138, 412, 0)
    assert said.parts[1] == part("advisor_message", 823, 1612, model="claude-big")
    assert said.faults == []


def test_a_message_below_the_top_is_inconsistent() -> None:
    """The vendor's top is the sum of the messages: entries that leave some of it out are not believed silently."""
    for more in ([], [entry("compaction", 180000, 3500)]):
        said = reading(counts(23000, 1000), *more, entry("message", 22000, 1000))
        assert said.faults == ["usage.iterations does not agree with the counts beside it"]


def test_several_messages_are_the_sum_at_the_top() -> None:
    """A loop inside the endpoint: the top is their sum already, caches included."""
    said = reading(
        counts(30, 12, 900, 40), entry("message", 10, 5, 400, 40), entry("message", 20, 7, 500)
    )
    assert said.usage == Usage(970, 12, 982, 900, 40)
    assert (said.notes, said.faults) == ([], [])
    assert said.parts == [part("message", 450, 5, 400, 40), part("message", 520, 7, 500)]


def test_an_attempt_that_declined_before_any_output_is_not_billed() -> None:
    """It stands in the parts; the top is the attempt that answered."""
    said = reading(
        counts(412, 264),
        entry("message", 408, 0, model="first"),
        entry("fallback_message", 412, 264, model="second"),
    )
    assert said.usage == Usage(412, 264, 676, 0, 0)
    assert [(p["model"], p["billed"]) for p in said.parts] == [("first", False), ("second", True)]
    assert said.faults == []


def test_an_attempt_that_declined_after_some_output_is_billed() -> None:
    """Each attempt that wrote something counts, at its own model."""
    said = reading(
        counts(2, 13658, 79214),
        entry("message", 2, 578, 72769, 10421, model="first"),
        entry("fallback_message", 2, 13658, 79214, model="second"),
    )
    assert said.usage == Usage(162408, 14236, 176644, 151983, 10421)
    assert said.faults == []


def test_an_answer_that_is_not_among_the_entries_is_what_the_top_states() -> None:
    """A compaction listed alone is added to the answer, which is a part too; it may be all there is."""
    said = reading(counts(23000, 1000), entry("compaction", 180000, 3500))
    assert said.usage == Usage(203000, 4500, 207500, 0, 0)
    assert said.parts == [part("compaction", 180000, 3500), part("message", 23000, 1000)]
    assert said.faults == []
    assert "leaves the answer out" in said.notes[0]
    paused = reading(counts(0, 0), entry("compaction", 180000, 3500))
    assert (paused.usage, paused.faults) == (Usage(180000, 3500, 183500, 0, 0), [])


def test_an_unknown_type_is_kept_and_never_added() -> None:
    """Nobody knows whether it is inside the others."""
    said = reading(counts(10, 5), entry("message", 10, 5), entry("dream", 900, 90))
    assert said.usage == Usage(10, 5, 15, 0, 0)
    assert said.parts[1] == part("dream", 900, 90, billed=None)
    assert len(said.faults) == 1


def test_entries_of_unknown_types_alone_leave_the_top() -> None:
    """Then the counts beside them stand."""
    said = reading(counts(10, 5), entry("dream", 900, 90))
    assert said.usage == Usage(10, 5, 15, 0, 0)
    assert len(said.faults) == 1


@pytest.mark.parametrize(
    "entries",
    [
        [entry("message", 11, 5)],
        [entry("message", 10, 6)],
        [entry("message", 10, 5, 3)],
        [entry("compaction", 99, 1), entry("message", 9, 5)],
        [{"type": "message", "input_tokens": 10}],
        ["odd", entry("message", 10, 5)],
    ],
)
def test_entries_that_do_not_agree_with_the_top_are_inconsistent(entries: list[Any]) -> None:
    """The entries are checked against the counts beside them."""
    assert reading(counts(10, 5), *entries).faults


def test_caches_that_only_the_top_states_are_counted_once() -> None:
    """LiteLLM makes up entries without them."""
    said = reading(
        counts(10, 5, 300, 40),
        {"type": "compaction", "input_tokens": 99, "output_tokens": 1},
        {"type": "message", "input_tokens": 10, "output_tokens": 5},
    )
    assert said.usage == Usage(449, 6, 455, 300, 40)
    assert said.faults == []


@pytest.mark.parametrize("iterations", [None, [], {}, "x", 7])
def test_without_entries_the_top_stands(iterations: object) -> None:
    """No list, or an empty one, says nothing."""
    said = read_usage({**counts(10, 5), "iterations": iterations}, messages_usage)
    assert (said.usage, said.parts, said.faults) == (Usage(10, 5, 15, 0, 0), [], [])


def test_the_parts_of_a_cache_write_are_its_sum() -> None:
    """Without the sum it is what the parts come to; with another sum it is inconsistent."""
    parts: JsonObject = {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 12}
    raw: JsonObject = {"input_tokens": 8, "output_tokens": 5, "cache_creation": parts}
    said = read_usage(raw, messages_usage)
    assert (said.usage, said.faults) == (Usage(50, 5, 55, None, 42), [])
    agreed = read_usage({**raw, "cache_creation_input_tokens": 42}, messages_usage)
    assert (agreed.usage, agreed.faults) == (said.usage, [])
    other = read_usage({**raw, "cache_creation_input_tokens": 40}, messages_usage)
    assert other.usage == Usage(48, 5, 53, None, 40)
    assert len(other.faults) == 1
    nothing: JsonObject = {"ephemeral_5m_input_tokens": None}
    assert read_usage({**raw, "cache_creation": nothing}, messages_usage).usage == Usage(8, 5, 13)
