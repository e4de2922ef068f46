"""Records the spans of a run: what happened when, under which parent."""

import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from cab.scoring.evidence.spans import Span, SpanKind


class OpenSpan:
    """A span that has started; attributes may be added to `attrs` until it ends."""

    def __init__(self, parent_id: str | None, start_ns: int, attrs: dict[str, Any]) -> None:
        self.span_id = uuid.uuid4().hex
        self.parent_id = parent_id
        self.start_ns = start_ns
        self.attrs = attrs
        self.excluded_ms = 0.0
        """Time at its end that does not belong to it."""


class SpanRecorder:
    """Collects spans in the order in which they end, offsets counted from its own making.

    Args:
        clock_ns: Monotonic clock.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._start_ns = clock_ns()
        self._spans: list[Span] = []

    @property
    def spans(self) -> list[Span]:
        """All spans that have ended."""
        return list(self._spans)

    def elapsed_ms(self) -> float:
        """Return the time since the recorder was made."""
        return _ms(self._clock_ns() - self._start_ns)

    @contextmanager
    def span(
        self, kind: SpanKind, name: str, parent: OpenSpan | None = None, **attrs: object
    ) -> Generator[OpenSpan]:
        """Record what happens inside the block, however it ends."""
        parent_id = None if parent is None else parent.span_id
        opened = OpenSpan(parent_id, self._clock_ns(), attrs)
        try:
            yield opened
        finally:
            self._close(opened, kind, name)

    def _close(self, opened: OpenSpan, kind: SpanKind, name: str) -> None:
        span = Span(
            span_id=opened.span_id,
            parent_id=opened.parent_id,
            kind=kind,
            name=name,
            start_ms=_ms(opened.start_ns - self._start_ns),
            duration_ms=round(_ms(self._clock_ns() - opened.start_ns) - opened.excluded_ms, 3),
            attrs=opened.attrs,
        )
        self._spans.append(span)


def _ms(duration_ns: int) -> float:
    return round(duration_ns / 1e6, 3)
