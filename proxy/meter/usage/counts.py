"""Counts out of a usage object whose members are still to be judged."""

from typing import NamedTuple

from cab.proxy.meter.json_values import JsonObject, is_object
from cab.scoring.ledger.bounds import MAX_COUNT

_MAX_DIGITS = 16


class Usage(NamedTuple):
    """Token counts of one call, in one convention."""

    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class UsageReader:
    """Reads counts from an endpoint's usage object and collects what is to be said about them."""

    def __init__(self, raw: JsonObject) -> None:
        self.raw = raw
        self.warnings: list[str] = []
        """What was there and could not be understood."""
        self.notes: list[str] = []
        """Where a rule changed or completed what the endpoint stated."""
        self.faults: list[str] = []
        """What contradicts itself, and no rule explains it."""
        self.parts: list[JsonObject] = []
        """Usage of each pass over a model, where the endpoint states it."""
        self.overflow = False
        """Whether a count was larger than any that a call can have."""
        self.generates = True
        """Whether the model writes tokens at all."""

    def count(self, *path: str) -> int | None:
        """Return the count at `path`, `None` if there is none."""
        value: object = self.raw
        for name in path:
            if not is_object(value):
                self.warn(f"usage.{'.'.join(path[: path.index(name)])} is not an object")
                return None
            value = value.get(name)
            if value is None:
                return None
        if type(value) is int and 0 <= value <= MAX_COUNT:  # nearly always; twice as fast
            return value
        number = self._count_in_text(value) if isinstance(value, str) else _whole(value)
        name = f"usage.{'.'.join(path)}"
        if number is not None and 0 <= number <= MAX_COUNT:
            return number
        self.warn(f"{name} is not a count of tokens")
        return None if number is None or number < 0 else self.plausible(number, name)

    def plausible(self, count: int | None, name: str, most: int = MAX_COUNT) -> int | None:
        """Return a count, `None` for one that no call can have; that is a fault then."""
        if count is None or count <= most:
            return count
        self.overflow = True
        self.fault(f"{name} is more than the {most} tokens that a call can have")
        return None

    def _count_in_text(self, value: str) -> int | None:
        digits = value.strip()
        if not (digits.isascii() and digits.isdecimal()):
            return None
        self.note("counts were given as text")
        # Of a very long one only its length matters: turning it into a number takes its square.
        return int(digits) if len(digits) <= _MAX_DIGITS else MAX_COUNT + 1

    def first(self, *paths: tuple[str, ...]) -> int | None:
        """Return the first count that is there."""
        for path in paths:
            number = self.count(*path)
            if number is not None:
                return number
        return None

    def warn(self, warning: str) -> None:
        """Note what could not be understood, each thing once."""
        if warning not in self.warnings:
            self.warnings.append(warning)

    def note(self, note: str) -> None:
        """Say what a rule did, each thing once."""
        if note not in self.notes:
            self.notes.append(note)

    def fault(self, fault: str) -> None:
        """Say what contradicts itself, each thing once."""
        if fault not in self.faults:
            self.faults.append(fault)


def _whole(value: object) -> int | None:
    """Return a whole number, also of an integral float: some endpoints write `12.0`."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
