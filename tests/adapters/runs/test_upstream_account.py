"""The ledger of a cell against the model server's account."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.adapters.runs.upstream_account import Served, compare_account
from cab.proxy.ledger.chain import chain
from cab.scoring.ledger.records import GENESIS, SCHEMA

END: dict[str, Any] = {
    "schema": SCHEMA,
    "kind": "end",
    "cell_id": "a/b/c/d/e",
    "seq": 1,
    "started_at": "2026-01-01T00:00:00.000000Z",
    "ended_at": "2026-01-01T00:00:01.000000Z",
    "endpoint": "chat.completions",
    "end_reason": "completed",
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "usage_source": "upstream",
}


def write(bundle: Path, account: dict[str, int], *ends: dict[str, Any]) -> None:
    """Write a bundle's account and calls."""
    (bundle / "upstream-account.json").write_bytes(orjson.dumps(account))
    lines = [
        chain({**END, "call_id": str(number), **end}, GENESIS).line
        for number, end in enumerate(ends)
    ]
    (bundle / "calls.jsonl").write_bytes(b"".join(lines))


def test_equal(tmp_path: Path) -> None:
    """Calls and tokens are compared number for number, and the line says so."""
    write(tmp_path, {"calls": 2, "prompt_tokens": 20, "completion_tokens": 10}, {}, {})

    comparison = compare_account(tmp_path)

    assert comparison is not None
    assert comparison.equal
    assert str(comparison) == (
        "the model server served 2 calls, 20 prompt + 10 completion tokens; "
        "the ledger has 2, 20, 10: equal"
    )


@pytest.mark.parametrize(
    "account",
    [
        {"calls": 2, "prompt_tokens": 10, "completion_tokens": 5},
        {"calls": 1, "prompt_tokens": 11, "completion_tokens": 5},
        {"calls": 1, "prompt_tokens": 10, "completion_tokens": 6},
    ],
)
def test_not_equal(tmp_path: Path, account: dict[str, int]) -> None:
    """One number that differs is enough."""
    write(tmp_path, account, {})

    comparison = compare_account(tmp_path)

    assert comparison is not None
    assert not comparison.equal
    assert str(comparison).endswith(": NOT equal")


def test_what_counts(tmp_path: Path) -> None:
    """A refused call, and one that is not a model call, did not reach the model."""
    write(
        tmp_path,
        {"calls": 1, "prompt_tokens": 10, "completion_tokens": 5},
        {},
        {"end_reason": "rejected"},
        {"endpoint": "other", "prompt_tokens": None, "completion_tokens": None},
    )

    comparison = compare_account(tmp_path)

    assert comparison is not None
    assert comparison.equal


def test_missing_count(tmp_path: Path) -> None:
    """A sum with a missing part is unknown, and equals nothing."""
    write(
        tmp_path,
        {"calls": 2, "prompt_tokens": 10, "completion_tokens": 5},
        {},
        {"prompt_tokens": None},
    )

    comparison = compare_account(tmp_path)

    assert comparison is not None
    assert comparison.ledger == Served(2, None, 10)
    assert not comparison.equal


def test_no_account(tmp_path: Path) -> None:
    """Other endpoints give no account."""
    assert compare_account(tmp_path) is None
