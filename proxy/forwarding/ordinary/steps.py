"""The states of an ordinary call, and how each of its steps is guarded."""

from collections.abc import Callable
from enum import Enum, auto
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

_P = ParamSpec("_P")


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


class _Crashing(Protocol):
    def crash(self, error: Exception) -> None:
        """Take a fault of ours."""
        ...


_C = TypeVar("_C", bound=_Crashing)
_V = TypeVar("_V")


def step(method: Callable[Concatenate[_C, _P], None]) -> Callable[Concatenate[_C, _P], None]:
    """Let a fault of ours end the call, and nothing else."""

    @wraps(method)
    def guarded(call: _C, /, *values: _P.args, **named: _P.kwargs) -> None:
        try:
            method(call, *values, **named)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call ends and is logged
            call.crash(error)

    return guarded


def bare_step(method: Callable[[_C], None]) -> Callable[[_C], None]:
    """Do the same for a step without values: every call takes these, and any number costs more."""

    @wraps(method)
    def guarded(call: _C) -> None:
        try:
            method(call)
        except Exception as error:  # noqa: BLE001 - as above
            call.crash(error)

    return guarded


def step_with(method: Callable[[_C, _V], None]) -> Callable[[_C, _V], None]:
    """Do the same for a step with one value."""

    @wraps(method)
    def guarded(call: _C, value: _V) -> None:
        try:
            method(call, value)
        except Exception as error:  # noqa: BLE001 - as above
            call.crash(error)

    return guarded
