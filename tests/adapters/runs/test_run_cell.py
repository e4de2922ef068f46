"""Whole cells: agent, proxy, checks and scorer together, for real."""

import hashlib
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from cab.adapters.agents.registry import load_adapter
from cab.adapters.errors import BundleExists
from cab.adapters.runs.bundle import is_complete
from cab.adapters.runs.run_cell import run_cell
from cab.adapters.runs.spec import CellSpec
from cab.adapters.runs.upstream_account import compare_account
from cab.proxy.app import running_proxy
from cab.proxy.config import ProxySettings
from cab.proxy.demo import running_demo
from cab.proxy.errors import ProxyRefused
from cab.scoring.cells.bundle import rescore
from tests.adapters.runs.cells import (
    AGENTS,
    REAL_KEY,
    SIGNING_KEY,
    TASK,
    cell_of,
    files_of,
    names_in,
    span_of,
)


async def test_ledger_equals_account(spec: CellSpec) -> None:
    """The cell passes; calls and tokens are the model server's own, number for number."""
    bundle = await run_cell(spec)

    cell, account = cell_of(bundle), orjson.loads((bundle / "upstream-account.json").read_bytes())
    tokens = cell["scorers"]["tokens"]
    assert is_complete(bundle)
    assert cell["scorers"]["pass_rate"]["pass"] == 1
    assert tokens["model_calls"] == account["calls"] > 1
    assert tokens["prompt_tokens"] == account["prompt_tokens"] > 0
    assert tokens["completion_tokens"] == account["completion_tokens"] > 0
    assert tokens["total_tokens"] == account["total_tokens"]
    assert cell["timing"]["prompt_tokens"] == account["prompt_tokens"]
    assert cell["timing"]["tokens_source"] == "upstream"
    assert cell["scorers"]["latency"]["model_call_ms"] > 0
    comparison = compare_account(bundle)
    assert comparison is not None
    assert comparison.equal


async def test_each_call_is_the_servers(spec: CellSpec) -> None:
    """Call by call, the ledger has the ids and tokens that the model server lists."""
    bundle = await run_cell(spec)

    account = orjson.loads((bundle / "upstream-account.json").read_bytes())
    records = [orjson.loads(line) for line in (bundle / "calls.jsonl").read_bytes().splitlines()]
    ends = [record for record in records if record["kind"] == "end"]
    assert [
        (end["upstream_id"], end["prompt_tokens"], end["completion_tokens"]) for end in ends
    ] == [
        (call["id"], call["prompt_tokens"], call["completion_tokens"])
        for call in account["by_call"]
    ]
    assert {end["stream"] for end in ends} == {True}
    assert [end["seq"] for end in ends] == list(range(1, len(ends) + 1))


async def test_self_report(spec: CellSpec) -> None:
    """The agent's own count stands beside the meter's, with its source."""
    cell = cell_of(await run_cell(spec))

    report, tokens = cell["self_reported"], cell["scorers"]["tokens"]
    assert report["total_tokens"] == tokens["total_tokens"]
    assert (report["source"], report["exact"]) == ("tui_stdout", True)


async def test_rescored_bytes(spec: CellSpec) -> None:
    """Rescoring the bundle offline gives the same `cell.json`, byte for byte."""
    bundle = await run_cell(spec)

    assert rescore(bundle) == (bundle / "cell.json").read_bytes()


async def test_bundle_files(spec: CellSpec) -> None:
    """The bundle holds what the design names, and its calls are those of the seal."""
    bundle = await run_cell(spec)

    assert {path.name for path in bundle.iterdir()} == {
        "cell.json",
        "calls.jsonl",
        "seal.json",
        "before.json",
        "after.json",
        "changes.patch",
        "stdout.txt",
        "stderr.txt",
        "recording.cast",
        "upstream-account.json",
        "ledger",
    }
    seal = orjson.loads((bundle / "seal.json").read_bytes())
    digest = hashlib.sha256((bundle / "calls.jsonl").read_bytes()).hexdigest()
    assert seal["digest"] == f"sha256:{digest}"
    assert b"+++ b/numlist.py" in (bundle / "changes.patch").read_bytes()


