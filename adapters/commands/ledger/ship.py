"""`cab ledger ship`: sends the lines of a ledger to a database, once or as they are written."""

import argparse
import signal
import sys
import threading
import time
from pathlib import Path

from cab.adapters.errors import AdapterError
from cab.adapters.ui.command import Option
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.options import JSON
from cab.adapters.ui.place import database_password, files_only
from cab.adapters.ui.progress import complain
from cab.proxy.ledger.shipping.postgres.bundles import send_bundles
from cab.proxy.ledger.shipping.postgres.url import database_of, is_database
from cab.proxy.ledger.shipping.service import ShippingService, ShippingStatus
from cab.proxy.ledger.shipping.shipper import PassResult, Shipper
from cab.proxy.ledger.shipping.sink import SinkTarget, sink_opener
from cab.proxy.logs import configure_logs
from cab.scoring.ledger.segments import find_segments, ledgers_inside
from cab.scoring.printable import counted, printable

LOOK_AT_RUNS_S = 60.0
"""How often a folder of cells is searched for finished ones."""

DESCRIPTION = """\
Send the lines of a ledger to PostgreSQL, closed and growing segments alike, each
line once. It goes on where it stopped, waits while the database is away, and runs
until Ctrl-C; --once sends what is there and ends. cab-proxy --ship-to does the
same beside a proxy.
"""

EPILOG = """\
The password comes from PGPASSWORD or from a passfile (PGPASSFILE, ~/.pgpass), never
from the URL. docs/postgres.md shows the tables, the roles and the views.

exit codes: 0 done, 1 lines are missing or cannot be read, 2 wrong usage, or with
--once the database takes nothing

examples:
  cab ledger ship cab-ledger --to postgresql://cab@db.example/cab
  cab ledger ship cab-ledger --to postgresql://cab@db.example/cab --once
  cab ledger ship sweeps/first/ledger --to postgresql://cab@db.example/cab --once --runs sweeps/first/runs
  cab ledger ship /backup/cab --to postgresql://cab@db.example/cab --once --again
"""

OPTIONS = (
    Option(
        "ledger", type=files_only, metavar="LEDGER", help="the ledger's folder, or an archive's"
    ),
    Option(
        "--to", metavar="URL", required=True, help="the database: postgresql://USER@HOST/DATABASE"
    ),
    Option(
        "--name", metavar="NAME", help="what to call the ledger there (default: its folder's name)"
    ),
    Option(
        "--runs",
        type=Path,
        metavar="RUNS",
        help="also send the finished cells below this folder, for cab score and cab report",
    ),
    Option("--once", action="store_true", help="send what is there, and end"),
    Option(
        "--again",
        action="store_true",
        help="with --once: send all lines that are there, whatever was sent before",
    ),
    JSON,
)


def run(args: argparse.Namespace) -> int:
    """Ship what the arguments name; return the exit code.

    Raises:
        AdapterError: The options contradict each other, or the folder is not a ledger's.
        CabProxyError: The database cannot be used; with `--once` also that it takes nothing now.
        BadRecord: The folder cannot be read.
    """
    if args.again and not args.once:
        raise AdapterError("--again sends everything; give --once with it")
    ledger: Path = args.ledger
    if not ledger.is_dir():
        raise AdapterError(f"{ledger} is not a folder; give a ledger's folder")
    if args.runs is not None and not is_database(args.to):
        raise AdapterError("--runs sends cells to PostgreSQL only; give --to postgresql://...")
    target = SinkTarget(args.to, database_password())
    opener = sink_opener(target)
    name = args.name or ledger.absolute().name
    stop = threading.Event()
    shipper = Shipper(ledger, name, again=args.again, stop=stop)
    bundles = _Bundles(args.runs, target)
    service = ShippingService(shipper, opener, target, stop, bundles.look)
    if not args.once:
        return _follow(service, stop)
    code = _once(service, args)
    return max(code, bundles.send())


def _once(service: ShippingService, args: argparse.Namespace) -> int:
    if not find_segments(args.ledger):
        inside = ledgers_inside(args.ledger)
        raise AdapterError(f"{args.ledger} is not a ledger: it holds no segment{inside}")
    try:
        done = service.run_once()
    finally:
        service.close()
    if args.json:
        values = (done.lines, done.missing_segments, done.unreadable)
        print_json(dict(zip(("lines", "missing_segments", "unreadable"), values, strict=True)))
    else:
        print(f"{counted(done.lines, 'line was', 'lines were')} sent")
    return _report(done)


def _report(done: PassResult) -> int:
    for text in done.unreadable:
        complain(printable(f"cannot be read to its end: {text}"))
    for name in done.missing_segments:
        complain(printable(f"segment {name} is missing, and was not shipped whole"))
    return 1 if done.missing_segments or done.unreadable else 0


def _follow(service: ShippingService, stop: threading.Event) -> int:
    configure_logs("info", "auto")

    def end(_number: int, _frame: object) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    service.run()
    print(
        f"{counted(service.status.shipped_lines, 'line was', 'lines were')} sent", file=sys.stderr
    )
    return 0


class _Bundles:
    """The cells of a folder, sent beside the ledger.

    Args:
        runs: The folder; None: none are sent.
        target: The database.
    """

    def __init__(self, runs: Path | None, target: SinkTarget) -> None:
        self._runs = runs
        self._target = target
        self._looked_s = -LOOK_AT_RUNS_S

    def look(self, status: ShippingStatus) -> None:
        """Send what is finished, once in a while; a database that is away is asked again with the lines.

        Raises:
            SinkFailed: The database takes nothing now.
        """
        now_s = time.monotonic()
        if status.failure is None and now_s - self._looked_s >= LOOK_AT_RUNS_S:
            self._looked_s = now_s
            self.send()

    def send(self) -> int:
        """Send what is finished; return 1 if a file was left out.

        Raises:
            BadRecord: The folder cannot be read.
            SinkFailed: The database takes nothing now.
        """
        if self._runs is None:
            return 0
        address, name = database_of(self._target.url), self._runs.absolute().name
        done = send_bundles(address, self._target.password, self._runs, name)
        for file in done.left:
            complain(printable(f"{file} is too large, and was not sent"))
        if done.sent:
            complain(
                f"{counted(done.sent, 'cell was', 'cells were')} sent, {done.kept:,} were there already"
            )
        return 1 if done.left else 0
