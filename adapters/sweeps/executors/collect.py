"""Brings a bundle that a worker completed on its node when nobody was left to take it.

    python -m cab.adapters.sweeps.executors.collect

It reads a request on stdin and speaks as a worker does: an outcome, then the bundle.
"""

import asyncio
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from pydantic import BaseModel, ConfigDict

from cab.adapters.errors import AdapterError
from cab.adapters.runs.bundle import MARKER, is_complete
from cab.adapters.sweeps.executors.bundle_stream import pack_bundle
from cab.adapters.sweeps.executors.conversation import Conversation, WorkerLost
from cab.adapters.sweeps.executors.messages import LINE_BYTES, RECEIVED
from cab.adapters.sweeps.executors.processes import END_S, has_ended
from cab.adapters.sweeps.executors.protocol import CellOutcome
from cab.adapters.sweeps.executors.worker import WorkerVoice, outcome_of, private_stdout
from cab.adapters.sweeps.placement import CellTimes
from cab.proxy.ledger.file_lock import lock_file

WAIT_S = 90.0
"""A worker whose sweep was killed may take this long to end its agent."""
_TIMES = CellTimes(queue_s=2 * WAIT_S, limit_s=600, lost_after_s=120)
_POLL_S = 0.2


class CollectRequest(BaseModel):
    """A bundle that may lie on a node."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundles: str
    """The folder that holds them there."""
    cell_id: str

    @property
    def bundle(self) -> Path:
        """The bundle's folder on this machine."""
        return Path(self.bundles).expanduser() / self.cell_id


async def collect_from(
    words: Sequence[str], env: Mapping[str, str], request: CollectRequest, target: Path
) -> bool:
    """Bring a bundle from a node; return whether it was there, and complete.

    Args:
        words: The command that runs this module there.
        env: Its environment.
        request: What is asked for.
        target: Where the bundle belongs.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env=env,
            limit=LINE_BYTES,
            start_new_session=True,
        )
    except OSError:
        return False
    try:
        outcome = await Conversation(process, _TIMES, target, request.cell_id).hold(
            request.model_dump_json().encode() + b"\n"
        )
    except WorkerLost:
        outcome = None
    finally:
        assert process.stdin is not None
        process.stdin.close()
        # It removes its own copy now, and must not be cut off.
        if not await has_ended(process, END_S):
            with suppress(ProcessLookupError):
                process.kill()
    return outcome is not None and outcome.state == "complete"


async def find_bundle(request: CollectRequest) -> CellOutcome:
    """Return the outcome of a bundle on this machine, once no worker writes it any more."""
    bundle = request.bundle
    with suppress(TimeoutError):
        async with asyncio.timeout(WAIT_S):
            while _is_written(bundle):  # noqa: ASYNC110 - no event comes from another process's lock
                await asyncio.sleep(_POLL_S)
    if not is_complete(bundle):
        return CellOutcome(state="failed", reason="it is not complete here")
    try:
        return await asyncio.to_thread(outcome_of, bundle)
    except Exception as error:  # noqa: BLE001 - whatever lies there, it is no result
        return CellOutcome(state="failed", reason=f"it cannot be read: {error}")


def _is_written(bundle: Path) -> bool:
    try:
        with (bundle / MARKER).open("rb") as marker:
            return not lock_file(marker)
    except OSError:
        return False


def main() -> int:
    """Send the bundle that stdin asks for; return the exit code."""
    voice = WorkerVoice(private_stdout())
    request = CollectRequest.model_validate_json(sys.stdin.buffer.readline())
    outcome = asyncio.run(find_bundle(request))
    if outcome.bundle is None:
        voice.end(outcome, None, 0)
        return 0
    with TemporaryFile(dir=tempfile.gettempdir()) as archive:
        try:
            size = pack_bundle(Path(outcome.bundle), archive)
        except (AdapterError, OSError) as error:
            failed = CellOutcome(state="failed", reason=f"its bundle cannot be sent: {error}")
            voice.end(failed, None, 0)
            return 0
        voice.end(outcome, archive, size)
    if sys.stdin.buffer.readline() == RECEIVED:
        shutil.rmtree(outcome.bundle, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
