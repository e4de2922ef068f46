"""One run of an agent."""

import time
from pathlib import Path

from cab.adapters.processes.agent_process import AgentProcess, start_process
from cab.adapters.runs.agent_run import AgentRunner, local_sandbox
from cab.adapters.runs.metering import Meter
from cab.adapters.runs.spec import CellSpec, plan_cell
from cab.adapters.runs.workspace import scratch_places
from cab.adapters.sandboxes.base import SandboxFacts, SandboxView, StartRequest
from cab.adapters.sandboxes.environment import Places
from cab.proxy.redaction import Redactor

GRACE_S = 0.3


class Patient:
    """This machine, with a grace time of its own."""

    def __init__(self, spec: CellSpec) -> None:
        self._inner = local_sandbox(plan_cell(spec))
        self.cleanup = self._inner.cleanup

    @property
    def facts(self) -> SandboxFacts:
        return self._inner.facts

    def view(self, places: Places) -> SandboxView:
        return self._inner.view(places)

    async def start(self, places: Places, request: StartRequest) -> AgentProcess:
        stdout, stderr = request.output
        return await start_process(
            request.argv,
            cwd=places.workdir,
            env=self.view(places).env,
            stdout=stdout,
            stderr=stderr,
            grace_s=GRACE_S,
        )


async def test_charged_up_to_the_limit(tmp_path: Path) -> None:
    """An agent that ignores SIGTERM is charged up to its limit, not to the kill some seconds later."""
    task = "polyglot/python-error-handling"
    spec = CellSpec(
        tui="tests.adapters.toyagents:Deaf",
        model="m",
        task=task,
        upstream="demo",
        runs=tmp_path / "runs",
        timeout_s=0.3,
    )
    meter = Meter("http://127.0.0.1:1", "http://127.0.0.1:1", "cell", "key", "seal")
    began_s = time.monotonic()
    with scratch_places("patient", False) as places:
        run = await AgentRunner(plan_cell(spec), meter, places, Redactor(()), Patient(spec)).run()
    took_ms = (time.monotonic() - began_s) * 1000

    spans = {span.kind: span.duration_ms for span in run.spans}
    assert run.exit.timed_out
    for charged_ms in (run.duration_ms, spans["container"], spans["adapter_run"]):
        assert charged_ms + GRACE_S * 1000 <= took_ms