async def test_spans(spec: CellSpec) -> None:
    """Spans have the published kinds, names and attributes."""
    cell = cell_of(await run_cell(replace(spec, timeout_s=90)))

    assert [(span["kind"], span["name"]) for span in cell["spans"]] == [
        ("task_setup", f"prepare:{TASK}"),
        ("tool_call", "applied_plugins"),
        ("container", "scripted:launch"),
        ("adapter_run", f"scripted:{TASK}"),
        ("cleanup", "cleanup:scripted"),
    ]
    run = span_of(cell, "adapter_run", f"scripted:{TASK}")
    launch = span_of(cell, "container", "scripted:launch")
    assert launch["parent_id"] == run["span_id"]
    assert run["attrs"] == {"timeout_s": 90, "plugin_stack": [], "exit_code": 0}
    assert set(launch["attrs"]) >= {"argv", "timeout_s", "exit_code", "duration_s", "timed_out"}
    prepared = span_of(cell, "task_setup", f"prepare:{TASK}")["attrs"]
    assert (prepared["task_category"], prepared["behavior_mode"]) == ("polyglot", "factory")
    assert cell["timing"]["duration_ms"] >= launch["duration_ms"]


async def test_no_key_gets_out(spec: CellSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nosy agent finds no key but its own, and not even that one is in the bundle."""
    for name in ("CAB_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, REAL_KEY)
    monkeypatch.setenv("CAB_SIGNING_KEY", SIGNING_KEY)
    monkeypatch.setattr(tempfile, "tempdir", str(spec.runs.parent))  # it is kept for a look

    bundle = await run_cell(
        replace(spec, tui=f"{AGENTS}:Nosy", signing_key=SIGNING_KEY, keep_workspace=True)
    )

    cell = cell_of(bundle)
    assert span_of(cell, "task_setup", f"prepare:{TASK}")["attrs"]["workdir"] == "<workspace>"
    [workdir] = spec.runs.parent.glob("cab-*/workdir")
    seen = orjson.loads((workdir / "environment.json").read_bytes())
    assert not {"CAB_KEY", "CAB_SIGNING_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"} & set(seen)
    for content in (*files_of(workdir.parent), *files_of(bundle)):
        assert b"canary" not in content
    assert seen["AGENT_KEY"].encode() in (workdir / "source.txt").read_bytes()
    for content in files_of(bundle):
        assert seen["AGENT_KEY"].encode() not in content
    assert (bundle / "stdout.txt").read_text() == "on stdout [redacted]\n"
    assert (bundle / "stderr.txt").read_text() == "on stderr [redacted]\n"
    assert b"+the key is [redacted]" in (bundle / "changes.patch").read_bytes()


async def test_real_key_reaches_the_endpoint(spec: CellSpec) -> None:
    """The endpoint sees the real key on every call, which the agent never held."""
    async with running_demo() as demo:
        await run_cell(replace(spec, upstream=f"{demo.url}/v1"))
        calls = demo.account()["by_call"]

    fingerprint = hashlib.sha256(REAL_KEY.encode()).hexdigest()[:12]
    assert calls
    assert {call["key_fingerprint"] for call in calls} == {fingerprint}


async def test_timed_out(spec: CellSpec) -> None:
    """An agent that hangs is ended at the limit; the cell is scored, without an exit code."""
    bundle = await run_cell(replace(spec, tui=f"{AGENTS}:Hanging", timeout_s=1))

    cell = cell_of(bundle)
    launch = span_of(cell, "container", "hanging:launch")
    assert is_complete(bundle)
    assert launch["attrs"]["timed_out"] is True
    assert cell["identity"]["exit_code"] is None
    assert cell["scorers"]["pass_rate"]["pass"] == 0
    assert (bundle / "stdout.txt").read_text() == "hanging\n"


async def test_endless_folders(
    spec: CellSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders nested a thousand deep bring nothing down, and are removed like any others."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    bundle = await run_cell(replace(spec, tui=f"{AGENTS}:Digger"))

    cell = cell_of(bundle)
    assert len(orjson.loads((bundle / "after.json").read_bytes())["entries"]) > 1000
    assert rescore(bundle) == (bundle / "cell.json").read_bytes()
    assert cell["scorers"]["pass_rate"]["pass"] != 1
    assert names_in(tmp_path) == ["runs"]


async def test_failing_agent(spec: CellSpec) -> None:
    """An agent that fails is a scored cell: no calls are 0 calls, an unread count is null."""
    cell = cell_of(await run_cell(replace(spec, tui=f"{AGENTS}:Failing")))

    tokens = cell["scorers"]["tokens"]
    assert cell["identity"]["exit_code"] == 3
    assert cell["self_reported"] is None
    assert tokens["model_calls"] == 0
    assert tokens["tokens_per_correct_task"] is None


async def test_self_report_that_cannot_be_read(spec: CellSpec) -> None:
    """Where an agent's files cannot be read, its own count is unknown, and the cell is complete."""
    bundle = await run_cell(replace(spec, tui=f"{AGENTS}:Unreadable"))

    assert is_complete(bundle)
    assert cell_of(bundle)["self_reported"] is None


async def test_git_marker(spec: CellSpec) -> None:
    """An agent that wants git finds a repository; the published scorer says so."""
    cell = cell_of(await run_cell(replace(spec, tui=f"{AGENTS}:Nosy")))

    marker = span_of(cell, "task_setup", "nosy:git-init-marker")
    assert marker["attrs"]["git_dir_exists"] is True
    assert cell["scorers"]["blast_radius"]["extra_git_dir"] is True


async def test_refusal_task(spec: CellSpec) -> None:
    """Asking where the ticket is ambiguous is right, and needs no model call."""
    cell = cell_of(
        await run_cell(replace(spec, tui=f"{AGENTS}:Ticket", task="integrity/ambiguous-ticket"))
    )

    assert cell["scorers"]["refusal"]["refusal_correct"] is True
    assert cell["scorers"]["pass_rate"]["pass"] == 1
    assert cell["scorers"]["integrity"]["integrity"] == 1


async def test_given_proxy(spec: CellSpec, tmp_path: Path) -> None:
    """A cell runs through a proxy that runs elsewhere: its ledger, its key, no account."""
    settings = ProxySettings(upstream="demo", port=0, ledger=tmp_path / "theirs", auth="keys")
    async with running_proxy(settings, signing_key=SIGNING_KEY) as proxy:
        bundle = await run_cell(
            replace(spec, upstream=None, proxy=proxy.url, signing_key=SIGNING_KEY)
        )
        assert proxy.demo is not None
        account = proxy.demo.account()

    tokens = cell_of(bundle)["scorers"]["tokens"]
    assert (tokens["model_calls"], tokens["total_tokens"]) == (
        account["calls"],
        account["total_tokens"],
    )
    assert not (bundle / "ledger").exists()
    assert not (bundle / "upstream-account.json").exists()


async def test_shared_ledger(spec: CellSpec, tmp_path: Path) -> None:
    """Two runs of a task share a ledger; each bundle has its own calls only."""
    shared = replace(spec, ledger=tmp_path / "ledger")
    first = await run_cell(replace(shared, run=1))
    second = await run_cell(replace(shared, run=2))

    assert (first.name, second.name) == ("python-error-handling#run1", "python-error-handling#run2")
    assert cell_of(first)["scorers"]["tokens"]["model_calls"] == 3
    assert cell_of(second)["scorers"]["tokens"]["model_calls"] == 3
    with pytest.raises(ProxyRefused, match="has calls of"):
        await run_cell(replace(shared, run=1, force=True))
    assert is_complete(first)


async def test_again(spec: CellSpec) -> None:
    """A complete cell is not run again, unless it is forced: then all of it is new."""
    bundle = await run_cell(spec)
    before = (bundle / "cell.json").read_bytes()

    with pytest.raises(BundleExists):
        await run_cell(spec)
    assert (bundle / "cell.json").read_bytes() == before
    await run_cell(replace(spec, force=True))

    assert (bundle / "cell.json").read_bytes() != before
    assert cell_of(bundle)["scorers"]["tokens"]["model_calls"] == 3


async def test_recording(spec: CellSpec) -> None:
    """The bundle holds the run as a terminal session, without secrets, the streams separate."""
    bundle = await run_cell(replace(spec, tui=f"{AGENTS}:Nosy"))

    header, *events = map(orjson.loads, (bundle / "recording.cast").read_bytes().splitlines())
    assert (header["version"], header["title"]) == (2, f"local/nosy/demo/{TASK}")
    text = "".join(text for _, kind, text in events if kind == "o")
    # Two streams into one terminal: a piece of one may stand in a line of the other.
    pieces = ("on stdout ", "on stderr ", "[redacted]\r\n", "[redacted]\r\n")
    assert sorted(re.findall("|".join(map(re.escape, pieces[:3])), text)) == sorted(pieces)
    assert len(text) == len("".join(pieces))
    assert (bundle / "stdout.txt").read_text() == "on stdout [redacted]\n"
    assert (bundle / "stderr.txt").read_text() == "on stderr [redacted]\n"


async def test_terminal(spec: CellSpec) -> None:
    """With a terminal the agent's report is still read, as output and messages stay apart."""
    bundle = await run_cell(replace(spec, terminal=True))

    assert cell_of(bundle)["self_reported"]["exact"] is True
    assert b'"TERM":"xterm-256color"' in (bundle / "recording.cast").read_bytes()


async def test_the_agents_version_is_part_of_the_cell(spec: CellSpec) -> None:
    """Which version of the agent ran stands beside its name, as its adapter or its install says."""
    cell = cell_of(await run_cell(spec))

    assert cell["identity"]["agent_version"] == load_adapter("scripted").facts.version
