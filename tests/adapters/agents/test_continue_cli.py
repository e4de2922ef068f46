"""Continue: its command line and configuration, and its own token count."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.adapters.agents.base import Output
from cab.adapters.agents.continue_cli import Continue, read_session
from cab.adapters.errors import BadSelfReport
from tests.adapters.agents.recorded import KEY, MODEL, URL, recorded, run_of

CONFIG = ".continue/config.yaml"


def test_headless() -> None:
    """One prompt with a configuration of its own, and nobody is asked."""
    argv = Continue().launch(run_of()).argv
    assert argv == (
        *("/agents/agent", "--config", f"home/{CONFIG}", "--auto", "--print", "Mend it"),
    )


def test_a_prompt_is_no_option() -> None:
    """A prompt that begins like an option is taken for a prompt."""
    assert Continue().launch(run_of("--help")).argv[-1] == " --help"


def test_one_model_and_the_key_in_its_configuration_alone() -> None:
    """It takes the key from a file below HOME, so it is there, and in no argument."""
    launch = Continue().launch(run_of())
    [model] = orjson.loads(launch.files[CONFIG])["models"]
    assert (model["model"], model["apiBase"], model["apiKey"]) == (MODEL, f"{URL}/v1", KEY)
    assert KEY not in " ".join(launch.argv) + repr(launch)
    assert launch.env["CONTINUE_CLI_ENABLE_TELEMETRY"] == "0"


def test_recorded_run(tmp_path: Path) -> None:
    """The session's usage is what the meter had of the same run; the list of sessions is none."""
    folder = tmp_path / ".continue" / "sessions"
    folder.mkdir(parents=True)
    assert Continue().self_report(Output("", "", tmp_path)) is None
    (folder / "sessions.json").write_text("[]")
    (folder / "be1a.json").write_text(recorded("continue", "run.json"))
    report = Continue().self_report(Output("", "", tmp_path))
    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens) == (6325, 519)
    assert report.source == "tui_session"


def test_no_file_in_the_place_of_a_session(tmp_path: Path) -> None:
    """A folder where a session should be is no report, and no failure of the run."""
    (tmp_path / ".continue" / "sessions" / "x.json").mkdir(parents=True)

    with pytest.raises(BadSelfReport, match=r"continue's x\.json cannot be read"):
        Continue().self_report(Output("", "", tmp_path))


@pytest.mark.parametrize("data", [b"{}", b'{"usage": {"promptTokens": 0, "completionTokens": 0}}'])
def test_no_usage_is_no_count(data: bytes) -> None:
    """A session without usage says nothing; it writes 0 where the endpoint said nothing."""
    assert read_session(data) is None


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"[]", b"{", b'{"usage": 1}', b'{"usage": {"promptTokens": 3}}'),
        b'{"usage": {"promptTokens": -3, "completionTokens": 1}}',
        b'{"usage": {"promptTokens": 3.5, "completionTokens": 1}}',
    ],
)
def test_what_is_odd_is_no_count(data: bytes) -> None:
    """A broken session is an error and no guess."""
    with pytest.raises(BadSelfReport):
        read_session(data)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Whatever a session holds, nothing else is raised."""
    try:
        assert read_session(data) is None
    except BadSelfReport:
        return
