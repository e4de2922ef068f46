"""`cab meter`: runs a command, and says what its model calls have cost, as `time` says what it took."""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cab.adapters.errors import AdapterError
from cab.adapters.meter.endpoints import (
    MeteredEndpoint,
    found_endpoints,
    given_upstream,
    named_endpoint,
    passing_endpoints,
)
from cab.adapters.processes.foreground import CommandNotStarted, run_foreground, signals_held
from cab.adapters.ui.command import Option, OptionGroup
from cab.adapters.ui.key_options import KEY_FROM
from cab.adapters.ui.options import CAPTURE, UPSTREAM
from cab.proxy.auth.held_secrets import SECRET_VARIABLES, hide, read_key
from cab.scoring.errors import ScoringError
from cab.scoring.ids import CellId
from cab.scoring.printable import printable

if TYPE_CHECKING:
    from cab.scoring.cells.metered_command import MeteredCommand

USAGE = "cab meter [options] -- COMMAND [ARGUMENT ...]"

DESCRIPTION = """\
Run a command as if you had typed it alone, and print on standard error what its
model calls came to: calls, tokens, cost, time, and what could not be metered.
Input, output, terminal, signals and exit code are the command's own.

The command gets the address of a metering proxy, and a key for that alone, in
the variables that clients of model APIs read, such as OPENAI_BASE_URL and
ANTHROPIC_BASE_URL. An agent that cab knows gets what else it needs.

The calls go where --upstream or CAB_ENDPOINT says, with the key in CAB_KEY.
Without these they go where the command would have called: to what OPENAI_BASE_URL
and OPENAI_API_KEY name, and ANTHROPIC_API_KEY, GEMINI_API_KEY and the like. These
keys stay with the proxy too.
"""

EPILOG = """\
examples:
  cab meter -- claude -p 'explain this repository'
  cab meter --json spent.json -- codex exec 'fix the tests'
  cab meter --upstream demo -- python my_agent.py
  cab meter --pass-keys -- claude             # with the login of the command

exit code: the command's; 128 and the number of the signal that ended it; 127 if it
is not there, 126 if it cannot be run; 2 if it was not started because of cab
"""

