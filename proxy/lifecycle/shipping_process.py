"""Ships the ledger of a proxy, as a process beside it: `shipping_beside` starts it, and nobody else.

Its standard input holds the database's password, and then nothing more: it ends when the proxy does. What
the proxy had written by then is sent first, if the sink takes it at once.
"""

import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path

import orjson

from cab.proxy.auth.held_secrets import make_unreadable
from cab.proxy.errors import CabProxyError
from cab.proxy.ledger.shipping.service import ShippingService
from cab.proxy.ledger.shipping.shipper import Shipper
from cab.proxy.ledger.shipping.sink import SinkTarget, sink_opener
from cab.proxy.ledger.shipping.status_file import write_status
from cab.proxy.logs import RedactingLogger, configure_logs

FINISH_S = 10.0
"""How long the last lines may take when the proxy has stopped."""

log = RedactingLogger()


def main() -> int:
    """Ship until the proxy ends; return 2 if that can never succeed."""
    make_unreadable()
    # Ctrl-C reaches this process too; the proxy decides when it is over.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    given = orjson.loads(sys.stdin.buffer.readline())
    configure_logs(given["log_level"], given["log_format"])
    ledger, target = Path(given["ledger"]), SinkTarget(given["url"], given["password"])
    stop = threading.Event()

    def end(_number: int, _frame: object) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=_wait_for_end, args=(stop,), name="cab-parent", daemon=True).start()
    try:
        shipper = Shipper(ledger, given["name"], stop=stop)
        opener, tell = sink_opener(target), partial(write_status, ledger)
        service = ShippingService(shipper, opener, target, stop, tell)
        service.run()
        service.finish(FINISH_S)
    except CabProxyError as error:
        log.error("shipping_impossible", reason=str(error))
        return 2
    return 0


def _wait_for_end(stop: threading.Event) -> None:
    # Not by `sys.stdin`: a thread that holds its lock makes Python abort at its end.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
