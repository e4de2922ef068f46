"""Agents that do what they should not in ways that are easy to overlook, or do not start, or never end."""

import json
import sys

from cab.adapters.agents.base import AgentFacts, Launch, Output, RunContext
from cab.scoring.cells.cell import SelfReport

_CODE = """
import base64, gzip, os, socket, sys, urllib.error, urllib.request
url, key = os.environ["URL"], os.environ["KEY"]
try:  # no key
    urllib.request.urlopen(urllib.request.Request(url + "/v1/chat/completions", b"{}"))
except urllib.error.HTTPError:
    pass
for family, address in (
    (socket.AF_INET, ("192.0.2.7", 443)),
    (socket.AF_INET6, ("2001:db8::7", 80)),
    (socket.AF_INET, ("127.0.0.1", 11434)),
):
    with socket.socket(family) as handle:
        handle.connect_ex(address)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
    name = b"\\x06hidden\\x07example\\x03org\\x00"
    handle.sendto(bytes([0, 1, 1, 0, 0, 1]) + bytes(6) + name + bytes([0, 1, 0, 1]), ("192.0.2.53", 53))
for folder in ("/tmp", "/dev/shm"):
    open(folder + "/left-by-sly", "w").write("x")
open("/tmp/key-of-sly", "w").write(key)
open("packed.gz", "wb").write(gzip.compress(b"key " + base64.b64encode(b"Bearer " + key.encode())))
half = "x" * 18_000_000
print(half, key, half)
if os.fork() == 0:  # a daemon: no parent, no session, no mark
    os.setsid()
    if os.fork() == 0:
        null = os.open("/dev/null", os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(300)"], {})
    os._exit(0)
os.wait()
"""
_HASTY = """
import os, urllib.request
headers = {"Authorization": "Bearer " + os.environ["KEY"], "Content-Type": "application/json"}
url = os.environ["URL"] + "/v1/chat/completions"
urllib.request.urlopen(urllib.request.Request(url, os.environ["BODY"].encode(), headers))
"""


class Sly:
    """Leaves its network, its folders and its session; compresses its key before it writes it."""

    facts = AgentFacts("sly", "1", ("chat.completions",))

    def launch(self, run: RunContext) -> Launch:
        print("an adapter that prints")
        env = {"URL": run.base_url, "KEY": run.key}
        return Launch((sys.executable, "-I", "-c", _CODE), env)

    def self_report(self, output: Output) -> SelfReport | None:
        del output
        return None


class Hasty(Sly):
    """Asks for a stream and is gone before it begins; promises a count and gives none."""

    facts = AgentFacts("hasty", "1", ("chat.completions",), token_report="stdout, exact")

    def launch(self, run: RunContext) -> Launch:
        body = {"model": run.model, "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
        return Launch(
            (sys.executable, "-I", "-c", _HASTY),
            {"URL": run.base_url, "KEY": run.key, "BODY": json.dumps(body)},
        )


class Endless(Sly):
    """Hangs, with a child that ignores SIGTERM."""

    facts = AgentFacts("endless", "1", ("chat.completions", "messages"))

    def launch(self, run: RunContext) -> Launch:
        child = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(300)"
        code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
        del run
        return Launch((sys.executable, "-I", "-c", code))


class Deadly(Sly):
    """Takes the examining process with it."""

    facts = AgentFacts("deadly", "1", ("chat.completions",))

    def launch(self, run: RunContext) -> Launch:
        del run
        raise SystemExit("all is lost")


class Absent(Sly):
    """Cannot be started."""

    facts = AgentFacts("absent", "1", ("chat.completions",))

    def launch(self, run: RunContext) -> Launch:
        return Launch((str(run.home / "no-such-program"),))
