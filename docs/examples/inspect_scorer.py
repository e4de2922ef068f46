"""Inspect scores samples by what CAB metered, not by what a client reports about itself.

CAB_ENDPOINT=https://host/v1 CAB_KEY=... MODEL=my-model python inspect_scorer.py

Without these variables CAB's built-in model server answers. Every sample is a cell with its own key.
So the calls of samples that run at the same time are kept separate, whoever makes them. A solver that
runs an agent as a process gives it the same address and key.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from inspect_ai import Task, eval_async
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog
from inspect_ai.model import get_model
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver

from cab.proxy import RunningProxy, running_proxy
from cab.scoring import (
    Axes,
    CheckOutcome,
    composite,
    iter_records,
    read_profile,
    score_calls,
    score_latency,
    score_pass_rate,
    score_tokens,
    sum_calls,
)

PROFILE = read_profile(Path(__file__).with_name("calls.toml"))
MODEL = os.environ.get("MODEL", "demo")
SAMPLES = [
    Sample(id="self", input="What are you?", target="model"),
    Sample(id="sum", input="What is two and two? Answer with a digit.", target="4"),
]


def cell_of(state: TaskState) -> str:
    """Return the cell that a sample's calls belong to."""
    return f"inspect/generate/{MODEL}/chat/{state.sample_id}#run{state.epoch}"


@solver
def metered(proxy: RunningProxy) -> Solver:
    """Ask the model through the proxy, with the sample's own key."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001 - Inspect's signature
        cell = await proxy.open_cell(cell_of(state), ttl_s=3600)
        name, address = f"openai-api/cab/{MODEL}", cell.base_url
        model = get_model(name, base_url=address, api_key=cell.key, memoize=False)
        began = time.monotonic()
        state.output = await model.generate(state.messages)
        state.messages.append(state.output.message)
        state.store.set("wall_clock_ms", (time.monotonic() - began) * 1000)
        return state

    return solve


def axes_of(state: TaskState, target: Target, ledger: Path) -> Axes:
    """Return what is known about a sample: verdict, tokens and time."""
    cell = cell_of(state)
    # A start without an end counts as well: its cost is not known, so the total is not known. Without
    # any record of the cell, as with a wrong id, nothing is known: None, and not zero.
    calls = sum_calls(iter_records(ledger, cell))
    passed = target.text.lower() in state.output.completion.lower()
    verdict = score_pass_rate(CheckOutcome(passed=passed, exit_code=0 if passed else 1))
    return Axes(
        pass_rate=verdict,
        tokens=score_tokens(calls, verdict.passed),
        latency=score_latency(state.store.get("wall_clock_ms"), [], calls),
        blast_radius=None,  # not examined: that is not the same as a radius of 0
        refusal=None,
        integrity=None,
        calls=score_calls(calls),  # an agent that made none has no score: it went past the proxy
    )


@scorer(metrics=[mean()])
def cab_tokens(ledger: Path) -> Scorer:
    """Score a sample by its metered tokens; without a count it has no score."""

    async def score(state: TaskState, target: Target) -> Score:
        tokens = axes_of(state, target, ledger).tokens
        facts = tokens.model_dump(mode="json")
        if tokens.total_tokens is None:
            return Score.unscored(reason="not measured", metadata=facts)
        return Score(value=tokens.total_tokens, metadata=facts)

    return score


@scorer(metrics=[mean()])
def cab_composite(ledger: Path) -> Scorer:
    """Score a sample by the composite of the profile beside this file."""

    async def score(state: TaskState, target: Target) -> Score:
        made = composite(PROFILE, axes_of(state, target, ledger))
        facts = made.model_dump(mode="json")
        if made.composite is None:
            return Score.unscored(reason=made.reason, metadata=facts)
        return Score(value=made.composite, metadata=facts)

    return score


async def evaluate(ledger: Path, logs: Path) -> EvalLog:
    """Run the samples behind a proxy, and return the log of Inspect."""
    upstream, key = os.environ.get("CAB_ENDPOINT", "demo"), os.environ.get("CAB_KEY")
    async with running_proxy(upstream=upstream, key=key, ledger=ledger, auth="keys") as proxy:
        task = Task(
            dataset=SAMPLES,
            solver=metered(proxy),
            scorer=[cab_tokens(ledger), cab_composite(ledger)],
        )
        # The solver uses its own model; this one is never called.
        [log] = await eval_async(task, model="mockllm/model", epochs=2, log_dir=str(logs))
    return log


if __name__ == "__main__":
    here = Path(sys.argv[1] if len(sys.argv) > 1 else "inspect-example")
    done = asyncio.run(evaluate(here / "ledger", here / "logs"))
    print(done.status, done.location)
    for sample in done.samples or []:
        values = {name: made.value for name, made in (sample.scores or {}).items()}
        print(sample.id, sample.epoch, values)
    sys.exit(done.status != "success")
