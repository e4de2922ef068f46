"""An agent that looks around in its container, calls the model once, and writes down what it saw."""

from cab.adapters.agents.base import AgentFacts, Launch, NpmInstall, Output, RunContext
from cab.scoring.cells.cell import SelfReport

LOOK = r"""
import json, os, socket, sys, urllib.request
from pathlib import Path

def can(act):
    try:
        act()
    except OSError:
        return False
    return True

seen = {
    "uid": os.getuid(),
    "home": os.environ["HOME"],
    "cwd": os.getcwd(),
    "config": Path.home().joinpath("boxed.toml").read_text(),
    "endpoint": os.environ["CAB_ENDPOINT"],
    "key": os.environ["CAB_KEY"] == os.environ["BOXED_KEY"],
    "write_root": can(lambda: open("/written", "w")),
    "write_home": can(lambda: open(Path.home() / "written", "w")),
    "write_tmp": can(lambda: open("/tmp/written", "w")),
    "reach_out": can(lambda: socket.create_connection(("192.0.2.1", 80), 1)),
    "caps": [line for line in open("/proc/self/status") if line.startswith("CapEff")][0].split()[1],
}
call = urllib.request.Request(
    os.environ["BOXED_URL"] + "/v1/chat/completions",
    json.dumps({"model": "demo", "messages": [{"role": "user", "content": "hello"}]}).encode(),
    {"Authorization": "Bearer " + os.environ["BOXED_KEY"], "Content-Type": "application/json"},
)
seen["status"] = urllib.request.urlopen(call).status
Path("seen.json").write_text(json.dumps(seen))
print("key", os.environ["BOXED_KEY"])
print("looked around", file=sys.stderr)
"""


class _Boxed:
    name = "boxed"
    code = LOOK

    @property
    def facts(self) -> AgentFacts:
        return AgentFacts(
            self.name, "1.2.3", ("chat.completions",), install=NpmInstall("boxed", "python3")
        )

    def launch(self, run: RunContext) -> Launch:
        env = {"BOXED_KEY": run.key, "BOXED_URL": run.base_url}
        return Launch((str(run.executable), "-c", self.code), env, {"boxed.toml": "ours"})

    def self_report(self, output: Output) -> SelfReport | None:
        del output
        return None


class Boxed(_Boxed):
    """Looks around."""


class Stuck(_Boxed):
    """Never ends, and does not listen to SIGTERM."""

    name = "stuck"
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('stuck', flush=True); time.sleep(600)"
    )


class Absent(_Boxed):
    """A program that no image has."""

    name = "absent"

    def launch(self, run: RunContext) -> Launch:
        del run
        return Launch(("no-such-program", "-x"))


class Exposing(_Boxed):
    """Hands its key on in a variable that belongs to the engine's program."""

    name = "exposing"

    def launch(self, run: RunContext) -> Launch:
        return Launch(("agent",), {"DOCKER_TOKEN": run.key})
