"""Why answers ended, in one word for all dialects."""

from collections.abc import Mapping
from typing import Literal

StopReason = Literal["stop", "length", "tool_call", "content_filter"]

_REASONS: Mapping[str, StopReason] = {
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "completed"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens"), "length"),
    **dict.fromkeys(("tool_calls", "tool_use", "function_call"), "tool_call"),
    **dict.fromkeys(
        ("content_filter", "safety", "refusal", "prohibited_content"), "content_filter"
    ),
}


def stop_reason(finish: str | None) -> StopReason | None:
    """Return why an answer ended; None if the dialect says something else, or nothing.

    >>> stop_reason("MAX_TOKENS"), stop_reason("pause_turn")
    ('length', None)
    """
    return _REASONS.get((finish or "").lower())
