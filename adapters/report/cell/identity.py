"""What exactly ran, and when: the key names of the published page, and what CAB knows beyond them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from cab.adapters.report.cell.facts import ReportCell, page_part
from cab.adapters.report.render.marks import MarkedText, measured
from cab.adapters.report.render.numbers import duration, integer
from cab.adapters.report.render.visible import cut

_MOST_CHARS = 500
"""Of one fact of a page from elsewhere."""


class FactRow(NamedTuple):
    """One line of a table of facts."""

    key: str
    value: str | MarkedText | None
    """None is shown as "not recorded"."""
    is_code: bool = False
    note: str = ""
    """Stands behind the value."""


def identity_rows(cell: ReportCell) -> list[FactRow]:
    """Return what ran."""
    return list(_identity(cell, _facts(cell, "identity")))


def timing_rows(cell: ReportCell) -> list[FactRow]:
    """Return when it ran, and how long its parts took."""
    return list(_timing(cell, _facts(cell, "timing")))


def _facts(cell: ReportCell, part: str) -> dict[str, Any]:
    """Return identity or timing of a bundle or of a page, as it is written there."""
    if cell.scored.cell is not None:
        facts: dict[str, Any] = getattr(cell.scored.cell, part).model_dump(mode="json")
        return facts
    return page_part(cell, part)


def _text(value: object) -> str | None:
    return None if value is None or isinstance(value, dict | list) else cut(str(value), _MOST_CHARS)


def _identity(cell: ReportCell, facts: dict[str, Any]) -> Iterator[FactRow]:
    yield FactRow("cell_id", cell.cell_id, is_code=True)
    yield FactRow("sweep_id", cell.parts.sweep if cell.parts else None, is_code=True)
    yield from _image(facts)
    yield FactRow("model_build_id", _text(facts.get("model_build_id")) or cell.model, is_code=True)
    version = _text(facts.get("agent_version"))
    yield FactRow("agent", cell.agent if version is None else f"{cell.agent} {version}")
    origin = cell.scored.imported.origin if cell.scored.imported else None
    if origin is not None:
        made = origin.form if origin.version is None else f"{origin.form} {origin.version}"
        yield FactRow("imported from", made, note=f"as {origin.name}" if origin.name else "")
    elif cell.is_published:
        yield FactRow("cab", "none: a page of the published site")
    else:
        yield FactRow("cab", _text(facts.get("cab_version")))
    yield FactRow("exit_code", _text(facts.get("exit_code")))


def _image(facts: dict[str, Any]) -> Iterator[FactRow]:
    image, digest = _text(facts.get("container_image")), _text(facts.get("image_digest"))
    sandbox = _text(facts.get("sandbox"))
    none = f"none: it ran in the {sandbox} sandbox" if sandbox and image is None else None
    yield FactRow("container_image", image or none, is_code=image is not None)
    yield FactRow("image_digest", digest or ("none" if none else None), is_code=digest is not None)
    check = _text(facts.get("check_image"))
    if check is not None:
        yield FactRow("check_image", check, is_code=True)
        check_digest = _text(facts.get("check_image_digest"))
        yield FactRow("check_image_digest", check_digest, is_code=check_digest is not None)


def _timing(cell: ReportCell, facts: dict[str, Any]) -> Iterator[FactRow]:
    latency, calls = cell.axes.latency, cell.axes.calls
    yield FactRow("started_at", _text(facts.get("started_at")), is_code=True)
    yield FactRow("ended_at", _text(facts.get("ended_at")), is_code=True)
    wall_ms = latency.wall_clock_ms if latency else None
    yield FactRow("duration", _clocked(cell, wall_ms))
    yield FactRow("agent process", _clocked(cell, latency.container_active_ms if latency else None))
    # A page's 0 means that nobody looked.
    metered = latency is not None and latency.model_call_busy_ms is not None
    if latency is None or not metered:
        yield FactRow("model calls", None)
    else:
        busy = duration(latency.model_call_busy_ms)
        note = "; some latencies are unknown" if latency.model_call_ms is None else ""
        sums = MarkedText(
            duration(latency.known_model_call_ms),
            "at least" if latency.model_call_ms is None else "measured",
            "the proxy's clock",
        )
        yield FactRow("model calls", sums, note=f"overlaps once: {busy}{note}")
    yield _first_token(cell)
    for key in ("prompt_tokens", "completion_tokens"):
        yield FactRow(key, _tokens(cell, key))
    yield FactRow("tokens source", _source(cell, _text(facts.get("tokens_source"))))
    if calls is not None and calls.output_tokens_per_s is not None:
        rate = measured(
            f"{calls.output_tokens_per_s:,.0f} tokens/s", "streams: first token to last"
        )
        yield FactRow("output rate", rate)


def _source(cell: ReportCell, stated: str | None) -> str | None:
    """Return who counted the tokens that the rows above show."""
    if cell.has_no_calls:
        return "none: there were no calls"
    own = cell.self_reported.source if cell.self_reported else None
    return cell.token_source or (None if stated == "none" else stated) or own


def _tokens(cell: ReportCell, key: str) -> MarkedText:
    tokens, own = cell.axes.tokens, cell.self_reported
    value = None if cell.zeros_for_gaps else getattr(tokens, key)
    if value is None and own is not None and not tokens.by_source:
        return MarkedText(integer(getattr(own, key)), "self-reported", own.source)
    return MarkedText(integer(value), cell.token_mark)


def _clocked(cell: ReportCell, ms: float | None) -> MarkedText:
    by = "the runner's clock" if cell.scored.imported is None else "its own file"
    return MarkedText(duration(ms), cell.clock_mark, by)


def _first_token(cell: ReportCell) -> FactRow:
    calls = cell.axes.calls
    if calls is None or calls.ttft_ms_median is None:
        streamed = any(call.end and call.end.stream for call in cell.calls)
        note = "no call streamed" if cell.calls and not streamed else ""
        return FactRow("first token", None, note=note)
    median = measured(duration(calls.ttft_ms_median), "median, by the proxy's clock")
    note = f"median; 95th percentile {duration(calls.ttft_ms_p95)}"
    return FactRow("first token", median, note=note)
