"""What changed in a sweep's file since it was started, and whether its cells still belong together."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from cab.adapters.errors import AdapterError

CONDITIONS = ("upstream", "timeout_s", "limits", "plugins")
"""Keys that a cell's result depends on: cells from before and after are not comparable."""
_DIGEST = "sha256:"
_MATRIX = ("models", "agents", "tasks")
_SILENT = ("folder", "ledger")  # they are where the journal was found


class SweepDrift(NamedTuple):
    """The differences, one line each."""

    harmless: list[str]
    """What the sweep can go on with."""
    breaking: list[str]
    """What would mix results of two kinds."""


class SweepChanged(AdapterError):
    """A sweep file whose new cells would not be comparable with its old ones."""


def compare_sweeps(
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    made_of_before: Mapping[str, str],
    made_of_now: Mapping[str, str],
) -> SweepDrift:
    """Return what changed between two sittings.

    Args:
        before: The sweep file's keys at the last sitting.
        now: The keys now.
        made_of_before: Versions of agents, digests of tasks and plugins, at the last sitting.
        made_of_now: The same now.
    """
    harmless: list[str] = []
    breaking: list[str] = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if old == new or key in _SILENT:
            continue
        if key in _MATRIX:
            harmless += _listed(key, old or [], new or [])
        else:
            (breaking if key in CONDITIONS else harmless).append(
                f"{key}: {_text(old)} -> {_text(new)}"
            )
    breaking += [
        _other(name, made_of_before[name], made_of_now[name])
        for name in sorted(made_of_before.keys() & made_of_now.keys())
        if made_of_before[name] != made_of_now[name]
    ]
    return SweepDrift(harmless, breaking)


def require_comparable(breaking: Iterable[str], name: str) -> None:
    """Return if nothing changed that would mix results of two kinds.

    Raises:
        SweepChanged: Something did; names it and the mend.
    """
    lines = list(breaking)
    if lines:
        raise SweepChanged(
            f"sweep {name} was begun under other conditions ({'; '.join(lines)}), and its cells would "
            "not be comparable; change that back, give the sweep another name, or --accept-changes"
        )


def _other(name: str, before: str, now: str) -> str:
    is_digest = before.startswith(_DIGEST) and now.startswith(_DIGEST)
    return f"{name}: its files were changed" if is_digest else f"{name}: {before} -> {now}"


def _listed(key: str, old: Iterable[str], new: Iterable[str]) -> list[str]:
    before, now = list(old), list(new)
    added = [each for each in now if each not in before]
    gone = [each for each in before if each not in now]
    lines = [f"{key}: {', '.join(added)} added"] if added else []
    return [*lines, f"{key}: {', '.join(gone)} taken out"] if gone else lines


def _text(value: object) -> str:
    if isinstance(value, dict):
        table = cast("dict[str, object]", value)
        parts = [f"{name} {each}" for name, each in table.items() if each is not None]
        return ", ".join(parts) or "none"
    return "none" if value is None else str(value)
