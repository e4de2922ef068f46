"""What `configure_logs` does to a process, undone."""

import logging
import sys

from cab.proxy.logs import StderrHandler


def reset_logs() -> None:
    """Have the process log as it did at its start."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, StderrHandler)]:
        root.removeHandler(handler)
    logging.getLogger("cab").setLevel(logging.NOTSET)
    sys.excepthook = sys.__excepthook__
