"""Bundles for pages: an ordinary cell with everything on its page, one of many calls, and hostile ones."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from cab.scoring import Cell, SelfReport, dump_cell, read_bundle, score_bundle
from cab.scoring.cells.cell import Deviation, Identity, Timing
from cab.scoring.evidence.spans import Span
from cab.scoring.ids import CellId
from tests.scoring.builders import (
    check,
    end_fields,
    facts,
    start_fields,
    task_facts,
    tree,
    write_bundle,
)
from tests.scoring.capture.made import write_call

STARTED = "2026-11-20T12:00:00"

PATCH = """\
diff --git a/src/lib.py b/src/lib.py
--- a/src/lib.py
+++ b/src/lib.py
@@ -1,3 +1,3 @@
 def add(a, b):
-    return a - b
+    return a + b
 # end
diff --git a/.aider.log b/.aider.log
new file mode 100644
--- /dev/null
+++ b/.aider.log
@@ -0,0 +1 @@
+{note}
Not in this patch: .x.history (scratch of the agent)
"""


def at(ms: int) -> str:
    """Return an instant of the run."""
    return f"{STARTED[:-2]}{ms // 1000:02d}.{ms % 1000:03d}000Z"


def call(
    seq: int, at_ms: int, latency_ms: float, cell_id: str, **changes: Any
) -> list[dict[str, Any]]:
    """Return START and END of a call."""
    times = {"seq": seq, "started_at": at(at_ms), "cell_id": cell_id}
    times["request_hash"] = f"sha256:{seq % 7:064x}"
    ended = {"ended_at": at(at_ms + round(latency_ms)), "latency_ms": latency_ms}
    more = {"stream": True, "ttft_ms": latency_ms / 3, "finish_reason": "stop", **changes}
    call_id = f"c{seq}"
    return [start_fields(call_id, **times), end_fields(call_id, **times, **ended, **more)]


def usual_calls(cell_id: str) -> list[dict[str, Any]]:
    """Return four calls: one cached, one that fails and is repeated, two that overlap."""
    failed = {
        **dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens", "usage_status")),
        "usage_source": "none",
        "status": 429,
        "end_reason": "upstream_error",
        "finish_reason": None,
        "ttft_ms": None,
        "error": {"type": "rate_limit_error", "message": "slow down"},
    }
    cached = {"cache_read_tokens": 60, "reasoning_tokens": 5, "cost_usd": "0.0042"}
    return [
        *call(1, 100, 400.0, cell_id, **cached),
        *call(2, 700, 90.5, cell_id, **failed),
        *call(3, 900, 500.0, cell_id, attempt=2, retry_of="c2"),
        *call(4, 1200, 600.0, cell_id, usage_source="tokenizer"),
    ]


def many_calls(cell_id: str, count: int) -> list[dict[str, Any]]:
    """Return that many short calls within three seconds."""
    step = 2900 / count
    return [
        line
        for n in range(count)
        for line in call(n + 1, 20 + round(n * step), 5.0 + n % 9, cell_id)
    ]


def write_capture(folder: Path, cell_id: str, text: str) -> None:
    """Write a capture of the usual calls: a conversation in which the agent repeats its history.

    Args:
        folder: The bundle.
        cell_id: Its cell.
        text: Stands in all that was said.
    """
    said = {"role": "assistant", "content": f"I look: {text}", "tool_calls": [_tool_call(text)]}
    first = [{"role": "system", "content": text}, {"role": "user", "content": f"fix {text}"}]
    result = {"role": "tool", "tool_call_id": "t1", "content": f"found {text}"}
    odd = {"role": text, "content": [{"type": text or "odd", "x": text}], text or "member": [text]}
    image = {"type": "image_url", "image_url": {"url": f"https://x.invalid/{text}"}}
    third = [*first, said, result, odd, {"role": "user", "content": [image]}]
    error = {"error": {"type": "rate_limit_error", "message": f"slow down {text}"}}
    stop = {"role": "assistant", "content": "done", "reasoning_content": text}
    calls: list[tuple[Any, Any]] = [
        (first, {"choices": [{"message": said, "finish_reason": "tool_calls"}]}),
        (third, error),
        (third, {"choices": [{"message": stop, "finish_reason": text or "stop"}]}),
    ]
    for seq, (messages, answer) in enumerate(calls, 1):
        tools = [{"type": "function", "function": {"name": f"look{text}"}}]
        body = {"model": "m", "messages": messages, "tools": tools, "mood": text}
        parts = [orjson.dumps(body)], [orjson.dumps(answer)]
        write_call(folder / "capture", f"c{seq}", *parts, cell=cell_id, seq=seq)


def _tool_call(text: str) -> dict[str, Any]:
    arguments = orjson.dumps({"path": text}).decode()
    return {"id": "t1", "type": "function", "function": {"name": "look", "arguments": arguments}}


def cast(*texts: str, term: str = "xterm-256color") -> bytes:
    """Return a recording of some output, a piece each 100 ms."""
    header = {"version": 2, "width": 80, "height": 24, "title": "t", "env": {"TERM": term}}
    events = [[(n + 1) / 10, "o", text] for n, text in enumerate(texts)]
    return b"\n".join(orjson.dumps(line) for line in [header, *events]) + b"\n"


def write_cell(
    folder: Path,
    *,
    cell_id: CellId,
    text: str = "plain",
    calls: Iterable[dict[str, Any]] | None = None,
    recording: bytes | None = None,
    passed: bool = True,
    image: str | None = None,
    sandbox: str | None = None,
    **changes: Any,
) -> Cell:
    """Write a bundle and return its cell.

    Args:
        folder: The bundle.
        cell_id: Its id.
        text: Stands in all texts that come from agent, model, task and check.
        calls: Lines of its ledger; None for the usual ones.
        recording: Its `recording.cast`.
        passed: Whether its check passed.
        image: Container image.
        sandbox: Where it ran; None: in a container if it has an image.
        changes: Other facts.
    """
    name = str(cell_id)
    lines = list(usual_calls(name) if calls is None else calls)
    beside = "".join(c for c in text[:80] if c.isprintable()).replace("/", "|")
    files = {"src/lib.py": "new", ".aider.log": "x", f"beside {beside}": "y"}
    write_bundle(
        folder,
        before=tree({"src/lib.py": "old"}),
        after=tree(files),
        calls=lines,
        stdout=f"I said: {text}\nin /tmp/cab-x-1a2b3c4d/workdir/src and /home/somebody/src\n",
        sealed=True,
        cell_id=name,
    )
    (folder / "changes.patch").write_text(PATCH.replace("{note}", text.replace("\n", " ")))
    if recording is not None:
        (folder / "recording.cast").write_bytes(recording)
    made = score_bundle(
        read_bundle(folder, _facts(cell_id, text, passed, (image, sandbox), changes))
    )
    (folder / "cell.json").write_bytes(dump_cell(made))
    return made


def _facts(
    cell_id: CellId, text: str, passed: bool, where: tuple[str | None, str | None], changes: Any
) -> Any:
    image, sandbox = where
    return facts(
        **{
            "identity": Identity(
                cell_id=str(cell_id),
                sweep_id=cell_id.sweep,
                tui=cell_id.tui,
                model_build_id=cell_id.model,
                exit_code=0,
                sandbox=sandbox or ("docker" if image else "local"),
                container_image=image,
                image_digest=f"sha256:{'ab' * 32}" if image else None,
                cab_version="0.1.0",
                agent_version=text[:100],
                deviations=[Deviation(name="root", what=f"it ran as root: {text}")],
            ),
            "timing": Timing.of_run(f"{STARTED}.000000Z", at(3000), 3000.125),
            "task": task_facts(
                task_id=cell_id.task_id, category=cell_id.family, prompt=f"fix it: {text}"
            ),
            "check": check(
                passed=passed,
                exit_code=0 if passed else 1,
                stdout_tail=f"ok: first\n{'ok' if passed else 'not ok'}: {text}\n",
                stderr_tail=text,
                reason=None if passed else text,
            ),
            "spans": _spans(text),
            "self_reported": SelfReport(
                prompt_tokens=200,
                completion_tokens=44,
                total_tokens=244,
                source="tui_stdout",
                exact=False,
            ),
            **changes,
        }
    )


def _spans(text: str) -> list[Span]:
    attrs = {"argv": [text, "/home/somebody/x"], text: text, "timed_out": False}
    return [
        Span(span_id="5e7b", kind="task_setup", name="prepare", start_ms=0, duration_ms=13),
        Span(
            span_id=f"s2{text}"[:64],
            parent_id="ad0p",
            kind="container",
            name=f"launch {text}",
            start_ms=13,
            duration_ms=2900.5,
            attrs=attrs,
        ),
        Span(span_id="ad0p", kind="adapter_run", name="run", start_ms=13, duration_ms=2950),
    ]
