"""The cell: one agent on one task with one model, its facts and its scores, as `cell.json` holds it.

Identity, timing, task, check, self-report and spans are facts: they are recorded once. Scorers,
profiles and the token figures under timing are derived from the facts and from the other files of
the bundle, and can be made again at any time.
"""

from typing import Annotated, Any, Final, Literal, Self

import orjson
from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from cab.scoring.axes import KnownAxes
from cab.scoring.axes.tokens import TokensSource
from cab.scoring.errors import BadRecord
from cab.scoring.evidence.check_outcome import CheckOutcome
from cab.scoring.evidence.spans import Span
from cab.scoring.evidence.task import TaskFacts
from cab.scoring.files import FileModel
from cab.scoring.ids import parse_cell_id
from cab.scoring.ledger.records import Count
from cab.scoring.profiles.composite import Composite
from cab.scoring.timestamps import Duration, Instant, instant_us

CELL_SCHEMA: Final = "cab.cell/1"
"""Schema tag of `cell.json`."""


class Deviation(FileModel):
    """One way in which a run was less confined than it could be."""

    name: str
    """A stable word, such as `root`."""
    what: str
    """One sentence for people."""


class RequestedResources(FileModel):
    """What a cell asked of the cluster that it ran on; null is what it did not ask for."""

    cpus: Annotated[int, Field(ge=1)] | None = None
    """Processors."""
    memory_bytes: Count | None = None
    """Memory."""
    gpus: Count | None = None
    """Graphics processors."""
    time_s: Annotated[float, Field(gt=0)] | None = None
    """Seconds of the whole cell on its node."""


