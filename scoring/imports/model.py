"""A cell that another harness ran, as its own file describes it: a verdict, a time, its own counts.

Nothing of it was metered. What the file does not say is None; it is not guessed, and it is not 0.
"""

from typing import Annotated, Literal

from pydantic import Field

from cab.scoring.axes import Axes, Latency, PassRate
from cab.scoring.axes.cost import Usd
from cab.scoring.axes.tokens import score_tokens
from cab.scoring.cells.cell import SelfReport
from cab.scoring.files import FileModel
from cab.scoring.timestamps import Duration

SELF_REPORTED = "self_reported"
"""InputFile of every count that is imported."""

FileForm = Literal[
    "harbor.trial",
    "harbor.trajectory",
    "terminal-bench.results",
    "aider.results",
    "aider.leaderboard",
    "mini-swe-agent.trajectory",
    "swe-agent.trajectory",
    "swebench.predictions",
    "swebench.run_report",
    "swebench.instance_report",
    "swebench.submission",
    "inspect.log",
    "openhands.output",
    "hal.upload",
]
"""What kind of file a cell is from."""

FileCount = Annotated[int, Field(ge=0, le=10**12)]
"""Tokens or calls; a million of the largest still add up to a number that JSON readers take."""


class Origin(FileModel):
    """Where an imported cell is from."""

    form: FileForm
    """What kind of file."""
    version: str | None
    """Version of the form or of the harness, as far as the file states one."""
    name: str | None
    """What the file itself calls the run: a trial, a test case, an instance."""
    id: str | None = None
    """The harness's own unique id of the run: two files with the same one are copies."""
    verdicts: bool = True
    """False if the file does not say of any run whether it was right."""


class OwnCount(SelfReport):
    """What the other side counted; never the meter's."""

    source: str = SELF_REPORTED
    """Always `self_reported`."""
    exact: bool = True
    """These files hold whole numbers."""
    cache_read_tokens: FileCount | None = None
    """Part of the prompt that came from a cache; None unless all of it is known."""
    reasoning_tokens: FileCount | None = None
    """Part of the completion that was reasoning; None unless all of it is known."""
    model_calls: FileCount | None = None
    """Model calls, as it counts them."""
    counted_calls: FileCount | None = None
    """Calls whose tokens are in the file, where it lists calls one by one."""
    cost_usd: Usd | None = None
    """What it says the run cost. Some harnesses write 0 where they know no price."""


class ImportedCell(FileModel):
    """One run of an agent, as another harness recorded it."""

    cell_id: str
    """`<sweep>/<tui>/<model>/<family>/<task>`; `unknown` where the file does not name a part."""
    origin: Origin
    """What the rest is from."""
    passed: Literal[0, 1] | None
    """The verdict; None where the file holds none."""
    partial_score: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the check that passed, where the file says so."""
    reason: str
    """What the file says of the outcome."""
    stopped: bool | None = None
    """Whether the agent was stopped at its time limit; None if the file does not say."""
    wall_clock_ms: Duration | None = None
    """From set-up to the agent's exit, without the check."""
    agent_ms: Duration | None = None
    """Time in which the agent itself ran."""
    self_reported: OwnCount | None = None
    """Its own count of tokens, calls and money; None if it gives none."""
    notes: list[str] = Field(default_factory=list[str])
    """What was lost of it, and what a reader of its figures must know."""

    @property
    def axes(self) -> Axes:
        """The axes: what was not measured is None."""
        return Axes(
            pass_rate=PassRate(
                passed=self.passed,
                exit_code=None,
                timed_out=None,
                stdout_tail=None,
                stderr_tail=None,
                partial_score=self.partial_score,
                reason=self.reason,
            ),
            tokens=score_tokens(None, self.passed),
            latency=self._latency(),
            blast_radius=None,
            refusal=None,
            integrity=None,
        )

    def _latency(self) -> Latency | None:
        if self.wall_clock_ms is None:
            return None
        return Latency(
            wall_clock_ms=self.wall_clock_ms,
            container_active_ms=self.agent_ms,
            model_call_ms=None,
        )
