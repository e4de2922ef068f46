"""The command `cab`: everything around the meter. A command's module is imported when it is run."""

# Why argparse: `cab --help` may take 0.10 s of processor time more than bare Python. Measured here:
# argparse 0.02 s, typer 0.28 s, cyclopts 0.29 s. What they would save, `adapters.ui.command` does.

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from cab.adapters.ui.command import Command, add_commands
from cab.proxy.cli.parser import CommandLineParser

_DESCRIPTION = """\
Measure what coding agents really spend.

An agent runs on a task against a model endpoint, through a metering proxy that
writes one record per model call. Such a run is a cell; it is scored from what
was measured. The proxy alone is the command cab-proxy.
"""

_EPILOG = """\
environment:
  CAB_ENDPOINT      base URL of the model endpoint
  CAB_KEY           its key; stays with the proxy, agents never see it
  CAB_SIGNING_KEY   only for run-cell --proxy: the key that signs that proxy's cell keys

first steps:
  cab run-cell --tui scripted --upstream demo --task polyglot/python-error-handling
  cab adapters install aider
  CAB_ENDPOINT=https://host/v1 CAB_KEY=... \\
    cab run-cell --tui aider --model MODEL --task polyglot/python-error-handling

exit codes: 0 done, 1 what was checked does not hold, or the machine failed (a full
disk), 2 wrong usage or configuration
"""

_MACHINE_FAULTS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
)

_COMMANDS = "cab.adapters.commands"

COMMANDS = {
    "meter": Command(f"{_COMMANDS}.meter", "run a command and print what its model calls cost"),
    "run-cell": Command(f"{_COMMANDS}.run_cell", "run one agent on one task and score it"),
    "check": Command(f"{_COMMANDS}.check", "check that an endpoint works and can be metered"),
    "sweep": Command(f"{_COMMANDS}.sweep", "run many cells; can be stopped and resumed"),
    "score": Command(f"{_COMMANDS}.score", "score cells again, offline"),
    "report": Command(f"{_COMMANDS}.report", "write cells as pages for a browser"),
    "compare": Command(f"{_COMMANDS}.compare", "compare agents, models or sweeps, with statistics"),
    "reconcile": Command(
        f"{_COMMANDS}.reconcile", "compare the agents' own token counts with the measured ones"
    ),
    "export": Command(
        f"{_COMMANDS}.export", "write cells for other tools: Inspect, Harbor, SWE-bench"
    ),
    "adapters": Command(f"{_COMMANDS}.adapters", "list, install, show and examine agents"),
    "images": Command(f"{_COMMANDS}.images", "build, list and show container images of agents"),
    "tasks": Command(f"{_COMMANDS}.tasks", "list, show and check tasks"),
    "top": Command(f"{_COMMANDS}.top", "watch what a proxy does now: cells, calls, tokens"),
    "keys": Command(f"{_COMMANDS}.keys", "create and revoke the keys that agents get"),
    "ledger": Command(f"{_COMMANDS}.ledger", "verify, read, watch, seal and export an audit log"),
    "capture": Command(
        f"{_COMMANDS}.capture", "list, show and delete bodies of calls that were kept"
    ),
    "completion": Command(f"{_COMMANDS}.completion", "print a script for completion in a shell"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cab` and return its exit code."""
    _open_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = make_parser([word for word in arguments if not word.startswith("-")])
    if not arguments:
        parser.print_help()
        return 0
    return _run(parser.parse_args(arguments))


def make_parser(words: Sequence[str] | None) -> CommandLineParser:
    """Return the parser of `cab`.

    Args:
        words: The words of a command line that are not options. The command that they name is
            complete, and each other one is a line of help. None: all commands are complete.
    """
    parser = CommandLineParser(prog="cab", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_version()
    add_commands(parser, COMMANDS, words)
    return parser


def _run(args: argparse.Namespace) -> int:
    # Imported late, so that --help does not wait for them.
    from cab.adapters.errors import AdapterError  # noqa: PLC0415
    from cab.proxy.errors import CabProxyError  # noqa: PLC0415
    from cab.scoring.errors import ScoringError  # noqa: PLC0415

    try:
        return int(args.run(args))
    except (AdapterError, CabProxyError, ScoringError) as error:
        return _print_error(str(error), _code_of(error))
    except BrokenPipeError:
        # The reader has gone. Python would print one more error when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _print_error(_os_message(error), _code_of(error))
    except KeyboardInterrupt:
        return 130


def _open_streams() -> None:
    """Let what is printed go nowhere if it was started with a closed stream; programs that it starts have that."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - until the process ends; pathlib is slow to import
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - as above


def _os_message(error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.filename:
        return f"{error.filename}: {reason}"
    try:
        os.getcwd()  # noqa: PTH109 - as above
    except OSError:
        return f"the current folder: {reason}; go to one that is there and can be read"
    return f"the system: {reason}"


def _code_of(error: BaseException | None) -> int:
    """Return 1 if the machine has failed, as with a full disk, and 2 if what was asked for is wrong."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _MACHINE_FAULTS:
            return 1
        error = error.__cause__ or error.__context__
    return 2


def _print_error(message: str, code: int) -> int:
    from cab.scoring.printable import printable  # noqa: PLC0415 - most commands end without an error

    line = printable(" ".join(message.split()))
    print(f"cab: {line}", file=sys.stderr)  # noqa: T201 - the one line of an error
    return code
