"""Outputs and session files of real agents with the meter's figures, and runs to launch adapters with."""

from pathlib import Path
from typing import NamedTuple

from cab.adapters.agents.base import Launch, Output, RunContext
from cab.adapters.agents.registry import load_adapter
from cab.scoring.cells.cell import SelfReport
from cab.scoring.ledger.records import Endpoint

KEY = "the-cell-key"
MODEL = "stepfun-ai/step-3.5-flash"
URL = "http://127.0.0.1:1"

_FIXTURES = Path(__file__).parents[2] / "fixtures" / "agents"


class Counts(NamedTuple):
    """The report that an adapter makes of a recording."""

    prompt: int
    completion: int
    exact: bool = True


class Recordings(NamedTuple):
    """The recordings of one agent; see the README beside them."""

    run: Counts
    """Of `run`: what the meter had of that run, less what `exact=False` leaves out."""
    counts: tuple[str, ...]
    """Members of its JSON that count tokens."""
    session: str | None = None
    """Where the recording lies below HOME; None where it was printed."""
    suffix: str = "jsonl"
    cut: Counts | None = None
    """Of `cut`, if it was recorded."""
    no_usage: str | None = None
    """The error of `no-usage`, if it was recorded."""
    refused: str | None = None
    """The error of `refused`; an empty text where that is no report."""

    @property
    def source(self) -> str:
        """Where the report comes from."""
        return "tui_stdout" if self.session is None else "tui_session"


_CAMEL = ("inputTokens", "outputTokens")
_SNAKE = ("input_tokens", "output_tokens")
_OPENAI = ("prompt_tokens", "completion_tokens")
_OPENCODE = ("input", "output", "reasoning", "read", "write")
ZERO = "0 tokens"
"""The error of agents that write 0 where the endpoint gave no count."""

RECORDED = {
    "claude-code": Recordings(
        Counts(34_460, 519),
        (*_CAMEL, "cacheReadInputTokens", "cacheCreationInputTokens"),
        cut=Counts(34_031, 308, exact=False),  # it estimates the answer that broke off
        no_usage=ZERO,
        refused="",
    ),
    "cline": Recordings(Counts(15_301, 521), _CAMEL),
    "codex": Recordings(
        Counts(18_876, 540),
        (*_SNAKE, "cached_input_tokens", "reasoning_output_tokens"),
        cut=Counts(12_137, 99, exact=False),
        no_usage=ZERO,
        refused="",
    ),
    "continue": Recordings(
        Counts(6325, 519),
        ("promptTokens", "completionTokens"),
        session=".continue/sessions/be1a.json",
        suffix="json",
    ),
    "copilot": Recordings(
        Counts(32_855, 531), _CAMEL, session=".copilot/session-state/s/events.jsonl"
    ),
    "droid": Recordings(
        Counts(21_935, 531), (*_SNAKE, "cache_read_input_tokens", "cache_creation_input_tokens")
    ),
    "gemini-cli": Recordings(
        Counts(31_848, 555), ("prompt", "candidates", "thoughts"), suffix="json"
    ),
    "gptme": Recordings(
        # The meter had 26363 and 566, with the 189 and 11 of the call that gave the name.
        Counts(26_363 - 189, 566 - 11, exact=False),
        (*_SNAKE, "cache_read_tokens"),
        session=".local/share/gptme/logs/2026-blue-fish/conversation.jsonl",
        cut=Counts(8311, 64, exact=False),
        no_usage="no object usage",
        refused="",
    ),
    "kilo": Recordings(Counts(34_823, 517, exact=False), _OPENCODE),
    "mini-swe-agent": Recordings(
        Counts(3916, 566),
        (*_OPENAI, "api_calls"),
        session=".config/mini-swe-agent/last_mini_run.traj.json",
        suffix="json",
        cut=Counts(3916, 545),
        no_usage=ZERO,
    ),
    "opencode": Recordings(
        # The meter had 22414 and 549, with the title's 542 and 11.
        Counts(22_414 - 542, 549 - 11, exact=False),
        _OPENCODE,
        cut=Counts(14_166, 98, exact=False),
        no_usage=ZERO,
        refused="",
    ),
    "openhands": Recordings(
        Counts(24_453, 590),
        _OPENAI,
        session=".openhands/conversations/0/base_state.json",
        suffix="json",
        cut=Counts(24_489, 569),
        no_usage="counts tokens for 0 of 3 answers",
        refused="",
    ),
    "pi": Recordings(
        Counts(5101, 538),
        ("input", "cacheRead", "cacheWrite", "output"),
        session=".pi/agent/sessions/--workspace--/2026.jsonl",
        cut=Counts(5101, 538, exact=False),
        no_usage=ZERO,
        refused="",
    ),
    "qwen-code": Recordings(
        Counts(51_110, 542),
        (*_SNAKE, "total_tokens"),
        cut=Counts(33_459, 100, exact=False),
        no_usage="total_tokens: None",
        refused="total_tokens: None",
    ),
}
"""Agent -> what was recorded of it."""


def recorded(agent: str, name: str) -> str:
    """Return a recording by its name without suffix."""
    return (_FIXTURES / agent / f"{name}.{RECORDED[agent].suffix}").read_text()


def recordings_with(part: str) -> list[str]:
    """Return the agents of which a part was recorded."""
    return [name for name, each in RECORDED.items() if getattr(each, part) is not None]


def report_of(agent: str, home: Path, *contents: str | bytes) -> SelfReport | None:
    """Return the report of an agent that printed some contents, or left one in each of some sessions."""
    session = RECORDED[agent].session
    data = [each if isinstance(each, bytes) else each.encode() for each in contents]
    if session is None:
        text = b"".join(data).decode(errors="replace")
        return load_adapter(agent).self_report(Output(text, "", home))
    for number, content in enumerate(data):
        # A session each: in a folder of its own, or a file of its own.
        file = home / session
        if number:
            folder = file.parent.parent / f"{file.parent.name}{number}"
            file = folder / file.name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return load_adapter(agent).self_report(Output("", "", home))


def run_of(prompt: str = "Fix it", dialect: Endpoint | None = None) -> RunContext:
    """Return a run to launch an adapter with."""
    executable = Path("/agents/agent")
    return RunContext(URL, KEY, MODEL, prompt, Path("home"), executable, dialect)


def printed(text: str) -> Output:
    """Return the output of an agent that only printed."""
    return Output(text, "", Path("home"))


def files_with_key(launch: Launch) -> list[str]:
    """Return the files of a launch that hold the key."""
    return [name for name, text in launch.files.items() if KEY in text]
