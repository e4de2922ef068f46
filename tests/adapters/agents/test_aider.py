"""aider: its command line, and its own token count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.adapters.agents.aider import Aider
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport
from tests.adapters.agents.recorded import KEY, MODEL, URL, printed, run_of

# The flags of the published cells, less the key.
PUBLISHED = [
    "--yes-always",
    "--no-stream",
    "--no-check-update",
    "--no-analytics",
    "--no-show-model-warnings",
    "--no-suggest-shell-commands",
    "--no-auto-commits",
    "--no-pretty",
    "--openai-api-base",
    f"{URL}/v1",
    "--model",
    f"openai/{MODEL}",
    "--subtree-only",
    "--message",
    "Fix it",
]


def read_report(text: str) -> SelfReport | None:
    """Return the report of an output."""
    return Aider().self_report(printed(text))


def test_published_flags() -> None:
    """aider gets every flag of the published cells, in their order."""
    launch = Aider().launch(run_of())
    argv = iter(launch.argv)

    assert all(flag in argv for flag in PUBLISHED)
    assert launch.env["OPENAI_API_KEY"] == KEY


def test_one_model() -> None:
    """The weak model is the main one, so that no other model is called."""
    argv = Aider().launch(run_of()).argv

    assert argv[argv.index("--weak-model") + 1] == argv[argv.index("--model") + 1]


@pytest.mark.parametrize(
    ("line", "sent", "received"),
    [
        ("Tokens: 2.6k sent, 31 received. Cost: $0.0067 message, $0.0067 session.", 2600, 31),
        ("Tokens: 2.9k sent, 37 received.", 2900, 37),
        ("Tokens: 999 sent, 0 received.", 999, 0),
        ("Tokens: 10.0k sent, 1.0k received.", 10_000, 1000),
        ("Tokens: 128k sent, 12k received.", 128_000, 12_000),
        ("Tokens: 1.5k sent, 1.2k cache write, 3.0k cache hit, 31 received.", 1500, 31),
        ("Tokens: 1.5k sent, 3.0k cache hit, 31 received.", 1500, 31),
        ("Tokens: 1.5k sent, 31 received. Cost: $12.00 message, $13.50 session.", 1500, 31),
    ],
)
def test_report_line(line: str, sent: int, received: int) -> None:
    """Each form of aider's token line is read, and is never called exact."""
    report = read_report(f"Aider v0.86.2\n\n{line}\n")

    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens) == (sent, received)
    assert report.total_tokens == sent + received
    assert (report.source, report.exact) == ("tui_stdout", False)


def test_report_sums_messages() -> None:
    """aider prints a line for each message; the report is their sum."""
    text = "Tokens: 1.2k sent, 600 received.\nApplied edit\nTokens: 900 sent, 1.0k received.\n"

    report = read_report(text)

    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens) == (2100, 1600)


def test_report_through_adapter() -> None:
    """The adapter reads the terminal output; with both cache parts the cost is on its own line."""
    text = (
        "Tokens: 1.5k sent, 1.2k cache write, 3.0k cache hit, 31 received.\n"
        "Cost: $0.01 message, $0.01 session.\n"
    )

    report = read_report(text)

    assert report is not None
    assert report.total_tokens == 1531


def test_no_report() -> None:
    """Output without a token line gives None, not 0."""
    assert read_report("Applied edit to src/lib.rs\nThe tokens: 5\n") is None


@pytest.mark.parametrize(
    "line",
    [
        "Tokens: 2.6k sent, 31 received",
        "Tokens: 2.65k sent, 31 received.",
        "Tokens: 2,600 sent, 31 received.",
        "Tokens: 1200 sent, 31 received.",
        "Tokens: -1 sent, 31 received.",
        "Tokens: 2.6M sent, 31 received.",
        "Tokens: 31 received.",
        "Tokens: ٣ sent, 31 received. More.",
        "Tokens: 2.6k sent, 31 received. Cost: $x message, $y session.",
        "Tokens: ",
        "Tokens: 1.2k sent, 31 received.\nTokens: 0 sent, 0 received.",
    ],
)
def test_report_strict(line: str) -> None:
    """A line that is like a token line but is not one, or counts nothing, is an error, not a guess."""
    with pytest.raises(BadSelfReport, match=r"cannot be read|counts 0 tokens"):
        read_report(f"fine\n{line}\n")


def aiders_own(count: int) -> str:
    """Write a count as aider does."""
    if count < 1000:
        return str(count)
    if count < 10_000:
        return f"{count / 1000:.1f}k"
    return f"{round(count / 1000)}k"


@given(st.integers(1, 10_000_000), st.integers(0, 10_000_000))
def test_report_within_rounding(sent: int, received: int) -> None:
    """Whatever aider counts, the report is off by its rounding at most."""
    report = read_report(f"Tokens: {aiders_own(sent)} sent, {aiders_own(received)} received.")

    assert report is not None
    for reported, true in ((report.prompt_tokens, sent), (report.completion_tokens, received)):
        assert reported is not None
        assert abs(reported - true) <= (0 if true < 1000 else 50 if true < 10_000 else 500)
