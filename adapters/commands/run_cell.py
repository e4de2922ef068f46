"""`cab run-cell`: one agent on one task with one model, metered and scored."""

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from cab.adapters.errors import AdapterError
from cab.adapters.processes.agent_process import GRACE_S
from cab.adapters.processes.termination import run_until_terminated
from cab.adapters.runs.held_keys import hold_keys
from cab.adapters.runs.inside.session import ends_with_container
from cab.adapters.runs.metering import DEMO
from cab.adapters.runs.run_cell import run_cell
from cab.adapters.runs.spec import TIMEOUT_S, CellSpec
from cab.adapters.runs.upstream_account import AccountComparison, compare_account
from cab.adapters.sandboxes import docker, local
from cab.adapters.sandboxes.deviations import ALLOWED
from cab.adapters.sandboxes.docker import Container
from cab.adapters.sandboxes.limits import limit_names, parse_limits
from cab.adapters.ui.cell_table import cell_table
from cab.adapters.ui.command import Option, OptionGroup
from cab.adapters.ui.control_option import CONTROL, control_address
from cab.adapters.ui.endpoint_scheme import scheme_fault
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.key_options import KEY_FROM
from cab.adapters.ui.options import (
    CAPTURE,
    CHECKS_IMAGE,
    ENGINE,
    JSON,
    MODEL,
    RUNS,
    TASK,
    TIMEOUT,
    TUI,
    UPSTREAM,
)
from cab.adapters.ui.progress import complain, progress
from cab.adapters.ui.refused_calls import no_call_succeeded
from cab.proxy.control.sealing import SEAL_WAIT_S
from cab.proxy.logs import configure_logs
from cab.scoring.printable import printable
from cab.scoring.score import ScoredCell, score_one

DESCRIPTION = """\
Run a coding agent without a terminal in a fresh copy of a task's workspace,
through a metering proxy and with a key of its own, and score what it did. The
result is a folder, the cell's bundle: scores, calls, output, patch.

With --sandbox local (the default) the agent runs on this machine with your
rights. It has its own HOME, environment, process group and resource limits, but
these are not a security boundary. With --sandbox docker it runs in its image,
not as root, on a read-only root, in a network from which only the proxy can be
reached; the hidden checks run in containers of their own, without any. Where it was less confined than that, the cell says so (deviations).
"""

EPILOG = """\
environment:
  CAB_ENDPOINT      base URL of the model endpoint; --upstream wins over it
  CAB_KEY           its key; --key-file and --key-fd win over it
  CAB_SIGNING_KEY   with --proxy: the key that signs that proxy's cell keys
  CAB_CONTROL       with --proxy: its control API, as --control

examples:
  cab run-cell --tui scripted --upstream demo --task polyglot/python-error-handling
  cab run-cell --tui aider --model gpt-5 --task polyglot/rust-error-handling --run 2
  cab run-cell --tui aider --model gpt-5 --task polyglot/rust-error-handling \\
      --sandbox docker --image codingagentbench/aider:v0.86.0 --limit memory=4g

exit codes: 0 the cell was run and scored, whatever its score; 1 no model call
succeeded (a wrong key or model), or the demo's own count and the ledger differ;
2 wrong usage or configuration
"""

OPTIONS = (
    OptionGroup(
        "the cell",
        TUI(required=True),
        MODEL,
        TASK(required=True),
        Option("--sweep", default="local", metavar="NAME", help="sweep that the cell belongs to"),
        Option("--run", type=int, metavar="N", dest="number", help="number of the run"),
        Option(
            "--dialect",
            metavar="D",
            help="API that the agent calls, such as messages; if unset, the first that it supports",
        ),
    ),
    OptionGroup(
        "the endpoint",
        UPSTREAM,
        KEY_FROM,
        Option("--proxy", metavar="URL", help="a cab-proxy that is running already"),
        CONTROL,
        Option(
            "--ledger", type=Path, metavar="DIR", help="audit log; if unset, it is in the bundle"
        ),
        Option(
            "--seal-key-file",
            type=Path,
            metavar="FILE",
            help="private key (Ed25519, PEM) that signs the seal and the result",
        ),
        CAPTURE,
        Option(
            "--prices-file",
            type=Path,
            metavar="FILE",
            help="what models cost, where the endpoint states no price (TOML, docs/prices.md)",
        ),
        Option("--provider", metavar="NAME", help="who sells the tokens, such as openai"),
    ),
    OptionGroup(
        "the run",
        RUNS,
        TIMEOUT(
            default=TIMEOUT_S,
            help=f"time limit of the agent in seconds; ending it (up to {GRACE_S:g} s) and waiting for "
            f"its open calls (up to {SEAL_WAIT_S:g} s) come on top",
        ),
        Option("--force", action="store_true", help="replace a cell that exists already"),
        Option("--keep-workspace", action="store_true", help="keep the agent's folders"),
        Option(
            "--keep-scratch",
            action="store_true",
            help="show the agent's own files, such as its chat history, in changes.patch",
        ),
        JSON,
    ),
    OptionGroup(
        "the sandbox",
        Option(
            "--sandbox",
            choices=(local.NAME, docker.NAME),
            default=local.NAME,
            help="where the agent runs",
        ),
        Option(
            "--image",
            metavar="NAME",
            help="container image; if unset, what cab images build made, or the published one",
        ),
        CHECKS_IMAGE,
        Option("--network", metavar="NAME", help="existing network; if unset, a new one"),
        ENGINE,
        Option(
            "--deviate",
            action="append",
            default=[],
            metavar="WORD",
            help="permission that the image needs; may be repeated: " + ", ".join(ALLOWED),
        ),
        Option(
            "--limit",
            action="append",
            default=[],
            metavar="WHAT=N",
            help="resource limit, such as memory=4g or processes=off; may be repeated: "
            + ", ".join(limit_names()),
        ),
    ),
    OptionGroup(
        "the agent",
        Option("--terminal", action="store_true", help="it writes to terminals instead of pipes"),
        Option(
            "--plugin",
            action="append",
            default=[],
            metavar="FILE",
            help="plugin with files, environment and arguments for the agent: a file, or a name in "
            "the folder of plugins; may be repeated",
        ),
        Option(
            "--plugins",
            type=Path,
            default=Path("plugins"),
            metavar="DIR",
            help="folder of the plugins",
        ),
    ),
)


