"""Moods: how the demo misbehaves on purpose, so that agents and meters can be tried on it."""

from typing import Literal, NamedTuple, get_args

from cab.proxy.demo.dialects.errors import ErrorReply
from cab.proxy.errors import BadConfig
from cab.scoring.ledger.records import Endpoint

FaultModeName = Literal[
    "unauthorized", "rate_limited", "server_error", "budget", "cut_stream", "slow_stream"
]
NAMES: tuple[str, ...] = get_args(FaultModeName)

FOREVER = None
"""As a number of calls: all of them."""
_LASTS: dict[FaultModeName, int | None] = {
    "unauthorized": FOREVER,
    "rate_limited": 2,
    "server_error": 1,
    "budget": FOREVER,
    "cut_stream": 1,
    "slow_stream": FOREVER,
}
"""For how many model calls a mood lasts if nobody says."""
_BY_WORD: dict[str, FaultModeName] = {name: name for name in _LASTS}
PAUSE_S = 0.5
"""Pause between the events of a slow stream if nobody says."""


class FaultMode(NamedTuple):
    """A way to misbehave."""

    name: FaultModeName
    """`unauthorized` 401; `rate_limited` 429 with `Retry-After: 1`; `server_error` 500; `budget` as an
    endpoint refuses whose budget is spent; `cut_stream` resets the connection in the midst of the
    answer, streamed or not; `slow_stream` pauses before each event, or before a whole answer."""
    calls: int | None = FOREVER
    """For how many model calls; None for all of them."""
    pause_s: float = PAUSE_S
    """Pause of a slow stream."""


class FaultModes:
    """The mood of a demo that runs, and for how long it lasts."""

    def __init__(self, mood: FaultMode | None = None) -> None:
        self.mood = mood

    def take(self) -> FaultMode | None:
        """Return the mood in which the next model call is answered; None for a good one."""
        mood = self.mood
        if mood is not None and mood.calls is not None:
            self.mood = mood._replace(calls=mood.calls - 1) if mood.calls > 1 else None
        return mood


def read_fault_mode(text: str, pause_s: float = PAUSE_S) -> FaultMode:
    """Return the mood that a text names: `NAME`, `NAME:CALLS` or `NAME:all`.

    Args:
        text: Without a number the mood lasts as long as is usual for it.
        pause_s: Pause of a slow stream.

    Raises:
        BadConfig: There is no such mood, or the number is none.
    """
    word, colon, calls = text.partition(":")
    name = _BY_WORD.get(word)
    if name is None:
        raise BadConfig(f"mood {word!r} is unknown; known moods: {', '.join(NAMES)}")
    if not colon:
        return FaultMode(name, _LASTS[name], pause_s)
    if calls == "all":
        return FaultMode(name, FOREVER, pause_s)
    if not (calls.isascii() and calls.isdigit() and int(calls)):
        raise BadConfig(f"mood {text!r}: after the colon stands a number from 1 on, or all")
    return FaultMode(name, int(calls), pause_s)


def error_reply_in(mood: FaultMode | None, endpoint: Endpoint) -> ErrorReply | None:
    """Return the refusal that a mood has for a call; None if it answers."""
    if mood is None or mood.name in ("cut_stream", "slow_stream"):
        return None
    if mood.name == "budget":
        # Statuses on which agents give up: with others they would send the call again.
        return _BUDGET._replace(status=402 if endpoint == "messages" else 400)
    return _REFUSALS[mood.name]


_BUDGET = ErrorReply(
    400,
    "the budget for this key is spent",
    code="budget_exceeded",
    headers={"x-should-retry": "false"},
)
_REFUSALS = {
    "unauthorized": ErrorReply(401, "the API key is not valid", code="invalid_api_key"),
    "rate_limited": ErrorReply(
        429, "too many requests", code="rate_limit_exceeded", headers={"Retry-After": "1"}
    ),
    "server_error": ErrorReply(500, "the server had an error"),
}
