"""Where the time of a run went: one bar of the wall clock."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from cab.adapters.report.cell.calls import PageCall
from cab.adapters.report.render.marks import MarkedText, measured
from cab.adapters.report.render.numbers import duration, percent


class TimeShare(NamedTuple):
    """One part of the bar."""

    key: str
    """Class of its colour."""
    name: str
    time: MarkedText
    share: str
    """Of the wall clock."""


_NAMES = {
    "model": "model answers",
    "wait": "until the first token",
    "failed": "failed attempts",
    "agent": "agent and tools",
}


def split_ms(calls: Sequence[PageCall], wall_ms: float) -> dict[str, float]:
    """Return key -> milliseconds; the parts add up to the wall clock.

    Calls may overlap: each moment counts once, as the first of these that holds for some call: it is
    answered, its first token is awaited, it is an attempt that failed; otherwise the agent works.

    Args:
        calls: The cell's calls.
        wall_ms: Duration of the cell.
    """
    edges: list[tuple[float, int, int]] = []
    for call in calls:
        at, end = call.at_ms, call.at_ms + (call.latency_ms or 0.0)
        first = min(at + (call.ttft_ms or 0.0), end) if call.ok else end
        edges += [(at, 1 if call.ok else 2, 1), (first, 1 if call.ok else 2, -1)]
        edges += [(first, 0, 1), (end, 0, -1)]
    open_, sums, last = [0, 0, 0], [0.0, 0.0, 0.0, 0.0], 0.0
    for at, kind, change in sorted([*edges, (wall_ms, 0, 0)]):
        now = max(0.0, min(at, wall_ms))
        running = next((n for n, count in enumerate(open_) if count > 0), 3)
        sums[running] += now - last
        last = now
        open_[kind] += change
    return dict(zip(_NAMES, sums, strict=True))


def time_shares(calls: Sequence[PageCall], wall_ms: float) -> list[TimeShare]:
    """Return the parts that are not empty, for the words below the bar."""
    return [
        TimeShare(key, _NAMES[key], measured(duration(ms)), percent(ms / wall_ms) or "")
        for key, ms in split_ms(calls, wall_ms).items()
        if ms > 0
    ]


def split_bar(calls: Sequence[PageCall], wall_ms: float) -> Markup:
    """Return the bar; the words below it hold the same figures."""
    x, parts = 0.0, [Markup("")]
    for key, ms in split_ms(calls, wall_ms).items():
        if ms > 0:
            width = 100 * ms / wall_ms
            parts.append(
                Markup('<rect class="f-{}" x="{:.3f}%" width="{:.3f}%" height="10"/>').format(
                    key, x, width
                )
            )
            x += width
    return Markup('<svg class="bar" width="100%" height="10" aria-hidden="true">{}</svg>').format(
        Markup("").join(parts)
    )