def run(args: argparse.Namespace) -> int:
    """Run the cell that the arguments name; return the exit code."""
    configure_logs("warning", "auto")
    spec = spec_of(args)
    if ends_with_container(spec.runs):
        complain(
            f"nothing is mounted at {spec.runs.absolute()}, so the bundle is lost with the container; add "
            '-v "$PWD/runs:/runs" to the engine\'s command'
        )
    with progress(f"{spec.tui} on {spec.task}, at most {spec.timeout_s:g} s", sys.stderr):
        bundle = run_until_terminated(run_cell(spec))
    scored = score_one(bundle)
    refused = no_call_succeeded(bundle, scored)
    if (
        refused is not None
        and spec.upstream
        and (fault := asyncio.run(scheme_fault(spec.upstream)))
    ):
        refused = f"{refused}; {fault}"
    result = _Result(bundle, scored, compare_account(bundle), refused)
    print_json(_as_dict(result)) if args.json else _print_table(result)
    if result.refused is not None:
        complain(result.refused)
    return exit_code(result.account, result.refused)


def exit_code(account: AccountComparison | None, refused: str | None = None) -> int:
    """Return 1 if the model server counted its calls and the ledger has other numbers, or none succeeded."""
    equal = account is None or account.equal
    return 0 if equal and refused is None else 1


def spec_of(args: argparse.Namespace) -> CellSpec:
    """Return the cell that the arguments and the environment name.

    Raises:
        AdapterError: There is no model.
    """
    # The shell's CAB_ENDPOINT does not contradict --proxy; the flag --upstream does.
    upstream = args.upstream or (None if args.proxy else os.environ.get("CAB_ENDPOINT") or None)
    keys = hold_keys(args.key_file, args.key_fd)
    model = args.model or (DEMO if upstream == DEMO else None)
    if model is None:
        raise AdapterError("no model; give --model NAME, as the endpoint names it")
    return CellSpec(
        tui=args.tui,
        model=model,
        task=args.task,
        dialect=args.dialect,
        upstream=upstream,
        upstream_key=keys.endpoint,
        exposed=keys.exposed,
        proxy=args.proxy,
        control=control_address(args) if args.proxy else args.control,
        signing_key=keys.signing,
        ledger=args.ledger,
        seal_key_file=args.seal_key_file,
        capture=args.capture == "bodies",
        prices_file=args.prices_file,
        provider=args.provider,
        runs=args.runs,
        sweep=args.sweep,
        run=args.number,
        timeout_s=args.timeout_s,
        force=args.force,
        keep_workspace=args.keep_workspace,
        keep_scratch=args.keep_scratch,
        sandbox=args.sandbox,
        container=Container(
            image=args.image,
            network=args.network,
            engine=args.engine,
            checks_image=args.checks_image,
            deviations=tuple(args.deviate),
        ),
        limits=parse_limits(args.limit),
        terminal=args.terminal,
        plugins=tuple(args.plugin),
        plugins_folder=args.plugins,
    )


class _Result(NamedTuple):
    bundle: Path
    scored: ScoredCell
    account: AccountComparison | None
    refused: str | None
    """Why no model call succeeded; None if one did, or there was none."""


def _print_table(result: _Result) -> None:
    assert result.scored.cell is not None  # a bundle is scored from its facts
    # Beside the result and for people only: it depends on the machine.
    if sys.stderr.isatty():
        for deviation in result.scored.cell.identity.deviations or ():
            print(printable(f"deviation {deviation.name}: {deviation.what}"), file=sys.stderr)
    console = Console()
    console.print(cell_table(result.scored.cell))
    console.print(f"bundle: {result.bundle}", highlight=False, markup=False, soft_wrap=True)
    if result.account is not None:
        console.print(str(result.account), highlight=False, markup=False, soft_wrap=True)


def _as_dict(result: _Result) -> dict[str, Any]:
    account = None
    if result.account is not None:
        account = {
            "served": result.account.account._asdict(),
            "ledger": result.account.ledger._asdict(),
            "equal": result.account.equal,
        }
    assert result.scored.cell is not None  # as above
    deviations = result.scored.cell.identity.deviations or []
    return {
        **result.scored.as_dict(),
        "deviations": [deviation.name for deviation in deviations],
        "bundle": str(result.bundle),
        "account": account,
        "no_call_succeeded": result.refused,
    }
