"""What real agents printed and kept, and runs to ask adapters with."""

from pathlib import Path

from cab.adapters.agents.base import Launch, Output, RunContext
from cab.scoring.ledger.records import Endpoint

KEY = "the-cell-key"
MODEL = "stepfun-ai/step-3.5-flash"
URL = "http://127.0.0.1:1"

_FIXTURES = Path(__file__).parents[2] / "fixtures" / "agents"


def recorded(agent: str, name: str) -> str:
    """Return a file that was recorded from a real run; see the README beside them."""
    return (_FIXTURES / agent / name).read_text()


def run_of(prompt: str = "Mend it", dialect: Endpoint | None = None) -> RunContext:
    """Return a run to ask an adapter with."""
    executable = Path("/agents/agent")
    return RunContext(URL, KEY, MODEL, prompt, Path("home"), executable, dialect)


def printed(text: str) -> Output:
    """Return the output of an agent that only printed."""
    return Output(text, "", Path("home"))


def only_in_environment(launch: Launch) -> bool:
    """Return whether the key is in the environment, and in no argument and no file."""
    elsewhere = [*launch.argv, *launch.files, *launch.files.values(), repr(launch)]
    return KEY in launch.env.values() and not any(KEY in text for text in elsewhere)
