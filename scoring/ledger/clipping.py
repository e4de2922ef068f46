"""Brings a record within its bounds before it is written; what was clipped is named in the record."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple, cast, get_args

import orjson
from pydantic import BaseModel

from cab.scoring.files import is_list, is_object
from cab.scoring.ledger.bounds import (
    MAX_JSON_BYTES,
    MAX_NAME_CHARS,
    MESSAGE,
    NAME,
    TextBound,
    clipped_text,
)
from cab.scoring.ledger.records import CallEnd, CallStart, OtherRecord

CLIPPED = "clipped"
"""Member of a record: names of the fields that were clipped, or are null because they were too large."""

_MODELS: Mapping[object, type[BaseModel]] = MappingProxyType({"start": CallStart, "end": CallEnd})


class _Rule(NamedTuple):
    """What a field of a record may be, as its annotation says it."""

    text: TextBound
    members: Mapping[str, "_Rule"] | None = None
    """Of a field that holds a model, or a list of them."""


_UNDECLARED = _Rule(MESSAGE)


def bounded(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record within its bounds; the very same one if nothing has to be clipped.

    Args:
        record: Members of a line, JSON values only; texts without secrets, as a clipped one could
            not be recognised.
    """
    rules, changed = _rules(_MODELS.get(record.get("kind"), OtherRecord)), dict[str, Any]()
    clipped: list[str] = []
    for name, value in record.items():
        kind = cast("type[object]", type(value))  # exact: each record of each call comes here
        if kind is str:
            if len(value) <= MAX_NAME_CHARS:  # nearly always
                continue
        elif kind is not dict and kind is not list:
            continue
        kept = _kept(
            cast("object", value),
            rules.get(name, _UNDECLARED),
            name,
            clipped,
            declared=name in rules,
        )
        if kept is not value:
            changed[name] = kept
    if not clipped:
        return record
    before: list[str] = record.get(CLIPPED) or []
    return {**record, **changed, CLIPPED: sorted({*before, *clipped})}


def without_large_values(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without those of its objects and lists that are too large, and says so.

    For those who still have to look at every text of a record: that work is bounded then.
    """
    large = [
        name
        for name, value in record.items()
        if isinstance(value, dict | list) and _json_bytes(cast("object", value)) > MAX_JSON_BYTES
    ]
    if not large:
        return record
    return {**record, **dict.fromkeys(large), CLIPPED: large}


def without_largest_value(record: dict[str, Any]) -> dict[str, Any] | None:
    """Return a record without its largest object or list, None if it has none."""
    sizes = {
        _json_bytes(cast("object", value)): name
        for name, value in record.items()
        if isinstance(value, dict | list) and name != CLIPPED
    }
    if not sizes:
        return None
    name = sizes[max(sizes)]
    return {**record, name: None, CLIPPED: sorted({*(record.get(CLIPPED) or []), name})}


def _kept(value: object, rule: _Rule, place: str, clipped: list[str], *, declared: bool) -> object:
    """Return what of a value is kept; its place is noted if that is not all."""
    if isinstance(value, str):
        kept = clipped_text(value, rule.text)
        if kept is not value:
            clipped.append(place)
        return kept
    if not declared or not isinstance(value, dict | list):
        return value
    before = len(clipped)
    inside = _inside(cast("object", value), rule, place, clipped)
    if _json_bytes(inside) > MAX_JSON_BYTES:
        clipped.append(place)
        return None
    return inside if len(clipped) > before else cast("object", value)


def _inside(value: object, rule: _Rule, place: str, clipped: list[str]) -> object:
    if isinstance(value, str):
        return _kept(value, rule, place, clipped, declared=True)
    if is_list(value):
        return [_inside(item, rule, place, clipped) for item in value]
    if is_object(value) and rule.members is not None:
        rules = rule.members
        return {
            name: _inside(each, rules.get(name, _UNDECLARED), f"{place}.{name}", clipped)
            for name, each in value.items()
        }
    return value


def _json_bytes(value: object) -> int:
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        return MAX_JSON_BYTES + 1


@cache
def _rules(model: type[BaseModel]) -> Mapping[str, _Rule]:
    fields = model.model_fields.items()
    return {field.alias or name: _rule(field.annotation, *field.metadata) for name, field in fields}


def _rule(annotation: Any, *metadata: object) -> _Rule:  # noqa: ANN401 - whatever a field is annotated with
    parts = [*metadata, *_parts(annotation)]
    text = next((part for part in parts if isinstance(part, TextBound)), NAME)
    models = (p for p in parts if isinstance(p, type) and issubclass(p, BaseModel))
    model = next(models, None)
    return _Rule(text, None if model is None else _rules(model))


def _parts(annotation: object) -> list[object]:
    inner = [part for arg in get_args(annotation) for part in _parts(arg)]
    return [annotation, *inner]
