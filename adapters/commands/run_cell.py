"""`cab run-cell`: one agent on one task with one model, metered and scored."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson
from rich.console import Console

from cab.adapters.errors import AdapterError
from cab.adapters.processes.termination import run_until_terminated
from cab.adapters.runs.metering import DEMO
from cab.adapters.runs.run_cell import run_cell
from cab.adapters.runs.spec import TIMEOUT_S, CellSpec
from cab.adapters.runs.upstream_account import AccountComparison, compare_account
from cab.adapters.sandboxes import docker, local
from cab.adapters.sandboxes.deviations import ALLOWED
from cab.adapters.sandboxes.docker import Container
from cab.adapters.sandboxes.limits import limit_names, parse_limits
from cab.adapters.ui.cell_table import cell_table
from cab.adapters.ui.control_option import add_control, control_address
from cab.adapters.ui.progress import progress
from cab.proxy.logs import configure_logs
from cab.scoring.score import ScoredCell, score_one

if TYPE_CHECKING:
    # argparse has no public name for what add_subparsers returns
    from argparse import _SubParsersAction  # pyright: ignore[reportPrivateUsage]

_DESCRIPTION = """\
Run a coding agent headless in a fresh copy of a task's workspace, through a
metering proxy and with a key of the cell's own, and score what it did. The
result is a folder, the cell's bundle: scores, calls, output, patch.

With --sandbox local (the default) the agent runs on this machine with your
rights: its own HOME, environment, process group and resource limits keep it
tidy, they are no security boundary. With --sandbox docker it runs in its image,
not as root, on a read-only root, in a network from which only the proxy can be
reached. What was less confined than that stands in the cell, as deviations.
"""

_EPILOG = """\
environment:
  CAB_ENDPOINT      base URL of the model endpoint; --upstream wins over it
  CAB_KEY           its key
  CAB_SIGNING_KEY   with --proxy: what that proxy checks cell keys with
  CAB_CONTROL       with --proxy: its control API, as --control

examples:
  cab run-cell --tui scripted --upstream demo --task polyglot/python-error-handling
  cab run-cell --tui aider --model gpt-5 --task polyglot/rust-error-handling --run 2
  cab run-cell --tui aider --model gpt-5 --task polyglot/rust-error-handling \\
      --sandbox docker --image codingagentbench/aider:v0.86.0 --limit memory=4g

exit codes: 0 the cell was run and scored, whatever its score; 1 the demo's own
account and the ledger differ; 2 wrong usage or configuration
"""


def add(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser of `cab`."""
    parser = subparsers.add_parser(
        "run-cell",
        help="run one agent on one task and score it",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = parser.add_argument_group("the cell")
    what.add_argument("--tui", required=True, metavar="NAME", help="agent: cab adapters list")
    what.add_argument("--model", metavar="NAME", help="as the endpoint names it (demo: demo)")
    what.add_argument("--task", required=True, metavar="TASK", help="cab tasks list; or ./folder")
    what.add_argument("--sweep", default="local", metavar="NAME", help="batch of cells (local)")
    what.add_argument("--run", type=int, metavar="N", dest="number", help="number of the run")
    what.add_argument("--dialect", metavar="D", help="endpoint that the agent calls (its first)")
    where = parser.add_argument_group("the endpoint")
    where.add_argument("--upstream", metavar="URL", help="model endpoint, or 'demo': built in")
    where.add_argument("--proxy", metavar="URL", help="a cab-proxy that runs already")
    add_control(where)
    where.add_argument("--ledger", type=Path, metavar="DIR", help="audit log (in the bundle)")
    how = parser.add_argument_group("the run")
    how.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="bundles (runs)"
    )
    how.add_argument(
        "--timeout-s", type=float, default=TIMEOUT_S, metavar="S", help=f"limit ({TIMEOUT_S:g})"
    )
    how.add_argument("--force", action="store_true", help="replace a cell that is there already")
    how.add_argument("--keep-workspace", action="store_true", help="leave the agent's folders")
    how.add_argument("--json", action="store_true", help="print one JSON object, no table")
    _add_sandbox(parser)
    parser.set_defaults(run=run)


