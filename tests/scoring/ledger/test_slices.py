import hashlib
from pathlib import Path
from typing import Any

import pytest

from cab.scoring import BadRecord
from cab.scoring.ledger.seals import Seal, seal_lines
from cab.scoring.ledger.slices import cell_lines, in_slice
from cab.scoring.ledger.verify import Verification, verify_slice
from tests.scoring.builders import CELL_ID, end_fields, start_fields, unmeasured
from tests.scoring.ledger.test_verify import mutations
from tests.scoring.ledgers import calls, chained, write_ledger

REJECTED = end_fields("r", end_reason="rejected", error={"type": "cell_sealed", "message": "no"})
OVER_LIMIT = end_fields("l", end_reason="rejected", error={"type": "cab_limit", "message": "no"})


def sealed(lines: list[bytes], **changes: Any) -> Seal:
    """Return the seal that a proxy writes for these lines."""
    return Seal(**{"cell_id": CELL_ID, **seal_lines(lines), **changes})


def told(found: Verification) -> list[str]:
    return [str(fault) for fault in found.faults]


def test_a_cells_lines_are_found_in_a_ledger(tmp_path: Path) -> None:
    """A cell's slice is its START and END lines, verbatim, without its seal and what came after."""
    cells = [CELL_ID, f"{CELL_ID}#run2"]
    records = [fields for cell in cells for fields in calls(2, cell)]
    records += [OVER_LIMIT, {"kind": "cell_seal", "cell_id": CELL_ID}, REJECTED]
    files = write_ledger(tmp_path, records, per_segment=3, compressed=True)
    found = list(cell_lines(tmp_path, CELL_ID))
    lines = chained(records)
    assert [line for _, _, line in found] == [*lines[:4], lines[8]]
    assert [(path, number) for path, number, _ in found[2:4]] == [(files[0], 3), (files[1], 1)]
    assert verify_slice(tmp_path, sealed([line for _, _, line in found])).holds


@pytest.mark.parametrize("error", [None, "cell_sealed", {}, {"type": "other"}])
def test_only_the_seal_keeps_a_call_out(error: Any) -> None:
    """A rejected call belongs to the slice unless the seal is why it was rejected."""
    assert in_slice(end_fields(end_reason="rejected", error=error))
    assert in_slice(end_fields(error={"type": "cell_sealed"}))
    assert not in_slice(REJECTED)


def test_every_small_change_of_a_slice_is_found(tmp_path: Path) -> None:
    """Each change of one byte or one line of a slice, and each cut, is found against its seal."""
    path, lines = tmp_path / "calls.jsonl", chained(calls(2))
    seal, whole = sealed(lines), b"".join(lines)
    path.write_bytes(whole)
    assert verify_slice(path, seal).holds
    for changed in mutations(whole):
        path.write_bytes(changed)
        assert not verify_slice(path, seal).holds, changed


LINES = chained(calls(3))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([LINES[0], LINES[1].replace(b":100", b":101"), *LINES[2:]], "calls.jsonl:2: edited"),
        ([*LINES[:2], *LINES[3:]], "calls.jsonl:3: the start of call c2 is missing before it"),
        ([*LINES[:3], *LINES[4:]], "calls.jsonl:3: the end of call c2 is missing"),
        (LINES[:4], "calls.jsonl: not what was sealed: 4 lines with SHA-256"),
        ([*LINES[:3], *LINES[2:]], "calls.jsonl:4: duplicate: the line before is the same"),
        ([*LINES[:3], LINES[1], *LINES[3:]], "calls.jsonl:4: out of order: the line before"),
        ([*LINES[:1], *LINES[2:4], LINES[0]], "calls.jsonl:1: the end of call c1 is missing"),
        (
            [LINES[0], LINES[2], LINES[0], *LINES[1:]],
            "calls.jsonl:3: duplicate: call c1 started in line 1 already",
        ),
        (
            [LINES[1], LINES[0], *LINES[2:]],
            "calls.jsonl:1: the start of call c1 is missing before it",
        ),
        ([*LINES, b"{}\n"], "calls.jsonl:7: edited"),
        ([*LINES[:5], LINES[5][:-1]], "calls.jsonl:6: torn"),
        (
            [*LINES, *chained([start_fields(cell_id="local/a/m/f/t")])],
            "calls.jsonl:7: put in: it is of cell 'local/a/m/f/t'",
        ),
    ],
)
def test_what_was_done_to_a_slice_is_named(
    tmp_path: Path, lines: list[bytes], expected: str
) -> None:
    """Where the lines show it, a fault says which line and what; that they differ is always told."""
    path = tmp_path / "calls.jsonl"
    path.write_bytes(b"".join(lines))
    found = told(verify_slice(path, sealed(LINES)))
    assert any(text.startswith(expected) for text in found)
    assert found[-1].startswith(f"calls.jsonl: not what was sealed: {len(lines)} lines")


