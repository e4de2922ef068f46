"""Waits beside a run, and ends what is left of it if cab is killed: run as a script, by file name.

    PYTHONPATH=WHERE-CAB-IS python -I -S watchdog.py CLEANUP-PLAN-AS-JSON

Its input is a pipe that cab holds open. A byte says that all is well; an end without one says that
cab is gone, or was kept from ending the run. Only then is the rest of cab imported.
"""

import os
import sys


def main(argv: list[str]) -> None:
    """Return once cab is done; become the command that clears up if it was killed."""
    if not sys.stdin.buffer.read(1):
        # Not -I: cab may be where only PYTHONPATH, as cab set it, leads.
        clear_up = [sys.executable, "-P", "-m", "cab.adapters.processes.cleanup", argv[1]]
        os.execv(sys.executable, clear_up)


if __name__ == "__main__":
    main(sys.argv)