def _add_sandbox(parser: argparse.ArgumentParser) -> None:
    where = parser.add_argument_group("the sandbox")
    where.add_argument(
        "--sandbox", choices=(local.NAME, docker.NAME), default=local.NAME, help="where it runs"
    )
    where.add_argument("--image", metavar="NAME", help="container image (the agent's own)")
    where.add_argument("--network", metavar="NAME", help="an existing network (one of its own)")
    where.add_argument("--engine", metavar="NAME", help="docker or podman (whichever answers)")
    where.add_argument(
        "--deviate",
        action="append",
        default=[],
        metavar="WORD",
        help=f"let a container do what its image needs: {', '.join(ALLOWED)}",
    )
    where.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="WHAT=N",
        help=f"resource limit, such as memory=4g or processes=off: {', '.join(limit_names())}",
    )
    agent = parser.add_argument_group("the agent")
    agent.add_argument("--terminal", action="store_true", help="it writes to terminals, not pipes")
    agent.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE",
        help="files, environment and arguments on top; or a name in the plugins folder",
    )
    agent.add_argument(
        "--plugins", type=Path, default=Path("plugins"), metavar="DIR", help="that folder (plugins)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the cell that the arguments name; return the exit code."""
    configure_logs("warning", "auto")
    spec = spec_of(args)
    with progress(f"{spec.tui} on {spec.task}, at most {spec.timeout_s:g} s", sys.stderr):
        bundle = run_until_terminated(run_cell(spec))
    result = _Result(bundle, score_one(bundle), compare_account(bundle))
    _print_json(result) if args.json else _print_table(result)
    return exit_code(result.account)


def exit_code(account: AccountComparison | None) -> int:
    """Return 1 if the model server gave an account and the ledger is not equal to it."""
    return 0 if account is None or account.equal else 1


def spec_of(args: argparse.Namespace) -> CellSpec:
    """Return the cell that the arguments and the environment name.

    Raises:
        AdapterError: There is no model.
    """
    # What the shell exports is for cells without a proxy of their own; only a flag contradicts.
    upstream = args.upstream or (None if args.proxy else os.environ.get("CAB_ENDPOINT") or None)
    model = args.model or (DEMO if upstream == DEMO else None)
    if model is None:
        raise AdapterError("no model; give --model NAME, as the endpoint names it")
    return CellSpec(
        tui=args.tui,
        model=model,
        task=args.task,
        dialect=args.dialect,
        upstream=upstream,
        upstream_key=os.environ.get("CAB_KEY") or None,
        proxy=args.proxy,
        control=control_address(args) if args.proxy else args.control,
        signing_key=os.environ.get("CAB_SIGNING_KEY") or None,
        ledger=args.ledger,
        runs=args.runs,
        sweep=args.sweep,
        run=args.number,
        timeout_s=args.timeout_s,
        force=args.force,
        keep_workspace=args.keep_workspace,
        sandbox=args.sandbox,
        container=Container(
            image=args.image,
            network=args.network,
            engine=args.engine,
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


def _print_table(result: _Result) -> None:
    assert result.scored.cell is not None  # a bundle is scored from its facts
    # For people, beside the result: the same cell deviates otherwise on another machine.
    if sys.stderr.isatty():
        for deviation in result.scored.cell.identity.deviations or ():
            print(f"deviation {deviation.name}: {deviation.what}", file=sys.stderr)
    console = Console()
    console.print(cell_table(result.scored.cell))
    console.print(f"bundle: {result.bundle}", highlight=False, markup=False, soft_wrap=True)
    if result.account is not None:
        console.print(str(result.account), highlight=False, markup=False, soft_wrap=True)


def _print_json(result: _Result) -> None:
    account = None
    if result.account is not None:
        account = {
            "served": result.account.account._asdict(),
            "ledger": result.account.ledger._asdict(),
            "equal": result.account.equal,
        }
    assert result.scored.cell is not None  # as above
    deviations = result.scored.cell.identity.deviations or []
    data = {
        **result.scored.as_dict(),
        "deviations": [deviation.name for deviation in deviations],
        "bundle": str(result.bundle),
        "account": account,
    }
    sys.stdout.buffer.write(orjson.dumps(data, option=orjson.OPT_APPEND_NEWLINE))
