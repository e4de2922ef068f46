"""mini-swe-agent's batch runner over SWE-bench instances; each instance is a cell.

CAB_ENDPOINT=https://host/v1 CAB_KEY=... python mini_swe_agent_batch.py \
    --subset verified --split test -m openai/my-model -o nightly -w 4

It takes the runner's own options. The models are asked by the runner's process, wherever the commands
run, so environments in containers need no change. Trajectories hold the key of their own, sealed cell.
"""

import os
import time
from pathlib import Path
from typing import Any

from minisweagent.run.benchmarks import swebench

from cab.proxy import start_proxy

SWEEP = time.strftime("swe-bench-%Y%m%dT%H%M%S")
run_instance = swebench.process_instance  # the runner has no hook for what stands around it

upstream, key = os.environ.get("CAB_ENDPOINT", "demo"), os.environ.pop("CAB_KEY", None)
with start_proxy(upstream=upstream, key=key, ledger="cab-ledger", auth="keys") as proxy:

    def metered(instance: dict[str, Any], out: Path, config: dict[str, Any], progress: Any) -> None:  # noqa: ANN401
        """Run one instance with the key of its own cell."""
        model = config["model"]["model_name"].removeprefix("openai/")
        cell_id = f"{SWEEP}/mini-swe-agent/{model}/swe-bench/{instance['instance_id']}"
        cell = proxy.open_cell(cell_id, ttl_s=24 * 3600)
        endpoint = {"api_base": cell.base_url, "api_key": cell.key}
        kwargs = {**config["model"].get("model_kwargs", {}), **endpoint}
        run_instance(
            instance,
            out,
            {**config, "model": {**config["model"], "model_kwargs": kwargs}},
            progress,
        )
        proxy.seal(cell_id)

    swebench.process_instance = metered
    swebench.app()
