"""A cell as a sample of an Inspect log: the task is the sample, the run is its epoch.

Each attempt of a model call is a model event with its usage and its times. Prompts and answers are in it
where they were kept and are asked for; the input is the task as it was put to the agent.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

from cab.scoring.cells.cell import Cell
from cab.scoring.evidence.messages.captured import CapturedMessages
from cab.scoring.evidence.messages.model import SaidRequest
from cab.scoring.exports.inspect.messages import chat_messages, output_choices, tool_infos
from cab.scoring.exports.inspect.scores import Score, scores_of
from cab.scoring.exports.inspect.usage import usage, usage_of_cell
from cab.scoring.exports.plain import known
from cab.scoring.exports.source import Source
from cab.scoring.ledger.call_stats import UNFINISHED, failure_class, has_succeeded, read_price
from cab.scoring.ledger.records import CallEnd, CallStart
from cab.scoring.timestamps import instant_us

_SUMMARY_CHARS = 5120
"""Inspect keeps no more of a text in a summary."""


def digest(*parts: str) -> str:
    """Return an id of the length of Inspect's own that the same parts always give."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:22]


def sample(source: Source, captured: CapturedMessages | None = None) -> dict[str, Any]:
    """Return the sample of a cell.

    Args:
        source: The cell.
        captured: What was said in its calls, to be in the events; None leaves it out.

    Raises:
        BadRecord: Its calls cannot be read, or a price is not an amount of money.
    """
    cell = source.cell
    scores = list(scores_of(cell))
    events = [_event(cell, call, captured) for call in source.calls()]
    prompt = {"id": digest(cell.identity.cell_id, "prompt"), "content": cell.task.prompt}
    return {
        "id": source.cell_id.task_id,
        "epoch": source.cell_id.run or 1,
        "input": cell.task.prompt,
        "target": "",
        "messages": _conversation(events) or [{**prompt, "source": "input", "role": "user"}],
        "output": _no_answer(cell.identity.model_build_id),
        "scores": {made.name: _score(made) for made in scores if made.value is not None},
        "metadata": {"cab": _facts(cell, scores)},
        "store": {},
        "events": events,
        "model_usage": model_usage(cell),
        "role_usage": {},
        "started_at": cell.timing.started_at,
        "completed_at": cell.timing.ended_at,
        "total_time": cell.timing.duration_ms / 1000,
        "uuid": digest(cell.identity.cell_id),
        "error_retries": [],
        "attachments": {},
    }


def model_usage(cell: Cell) -> dict[str, Any]:
    """Return the usage of a cell under its model; nothing if it is not known."""
    used = usage_of_cell(cell)
    return {} if used is None else {cell.identity.model_build_id: used}


def price_sources(cell: Cell) -> list[str]:
    """Return where the prices in a cell's usage are from, in order; Inspect's usage has no place for them."""
    cost = cell.scorers.cost
    return sorted((cost and cost.price_sources) or [])


def summary(made: dict[str, Any]) -> dict[str, Any]:
    """Return the summary of a sample, as Inspect lists it without reading the sample."""
    same = ("id", "epoch", "target", "model_usage", "role_usage", "uuid")
    times = ("started_at", "completed_at", "total_time")
    values = {name: {"value": score["value"]} for name, score in made["scores"].items()}
    return {
        **{name: made[name] for name in (*same, *times)},
        "input": made["input"][:_SUMMARY_CHARS],
        "metadata": {},
        "scores": values,
        "retries": 0,
        "completed": True,
        "message_count": len(made["messages"]),
    }


def _conversation(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages of the last call of which some are known, its answer included."""
    last = next((event for event in reversed(events) if event["input"]), None)
    if last is None:
        return []
    return [*last["input"], *(choice["message"] for choice in last["output"]["choices"][:1])]


def _no_answer(model: str) -> dict[str, Any]:
    return {"model": model, "choices": [], "completion": ""}


def _score(made: Score) -> dict[str, Any]:
    return {"value": made.value, "metadata": made.metadata, "history": []}


def _facts(cell: Cell, scores: Iterable[Score]) -> dict[str, Any]:
    return {
        **cell.identity.model_dump(mode="json"),
        "task": cell.task.model_dump(mode="json", exclude={"prompt"}),
        "tokens_source": cell.timing.tokens_source,
        "price_sources": price_sources(cell),
        "self_reported": cell.self_reported and cell.self_reported.model_dump(mode="json"),
        "not_scored": {made.name: made.why_none for made in scores if made.value is None},
    }


def _event(
    cell: Cell, call: CallEnd | CallStart, captured: CapturedMessages | None
) -> dict[str, Any]:
    began_us = instant_us(call.started_at) - instant_us(cell.timing.started_at)
    end = call if isinstance(call, CallEnd) else None
    model = (end.model_served if end else None) or call.model_requested or "unknown"
    said = captured.said(call.call_id) if captured else None
    request = (said.request if said else None) or SaidRequest()
    made: dict[str, Any] = {
        "event": "model",
        "uuid": call.call_id,
        "timestamp": call.started_at,
        "working_start": began_us / 1_000_000,
        "model": model,
        "input": chat_messages(request.messages),
        "tools": tool_infos(request),
        "tool_choice": "none",
        "config": {},
        **(_ended(end, model) if end else {"output": _no_answer(model), "error": UNFINISHED}),
    }
    if said and said.answer:
        made["output"] = {**made["output"], **output_choices(said.answer, model)}
    return made


def _ended(end: CallEnd, model: str) -> dict[str, Any]:
    time_s = None if end.latency_ms is None else end.latency_ms / 1000
    used = usage(
        end.prompt_tokens,
        end.completion_tokens,
        cache_read=end.cache_read_tokens,
        cache_write=end.cache_write_tokens,
        reasoning=end.reasoning_tokens,
        cost_usd=read_price(end),
    )
    return known(
        output={**_no_answer(model), **known(usage=used, time=time_s)},
        completed=end.ended_at,
        working_time=time_s,
        error=None if has_succeeded(end) else _error(end),
        metadata={"cab": _record(end)},
    )


def _error(end: CallEnd) -> str:
    return f"{end.error.type}: {end.error.message}" if end.error else failure_class(end)


def _record(end: CallEnd) -> dict[str, Any]:
    names = ("attempt", "retry_of", "status", "end_reason", "finish_reason", "tool_calls")
    counted = ("usage_source", "usage_status", "price_source", "ttft_ms", "hash")
    return known(**{name: getattr(end, name) for name in (*names, *counted)})
