"""What a cell runs in inside an image: its sandbox, and the place of its checks."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from cab.adapters.errors import AdapterError
from cab.adapters.runs.inside.checking import RoleChecks
from cab.adapters.runs.inside.sandbox import RoleSandbox, SharedSandbox
from cab.adapters.runs.inside.session import open_session
from cab.adapters.runs.spec import CellPlan
from cab.adapters.sandboxes import local
from cab.adapters.sandboxes.base import Sandbox
from cab.adapters.tasks.check_process import CheckPlace, OwnProcesses
from cab.adapters.tasks.staging import tool_homes


@asynccontextmanager
async def inside_surroundings(
    plan: CellPlan, exposed: Sequence[str]
) -> AsyncGenerator[tuple[Sandbox, CheckPlace]]:
    """Give both; the folder of the bundle is there then, and closed to the agent where users differ.

    Args:
        plan: The cell.
        exposed: Deviations of whoever holds the endpoint's key.

    Raises:
        AdapterError: Another sandbox was asked for, or the folder cannot be made.
    """
    spec = plan.spec
    if spec.sandbox != local.NAME:
        raise AdapterError(
            f"--sandbox {spec.sandbox} is for the host: in an image cab and the agent share a container; leave it out"
        )
    executable, tools = plan.installed.executable, tool_homes(plan.task)
    async with open_session() as session:
        if session is None:
            yield (
                SharedSandbox(
                    executable, tools, spec.limits, terminal=spec.terminal, exposed=exposed
                ),
                OwnProcesses(),
            )
            return
        await session.open_cell(plan.bundle)
        sandbox = RoleSandbox(
            session=session,
            executable=executable,
            tools=tools,
            limits=spec.limits,
            terminal=spec.terminal,
            exposed=exposed,
        )
        yield sandbox, RoleChecks(session)
