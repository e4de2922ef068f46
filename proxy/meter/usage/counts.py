"""Counts out of a usage object whose members are still to be judged."""

from typing import NamedTuple

from cab.proxy.meter.json_values import MAX_COUNT, JsonObject, as_count, is_object

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
        number = as_count(value)
        return self._count_in_text(value, path) if number is None else number

    def _count_in_text(self, value: object, path: tuple[str, ...]) -> int | None:
        digits = value.strip() if isinstance(value, str) else ""
        if digits.isascii() and digits.isdecimal() and len(digits) <= _MAX_DIGITS:
            number = as_count(int(digits))
            if number is not None:
                self.note("counts were given as text")
                return number
        self.warn(f"usage.{'.'.join(path)} is not a count of tokens")
        return None

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
