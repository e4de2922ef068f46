"""Bundles in which anything may stand anywhere: a score, or one error that says what is wrong."""

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring import BadRecord, dump_cell, read_bundle, rescore, score_bundle, score_one
from tests.scoring.builders import PAGES, end_fields, facts, line, write_bundle
from tests.scoring.cells.test_bundle import CALLS, stored

_MORE = ("ttft_ms", "cost_usd", "price_source", "stream")
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def places(data: Any, *path: str | int) -> list[tuple[str | int, ...]]:
    """Return the way to every value in parsed JSON."""
    keys: list[str | int] = []
    if type(data) in {dict, list}:
        keys = list(data) if hasattr(data, "keys") else list(range(len(data)))
    return [place for key in keys for place in ((*path, key), *places(data[key], *path, key))]


def put(data: Any, place: tuple[str | int, ...], value: Any) -> None:
    """Replace the value at a place."""
    *way, last = place
    for key in way:
        data = data[key]
    data[last] = value


def changed(path: Path, draw: st.DataObject) -> None:
    """Put any value at any place of a JSON file."""
    data = orjson.loads(path.read_bytes())
    put(data, draw.draw(st.sampled_from(places(data))), draw.draw(VALUES))
    path.write_bytes(orjson.dumps(data))


@given(st.data(), st.sampled_from(["cell.json", "before.json", "after.json"]))
def test_any_value_anywhere_in_a_bundle(draw: st.DataObject, name: str) -> None:
    """A bundle with one value changed is scored, or refused with a BadRecord."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = stored(Path(folder) / "b", calls=CALLS)
        changed(bundle / name, draw)
        with contextlib.suppress(BadRecord):
            assert rescore(bundle).endswith(b"}\n")


@given(st.data())
def test_any_value_anywhere_in_a_page(draw: st.DataObject) -> None:
    """A published page with one value changed is scored, or refused with a BadRecord."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.json"
        page.write_bytes(draw.draw(st.sampled_from(PAGES)).read_bytes())
        changed(page, draw)
        with contextlib.suppress(BadRecord):
            assert orjson.dumps(score_one(page).as_dict())


@given(
    st.dictionaries(
        st.sampled_from([*end_fields(), "retry_of", "attempt", "upstream_attempts", *_MORE]), VALUES
    )
)
def test_any_value_in_a_call(changes: dict[str, Any]) -> None:
    """A call with any values in any fields is summed up, or refused with a BadRecord."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_bundle(Path(folder) / "b", calls=CALLS)
        with (bundle / "calls.jsonl").open("ab") as handle:
            handle.write(line({**end_fields("z"), **changes}))
        with contextlib.suppress(BadRecord):
            assert dump_cell(score_bundle(read_bundle(bundle, facts())))
