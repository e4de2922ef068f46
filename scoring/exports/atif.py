"""A cell's calls as a trajectory of Harbor: Agent Trajectory Interchange Format, version 1.7.

The first step is the task as it was put to the agent, then follows one step per attempt of a model
call, with what was metered. Prompts and answers are in it where they were kept and are asked for; else
what would be quoted from them is empty or missing, and the trajectory says so. Prompt tokens include cached ones here as there.
"""

from collections.abc import Iterable
from typing import Any, Final

from cab.scoring.cells.cell import Cell
from cab.scoring.evidence.messages.captured import CapturedMessages
from cab.scoring.exports.atif_messages import TrajectoryMessages
from cab.scoring.exports.plain import dollars, known
from cab.scoring.exports.source import Source
from cab.scoring.ledger.call_stats import UNFINISHED, read_price
from cab.scoring.ledger.records import CallEnd, CallStart

ATIF_VERSION: Final = "ATIF-v1.7"
"""What the format calls this version."""

UNKNOWN_VERSION: Final = "unknown"
"""The format demands the agent's version as text; a cell may not hold it."""

NOTES: Final = (
    "Made from the records of a metering proxy. Each agent step is one attempt of a model call. "
    "The proxy stores no prompts and answers: messages of agent steps are empty, reasoning, tool "
    "calls and observations are missing, and extra.tool_calls only counts them. A figure that is "
    "missing was not measured."
)
"""What a reader of the trajectory must know."""


MESSAGES_NOTES: Final = (
    "Made from the records and the capture of a metering proxy. Each agent step is one attempt of a model "
    "call; other steps are what was new in the request of the next call. Results of tools are "
    "observations of the step that called them. Of images only type and size are told. A figure that is "
    "missing was not measured."
)
"""The same for one with messages."""


def trajectory(source: Source, captured: CapturedMessages | None = None) -> dict[str, Any]:
    """Return the trajectory of a cell.

    Args:
        source: The cell.
        captured: What was said in its calls, to be in the steps; None leaves it out.

    Raises:
        BadRecord: Its calls cannot be read, or a price is not an amount of money.
    """
    cell = source.cell
    steps = list(_steps(cell, source.calls(), captured))
    return {
        "schema_version": ATIF_VERSION,
        "session_id": cell.identity.cell_id,
        "trajectory_id": cell.identity.cell_id,
        "agent": {
            "name": cell.identity.tui,
            "version": cell.identity.agent_version or UNKNOWN_VERSION,
            "model_name": cell.identity.model_build_id,
        },
        "steps": steps,
        "notes": MESSAGES_NOTES if captured else NOTES,
        "final_metrics": _final(cell, len(steps)),
        "extra": {"cab": _extra(cell)},
    }


def _steps(
    cell: Cell, calls: Iterable[CallEnd | CallStart], captured: CapturedMessages | None
) -> Iterable[dict[str, Any]]:
    task = {
        "timestamp": cell.timing.started_at,
        "source": "user",
        "message": cell.task.prompt,
    }
    steps, said = [task], TrajectoryMessages(captured) if captured else None
    for call in calls:
        if said is None:
            steps.append(_step(call))
        else:
            steps += said.before(call.call_id, call.started_at)
            steps.append(said.answer(call.call_id, _step(call)))
    return ({"step_id": number, **step} for number, step in enumerate(steps, 1))


def _step(call: CallEnd | CallStart) -> dict[str, Any]:
    end = call if isinstance(call, CallEnd) else None
    served = end.model_served if end else None
    return known(
        timestamp=call.started_at,
        source="agent",
        model_name=served or call.model_requested,
        message="",
        llm_call_count=1,
        metrics=_metrics(end) if end else None,
        extra=_facts(end) if end else {"call_id": call.call_id, "end_reason": UNFINISHED},
    )


def _metrics(end: CallEnd) -> dict[str, Any]:
    return known(
        prompt_tokens=end.prompt_tokens,
        completion_tokens=end.completion_tokens,
        cached_tokens=end.cache_read_tokens,
        cost_usd=dollars(read_price(end)),
        extra=known(
            cache_write_tokens=end.cache_write_tokens,
            reasoning_tokens=end.reasoning_tokens,
            usage_source=end.usage_source,
            usage_status=end.usage_status,
            price_source=end.price_source,
        ),
    )


def _facts(end: CallEnd) -> dict[str, Any]:
    return known(
        call_id=end.call_id,
        attempt=end.attempt,
        retry_of=end.retry_of,
        status=end.status,
        end_reason=end.end_reason,
        finish_reason=end.finish_reason,
        tool_calls=end.tool_calls,
        latency_ms=end.latency_ms,
        ttft_ms=end.ttft_ms,
        error_type=end.error.type if end.error else None,
        record_hash=end.hash,
    )


def _final(cell: Cell, steps: int) -> dict[str, Any]:
    tokens, cost = cell.scorers.tokens, cell.scorers.cost
    return known(
        total_prompt_tokens=tokens.prompt_tokens,
        total_completion_tokens=tokens.completion_tokens,
        total_cached_tokens=tokens.cache_read_tokens,
        total_cost_usd=dollars(cost.cost_usd) if cost else None,
        total_steps=steps,
        extra=known(
            total_reasoning_tokens=tokens.reasoning_tokens,
            model_calls=tokens.model_calls,
            unmeasured_calls=tokens.unmeasured_calls,
            tokens_source=cell.timing.tokens_source,
            price_sources=(cost.price_sources or None) if cost else None,
        ),
    )


def _extra(cell: Cell) -> dict[str, Any]:
    composites = {name: made.composite for name, made in cell.profiles.items()}
    return {
        "cab_version": cell.identity.cab_version,
        "passed": cell.scorers.pass_rate.passed,
        "duration_ms": cell.timing.duration_ms,
        "composites": composites,
    }
