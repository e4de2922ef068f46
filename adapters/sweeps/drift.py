"""What changed in a sweep's file since its last session, and whether its cells stay comparable."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from pydantic import BaseModel

from cab.adapters.errors import AdapterError
from cab.adapters.sweeps.sweepfile import SweepFile

CONDITIONS = ("upstream", "timeout_s", "limits", "plugins", "sandbox", "container")
"""Keys that a cell's result depends on: cells from before and after are not comparable."""
_DIGEST = "sha256:"
_MATRIX = ("models", "agents", "tasks")
_IGNORED = ("folder", "ledger")  # the journal was found there


class SweepDrift(NamedTuple):
    """The differences, one line each."""

    harmless: list[str]
    """Changes with which the sweep can go on."""
    breaking: list[str]
    """Changes that would mix results that are not comparable."""


class SweepChanged(AdapterError):
    """A sweep file whose new cells would not be comparable with its old ones."""


def compare_sweeps(
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    fingerprints_before: Mapping[str, str],
    fingerprints_now: Mapping[str, str],
) -> SweepDrift:
    """Return what changed between two sessions.

    Args:
        before: The sweep file's keys in the last session.
        now: The keys now.
        fingerprints_before: Versions of agents, digests of tasks and plugins, in the last session.
        fingerprints_now: The same now.
    """
    harmless: list[str] = []
    breaking: list[str] = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if old == new or key in _IGNORED or (key not in before and _is_default(key, new)):
            continue
        if key in _MATRIX:
            harmless += _list_changes(key, old or [], new or [])
        else:
            (breaking if key in CONDITIONS else harmless).append(
                f"{key}: {_text(old)} -> {_text(new)}"
            )
    breaking += [
        _fingerprint_change(name, fingerprints_before[name], fingerprints_now[name])
        for name in sorted(fingerprints_before.keys() & fingerprints_now.keys())
        if fingerprints_before[name] != fingerprints_now[name]
    ]
    return SweepDrift(harmless, breaking)


def _is_default(key: str, value: object) -> bool:
    """Tell whether a key has the value that it had before there was such a key."""
    field = SweepFile.model_fields.get(key)
    if field is None:
        return False
    default = field.get_default(call_default_factory=True)
    return value == (default.model_dump(mode="json") if isinstance(default, BaseModel) else default)


def require_comparable(breaking: Iterable[str], name: str) -> None:
    """Return if nothing changed that would mix results that are not comparable.

    Raises:
        SweepChanged: Something did; names it and the fix.
    """
    lines = list(breaking)
    if lines:
        raise SweepChanged(
            f"sweep {name} was started under other conditions ({'; '.join(lines)}), and its cells "
            "would not be comparable; undo the change, rename the sweep, or give --accept-changes"
        )


def _fingerprint_change(name: str, before: str, now: str) -> str:
    is_digest = before.startswith(_DIGEST) and now.startswith(_DIGEST)
    return f"{name}: its files were changed" if is_digest else f"{name}: {before} -> {now}"


def _list_changes(key: str, old: Iterable[str], new: Iterable[str]) -> list[str]:
    before, now = list(old), list(new)
    added = [each for each in now if each not in before]
    removed = [each for each in before if each not in now]
    lines = [f"{key}: {', '.join(added)} added"] if added else []
    return [*lines, f"{key}: {', '.join(removed)} removed"] if removed else lines


def _text(value: object) -> str:
    if isinstance(value, dict):
        table = cast("dict[str, object]", value)
        parts = [f"{name} {each}" for name, each in table.items() if each is not None]
        return ", ".join(parts) or "none"
    return "none" if value is None else str(value)
