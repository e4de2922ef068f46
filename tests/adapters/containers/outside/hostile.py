"""Agents that try to get out of their container, to use up the machine, or not to end."""

from cab.adapters.agents.base import AgentFacts, Launch, NpmInstall, Output, RunContext
from cab.scoring.cells.cell import SelfReport

TARGETS: list[tuple[str, int]] = []
"""Hosts and ports that nobody in a container should reach; tests set it."""

CALL = r"""
import json, os, signal, socket, sys, time, urllib.error, urllib.request
from pathlib import Path

BASE, KEY = os.environ["CAB_ENDPOINT"].removesuffix("/v1"), os.environ["CAB_KEY"]

def ask(path, body=None):
    request = urllib.request.Request(
        BASE + path,
        None if body is None else json.dumps(body).encode(),
        {"Authorization": "Bearer " + KEY, "Content-Type": "application/json"},
    )
    try:
        return urllib.request.urlopen(request, timeout=30).status
    except urllib.error.HTTPError as error:
        return error.code

ask("/v1/chat/completions", {"model": "demo", "messages": [{"role": "user", "content": "hello"}]})
"""

LOOK = r"""
def can(act):
    try:
        act()
    except OSError:
        return False
    return True

def names(*addresses):
    query = b"\x12\x34\x01\x00\x00\x01" + bytes(6) + b"\x07example\x03com\x00\x00\x01\x00\x01"
    for address in addresses:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(1)
            try:
                asking.sendto(query, (address, 53))
                asking.recv(512)
                return True
            except OSError:
                continue
    return False

def found(*wanted):
    for folder, folders, files in os.walk("/", onerror=lambda error: None):
        if folder.startswith(("/proc", "/sys", "/usr/lib/node_modules")):
            folders.clear()
            continue
        for name in files:
            if name in wanted:
                yield folder + "/" + name

gateway = BASE.removeprefix("http://").partition(":")[0]
pids = [name for name in os.listdir("/proc") if name.isdigit()]
cell = urllib.request.quote(os.environ["CELL"], safe="")
seen = {
    "uid": os.getuid(),
    "caps": [line for line in open("/proc/self/status") if line.startswith("CapEff")][0].split()[1],
    "write_root": can(lambda: open("/written", "w")),
    "reached": [
        target for target in json.loads(os.environ["TARGETS"])
        if can(lambda: socket.create_connection(tuple(target), 2).close())
    ],
    "names": names(gateway, "127.0.0.1", "9.9.9.9"),
    "processes": [Path("/proc", pid, "cmdline").read_bytes().decode()[:40] for pid in pids],
    "answers": sorted(found("cases.toml", "probe.py")),
    "engine": [path for path in ("/var/run/docker.sock", "/run/podman/podman.sock") if os.path.exists(path)],
    "cells": ask("/cab/cells"),
    "mint": ask("/cab/keys", {"cell": "other/agent/demo/a/b"}),
    "seal": ask(f"/cab/cells/{cell}/seal", {}),
    "environment": sorted(name for name in os.environ if "real" in os.environ[name]),
}
Path("seen.json").write_text(json.dumps(seen))
"""

BOMB = r"""
children = 0
while True:
    try:
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                time.sleep(600)
        children += 1
    except OSError:
        break
    if children > 2000:
        break
Path("children.txt").write_text(str(children))
"""

FILL = r"""
piece = os.urandom(1 << 22)
number = 0
while True:
    with open(f"full-{number}", "wb") as full:
        full.write(piece)
        full.flush()
        os.fsync(full.fileno())
    number += 1
"""

FILL_MEMORY = r"""
with open("/tmp/full", "wb") as full:
    while True:
        full.write(bytes(1 << 20))
        full.flush()
"""

STAY = r"""
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("stays", flush=True)
while True:
    time.sleep(600)
"""


class _Hostile:
    name = "hostile"
    code = ""

    @property
    def facts(self) -> AgentFacts:
        """Return what is fixed about it; its image is named by the cell."""
        return AgentFacts(self.name, "1", ("chat.completions",), install=NpmInstall("x", "python3"))

    def launch(self, run: RunContext) -> Launch:
        """Return how Python runs its code."""
        targets = [list(target) for target in TARGETS]
        cell = f"local/{self.name}/demo/test/quick"
        env = {"TARGETS": str(targets).replace("'", '"'), "CELL": cell}
        return Launch((str(run.executable), "-c", CALL + self.code), env)

    def self_report(self, output: Output) -> SelfReport | None:
        """Return nothing: it does not count."""
        del output
        return None


class Looking(_Hostile):
    """Looks for another host, other processes, the control API, the answers of the check."""

    name = "looking"
    code = LOOK


class Forking(_Hostile):
    """Makes as many processes as it can, each in a session of its own."""

    name = "forking"
    code = BOMB


class Filling(_Hostile):
    """Fills the disk."""

    name = "filling"
    code = FILL


class FillingMemory(_Hostile):
    """Fills what lies in memory."""

    name = "filling-memory"
    code = FILL_MEMORY


class Staying(_Hostile):
    """Does not listen to SIGTERM."""

    name = "staying"
    code = STAY
