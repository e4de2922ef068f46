"""Continue: its command line and configuration, and its own token count."""

from pathlib import Path

import orjson
import pytest

from cab.adapters.agents.continue_cli import Continue, read_session
from cab.adapters.errors import BadSelfReport
from tests.adapters.agents.recorded import KEY, MODEL, URL, recorded, report_of, run_of

CONFIG = ".continue/config.yaml"


def test_headless() -> None:
    """One prompt with a configuration of its own, and nobody is asked."""
    argv = Continue().launch(run_of()).argv
    assert argv == (
        *("/agents/agent", "--config", f"home/{CONFIG}", "--auto", "--print", "Fix it"),
    )


def test_one_model() -> None:
    """Its configuration has one model, the endpoint and the key; telemetry is off."""
    launch = Continue().launch(run_of())
    [model] = orjson.loads(launch.files[CONFIG])["models"]
    assert (model["model"], model["apiBase"], model["apiKey"]) == (MODEL, f"{URL}/v1", KEY)
    assert launch.env["CONTINUE_CLI_ENABLE_TELEMETRY"] == "0"


def test_list_of_sessions(tmp_path: Path) -> None:
    """The list of sessions beside the session files is not read as one."""
    folder = tmp_path / ".continue" / "sessions"
    folder.mkdir(parents=True)
    (folder / "sessions.json").write_text("[]")
    report = report_of("continue", tmp_path, recorded("continue", "run"))
    assert report is not None
    assert report.total_tokens == 6325 + 519


@pytest.mark.parametrize("data", [b"{}", b'{"usage": {"promptTokens": 0, "completionTokens": 0}}'])
def test_no_usage(data: bytes) -> None:
    """A session without usage has no count; it writes 0 where the endpoint gave no count."""
    assert read_session(data) is None


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"[]", b"{", b'{"usage": 1}', b'{"usage": {"promptTokens": 3}}'),
    ],
)
def test_odd_session(data: bytes) -> None:
    """A broken session is an error, not a guess."""
    with pytest.raises(BadSelfReport):
        read_session(data)
