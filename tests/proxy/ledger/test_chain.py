import hashlib
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.ledger.chain import chain, read_link
from cab.scoring.ledger.records import GENESIS

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
records = st.dictionaries(st.text().filter(lambda name: name not in {"prev", "hash"}), json_values)


@given(records)
def test_the_hash_is_that_of_the_line_without_it(record: dict[str, Any]) -> None:
    """Taking the hash member out of a line gives the bytes that were hashed, for any record."""
    line, digest = chain(record, GENESIS)
    assert hashlib.sha256(line[:-76] + b"}").hexdigest() == digest
    assert orjson.loads(line) == {**record, "prev": GENESIS, "hash": digest}


@given(records)
def test_a_line_is_read_back_with_its_links(record: dict[str, Any]) -> None:
    """A line that was chained is read as the record, the hash before it and its own."""
    line, digest = chain(record, GENESIS)
    link = read_link(line)
    assert link is not None
    assert (link.prev, link.hash) == (GENESIS, digest)
    assert link.record == {**record, "prev": GENESIS, "hash": digest}


@given(records, st.data())
def test_no_other_line_is_taken_for_it(record: dict[str, Any], data: st.DataObject) -> None:
    """A line that is cut anywhere, or of which any byte is another one, is no link."""
    line, _ = chain(record, GENESIS)
    at = data.draw(st.integers(0, len(line) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda other: other != line[at]))
    assert read_link(line[:at]) is None
    assert read_link(line[:at] + bytes([byte]) + line[at + 1 :]) is None


def test_what_holds_and_is_no_record_is_no_link() -> None:
    """Bytes with the right hash that are no JSON object, or name nothing before them, are no link."""
    for body in (b"[1}", b'["a"}', b'{"prev":1}', b"{}"):
        digest = hashlib.sha256(body).hexdigest().encode()
        assert read_link(body[:-1] + b',"hash":"' + digest + b'"}\n') is None