OPTIONS = (
    OptionGroup(
        "the endpoint",
        UPSTREAM,
        KEY_FROM(
            Option(
                "--pass-keys",
                action="store_true",
                help="let the command call with its own keys or login, which pass through the proxy",
            ),
        ),
        Option("--provider", metavar="NAME", help="who sells the tokens, such as openai"),
        Option(
            "--prices-file",
            type=Path,
            metavar="FILE",
            help="what models cost, where the endpoint states no price (TOML, docs/prices.md)",
        ),
    ),
    OptionGroup(
        "what is kept",
        Option("--json", type=Path, metavar="FILE", help="write the result as a JSON object too"),
        Option("--quiet", action="store_true", help="print nothing at the end"),
        Option(
            "--ledger", type=Path, metavar="DIR", help="keep the audit log; if unset, it is removed"
        ),
        Option("--cell", metavar="ID", help="cell that the calls belong to; if unset, a new one"),
        CAPTURE(help="bodies: keep what each call asked and was answered; needs --ledger"),
        Option(
            "--grace-s",
            type=float,
            default=5.0,
            metavar="S",
            help="how long calls that are open when the command ends may go on, in seconds",
        ),
    ),
    Option("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="program and arguments"),
)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    argv = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not argv:
        raise AdapterError("no command; put it behind --, as in: cab meter -- codex")
    _check_files(args)
    with signals_held() as mask, ExitStack() as stack:
        environment = dict(os.environ)
        endpoints = _endpoints(args, environment)
        secrets = [each.key for each in endpoints if each.key is not None]
        hide(secrets, SECRET_VARIABLES)
        # Imported late: nobody waits for the proxy to read the help, or of an error above.
        from cab.adapters.meter.metering import (  # noqa: PLC0415
            MeteringPlan,
            metered_start,
            temporary_folder,
        )
        from cab.adapters.meter.summary import CommandRun, summarized  # noqa: PLC0415

        ledger = args.ledger or Path(stack.enter_context(temporary_folder()))
        plan = MeteringPlan(
            argv, endpoints, args.cell or _new_cell(argv[0]), ledger, args.grace_s, _settings(args)
        )
        with metered_start(plan, environment, secrets) as start:
            started_at = datetime.now(UTC)
            began_s = time.monotonic()
            try:
                code = run_foreground(start.argv, start.environment, mask)
            except CommandNotStarted as error:
                sys.stderr.write(f"cab: {printable(str(error))}\n")
                return error.code
            wall_ms = (time.monotonic() - began_s) * 1000
        ran = CommandRun(f"{started_at:%Y-%m-%dT%H:%M:%S.%fZ}", wall_ms, code)
        try:
            _report(args, summarized(plan, ran, kept=args.ledger is not None))
        except (ScoringError, OSError) as error:  # the command has run: its exit code stays
            sys.stderr.write(f"cab: what it spent cannot be read: {printable(str(error))}\n")
    return code


def _endpoints(args: argparse.Namespace, environment: dict[str, str]) -> Sequence[MeteredEndpoint]:
    upstream = given_upstream(args.upstream)
    if args.pass_keys:
        return passing_endpoints(upstream, args.provider, environment)
    if upstream is None:
        if args.key_file or args.key_fd is not None:
            raise AdapterError(
                "a key without an endpoint; give --upstream URL, or set CAB_ENDPOINT"
            )
        found = found_endpoints(environment)
        return [each._replace(provider=args.provider or each.provider) for each in found]
    key = read_key(args.key_file, args.key_fd) or environment.get("CAB_KEY") or None
    return [named_endpoint(upstream, key, args.provider, environment)]


def _settings(args: argparse.Namespace) -> dict[str, object]:
    """Return the settings that all proxies have in common."""
    settings: dict[str, object] = {}
    if args.prices_file is not None:
        settings["prices_file"] = args.prices_file
    if args.capture is not None:
        settings["capture"] = args.capture
    return settings


def _check_files(args: argparse.Namespace) -> None:
    """Find out before the command runs that its result cannot be kept."""
    if args.capture == "bodies" and args.ledger is None:
        raise AdapterError("--capture bodies keeps them in the audit log; give --ledger DIR")
    path: Path | None = args.json
    if path is None:
        return
    if str(path) == "-":
        raise AdapterError("--json - would write into the command's output; give a file")
    try:
        place = path if path.exists() else path.absolute().parent
        is_writable = os.access(place, os.W_OK) and not path.is_dir()
    except PermissionError:
        is_writable = False
    if not is_writable:
        raise AdapterError(f"--json {path} cannot be written; give a file in a folder that exists")


def _new_cell(program: str) -> str:
    """Return the id of a cell of its own: what is called here is known only when it was called."""
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in Path(program).name) or "command"
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}"
    return str(CellId("meter", name.lstrip(".") or "command", "any", "command", stamp))


def _report(args: argparse.Namespace, command: "MeteredCommand") -> None:
    from cab.adapters.meter.summary import summary_lines  # noqa: PLC0415 - as in `run`

    if args.json is not None:
        # The command's exit code stays: whoever reads the file sees that it is not there.
        try:
            text = command.model_dump_json(by_alias=True, indent=2)
            args.json.write_text(f"{text}\n", encoding="utf-8")
        except OSError as error:
            sys.stderr.write(f"cab: --json {args.json}: {error.strerror}\n")
    if not args.quiet:
        with suppress(OSError):  # nobody reads it any more
            lines = [*summary_lines(command, colour=sys.stderr.isatty()), *_why_all_failed(command)]
            sys.stderr.write("\n" + "".join(f"{line}\n" for line in lines))
            sys.stderr.flush()


def _why_all_failed(command: "MeteredCommand") -> Iterator[str]:
    """Yield what is wrong with the endpoint, or which command says it, where no call succeeded."""
    if not command.calls or command.failed_calls < command.calls:
        return
    import asyncio  # noqa: PLC0415 - as in `run`

    from cab.adapters.ui.endpoint_scheme import scheme_fault  # noqa: PLC0415 - as in `run`

    for each in command.endpoints:
        if fault := asyncio.run(scheme_fault(each.upstream)):
            yield printable(f"{each.upstream}: {fault}")
        elif len(command.endpoints) == 1 and (model := command.models[0].model):
            words = shlex.join(["cab", "check", "--upstream", each.upstream, "--model", model])
            yield printable(f"no call succeeded; with the key in CAB_KEY, this says why: {words}")
