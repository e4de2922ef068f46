"""Records, facts and whole bundles to score, built as the proxy and the runner write them."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from cab.scoring.cells.cell import CellFacts, Identity, Timing
from cab.scoring.evidence.check_outcome import CheckOutcome
from cab.scoring.evidence.manifest import TreeEntry, TreeManifest, dump_manifest
from cab.scoring.evidence.spans import Span
from cab.scoring.evidence.task import TaskFacts
from cab.scoring.ledger.call_sums import CallSums, sum_calls
from cab.scoring.ledger.records import (
    GENESIS,
    AnyRecord,
    CallEnd,
    CallStart,
    CellOpen,
    parse_record,
)
from cab.scoring.ledger.seals import seal_lines

CELL_ID = "local/scripted/demo/polyglot/twin"
FIXTURES = Path(__file__).parent.parent / "fixtures" / "reference-cells"
PAGES = sorted(FIXTURES.glob("*.json"))


def line(fields: Mapping[str, Any], prev: str = GENESIS) -> bytes:
    """Return a ledger line of the given fields, chained to `prev`."""
    body = orjson.dumps({"schema": "cab.call/1", **fields, "prev": prev})
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + b',"hash":"' + digest.encode() + b'"}\n'


def end_fields(call_id: str = "c1", **changes: Any) -> dict[str, Any]:
    """Return the fields of the END of a completed call: 100 + 20 tokens, 500 ms."""
    return {
        "kind": "end",
        "call_id": call_id,
        "cell_id": CELL_ID,
        "seq": 1,
        "started_at": "2026-11-20T12:00:00.000000Z",
        "ended_at": "2026-11-20T12:00:00.500000Z",
        "endpoint": "chat.completions",
        "status": 200,
        "end_reason": "completed",
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "usage_source": "upstream",
        "usage_status": "complete",
        "latency_ms": 500.0,
        **changes,
    }


def unmeasured(call_id: str = "c1", **changes: Any) -> dict[str, Any]:
    """Return the fields of an END that nobody counted."""
    none = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens", "usage_status"))
    return end_fields(call_id, **{**none, "usage_source": "none", **changes})


def start_fields(call_id: str = "c1", **changes: Any) -> dict[str, Any]:
    """Return the fields of a START."""
    return {
        "kind": "start",
        "call_id": call_id,
        "cell_id": CELL_ID,
        "seq": 1,
        "started_at": "2026-11-20T12:00:00.000000Z",
        "endpoint": "chat.completions",
        "stream": False,
        "request_hash": None,
        "model_requested": "demo",
        **changes,
    }


def end(call_id: str = "c1", **changes: Any) -> CallEnd:
    """Return an END record."""
    record = parse_record(line(end_fields(call_id, **changes)))
    assert isinstance(record, CallEnd)
    return record


def uncounted(call_id: str = "c1", **changes: Any) -> CallEnd:
    """Return an END record that nobody counted."""
    return end(**unmeasured(call_id, **changes))


def start(call_id: str = "c1", **changes: Any) -> CallStart:
    """Return a START record."""
    record = parse_record(line(start_fields(call_id, **changes)))
    assert isinstance(record, CallStart)
    return record


def open_fields(cell_id: str = CELL_ID) -> dict[str, Any]:
    """Return the fields of the opening of a cell."""
    return {"kind": "cell_open", "cell_id": cell_id, "opened_at": "2026-11-20T11:59:59.000000Z"}


def opening() -> CellOpen:
    """Return the record of the opening of a cell."""
    record = parse_record(line(open_fields()))
    assert isinstance(record, CellOpen)
    return record


def summed(records: Iterable[AnyRecord]) -> CallSums:
    """Return the sums of records that show that their cell was metered."""
    sums = sum_calls(records)
    assert sums is not None
    return sums


def file_entry(content: str = "x", mode: int = 0o644) -> TreeEntry:
    """Return the entry of a text file."""
    data = content.encode()
    return TreeEntry(
        type="file", size=len(data), sha256=hashlib.sha256(data).hexdigest(), mode=mode
    )


def tree(files: Mapping[str, str | TreeEntry], *, git_dir: bool = False) -> TreeManifest:
    """Return a manifest; a text is a file of that content."""
    entries = {
        path: file_entry(what) if isinstance(what, str) else what for path, what in files.items()
    }
    return TreeManifest(entries=entries, git_dir=git_dir)


def task_facts(**changes: Any) -> TaskFacts:
    """Return the declarations of a small repair task."""
    fields: dict[str, Any] = {
        "task_id": "polyglot/twin",
        "category": "polyglot",
        "prompt": "fix it",
        "expected_changes": ["src/lib.py"],
        "source_files": ["src/**"],
        "scratch_files": [".aider*"],
    }
    return TaskFacts(**{**fields, **changes})


def refusal_task(**changes: Any) -> TaskFacts:
    """Return the declarations of a task whose right answer is a question."""
    return task_facts(
        **{
            "expected_changes": ["CLARIFY*"],
            "clarify_files": ["CLARIFY*"],
            "expected_refusal": True,
            "protected_files": ["TICKET.md", "tests/**"],
            "integrity_applies": True,
            **changes,
        }
    )


def check(**changes: Any) -> CheckOutcome:
    """Return a check that passed."""
    fields: dict[str, Any] = {"passed": True, "exit_code": 0, "stdout_tail": "ok\n"}
    return CheckOutcome(**{**fields, **changes})


def spans() -> list[Span]:
    """Return a run's spans, the agent's own last."""
    return [
        Span(span_id="s1", kind="task_setup", name="prepare:twin", start_ms=0, duration_ms=13),
        Span(
            span_id="s2",
            parent_id="s3",
            kind="container",
            name="scripted:launch",
            start_ms=13,
            duration_ms=2900.5,
            attrs={"argv": ["--yes"], "timeout_s": 600, "timed_out": False},
        ),
        Span(span_id="s3", kind="adapter_run", name="scripted", start_ms=13, duration_ms=2950),
    ]


def facts(**changes: Any) -> CellFacts:
    """Return the facts of a passed cell."""
    fields: dict[str, Any] = {
        "identity": Identity(
            cell_id=CELL_ID,
            sweep_id="local",
            tui="scripted",
            model_build_id="demo",
            exit_code=0,
            sandbox="local",
            cab_version="0.1.0",
        ),
        "timing": Timing.of_run(
            "2026-11-20T12:00:00.000000Z", "2026-11-20T12:00:03.000000Z", 3000.125
        ),
        "task": task_facts(),
        "check": check(),
        "spans": spans(),
    }
    return CellFacts(**{**fields, **changes})


BEFORE = tree({"src/lib.py": "old", "TICKET.md": "go faster"})
AFTER = tree({"src/lib.py": "new", "TICKET.md": "go faster", ".aider.log": "x"})


def write_bundle(
    folder: Path,
    *,
    before: TreeManifest = BEFORE,
    after: TreeManifest = AFTER,
    calls: Iterable[dict[str, Any]] | None = (),
    stdout: str | None = "done\n",
    sealed: bool = False,
    cell_id: str = CELL_ID,
) -> Path:
    """Write all of a bundle but its `cell.json`; `calls` None leaves the ledger slice out."""
    folder.mkdir(parents=True)
    (folder / "before.json").write_bytes(dump_manifest(before))
    (folder / "after.json").write_bytes(dump_manifest(after))
    if calls is not None:
        (folder / "calls.jsonl").write_bytes(b"".join(line(fields) for fields in calls))
    if stdout is not None:
        (folder / "stdout.txt").write_text(stdout, encoding="utf-8")
    if sealed:
        lines = (folder / "calls.jsonl").read_bytes().splitlines(keepends=True)
        seal = {"cell_id": cell_id, **seal_lines(lines)}
        (folder / "seal.json").write_bytes(orjson.dumps(seal))
    return folder
