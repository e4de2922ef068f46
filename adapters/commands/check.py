"""`cab check`: does an endpoint work, and can it be metered? A few questions, then one provisional cell."""

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from cab.adapters.errors import AdapterError
from cab.adapters.processes.termination import run_until_terminated
from cab.adapters.runs.held_keys import hold_keys
from cab.adapters.runs.metering import DEMO
from cab.adapters.runs.run_cell import run_cell
from cab.adapters.runs.spec import TIMEOUT_S, CellSpec, plan_cell
from cab.adapters.ui.cell_table import score_table
from cab.adapters.ui.command import Option
from cab.adapters.ui.endpoint_probe import EndpointProbe, probe_endpoint
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.key_options import KEY_FROM
from cab.adapters.ui.options import JSON, MODEL, TASK, TIMEOUT, TUI, UPSTREAM
from cab.adapters.ui.progress import progress
from cab.adapters.ui.tables import text_table
from cab.proxy.config import parse_settings
from cab.proxy.demo import running_demo
from cab.proxy.logs import configure_logs
from cab.scoring.ledger.records import Endpoint
from cab.scoring.printable import counted, printable
from cab.scoring.score import ScoredCell, score_one

SWEEP = "provisional"
"""Sweep of the cells that are made here. They are not results, and their ids show it."""
DEFAULT_TUI = "scripted"
DEFAULT_TASK = "polyglot/python-error-handling"

_PASSED = {1: "passed", 0: "did not pass", None: "has no verdict"}
_COUNTED_BY = {"upstream": "the endpoint", "tokenizer": "our tokenizer"}

DESCRIPTION = """\
Check that a model endpoint works for coding agents, and that its calls can be
metered: first a few small questions to the endpoint itself, then one cell of the
sweep "provisional". Nothing is published, and nothing is kept without --keep.
Nothing has to be installed first: the agent is a small one that comes with CAB.
"""

EPILOG = f"""\
environment:
  CAB_ENDPOINT      base URL of the model endpoint; --upstream wins over it
  CAB_KEY           its key; --key-file and --key-fd win over it

examples:
  CAB_ENDPOINT=https://host/v1 CAB_KEY=... cab check --model MODEL
  CAB_ENDPOINT=... CAB_KEY=... uvx --from coding_agent_bench-*.whl cab check --model MODEL
  cab check --upstream demo                       a first look, with no key and no network
  cab check --model MODEL --tui aider --task {DEFAULT_TASK} --keep checked

exit codes: 0 the endpoint works and its calls are metered, whether or not the
task passed; 1 it does not; 2 wrong usage or configuration
"""

OPTIONS = (
    MODEL,
    UPSTREAM,
    KEY_FROM,
    TUI(default=DEFAULT_TUI),
    TASK(default=DEFAULT_TASK),
    TIMEOUT(default=TIMEOUT_S),
    Option("--keep", type=Path, metavar="DIR", help="keep the cell's bundle in this folder"),
    JSON,
)


class _Checked(NamedTuple):
    probe: EndpointProbe
    scored: ScoredCell | None
    """None where no cell was run, as the endpoint does not work."""
    bundle: Path | None
    """None where it is not kept."""


class EndpointVerdict(NamedTuple):
    """The result of the check."""

    ready: bool
    words: str


def run(args: argparse.Namespace) -> int:
    """Check the endpoint that the arguments and the environment name; return the exit code.

    Raises:
        AdapterError: There is no endpoint or no model, the key cannot be sent, or the agent or the
            task is not there.
    """
    configure_logs("warning", "auto")
    upstream = args.upstream or os.environ.get("CAB_ENDPOINT")
    if not upstream:
        raise AdapterError(
            "no endpoint; set CAB_ENDPOINT, or give --upstream URL (demo for a first look)"
        )
    model = args.model or (DEMO if upstream == DEMO else None)
    if model is None:
        raise AdapterError("no model; give --model NAME, as the endpoint names it")
    upstream = parse_settings({"upstream": upstream}, "command line").upstream
    keys = hold_keys(args.key_file, args.key_fd)
    with _folder(args.keep) as folder:
        spec = CellSpec(
            tui=args.tui,
            model=model,
            task=args.task,
            upstream=upstream,
            upstream_key=keys.endpoint,
            exposed=keys.exposed,
            runs=folder,
            sweep=SWEEP,
            timeout_s=args.timeout_s,
            force=True,
        )
        # Wrong names are reported before the endpoint is asked.
        dialect = plan_cell(spec).adapter.facts.dialects[0]
        checked = run_until_terminated(_check(spec, dialect, kept=args.keep is not None))
        verdict = verdict_of(checked.probe, checked.scored)
        print_json(_as_dict(checked, verdict)) if args.json else _print(checked, verdict, spec)
    return 0 if verdict.ready else 1


