"""One exclusive lock for all that writes files."""

import subprocess
import sys
from pathlib import Path

from cab.proxy.ledger.file_lock import lock_file

HOLDER = """
import sys
from cab.proxy.ledger.file_lock import lock_file
with open(sys.argv[1], "w") as held:
    print(lock_file(held), flush=True)
    sys.stdin.read()
"""


def test_another_process_has_the_lock_until_it_ends(tmp_path: Path) -> None:
    """While another process holds a file's lock it is not given; who waits gets it afterwards."""
    path = tmp_path / "lock"
    with (
        subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as holder,
        path.open("a") as handle,
    ):
        assert holder.stdin
        assert holder.stdout
        assert holder.stdout.readline() == b"True\n"
        assert not lock_file(handle)
        assert not lock_file(handle.fileno())
        holder.stdin.close()
        assert lock_file(handle, blocking=True)
        assert lock_file(handle)
