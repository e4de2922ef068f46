"""What an adapter is: the few things that the runner must know about an agent CLI.

An adapter names its agent, returns how to start it headless with a base URL and a key, and reads
the agent's own token count. It starts nothing, opens no socket and inherits nothing. One of your own
needs no change here: `cab run-cell --tui my.module:MyAgent`, with

    class MyAgent:
        facts = AgentFacts("my-agent", "1.0", ("chat.completions",),
                           install=PyPIInstall("my-agent", "my-agent", (3, 11), (3, 14)))

        def launch(self, run: RunContext) -> Launch:
            argv = (str(run.executable), "--model", run.model, "--prompt", run.prompt)
            return Launch(argv, {"OPENAI_BASE_URL": f"{run.base_url}/v1", "OPENAI_API_KEY": run.key})

        def self_report(self, output: Output) -> SelfReport | None:
            return None
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from cab.adapters.errors import AdapterError
from cab.scoring.cells.cell import SelfReport
from cab.scoring.ledger.records import Endpoint


@dataclass(frozen=True, slots=True)
class PyPIInstall:
    """An agent from PyPI, installed into a virtual environment of its own."""

    package: str
    executable: str
    """Console script that starts the agent."""
    python_min: tuple[int, int]
    """Oldest Python that the distribution supports."""
    python_below: tuple[int, int]
    """First newer Python that it does not support."""
    extra: tuple[str, ...] = ()
    """Requirements to install beside it, where the distribution lacks or conflicts with one."""


@dataclass(frozen=True, slots=True)
class NpmInstall:
    """An agent from npm, installed into a folder of its own, with a Node of its own if needed."""

    package: str
    executable: str
    """Name under which the package's `bin` starts the agent."""
    node_min: tuple[int, ...] = (20,)
    """Oldest Node that the package runs on; if PATH has none, one is installed from npm too."""
    extra: tuple[str, ...] = ()
    """Packages to install beside it, as `name@version`."""


Install = PyPIInstall | NpmInstall
"""How an agent gets onto a machine."""


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """What is fixed about an agent."""

    name: str
    """Short name: the `tui` of a cell id."""
    version: str
    """The version that the adapter was written for, and that is installed."""
    dialects: tuple[Endpoint, ...]
    """Endpoints that the agent calls."""
    install: Install | None = None
    """How to get it; None for an agent that comes with this package."""
    scratch: tuple[str, ...] = ()
    """Globs of the agent's own files in the workspace."""
    wants_git: bool = False
    """Whether it expects the workspace to be a git repository."""
    token_report: str | None = None
    """Where the agent reports its token use; None if it does not."""
    image: str | None = None
    """Name of the published container image, without tag or digest; None if there is none."""
    notes: tuple[str, ...] = ()
    """What a reader of its numbers must know, one sentence each."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What one run of an agent gets."""

    base_url: str
    """Where model calls go, without a trailing /v1."""
    key: str = field(repr=False)
    """The key to call with: the cell's, never the endpoint's."""
    model: str
    """Model to ask for, as the endpoint names it."""
    prompt: str
    """What the agent is asked to do."""
    home: Path
    """The run's HOME, empty."""
    executable: Path
    """The agent's console script; our own Python for one that comes with this package."""
    dialect: Endpoint | None = None
    """The endpoint to call, one of the adapter's `dialects`; None takes the first of them."""

    @property
    def v1_url(self) -> str:
        """Where model calls go, with a trailing /v1."""
        return f"{self.base_url}/v1"

    def sdk_url(self, dialect: Endpoint) -> str:
        """Return the URL for a dialect's client library: Anthropic's adds the /v1 itself."""
        return self.base_url if dialect == "messages" else self.v1_url


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start the agent: nothing else of the parent's environment reaches it."""

    argv: tuple[str, ...]
    """Program and arguments; holds no key, as any process on the machine can read it."""
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Environment variables in addition to those that every agent gets."""
    files: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Text files to write before the start: path under HOME, and content."""


@dataclass(frozen=True, slots=True)
class Output:
    """The output of a run, from which the token report is read."""

    stdout: str
    stderr: str
    home: Path


@runtime_checkable
class Adapter(Protocol):
    """One agent CLI."""

    @property
    def facts(self) -> AgentFacts:
        """What is fixed about the agent."""
        ...

    def launch(self, run: RunContext) -> Launch:
        """Return how to start the agent headless for one run."""
        ...

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the agent's own token count; None if it gives none.

        Raises:
            BadSelfReport: Its count cannot be read without guessing.
        """
        ...


class ApiAddress(NamedTuple):
    """Where the clients of one provider's API send their calls while a command is metered."""

    url: str
    """Without /v1."""
    key: str | None
    """What they send as their key; None: their own."""


OWN_MODELS = "cab/"
"""Stands before a model that an agent under `cab meter` is to call at the metered endpoint."""
_MODEL_OPTIONS = frozenset(("--model", "-m"))


class UserStart(NamedTuple):
    """An agent as its user starts it, to be metered."""

    apis: Mapping[str, ApiAddress]
    """What it may call, by the provider's name, such as `openai`."""
    arguments: Sequence[str]
    """The user's."""
    environment: Mapping[str, str]
    """The user's, with the usual variables of all clients in it."""
    folder: Path
    """Where the wiring's files will lie, until the agent has ended."""

    def own_models(self) -> list[str]:
        """Return each MODEL that the arguments name as `--model cab/MODEL`, with `-m` and `=` too.

        Raises:
            AdapterError: One of them is empty or not UTF-8.
        """
        words = self.arguments
        values = [value for option, value in pairwise(words) if option in _MODEL_OPTIONS]
        values += [
            value
            for option, _, value in (word.partition("=") for word in words)
            if option in _MODEL_OPTIONS
        ]
        models = [
            value.removeprefix(OWN_MODELS) for value in values if value.startswith(OWN_MODELS)
        ]
        for model in models:
            if not (model and model.isprintable()):
                raise AdapterError(
                    f"--model: {model!r} cannot be the name of a model; it has to be UTF-8 on one line"
                )
        return models


class Wiring(NamedTuple):
    """What leads an agent to these APIs that the usual variables do not lead there."""

    arguments: tuple[str, ...] = ()
    """Stand before the user's own."""
    env: Mapping[str, str | None] = {}
    """Variables; None takes one away."""
    files: Mapping[str, str] = {}
    """Text files: name in the folder of the start, and content."""


@runtime_checkable
class Wired(Protocol):
    """An adapter whose agent needs more than the usual variables to be metered as its user starts it."""

    def wire(self, start: UserStart) -> Wiring | None:
        """Return what the agent needs; None if it can call none of the APIs."""
        ...
