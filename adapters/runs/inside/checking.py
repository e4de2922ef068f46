"""Where hidden checks run inside an image: as a user of their own, which is not the agent's either."""

from pathlib import Path

from cab.adapters.runs.inside import roles
from cab.adapters.runs.inside.leftovers import remove_leftovers
from cab.adapters.runs.inside.sandbox import bounded
from cab.adapters.runs.inside.session import RoleProcess, RoleStart, Supervision
from cab.adapters.tasks.check_process import GRACE_S, CheckCommand


class RoleChecks:
    """Commands of checks as the user of that name.

    Args:
        session: Asks container root.
    """

    def __init__(self, session: Supervision) -> None:
        self._session = session

    async def enter(self, stage: Path) -> None:
        """Give the folder of a check to them."""
        await self._session.give(roles.CHECKS, stage)

    async def start(self, command: CheckCommand) -> RoleProcess:
        """Start one.

        Raises:
            NotStarted: It cannot be started.
        """
        return await self._session.start(
            RoleStart(
                role=roles.CHECKS,
                argv=command.argv,
                cwd=command.folder,
                env=command.environment,
                streams=command.streams,
                limits=bounded(command.rlimits),
                grace_s=GRACE_S,
            )
        )

    async def leave(self, stage: Path) -> None:
        """Take the folder back, and remove what they left elsewhere."""
        await self._session.end_role(roles.CHECKS, GRACE_S)
        await remove_leftovers(self._session, roles.CHECKS)
        await self._session.give(roles.CAB, stage)
