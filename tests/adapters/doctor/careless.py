"""An agent that does all that an agent should not do, for the doctor to find."""

import sys

from cab.adapters.agents.base import AgentFacts, Launch, Output, RunContext
from cab.scoring.cells.cell import SelfReport

_CODE = """
import json, os, socket, subprocess, sys, urllib.request
url, key, model = sys.argv[1:]
body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
for asked in (model, "another-model"):
    request = urllib.request.Request(
        url + "/v1/chat/completions",
        json.dumps(body | {"model": asked}).encode(),
        {"Authorization": "Bearer " + key, "Content-Type": "application/json"},
    )
    urllib.request.urlopen(request).read()
try:
    socket.getaddrinfo("telemetry.example.org", 443)
except OSError:
    pass
open("junk.log", "w").write("left here with " + key)
print("key:", key)
"""


class Careless:
    """Prints its key, asks for other models, and reports a wrong count."""

    facts = AgentFacts("careless", "1", ("chat.completions",))

    def launch(self, run: RunContext) -> Launch:
        argv = (sys.executable, "-I", "-c", _CODE, run.base_url, run.key, run.model)
        return Launch(argv, {"NO_PROXY": "*"})

    def self_report(self, output: Output) -> SelfReport | None:
        del output
        return SelfReport(
            prompt_tokens=None, completion_tokens=None, total_tokens=7, source="x", exact=True
        )
