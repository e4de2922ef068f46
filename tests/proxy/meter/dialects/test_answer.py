"""The common ground of the dialects."""

import pytest

from cab.proxy.meter import Usage
from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.usage import UsageReader


def test_an_answer_without_a_dialect_reads_nothing() -> None:
    """The base takes no part of an answer, and knows nothing."""
    answer = Answer(10)
    with pytest.raises(NotImplementedError):
        answer.add_event(b"", {}, 1)
    with pytest.raises(NotImplementedError):
        answer.add_body({}, clean=True)
    answer.add_done()
    assert not answer.finished()
    assert answer.tool_calls is None
    assert answer.read_usage(UsageReader({"prompt_tokens": 1})) == Usage(1, None, None)


def test_the_first_error_and_identity_stand_and_the_last_usage() -> None:
    """The first name and the first error stand; usage is replaced by what comes later."""
    answer = Answer(10)
    for number in (1, 2):
        answer.take_error({"error": f"e{number}"})
        answer.take_identity({"id": f"i{number}", "model": f"m{number}", "system_fingerprint": "f"})
        answer.take_usage({"n": number}, final=number == 1)
    answer.take_usage(None, final=True)
    answer.take_usage({}, final=True)
    assert answer.error == ("error", "e1")
    assert (answer.upstream_id, answer.model_served) == ("i1", "m1")
    assert answer.system_fingerprint == "f"
    assert (answer.usage_raw, answer.usage_final) == ({"n": 2}, False)


def test_warnings_are_kept_once() -> None:
    """The same warning from every chunk is one warning; an empty text delivers nothing."""
    answer = Answer(10)
    answer.warn("a")
    answer.warn("a")
    answer.take_text("k", "")
    assert answer.warnings == ["a"]
    assert not answer.delivered
    answer.end(clean=True)
    assert len(answer.warnings) == 2
