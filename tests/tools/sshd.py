"""A real ssh server on loopback, with keys and a port of its own; two names lead to it."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.tools.ports import free_port

SERVER = "/usr/sbin/sshd"
NODES = ("n1", "n2")
_SERVER = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile {folder}/sshd.pid
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
MaxStartups 100
"""
_CLIENT = """\
Host n1 n2
  HostName 127.0.0.1
  Port {port}
  IdentityFile {folder}/user
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known
  StrictHostKeyChecking accept-new
"""


def why_not() -> str | None:
    """Return why no server can be started here; None if it can be tried."""
    if not Path(SERVER).exists() or shutil.which("ssh") is None:
        return "sshd is missing: apt-get install openssh-server"
    return "sshd is started as root here" if os.geteuid() else None


@contextmanager
def running_sshd() -> Generator[Path]:
    """Run a server while the block runs; yields the configuration of its clients (`ssh -F`).

    Where none can be started the test is skipped, and in CI it fails.
    """
    reason = why_not()
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    Path("/run/sshd").mkdir(exist_ok=True)  # where the server gives up its rights
    with tempfile.TemporaryDirectory(prefix="cab-ssh-") as name:
        folder = Path(name)
        for key in ("host", "user"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
            subprocess.run(words, check=True)
        port = free_port()
        places = {"folder": folder, "port": port}
        (folder / "server").write_text(_SERVER.format_map(places))
        (folder / "client").write_text(_CLIENT.format_map(places))
        words = [SERVER, "-D", "-e", "-f", str(folder / "server")]
        with (folder / "log").open("wb") as log, subprocess.Popen(words, stderr=log) as server:
            try:
                _wait_for(port, server)
                yield folder / "client"
            finally:
                server.terminate()


def _wait_for(port: int, server: "subprocess.Popen[bytes]") -> None:
    while server.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
            return
        time.sleep(0.02)
    raise RuntimeError("sshd did not start")