@contextmanager
def _folder(keep: Path | None) -> Generator[Path]:
    """Give the folder of the bundle; without `keep` it is removed at the end."""
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="cab-check-") as folder:
        yield Path(folder)


async def _check(spec: CellSpec, dialect: Endpoint, *, kept: bool) -> _Checked:
    async with _reached(spec.upstream or "") as url:
        with progress(f"asking {url} for {spec.model}", sys.stderr):
            probe = await probe_endpoint(url, spec.upstream_key, spec.model, dialect)
        if not probe.usable:
            return _Checked(probe, None, None)
        with progress(f"{spec.tui} on {spec.task}, at most {spec.timeout_s:g} s", sys.stderr):
            bundle = await run_cell(spec)
    return _Checked(probe, score_one(bundle), bundle if kept else None)


@asynccontextmanager
async def _reached(upstream: str) -> AsyncGenerator[str]:
    """Give the URL of an endpoint; the built-in one runs inside the block."""
    if upstream != DEMO:
        yield upstream
        return
    async with running_demo() as demo:
        yield demo.url


def verdict_of(probe: EndpointProbe, scored: ScoredCell | None) -> EndpointVerdict:
    """Return the result of the answers and of the cell, in words."""
    if scored is None:
        refusal = next(each for each in probe.findings if each.state == "no")
        return EndpointVerdict(False, f"not ready: {refusal.name}: no ({refusal.detail})")
    tokens, calls = scored.axes.tokens, scored.axes.calls
    if calls is None or not calls.succeeded:
        failures = (calls.failures if calls else None) or {}
        why = ", ".join(f"{name} {count}" for name, count in failures.items()) or "it made no call"
        return EndpointVerdict(False, f"not ready: no model call of the agent succeeded ({why})")
    if tokens.total_tokens is None and not tokens.scored_upper_end:
        gap = f"{tokens.unmeasured_calls} of {tokens.model_calls} calls have no token count"
        return EndpointVerdict(False, f"not ready: {gap}")
    sources = " and ".join(_COUNTED_BY[source] for source in tokens.by_source)
    passed = _PASSED[scored.axes.pass_rate.passed]
    most = f"at most {tokens.scored_total_tokens:,} tokens" if tokens.scored_upper_end else ""
    return EndpointVerdict(
        True,
        f"ready: {counted(tokens.model_calls or 0, 'model call')} metered, "
        f"{most or f'{tokens.total_tokens:,} tokens'} counted "
        f"by {sources}; the task {passed}",
    )


def _print(checked: _Checked, verdict: EndpointVerdict, spec: CellSpec) -> None:
    console = Console()
    console.print(text_table(("question", "answer", "seen"), checked.probe.findings))
    if checked.scored is not None:
        scored = checked.scored
        report = None if scored.cell is None else scored.cell.self_reported
        console.print(score_table(scored.cell_id, scored.axes, scored.profiles.values(), report))
    lines = [verdict.words, *_next_steps(checked, verdict, spec)]
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))


def _next_steps(checked: _Checked, verdict: EndpointVerdict, spec: CellSpec) -> list[str]:
    """Return what to do next, as lines to paste; the key stays a variable."""
    kept = (
        f"bundle: {checked.bundle}" if checked.bundle else "nothing was kept; --keep DIR keeps it"
    )
    lines = [] if checked.scored is None else [f"provisional, not a result; {kept}"]
    if not verdict.ready:
        return lines
    agent = "aider" if spec.tui == DEFAULT_TUI else spec.tui
    where = f"--endpoint {shlex.quote(spec.upstream or '')} --model {shlex.quote(spec.model)}"
    given = "" if os.environ.get("CAB_ENDPOINT") == spec.upstream else (spec.upstream or "")
    upstream = f" --upstream {shlex.quote(given)}" if given else ""
    if spec.upstream == DEMO:
        where = "--endpoint URL --model MODEL"
    return [
        *lines,
        "",
        "continue with an agent (cab adapters list shows all):",
        f"  cab adapters install {agent}",
        f"  cab adapters show {agent} {where}      # how to connect it by hand",
        f"  cab run-cell --tui {agent} --model {shlex.quote(spec.model)}{upstream} "
        f"--task {shlex.quote(spec.task)}",
    ]


def _as_dict(checked: _Checked, verdict: EndpointVerdict) -> dict[str, Any]:
    cell: dict[str, Any] | None = None
    if checked.scored is not None:
        bundle = None if checked.bundle is None else str(checked.bundle)
        cell = {**checked.scored.as_dict(), "path": bundle}
    return {
        "ready": verdict.ready,
        "verdict": verdict.words,
        "probe": [each._asdict() for each in checked.probe.findings],
        "cell": cell,
    }
