"""Waits beside a run, and cleans up after it if cab is killed: run as a script, by file name.

    PYTHONPATH=WHERE-CAB-IS python -I -S watchdog.py CLEANUP-PLAN-AS-JSON

Its input is a pipe that cab holds open. A line is a plan that replaces the one before, and the line
`done` means that all is well; an end without that means that cab was killed, or could not end the run.
Only then is the rest of cab imported.
"""

import os
import sys

DONE = b"done\n"


def main(argv: list[str]) -> None:
    """Return once cab is done; become the cleanup command if it was killed."""
    plan = argv[1]
    for line in sys.stdin.buffer:
        if line == DONE:
            return
        if line.endswith(b"\n"):  # cab may be killed while it writes
            plan = line.decode()
    # Not -I: cab may be where only PYTHONPATH, as cab set it, leads.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "cab.adapters.processes.cleanup", plan])


if __name__ == "__main__":
    main(sys.argv)
