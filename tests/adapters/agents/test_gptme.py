"""gptme: its command line, and its own token count."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.adapters.agents.gptme import Gptme
from cab.adapters.errors import BadSelfReport
from tests.adapters.agents.recorded import MODEL, URL, report_of, run_of

LOG = ".local/share/gptme/logs/2026-blue-fish/conversation.jsonl"


def answer(**usage: object) -> str:
    """Return a line of a conversation that is an answer of the model."""
    whole = {"input_tokens": 5, "output_tokens": 1, **usage}
    message = {"role": "assistant", "content": "x", "metadata": {"usage": whole}}
    return orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE).decode()


def test_headless() -> None:
    """One prompt, one model of the provider that has none of its own, no download of a tokenizer."""
    launch = Gptme().launch(run_of())

    assert launch.argv == (
        *("/agents/agent", "--non-interactive", "--no-confirm"),
        *(f"--model=local/{MODEL}", "--", "Fix it"),
    )
    assert launch.env["OPENAI_BASE_URL"] == f"{URL}/v1"
    assert launch.env["GPTME_TIKTOKEN_TIMEOUT"] == "0"


def test_all_that_was_cached(tmp_path: Path) -> None:
    """Tokens read from a cache and written to one belong to the prompt, in every conversation."""
    report = report_of(
        "gptme", tmp_path, answer(cache_read_tokens=100, cache_creation_tokens=1000), answer()
    )

    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens) == (1110, 2)


@pytest.mark.parametrize(
    "odd",
    [
        '{"role": "assistant"}',
        '{"role": "assistant", "metadata": {}}',
        '{"role": "assistant", "metadata": {"usage": 5}}',
        answer(cache_creation_tokens=None),
    ],
)
def test_odd_answer(tmp_path: Path, odd: str) -> None:
    """What cannot be read without guessing is an error."""
    with pytest.raises(BadSelfReport):
        report_of("gptme", tmp_path, odd)


@settings(deadline=None, max_examples=30)
@given(answers=st.lists(st.tuples(*[st.integers(0, 10**9)] * 4), min_size=1, max_size=6))
def test_sums(
    answers: list[tuple[int, int, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The report is the sum over the answers, whatever else is in the conversation."""
    lines = [
        answer(input_tokens=i, output_tokens=o, cache_read_tokens=r, cache_creation_tokens=w)
        for i, o, r, w in answers
    ]
    log = '{"role": "system"}\n'.join(lines)

    report = report_of("gptme", tmp_path_factory.mktemp("home"), log)

    assert report is not None
    assert report.prompt_tokens == sum(i + r + w for i, _, r, w in answers)
    assert report.completion_tokens == sum(o for _, o, _, _ in answers)
