"""How somebody ends single cells of a sweep that runs: by a file in its folder, which the sweep reads on."""

import asyncio
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from pathlib import Path

from cab.adapters.errors import AdapterError
from cab.adapters.sweeps.journal import read_journal
from cab.adapters.sweeps.state import replay
from cab.proxy.ledger.file_lock import lock_file

CANCEL = "cancel"
"""Name of the file in the sweep's folder: a pattern of cells in each line."""
_LOOK_S = 1.0


def ask_to_cancel(folder: Path, journal: Path, pattern: str) -> list[str]:
    """Ask the sweep that runs in a folder to end cells; return which cells run and match.

    Args:
        folder: The sweep's.
        journal: Its journal.
        pattern: Glob over ids of cells.

    Raises:
        AdapterError: No sweep runs there, no running cell matches, or the folder cannot be written.
    """
    try:
        with journal.open("rb") as handle:
            runs = not lock_file(handle)
    except OSError:
        runs = False
    if not runs:
        raise AdapterError(f"no cab sweep runs in {folder}; there is nothing to cancel")
    running = [begin.cell_id for begin in replay(read_journal(journal)).open_attempts]
    found = [cell for cell in running if fnmatchcase(cell, pattern)]
    if not found:
        known = ", ".join(running) or "none"
        raise AdapterError(f"--cancel {pattern!r} matches no cell that runs; running: {known}")
    try:
        with (folder / CANCEL).open("a") as handle:
            handle.write(f"{pattern}\n")
    except OSError as error:
        raise AdapterError(f"{folder / CANCEL} cannot be written: {error.strerror}") from error
    return found


async def cancel_as_asked(folder: Path, cancel: Callable[[str], Awaitable[None]]) -> None:
    """Pass on what is asked from now on, until this is cancelled itself.

    Args:
        folder: The sweep's.
        cancel: Is given each pattern.
    """
    file = folder / CANCEL
    await asyncio.to_thread(file.unlink, missing_ok=True)  # what an earlier session was asked
    done = 0
    while True:
        lines = await asyncio.to_thread(_lines, file)
        for pattern in lines[done:]:
            await cancel(pattern)
        done = max(done, len(lines))
        await asyncio.sleep(_LOOK_S)


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return []
    return text[: text.rfind("\n") + 1].splitlines()
