"""What an adapter is: the few things that the runner must know of an agent CLI.

An adapter names its agent, says how to start it headless against a base URL and a key, and reads
what the agent says of its own tokens. It starts nothing, opens no socket and inherits nothing.
One of your own needs no change here: `cab run-cell --tui my.module:MyAgent`, with

    class MyAgent:
        facts = AgentFacts("my-agent", "1.0", ("chat.completions",),
                           install=PyPIInstall("my-agent", "my-agent", (3, 11), (3, 14)))

        def launch(self, run: Run) -> Launch:
            argv = (str(run.executable), "--model", run.model, "--prompt", run.prompt)
            return Launch(argv, {"OPENAI_BASE_URL": f"{run.base_url}/v1", "OPENAI_API_KEY": run.key})

        def self_report(self, output: Output) -> SelfReport | None:
            return None
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from cab.scoring.cells.cell import SelfReport
from cab.scoring.ledger.records import Endpoint


@dataclass(frozen=True, slots=True)
class PyPIInstall:
    """An agent that comes from PyPI and gets a virtual environment of its own."""

    package: str
    """Name of the distribution."""
    executable: str
    """Console script that starts the agent."""
    python_min: tuple[int, int]
    """Oldest Python that the distribution supports."""
    python_below: tuple[int, int]
    """First Python that it does not support any more."""
    extra: tuple[str, ...] = ()
    """Requirements to install beside it, where the distribution forgets or clashes with one."""


@dataclass(frozen=True, slots=True)
class NpmInstall:
    """An agent that comes from npm and gets a folder of its own, with a Node of its own if need be."""

    package: str
    """Name of the package."""
    executable: str
    """Name under which the package's `bin` starts the agent."""
    node_min: tuple[int, ...] = (20,)
    """Oldest Node that the package runs on; where PATH has none, one comes from npm as well."""
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
    """Globs of files that the agent leaves in the workspace for itself."""
    wants_git: bool = False
    """Whether it expects the workspace to be a git repository."""
    token_report: str | None = None
    """Where the agent says what it used; None if it says nothing."""
    image: str | None = None
    """Name of the published container image, without tag or digest; None if there is none."""
    notes: tuple[str, ...] = ()
    """What a reader of its numbers must know, one sentence each."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What one run of an agent is given."""

    base_url: str
    """Where model calls go, without a trailing /v1."""
    key: str = field(repr=False)
    """The key to call with: the cell's, never the endpoint's."""
    model: str
    """Model to ask for, as the endpoint names it."""
    prompt: str
    """What the agent is asked to do."""
    home: Path
    """An empty HOME of the run's own."""
    executable: Path
    """The agent's console script; our own Python for one that comes with this package."""
    dialect: Endpoint | None = None
    """The endpoint to call, one of the adapter's `dialects`; None takes the first of them."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start the agent: nothing else of the parent's environment reaches it."""

    argv: tuple[str, ...]
    """Program and arguments; holds no key, as any process on the machine can read it."""
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Environment variables besides those that every agent gets."""
    files: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Text files to write before the start: path under HOME, and content."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a run left behind for a token report to be read from."""

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
        """Return what the agent says it used; None if it said nothing.

        Raises:
            BadSelfReport: It said something that cannot be read without guessing.
        """
        ...
