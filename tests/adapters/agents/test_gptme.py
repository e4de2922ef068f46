"""gptme: its command line, and its own token count; long texts of the recordings are left out."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.adapters.agents.base import Output
from cab.adapters.agents.gptme import Gptme
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport
from tests.adapters.agents.recorded import MODEL, URL, only_in_environment, recorded, run_of

LOG = ".local/share/gptme/logs/2026-blue-fish/conversation.jsonl"


def report_of(home: Path, *logs: str) -> SelfReport | None:
    """Return the report of a HOME that holds these conversations."""
    for number, log in enumerate(logs):
        path = home / LOG.replace("fish", str(number))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(log)
    return Gptme().self_report(Output("", "", home))


def answer(**usage: object) -> str:
    """Return a line of a conversation that is an answer of the model."""
    whole = {"input_tokens": 5, "output_tokens": 1, **usage}
    message = {"role": "assistant", "content": "x", "metadata": {"usage": whole}}
    return orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE).decode()


def test_headless() -> None:
    """One prompt, one model of the provider that has none of its own, no tokenizer from elsewhere."""
    launch = Gptme().launch(run_of())

    assert launch.argv == (
        *("/agents/agent", "--non-interactive", "--no-confirm"),
        *(f"--model=local/{MODEL}", "--", "Mend it"),
    )
    assert launch.env["OPENAI_BASE_URL"] == f"{URL}/v1"
    assert launch.env["GPTME_TIKTOKEN_TIMEOUT"] == "0"
    assert only_in_environment(launch)


def test_recorded_run(tmp_path: Path) -> None:
    """Cached tokens are added: it is what the meter had, less the call that gave the name."""
    report = report_of(tmp_path, recorded("gptme", "run.jsonl"))

    metered, naming = (26363, 566), (189, 11)
    assert report is not None
    assert report.prompt_tokens == metered[0] - naming[0]
    assert report.completion_tokens == metered[1] - naming[1]
    assert (report.source, report.exact) == ("tui_session", False)


def test_recorded_cut(tmp_path: Path) -> None:
    """An answer that broke off is not kept; what is left is told."""
    report = report_of(tmp_path, recorded("gptme", "cut.jsonl"))

    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens) == (8311, 64)


def test_recorded_without_usage(tmp_path: Path) -> None:
    """Answers without a count are an error, not 0 tokens."""
    with pytest.raises(BadSelfReport, match="no object usage"):
        report_of(tmp_path, recorded("gptme", "no-usage.jsonl"))


def test_recorded_refusal(tmp_path: Path) -> None:
    """A run whose only call was refused has no count."""
    assert report_of(tmp_path, recorded("gptme", "refused.jsonl")) is None


def test_no_conversation(tmp_path: Path) -> None:
    """A HOME without conversations has no count."""
    assert report_of(tmp_path) is None


def test_torn_conversation(tmp_path: Path) -> None:
    """A conversation whose last line is torn is an error."""
    with pytest.raises(BadSelfReport, match="broken JSON"):
        report_of(tmp_path, recorded("gptme", "run.jsonl")[:-9])


def test_all_that_was_cached(tmp_path: Path) -> None:
    """Tokens read from a cache and written to one belong to the prompt, in every conversation."""
    report = report_of(
        tmp_path, answer(cache_read_tokens=100, cache_creation_tokens=1000), answer()
    )

    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens) == (1110, 2)


@pytest.mark.parametrize(
    "odd",
    [
        '{"role": "assistant"}',
        '{"role": "assistant", "metadata": {}}',
        '{"role": "assistant", "metadata": {"usage": 5}}',
        answer(input_tokens=None),
        answer(output_tokens="1"),
        answer(cache_read_tokens=-1),
        answer(cache_creation_tokens=None),
    ],
)
def test_odd_answer(tmp_path: Path, odd: str) -> None:
    """What cannot be read without guessing is an error."""
    with pytest.raises(BadSelfReport):
        report_of(tmp_path, odd)


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

    report = report_of(tmp_path_factory.mktemp("home"), log)

    assert report is not None
    assert report.prompt_tokens == sum(i + r + w for i, _, r, w in answers)
    assert report.completion_tokens == sum(o for _, o, _, _ in answers)
