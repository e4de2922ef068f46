"""The examining process: `python -m cab.adapters.doctor AGENT DIALECT LIMIT_S PROBE...`, a JSON line each.

`parent.examine_agent` starts it, in namespaces of its own where the machine allows that. It ends when
its standard input ends: the process that started it has gone then.

Without arguments it only sets up its namespaces: exit code 1, and the reason, if that cannot be done.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence

from cab.adapters.doctor.isolation.namespaces import INSIDE, adopt_orphans
from cab.adapters.doctor.isolation.network import loopback_up, route_all_here
from cab.adapters.doctor.isolation.overlay import Overlay, mount_overlays


def main(arguments: Sequence[str]) -> int:
    """Examine one agent under some probes; return the exit code."""
    if not arguments:
        return _try_isolation()
    from cab.adapters.doctor.lines import evidence_lines  # noqa: PLC0415 - the attempt needs none of it

    # The first process of a namespace ignores what it does not handle.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    adopt_orphans()
    write = _own_stdout()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        overlay = _isolate() if os.environ.pop(INSIDE, None) else None
        for line in evidence_lines(arguments, overlay):
            write(line)
    except KeyboardInterrupt:
        return 130
    return 0


def _try_isolation() -> int:
    """Set up the namespaces and do no more; return the exit code."""
    try:
        if os.environ.pop(INSIDE, None):
            _isolate()
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"{what}{error.strerror}\n")
        return 1
    return 0


def _own_stdout() -> Callable[[bytes], object]:
    """Return what writes to our standard output; anything else that is printed goes to standard error."""
    stdout = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return stdout.write


def _end_with_parent() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _isolate() -> Overlay:
    loopback_up()
    route_all_here(socket.AF_INET)
    if os.path.exists("/proc/net/if_inet6"):  # noqa: PTH110 - absent where the kernel has no IPv6
        route_all_here(socket.AF_INET6)
    return mount_overlays()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
