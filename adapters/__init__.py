"""One module per agent CLI, the bundled tasks, and the runner that makes a scored cell of them.

What an adapter of your own is made of; docs/agents.md shows one:

    from cab.adapters import AgentFacts, Launch, Output, PyPIInstall, RunContext

`Executor` is what a sweep runs its cells with. Everything is imported when it is first used. What is not
listed in `__all__` is not public.
"""

from typing import TYPE_CHECKING

from cab.proxy.lifecycle.lazy import attribute_loader

if TYPE_CHECKING:
    from cab.adapters.agents.base import (
        Adapter,
        AgentFacts,
        Launch,
        NpmInstall,
        Output,
        PyPIInstall,
        RunContext,
    )
    from cab.adapters.agents.registry import load_adapter
    from cab.adapters.errors import AdapterError, BadSelfReport
    from cab.adapters.sweeps.executors.protocol import CellJob, CellOutcome, Executor
    from cab.adapters.sweeps.executors.registry import ExecutorContext
else:
    __getattr__ = attribute_loader(
        __name__,
        {
            "agents.base": [
                *("Adapter", "AgentFacts", "Launch", "NpmInstall", "Output"),
                *("PyPIInstall", "RunContext"),
            ],
            "agents.registry": ["load_adapter"],
            "errors": ["AdapterError", "BadSelfReport"],
            "sweeps.executors.protocol": ["CellJob", "CellOutcome", "Executor"],
            "sweeps.executors.registry": ["ExecutorContext"],
        },
    )

__all__ = [
    "Adapter",
    "AdapterError",
    "AgentFacts",
    "BadSelfReport",
    "CellJob",
    "CellOutcome",
    "Executor",
    "ExecutorContext",
    "Launch",
    "NpmInstall",
    "Output",
    "PyPIInstall",
    "RunContext",
    "load_adapter",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