def test_lines_that_changed_places_are_named(tmp_path: Path) -> None:
    """Of two neighbours that changed places the later one says that it came first."""
    lines = chained([start_fields("a"), start_fields("b"), end_fields("a"), end_fields("b")])
    path = tmp_path / "calls.jsonl"
    path.write_bytes(lines[1] + lines[0] + lines[2] + lines[3])
    assert told(verify_slice(path, sealed(lines)))[0] == (
        "calls.jsonl:2: out of order: the line before it follows it in the ledger"
    )


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    """A line that was hashed but is not JSON is told beside the digest."""
    body = b"{rubbish}"
    bad = body[:-1] + b',"hash":"' + hashlib.sha256(body).hexdigest().encode() + b'"}\n'
    path = tmp_path / "calls.jsonl"
    path.write_bytes(bad)
    assert told(verify_slice(path, sealed([])))[0].startswith("calls.jsonl:1: not valid JSON")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("calls", 2),
        ("unmeasured_calls", 1),
        ("prompt_tokens", 0),
        ("completion_tokens", None),
        ("total_tokens", 361),
        ("attempts", 4),
        ("known_total_tokens", 0),
        ("partial_calls", 1),
    ],
)
def test_the_sums_of_a_seal_must_be_right(tmp_path: Path, name: str, value: int | None) -> None:
    """A seal whose digest fits and whose sums do not is told, with both figures."""
    path = tmp_path / "calls.jsonl"
    path.write_bytes(b"".join(LINES))
    right = sealed(LINES).model_dump()[name]
    assert told(verify_slice(path, sealed(LINES, **{name: value}))) == [
        f"calls.jsonl: the seal says {name} {value}, the lines give {right}"
    ]


def test_a_seal_of_the_first_form_is_held_against_the_rule_of_then(tmp_path: Path) -> None:
    """An old seal that took a silent endpoint's answer for free holds; one of today must not say so."""
    silent = unmeasured("b", status=504, end_reason="timeout")
    lines = chained([start_fields("a"), end_fields("a"), start_fields("b"), silent])
    path = tmp_path / "calls.jsonl"
    path.write_bytes(b"".join(lines))
    now = seal_lines(lines)
    then = {
        "calls": 2,
        "unmeasured_calls": 0,
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
    }
    old = {"cell_id": CELL_ID, "records": now["records"], "digest": now["digest"], **then}
    assert verify_slice(path, Seal(**old)).holds
    assert told(verify_slice(path, Seal(**{**old, "unmeasured_calls": 1}))) == [
        "calls.jsonl: the seal says unmeasured_calls 1, the lines give 0"
    ]
    assert told(verify_slice(path, Seal(**old, seal_schema="cab.seal/2"))) == [
        f"calls.jsonl: the seal says {name} {said}, the lines give {now[name]}"
        for name, said in then.items()
        if now[name] != said
    ]
    assert (now["total_tokens"], now["unmeasured_calls"]) == (None, 1)


def test_a_seal_of_the_second_form_is_held_against_the_rule_of_then(tmp_path: Path) -> None:
    """An old seal that took an endpoint's 500 for free, and not a silent one's 504, holds; one of today must not."""
    lines = chained(
        [
            *(start_fields("a"), end_fields("a")),
            *(start_fields("b"), unmeasured("b", status=500, end_reason="upstream_error")),
            *(start_fields("c"), unmeasured("c", status=504, end_reason="timeout")),
        ]
    )
    path = tmp_path / "calls.jsonl"
    path.write_bytes(b"".join(lines))
    now = seal_lines(lines)
    of_lines = {name: now[name] for name in ("records", "digest", "calls", "attempts")}
    none = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"))
    old = {"cell_id": CELL_ID, **of_lines, **none, "known_total_tokens": 120}
    then = Seal(**old, unmeasured_calls=1, seal_schema="cab.seal/2")
    assert verify_slice(path, then).holds
    assert verify_slice(path, Seal(cell_id=CELL_ID, **now)).holds
    assert told(verify_slice(path, Seal(**old, unmeasured_calls=1, seal_schema="cab.seal/3"))) == [
        "calls.jsonl: the seal says unmeasured_calls 1, the lines give 2"
    ]


def test_an_old_seal_of_an_unmeasured_call_states_no_sums(tmp_path: Path) -> None:
    """By the rule of then, a good answer without a count made all sums unknown."""
    lines = chained([start_fields("a"), end_fields("a"), start_fields("b"), unmeasured("b")])
    path = tmp_path / "calls.jsonl"
    path.write_bytes(b"".join(lines))
    none = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"))
    stated = {"records": 4, "digest": seal_lines(lines)["digest"], "calls": 2, **none}
    assert verify_slice(path, Seal(cell_id=CELL_ID, unmeasured_calls=1, **stated)).holds


@pytest.mark.parametrize(
    "records",
    [
        [],
        [start_fields(), unmeasured()],
        [unmeasured(status=500)],
        [end_fields(endpoint="other")],
        [OVER_LIMIT],
    ],
)
def test_what_was_sealed_holds(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    """A slice that is what was sealed holds, whatever its calls came to."""
    lines = chained(records)
    path = tmp_path / "calls.jsonl"
    path.write_bytes(b"".join(lines))
    found = verify_slice(path, sealed(lines))
    assert (found.holds, found.records, found.size_bytes) == (
        True,
        len(lines),
        path.stat().st_size,
    )


def test_a_slice_is_checked_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    """A ledger with garbage in it is no error but a fault: what is behind it was not checked."""
    [file] = write_ledger(tmp_path, calls(3))
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:4], b"garbage\n", *lines[4:]]))
    found = told(verify_slice(tmp_path, sealed(lines)))
    assert found[0].startswith("w0-000001.jsonl:5: not valid JSON")
    assert found[1].startswith(f"{tmp_path.name}: not what was sealed: 4 lines")
    with pytest.raises(BadRecord, match="none: No such file"):
        verify_slice(tmp_path / "none", sealed(lines))
