"""An agent that makes a call, says that it runs, waits until it may go on, and makes another call."""

import os

from cab.adapters.agents.base import AgentFacts, Launch, Output, RunContext
from tests.adapters.toyagents import script

FOLDER = "TEST_HELD"
"""Variable with the folder in which each agent leaves a file of its process id, and looks for `go`."""

_CODE = """
import json, os, sys, time
from pathlib import Path
from urllib.request import Request, urlopen

url, folder = sys.argv[1], Path(sys.argv[2])
body = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
headers = {"Authorization": "Bearer " + os.environ["AGENT_KEY"], "Content-Type": "application/json"}

def call():
    urlopen(Request(url + "/v1/chat/completions", json.dumps(body).encode(), headers)).read()

call()
(folder / f"{os.getpid()}.tmp").write_text("")
(folder / f"{os.getpid()}.tmp").rename(folder / f"{os.getpid()}.pid")
while not (folder / "go").exists():
    time.sleep(0.02)
call()
"""


class Held:
    """The agent."""

    facts = AgentFacts("held", "1", ("chat.completions",))

    def launch(self, run: RunContext) -> Launch:
        """Start it with the folder of the environment."""
        return Launch(script(_CODE, run.base_url, os.environ[FOLDER]), {"AGENT_KEY": run.key})

    def self_report(self, output: Output) -> None:
        """Count nothing."""
        del output
