"""The scripted agent's adapter."""

from pathlib import Path

import pytest

from cab.adapters.agents.base import Output, RunContext
from cab.adapters.agents.scripted import Scripted
from cab.adapters.errors import BadSelfReport

HOME = Path("home")


def test_launch() -> None:
    """It is run by the given Python, isolated; the key is in the environment only."""
    run = RunContext(
        "http://127.0.0.1:1", "the-cell-key", "a/b", "Fix it", HOME, Path("/usr/python")
    )

    launch = Scripted().launch(run)

    assert launch.argv[:2] == ("/usr/python", "-I")
    assert launch.argv[-1] == "Fix it"
    assert launch.argv[2] == str(HOME / "scripted_agent.py")
    assert "The scripted agent" in launch.files["scripted_agent.py"]
    assert launch.env == {
        "OPENAI_BASE_URL": "http://127.0.0.1:1/v1",
        "OPENAI_API_KEY": "the-cell-key",
        "OPENAI_MODEL": "a/b",
    }


def test_report() -> None:
    """Its last token line is read exactly."""
    text = "tokens: 1 prompt, 1 completion, 1 calls\ntokens: 1200 prompt, 34 completion, 2 calls\n"

    report = Scripted().self_report(Output(text, "", HOME))

    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens) == (1200, 34)
    assert (report.total_tokens, report.exact) == (1234, True)


@pytest.mark.parametrize("text", ["", "done\n", "tokens: unknown, 3 calls\n"])
def test_no_report(text: str) -> None:
    """What it does not know is None, not 0."""
    assert Scripted().self_report(Output(text, "", HOME)) is None


def test_report_strict() -> None:
    """A line that reads otherwise is an error, not a guess."""
    with pytest.raises(BadSelfReport, match=r"'tokens: 1\.2k prompt'"):
        Scripted().self_report(Output("tokens: 1.2k prompt\n", "", HOME))
