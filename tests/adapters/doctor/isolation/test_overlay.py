"""Folders are covered in a mount namespace of the test's own."""

import subprocess
import sys

import pytest

from cab.adapters.doctor.isolation.namespaces import why_not_isolated

_LINKED = """
mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /etc || exit
echo nameserver 192.0.2.53 > /run/servers
ln -s /run/servers /etc/resolv.conf
exec "$1" -P -c "$2"
"""
_COVER = """
from cab.adapters.doctor.isolation.overlay import mount_overlays
mount_overlays()
print(open("/etc/resolv.conf").read(), end="")
"""


def test_a_resolver_beside_the_sockets_stays() -> None:
    """Where the list of name servers is a link into the covered folder itself, it is there afterwards."""
    if why_not_isolated() is not None:
        pytest.skip("no namespaces here")
    spaces = ["unshare", "--user", "--map-root-user", "--mount", "--"]
    command = [*spaces, "sh", "-c", _LINKED, "sh", sys.executable, _COVER]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("nameserver 192.0.2.53\n", "")