class Conditions(FileModel):
    """What of the machine moves results, above all times and time-outs; null is not known."""

    cpus: Annotated[float, Field(gt=0)] | None = None
    """Processors that the agent could use: those of the machine, or the limit of its group or container."""
    memory_bytes: Count | None = None
    """Memory of the machine."""
    memory_limit_bytes: Count | None = None
    """The most that the agent could use: the limit of its group or container, else the machine's memory."""
    memory_available_bytes: Count | None = None
    """What was free of the machine's memory before the agent was started."""
    load_before: Annotated[float, Field(ge=0)] | None = None
    """Load of the machine before the agent was started: runnable tasks, a mean over the last minute."""
    load_after: Annotated[float, Field(ge=0)] | None = None
    """The same when it had ended."""
    node: str | None = None
    """The machine, as the cluster names it; null where the cell ran on the sweep's own, or nobody wrote it down."""
    requested: RequestedResources | None = None
    """What the cell asked of a cluster; null where it asked for nothing."""

    @model_serializer(mode="wrap")
    def _without_the_unsaid(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Bundles from before these fields must give the same bytes when they are scored again.
        data: dict[str, Any] = dump(self)
        return {
            name: value
            for name, value in data.items()
            if value is not None or name not in ("node", "requested")
        }


class Identity(FileModel):
    """Which cell this is, and what ran in it."""

    cell_id: str
    """`<sweep>/<tui>/<model>/<family>/<task>[#runN]`."""
    sweep_id: str
    """Named batch of cells."""
    tui: str
    """The agent CLI."""
    model_build_id: str
    """Model as the endpoint names it."""
    container_image: str | None = None
    """Image that the agent ran in, None outside a container."""
    image_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    """Its digest, with a single `sha256:`."""
    exit_code: int | None
    """Exit code of the agent, None if it was stopped."""
    sandbox: str
    """How the agent was kept apart: `local`, `docker`, `inside` (cab ran in the same container)."""
    cab_version: str
    """Version of CAB that ran the cell."""
    deviations: list[Deviation] | None = None
    """What was less confined than it could be; None where nobody wrote it down."""
    agent_version: str | None = None
    """Version of the agent CLI that ran; None where nobody wrote it down."""
    conditions: Conditions | None = None
    """The machine that it ran on; None where nobody wrote it down."""
    check_image: str | None = None
    """Image that the hidden checks ran in; None where they ran on the machine, or nobody wrote it down."""
    check_image_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    """Its digest, with a single `sha256:`."""

    @model_serializer(mode="wrap")
    def _without_the_unsaid(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Bundles from before these fields must give the same bytes when they are scored again.
        data: dict[str, Any] = dump(self)
        since = ("deviations", "agent_version", "conditions", "check_image", "check_image_digest")
        for name in since:
            if getattr(self, name) is None:
                data.pop(name, None)
        return data

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        parts = parse_cell_id(self.cell_id)
        if (parts.sweep, parts.tui) != (self.sweep_id, self.tui):
            raise ValueError(f"sweep_id and tui are not those of the cell_id {self.cell_id!r}")
        return self


class Timing(FileModel):
    """When the cell ran, and the tokens that it took."""

    started_at: Instant
    """RFC 3339 UTC, microseconds."""
    ended_at: Instant
    """RFC 3339 UTC, microseconds."""
    duration: str
    """For people, such as `203.10 s`."""
    duration_ms: Duration
    """By a monotonic clock."""
    prompt_tokens: Count | None = None
    """Derived: what the scorer says."""
    completion_tokens: Count | None = None
    """Derived: what the scorer says."""
    tokens_source: TokensSource = "none"
    """Derived: who counted them."""

    @classmethod
    def of_run(cls, started_at: str, ended_at: str, duration_ms: float) -> Self:
        """Return the timing of a run whose tokens are not scored yet."""
        return cls(
            started_at=started_at,
            ended_at=ended_at,
            duration=f"{duration_ms / 1000:.2f} s",
            duration_ms=duration_ms,
        )

    @model_validator(mode="after")
    def _ends_after_it_started(self) -> Self:
        if instant_us(self.ended_at) < instant_us(self.started_at):
            raise ValueError(f"ended_at {self.ended_at} is before started_at {self.started_at}")
        return self


class SelfReport(FileModel):
    """What the agent says of its own tokens; never mixed with what was metered."""

    prompt_tokens: Count | None
    """Tokens sent, as the agent counts them."""
    completion_tokens: Count | None
    """Tokens received, as the agent counts them."""
    total_tokens: Count | None
    """Both, if it says so or both are known."""
    source: str
    """Where it says so, such as `tui_stdout`."""
    exact: bool
    """False where it prints rounded figures, or is known to leave calls out."""


class CellFacts(FileModel):
    """What was recorded of a cell, apart from its calls and its trees."""

    # Scores are in the same file; here they are of no interest.
    model_config = ConfigDict(extra="ignore")

    identity: Identity
    """Which cell."""
    timing: Timing
    """When."""
    task: TaskFacts
    """What the agent was asked."""
    check: CheckOutcome
    """What the hidden check left behind."""
    self_reported: SelfReport | None = None
    """The agent's own count, if it gives one."""
    spans: list[Span] = Field(default_factory=list[Span])
    """What happened when."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if parse_cell_id(self.identity.cell_id).task_id != self.task.task_id:
            raise ValueError(f"task_id {self.task.task_id!r} is not the task of the cell_id")
        return self


class Scorers(KnownAxes):
    """The published scorers, six axes and the composite, and the axes of our own."""

    composite: Composite
    """By the published formula."""


class Cell(FileModel):
    """A scored cell, the content of `cell.json`."""

    cell_schema: Literal["cab.cell/1"] = Field(default=CELL_SCHEMA, alias="schema")
    """Always `cab.cell/1` today."""
    identity: Identity
    """Which cell."""
    timing: Timing
    """When, and the tokens it took."""
    task: TaskFacts
    """What the agent was asked."""
    check: CheckOutcome
    """What the hidden check left behind."""
    self_reported: SelfReport | None
    """The agent's own count, if it gives one."""
    scorers: Scorers
    """The published keys."""
    profiles: dict[str, Composite]
    """Profile name -> composite."""
    spans: list[Span]
    """What happened when."""


def dump_cell(cell: Cell) -> bytes:
    """Return a cell as the bytes of its `cell.json`.

    Raises:
        BadRecord: A number is past what JSON readers take.
    """
    return _dump(cell, orjson.OPT_INDENT_2)


def cell_line(cell: Cell) -> bytes:
    """Return a cell as one line of JSON: its `cell.json` without white space, newline included.

    Raises:
        BadRecord: A number is past what JSON readers take.
    """
    return _dump(cell, 0)


def _dump(cell: Cell, option: int) -> bytes:
    data = cell.model_dump(mode="json", by_alias=True)
    try:
        return orjson.dumps(data, option=option | orjson.OPT_APPEND_NEWLINE)
    except TypeError as error:
        raise BadRecord(cell.identity.cell_id, None, str(error)) from error
