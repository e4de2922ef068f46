"""Text completions beyond the recorded ones."""

from tests.proxy.meter.drive import events, outcome_of


def test_several_choices_have_a_text_each() -> None:
    """Texts join by the index of their choice; the dialect has no tool calls."""
    stream = events(
        b'{"choices":[{"index":1,"text":"b"}]}',
        b'{"choices":[{"index":0,"text":"a"},{"index":1,"text":"c","finish_reason":"stop"}]}',
        b'{"choices":[{"index":0,"text":7,"finish_reason":"length"}]}',
    )
    outcome = outcome_of("/v1/completions", stream)
    assert outcome.completion_texts == ["bc", "a"]
    assert outcome.finish_reasons == ["length", "stop"]
    assert outcome.tool_calls is None
    assert outcome.complete
