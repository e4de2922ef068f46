"""Waits beside a run, and cleans up after it if cab is killed: run as a script, by file name.

    PYTHONPATH=WHERE-CAB-IS python -I -S watchdog.py CLEANUP-PLAN-AS-JSON

Its input is a pipe that cab holds open. A byte means that all is well; an end without one means that
cab was killed, or could not end the run. Only then is the rest of cab imported.
"""

import os
import sys


def main(argv: list[str]) -> None:
    """Return once cab is done; become the cleanup command if it was killed."""
    if not sys.stdin.buffer.read(1):
        # Not -I: cab may be where only PYTHONPATH, as cab set it, leads.
        clean_up = [sys.executable, "-P", "-m", "cab.adapters.processes.cleanup", argv[1]]
        os.execv(sys.executable, clean_up)


if __name__ == "__main__":
    main(sys.argv)
