"""Bounds of records: each text and each list or object, by its annotation and not by a list of names."""

from typing import Any, get_args

import orjson
import pytest
from pydantic import BaseModel

from cab.scoring.ledger.bounds import (
    MAX_JSON_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_NAME_CHARS,
    MAX_RECORD_BYTES,
)
from cab.scoring.ledger.clipping import bounded, without_large_values, without_largest_value
from cab.scoring.ledger.records import CallEnd, CallStart, parse_record
from tests.scoring.builders import end_fields, line, start_fields

MESSAGES = {"usage_note", "unmetered"}
LONG = "ä" * 9000


def texts_of(model: type[BaseModel]) -> list[str]:
    """Return the fields that may hold any text."""
    names = []
    for name, field in model.model_fields.items():
        parts = {field.annotation, *get_args(field.annotation)}
        parts |= {get_args(part)[0] for part in parts if hasattr(part, "__metadata__")}
        if str in parts and name not in {"record_schema", "cell_id", "prev", "hash"}:
            names.append(name)
    return names


@pytest.mark.parametrize("model", [CallStart, CallEnd])
def test_every_text_of_a_call_is_bounded(model: type[CallStart | CallEnd]) -> None:
    """A name has 256 characters at most, a message 1 KiB, and the record says what was clipped."""
    fields, names = end_fields() if model is CallEnd else start_fields(), texts_of(model)
    assert len(names) > 3
    for name in names:
        kept = bounded({**fields, name: LONG})
        assert kept["clipped"] == [name]
        if name in MESSAGES:
            assert kept[name] == "ä" * (MAX_MESSAGE_BYTES // 2)
        else:
            assert kept[name] == "ä" * MAX_NAME_CHARS
        assert {**kept, name: fields.get(name), "clipped": None} == {
            **fields,
            name: fields.get(name),
            "clipped": None,
        }


def test_parts_of_fields_are_bounded() -> None:
    """So are texts in lists and in parts, and those that no model declares."""
    fields = end_fields(
        error={"type": LONG, "message": LONG, "other": LONG},
        finish_reasons=["stop", LONG],
        usage_parts=[{"type": LONG, "model": "m", "prompt_tokens": 1}],
        later=LONG,
    )
    kept = bounded(fields)
    assert {name: len(text) for name, text in kept["error"].items()} == {
        "type": 256,
        "message": 512,
        "other": 512,
    }
    assert list(map(len, kept["finish_reasons"])) == [4, 256]
    assert kept["usage_parts"] == [{"type": "ä" * 256, "model": "m", "prompt_tokens": 1}]
    assert len(kept["later"]) == 512
    assert kept["clipped"] == [
        *(
            "error.message",
            "error.other",
            "error.type",
            "finish_reasons",
            "later",
            "usage_parts.type",
        ),
    ]
    assert bounded(kept) is kept
    assert parse_record(line(kept)).model_extra == {"later": "ä" * 512}


def test_what_fits_is_the_same_record() -> None:
    """A record within its bounds is not copied; a cell's id is never clipped."""
    fields = end_fields(cell_id="c" * 2000, model_served="m" * 256, usage_note="n" * 1024)
    assert bounded(fields) is fields


@pytest.mark.parametrize("name", ["usage_raw", "usage_parts", "finish_reasons"])
def test_large_lists_and_objects_are_null(name: str) -> None:
    """Above 16 KiB of JSON such a field is null and named; below it stays as it is."""
    value: Any = {f"m{n}": n for n in range(3000)} if name == "usage_raw" else ["x" * 200] * 90
    if name == "usage_parts":
        value = [{"model": "x" * 200}] * 90
    fields = end_fields(**{name: value})
    assert len(orjson.dumps(value)) > MAX_JSON_BYTES
    for kept in (bounded(fields), without_large_values(fields), without_largest_value(fields)):
        assert kept is not None
        assert (kept[name], kept["clipped"]) == (None, [name])
    few = end_fields(usage_raw={"a": 1}, finish_reasons=["stop", "length"])
    assert bounded(few) is without_large_values(few) is few


def test_the_largest_record_fits_into_a_line() -> None:
    """With every field as large as it may be a line has 64 KiB, once its largest values are gone."""
    texts: dict[str, Any] = dict.fromkeys(texts_of(CallEnd), "\x01" * 9000)
    large: dict[str, Any] = {"usage_raw": {"x": "\x01" * 2700}}
    fields = bounded(end_fields(cell_id="\x01" * 2048, **texts, **large))
    while len(line(fields)) > MAX_RECORD_BYTES:
        smaller = without_largest_value(fields)
        assert smaller is not None
        fields = smaller
    assert without_largest_value(end_fields()) is None
