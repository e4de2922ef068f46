"""The examining process: `python -m cab.adapters.doctor AGENT DIALECT LIMIT_S PROBE...`, a JSON line each.

It is started by `outside.examine_agent`, in namespaces of its own where the machine allows that. It ends
when what is on its standard input ends: whoever started it has gone then.

Without arguments it only arranges its namespaces: exit code 1, and the reason, if that cannot be done.
"""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence

import orjson

from cab.adapters.doctor.examine import Order, examine
from cab.adapters.doctor.isolation.namespaces import INSIDE, adopt_orphans
from cab.adapters.doctor.isolation.network import lead_here, loopback_up
from cab.adapters.doctor.isolation.overlay import Overlay, cover
from cab.adapters.doctor.probes import PROBES
from cab.adapters.errors import AdapterError
from cab.proxy.errors import CabProxyError


def main(arguments: Sequence[str]) -> int:
    """Examine one agent under some probes; return the exit code."""
    if not arguments:
        return _tried()
    # The first process of a namespace ignores what it does not handle.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    adopt_orphans()
    tell = _own_stdout()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    agent, dialect, limit_s, *names = arguments
    order = Order(agent, dialect or None, float(limit_s))
    try:
        elsewhere = _moved_in() if os.environ.pop(INSIDE, None) else None
        for name in names:
            tell(_line(order, name, elsewhere))
    except KeyboardInterrupt:
        return 130
    return 0


def _tried() -> int:
    """Arrange the namespaces for nobody; return the exit code."""
    try:
        if os.environ.pop(INSIDE, None):
            _moved_in()
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"{what}{error.strerror}\n")
        return 1
    return 0


def _line(order: Order, name: str, elsewhere: Overlay | None) -> bytes:
    try:
        shown = asyncio.run(examine(order, PROBES[name], elsewhere))
        line = {"probe": name, "evidence": shown.model_dump(mode="json")}
    except (AdapterError, CabProxyError, OSError) as error:
        line = {"probe": name, "broken": " ".join(str(error).split())}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _own_stdout() -> Callable[[bytes], object]:
    """Return what writes to our standard output; whatever else is printed goes to the messages."""
    told = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return told.write


def _end_with_parent() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _moved_in() -> Overlay:
    """Arrange the namespaces that this process was started in."""
    loopback_up()
    lead_here(socket.AF_INET)
    if os.path.exists("/proc/net/if_inet6"):  # noqa: PTH110 - absent where the kernel has no IPv6
        lead_here(socket.AF_INET6)
    return cover()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
