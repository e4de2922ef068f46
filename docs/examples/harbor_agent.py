"""Harbor: each trial is a cell, and the tokens in its result are the metered ones.

CAB_ADMIN_TOKEN=$TOKEN CAB_KEY=... cab-proxy --upstream https://host/v1 --host 0.0.0.0 --auth keys &
CAB_ADMIN_TOKEN=$TOKEN CAB_PROXY=http://host.docker.internal:31415 OPENAI_API_KEY=unused \
    PYTHONPATH=. harbor run -a harbor_agent:MeteredMiniSweAgent -m openai/my-model -p tasks

CAB_PROXY is where the trial's environment reaches the proxy; CAB_CONTROL is where Harbor itself does, if
that is another address. For other agents, put `Metered` before another class of Harbor's.
"""

import os
from typing import Any
from uuid import uuid4

from harbor.agents.installed.mini_swe_agent import MiniSweAgent

from cab.proxy import ControlClient


class Metered:
    """Gives an agent of Harbor the key of a cell in place of the endpoint's."""

    spent: dict[str, Any] | None = None

    async def run(self, instruction: str, environment: Any, context: Any) -> None:  # noqa: ANN401
        """Run the agent on its own cell, `<job>/<agent>/<model>/harbor/<trial>-...`, and seal it."""
        trial: Any = self
        url = os.environ["CAB_PROXY"]
        job, name = trial.logs_dir.parts[-3:-1]  # jobs/<job>/<trial>/agent
        model = trial.model_name.removeprefix("openai/")
        cell = (
            f"{job}/{trial.name()}/{model}/harbor/{name}-{uuid4().hex[:8]}"  # retries are cells too
        )
        address, token = os.environ.get("CAB_CONTROL", url), os.environ["CAB_ADMIN_TOKEN"]
        async with ControlClient(address, token) as control:
            key = (await control.mint(cell, ttl_s=24 * 3600))["key"]
            await control.open_cell(cell)
            base = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_BASE": f"{url}/v1"}
            try:
                with environment.scoped_exec_env({**base, "OPENAI_API_KEY": key}):
                    await super().run(instruction, environment, context)  # type: ignore[misc]
            finally:  # out of time, too
                self.spent = (await control.seal(cell)).seal

    def populate_context_post_run(self, context: Any) -> None:  # noqa: ANN401
        """Put what was metered where Harbor has the agent's own counts; those stay in its trajectory."""
        super().populate_context_post_run(context)  # type: ignore[misc]
        if self.spent is not None:
            context.n_input_tokens = self.spent["prompt_tokens"]
            context.n_output_tokens = self.spent["completion_tokens"]
            context.metadata = {"cab_cell": self.spent["cell_id"]}


class MeteredMiniSweAgent(Metered, MiniSweAgent):  # type: ignore[misc]
    """mini-swe-agent as Harbor runs it, metered."""
