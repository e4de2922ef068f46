from pathlib import Path

import orjson
import pytest

from cab.scoring import BadRecord
from cab.scoring.ledger.seals import SealSums, load_seal
from tests.scoring.builders import end_fields, start_fields, unmeasured

SEAL = {"cell_id": "local/a/m/f/t", "records": 2, "digest": "sha256:" + "0" * 64, "extra": 1}


def test_a_seal_is_read_and_what_is_new_in_it_kept(tmp_path: Path) -> None:
    """A seal needs its cell, count and digest; what it does not state is not known."""
    path = tmp_path / "seal.json"
    path.write_bytes(orjson.dumps(SEAL))
    seal = load_seal(path)
    assert (seal.cell_id, seal.records, seal.calls) == ("local/a/m/f/t", 2, None)
    assert seal.seal_schema == "cab.seal/1"
    assert seal.model_dump()["extra"] == 1


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"digest": "md5:0"}, r"seal\.json: digest: "),
        ({"records": -1}, r"seal\.json: records: "),
        ({"calls": "2"}, r"seal\.json: calls: "),
        ({"seal_schema": "cab.seal/4"}, r"seal\.json: seal_schema: .*'cab.seal/2' or 'cab.seal/3'"),
    ],
)
def test_what_is_no_seal_is_named(tmp_path: Path, changes: dict[str, object], text: str) -> None:
    """A file that is no seal is an error that names file and member."""
    path = tmp_path / "seal.json"
    path.write_bytes(orjson.dumps({**SEAL, **changes}))
    with pytest.raises(BadRecord, match=text):
        load_seal(path)


def test_sums_count_what_may_have_cost() -> None:
    """Metered calls that were not rejected count; one that has no count makes the sums unknown."""
    sums = SealSums()
    for fields in (
        start_fields(),
        end_fields(),
        end_fields("c2", endpoint="other"),
        end_fields("c3", end_reason="rejected"),
        unmeasured("c4", status=429),
    ):
        sums.add(fields)
    assert sums.totals() == {
        "calls": 2,
        "attempts": 2,
        "unmeasured_calls": 0,
        "partial_calls": 0,
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "known_total_tokens": 120,
        "total_interval": {"known_total": 120, "unknown_calls": 0, "upper_total": 120},
    }
    sums.add(unmeasured("c5", prompt_tokens_at_most=1100, completion_tokens_at_most=50))
    interval = {"known_total": 120, "unknown_calls": 1, "upper_total": 1270}
    assert list(sums.totals().values()) == [3, 3, 1, 0, None, None, None, 120, interval]
    sums.add(end_fields("c6", usage_status="partial"))
    assert sums.totals()["partial_calls"] == 1
