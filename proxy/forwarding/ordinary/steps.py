"""The states of an ordinary call, and how each of its steps is guarded."""

from collections.abc import Callable
from enum import Enum, auto
from functools import wraps
from typing import Protocol, TypeVar, cast


class State(Enum):
    """How far a call is; see `call`."""

    STARTING = auto()
    CONNECTING = auto()
    WAITING = auto()
    RELAYING = auto()
    ENDING = auto()
    LINGERING = auto()
    OVER = auto()
    TAKEN_OVER = auto()


class _Call(Protocol):
    def crash(self, error: Exception) -> None:
        """Take a fault of ours."""
        ...


_Step = TypeVar("_Step", bound=Callable[..., None])


def step(method: _Step) -> _Step:
    """Let a fault of ours end the call, and nothing else."""

    @wraps(method)
    def guarded(call: _Call, *values: object) -> None:
        try:
            method(call, *values)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call ends and is logged
            call.crash(error)

    return cast("_Step", guarded)


def bare_step(method: _Step) -> _Step:
    """Do the same for a step without values: every call takes these, and any number costs more."""

    @wraps(method)
    def guarded(call: _Call) -> None:
        try:
            method(call)
        except Exception as error:  # noqa: BLE001 - as above
            call.crash(error)

    return cast("_Step", guarded)


def step_with(method: _Step) -> _Step:
    """Do the same for a step with one value."""

    @wraps(method)
    def guarded(call: _Call, value: object) -> None:
        try:
            method(call, value)
        except Exception as error:  # noqa: BLE001 - as above
            call.crash(error)

    return cast("_Step", guarded)
