"""Qwen Code: its command line and settings, and its own token count."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.adapters.agents.qwen_code import QwenCode
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport
from cab.scoring.ledger.records import Endpoint
from tests.adapters.agents.recorded import MODEL, URL, printed, recorded, run_of


def read_report(text: str) -> SelfReport | None:
    """Return the report of an output."""
    return QwenCode().self_report(printed(text))


def result(*, is_error: object = False, **usage: object) -> str:
    """Return the last event of a run."""
    whole = {"input_tokens": 5, "output_tokens": 1, "total_tokens": 6, **usage}
    return orjson.dumps({"type": "result", "is_error": is_error, "usage": whole}).decode()


def test_headless() -> None:
    """One prompt that cannot be taken for an option, events as JSON, and nobody is asked."""
    assert QwenCode().launch(run_of("--help")).argv == (
        *("/agents/agent", "--auth-type", "openai", "--model", MODEL, "--yolo"),
        *("--output-format", "stream-json", "--prompt=--help"),
    )


def test_one_model() -> None:
    """The fast model is the main one, so that no other model is called."""
    launch = QwenCode().launch(run_of())

    assert orjson.loads(launch.files[".qwen/settings.json"])["fastModel"] == MODEL


@pytest.mark.parametrize(
    ("dialect", "auth_type", "vendor", "url"),
    [
        (None, "openai", "OPENAI", f"{URL}/v1"),
        ("chat.completions", "openai", "OPENAI", f"{URL}/v1"),
        ("responses", "openai-responses", "OPENAI", f"{URL}/v1"),
        ("messages", "anthropic", "ANTHROPIC", URL),
    ],
)
def test_dialects(dialect: Endpoint | None, auth_type: str, vendor: str, url: str) -> None:
    """The kind of key decides what is spoken; its variables say where and with which model."""
    launch = QwenCode().launch(run_of(dialect=dialect))

    assert launch.argv[1:3] == ("--auth-type", auth_type)
    assert launch.env == {
        f"{vendor}_API_KEY": "the-cell-key",
        f"{vendor}_BASE_URL": url,
        f"{vendor}_MODEL": MODEL,
    }


def test_no_other_hosts() -> None:
    """Updates, statistics and telemetry are off."""
    settings = orjson.loads(QwenCode().launch(run_of()).files[".qwen/settings.json"])

    assert settings["general"]["enableAutoUpdate"] is False
    assert settings["privacy"]["usageStatisticsEnabled"] is False
    assert settings["telemetry"]["enabled"] is False


def test_stopped_run() -> None:
    """A run that was stopped before its last event has no count."""
    lines = recorded("qwen-code", "run").splitlines()[:-1]

    assert read_report("\n".join(lines)) is None


@pytest.mark.parametrize("is_error", [True, None])
def test_failed_run(is_error: object) -> None:
    """What a run says that failed in the end is not called exact."""
    report = read_report(result(is_error=is_error))

    assert report is not None
    assert report.exact is False


@pytest.mark.parametrize("usage", [{"total_tokens": 7}, {"input_tokens": 0, "total_tokens": 1}])
def test_contradiction(usage: dict[str, object]) -> None:
    """Sums that do not add up are an error: reasoning may be in one and not in the other."""
    with pytest.raises(BadSelfReport, match="are not its"):
        read_report(result(**usage))


@given(st.integers(1, 10**9), st.integers(0, 10**9))
def test_sum(sent: int, received: int) -> None:
    """Whatever Qwen Code counts is what the report says."""
    report = read_report(
        result(input_tokens=sent, output_tokens=received, total_tokens=sent + received)
    )

    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens) == (sent, received)
