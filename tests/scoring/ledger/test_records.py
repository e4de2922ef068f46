import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring import BadRecord, CallEnd, CallStart, OtherRecord, parse_record
from tests.scoring.builders import end_fields, line, start_fields


def test_each_kind_becomes_its_model() -> None:
    """START and END lines become calls, every other kind a plain record."""
    assert isinstance(parse_record(line(start_fields())), CallStart)
    assert isinstance(parse_record(line(end_fields())), CallEnd)
    assert isinstance(parse_record(line({"kind": "proxy_start", "at": "now"})), OtherRecord)


def test_unknown_fields_are_kept() -> None:
    """A field of a newer writer survives being read."""
    record = parse_record(line(end_fields(colour="red")))
    assert record.model_dump()["colour"] == "red"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b"null", None),
        (line(end_fields(prompt_tokens=-1)), "prompt_tokens"),
        (line(end_fields(end_reason="tired")), "end_reason"),
        (line(end_fields(latency_ms="soon")), "latency_ms"),
        (line({**end_fields(), "call_id": None}), "call_id"),
        (b'{"kind":"end"}', "schema"),
        (line({**end_fields(), "cell_id": [1]}), "cell_id"),
        (line({**end_fields(), "kind": ["end"]}), "kind"),
        (line({**end_fields(), "seq": "1"}), "seq"),
        (line({**end_fields(), "seq": 2**63}), "seq"),
    ],
)
def test_a_bad_line_is_named(text: bytes, field: str | None) -> None:
    """A line that is no record raises one error with its file, line and field."""
    with pytest.raises(BadRecord) as caught:
        parse_record(text, "ledger.jsonl", 7)
    assert (caught.value.path, caught.value.line, caught.value.field) == ("ledger.jsonl", 7, field)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary() | JSON.map(orjson.dumps))
def test_nothing_else_is_ever_raised(text: bytes) -> None:
    """Whatever the bytes, a line is a record or a BadRecord."""
    try:
        record = parse_record(text)
    except BadRecord:
        return
    assert record.hash


@given(st.sampled_from(sorted(end_fields())), JSON)
def test_a_wrong_field_is_refused_or_read(field: str, value: object) -> None:
    """An END with any value in any field is a record or a BadRecord."""
    with contextlib.suppress(BadRecord):
        parse_record(line({**end_fields(), field: value}))
