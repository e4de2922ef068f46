"""Fault modes: how the demo misbehaves on purpose, so that agents and meters can be tried on it."""

from typing import Literal, NamedTuple, get_args

from cab.proxy.demo.dialects.errors import ErrorReply
from cab.proxy.errors import BadConfig
from cab.scoring.ledger.records import Endpoint

FaultModeName = Literal[
    "unauthorized", "rate_limited", "server_error", "budget", "cut_stream", "slow_stream"
]
NAMES: tuple[FaultModeName, ...] = get_args(FaultModeName)

ALL_CALLS = None
"""As a number of calls: all of them."""
PAUSE_S = 0.5
"""Default pause between the events of a slow stream."""
_DEFAULT_CALLS: dict[FaultModeName, int | None] = {
    "unauthorized": ALL_CALLS,
    "rate_limited": 2,
    "server_error": 1,
    "budget": ALL_CALLS,
    "cut_stream": 1,
    "slow_stream": ALL_CALLS,
}
_BY_WORD: dict[str, FaultModeName] = {name: name for name in NAMES}


class FaultMode(NamedTuple):
    """A way to misbehave."""

    name: FaultModeName
    """`unauthorized` 401; `rate_limited` 429 with `Retry-After: 1`; `server_error` 500; `budget` as an
    endpoint answers whose budget is spent; `cut_stream` resets the connection in the middle of the
    answer, streamed or not; `slow_stream` pauses before each event, or before a whole answer."""
    calls: int | None = ALL_CALLS
    """For how many model calls; None for all of them."""
    pause_s: float = PAUSE_S
    """Pause of a slow stream."""


class FaultModes:
    """The fault mode of a demo that runs, and how many calls of it are left."""

    def __init__(self, current: FaultMode | None = None) -> None:
        self.current = current

    def take(self) -> FaultMode | None:
        """Return the fault mode of the next model call; None if it is answered as it should be."""
        mode = self.current
        if mode is not None and mode.calls is not None:
            self.current = mode._replace(calls=mode.calls - 1) if mode.calls > 1 else None
        return mode


def read_fault_mode(text: str, pause_s: float = PAUSE_S) -> FaultMode:
    """Return the fault mode that a text names: `NAME`, `NAME:CALLS` or `NAME:all`.

    Args:
        text: Without a number it lasts as many calls as is usual for the mode.
        pause_s: Pause of a slow stream.

    Raises:
        BadConfig: The mode or the number is not valid.
    """
    word, colon, calls = text.partition(":")
    name = _BY_WORD.get(word)
    if name is None:
        raise BadConfig(f"fault mode {word!r} is unknown; known fault modes: {', '.join(NAMES)}")
    if not colon:
        return FaultMode(name, _DEFAULT_CALLS[name], pause_s)
    if calls == "all":
        return FaultMode(name, ALL_CALLS, pause_s)
    if not (calls.isascii() and calls.isdigit() and int(calls)):
        raise BadConfig(f"fault mode {text!r}: after the colon give a number of calls, or all")
    return FaultMode(name, int(calls), pause_s)


def error_of(mode: FaultMode | None, endpoint: Endpoint) -> ErrorReply | None:
    """Return the error with which a fault mode answers a call; None if it sends an answer."""
    if mode is None or mode.name in ("cut_stream", "slow_stream"):
        return None
    if mode.name == "budget":
        # Statuses on which agents give up: with others they would send the call again.
        return _BUDGET._replace(status=402 if endpoint == "messages" else 400)
    return _ERRORS[mode.name]


_BUDGET = ErrorReply(
    400,
    "the budget for this key is spent",
    code="budget_exceeded",
    headers={"x-should-retry": "false"},
)
_ERRORS = {
    "unauthorized": ErrorReply(401, "the API key is not valid", code="invalid_api_key"),
    "rate_limited": ErrorReply(
        429, "too many requests", code="rate_limit_exceeded", headers={"Retry-After": "1"}
    ),
    "server_error": ErrorReply(500, "the server had an error"),
}
