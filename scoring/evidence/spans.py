"""Spans: what happened when within a cell, in the published kinds."""

from typing import Any, Literal

from pydantic import Field

from cab.scoring.files import FileModel
from cab.scoring.timestamps import Duration

SpanKind = Literal["task_setup", "tool_call", "container", "adapter_run", "cleanup"]


class Span(FileModel):
    """One stretch of time."""

    span_id: str
    """Unique within the cell."""
    parent_id: str | None = None
    """Span that this one is part of."""
    kind: SpanKind
    """Published kind."""
    name: str
    """What ran, such as `aider:launch`."""
    start_ms: Duration
    """Offset from the cell's start."""
    duration_ms: Duration
    """How long it took."""
    attrs: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Facts of this span, secrets masked."""
