"""The folder through which a sweep and the workers of an array talk: no process stands between them.

lease        touched by the sweep; workers end when it is not touched any more
N.job        the job of task N, with its keys: 0600 in a folder 0700, removed as soon as it is read
N.said       what its worker says, a line each
N.end        the sweep wants it to end
N.log        what else it prints
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cab.adapters.sweeps.executors.messages import LINE_BYTES, WorkerMessage, read_message
from cab.adapters.sweeps.executors.protocol import CellJob

SPOOL = "spool"
"""Name of the folder of all arrays, in the sweep's."""
LEASE = "lease"


class ArraySpool:
    """The folder of one array.

    Args:
        folder: Made by `create`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, jobs: list[CellJob]) -> None:
        """Write the jobs; nobody but the user can read them."""
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700)
        self.touch_lease()
        for index, job in enumerate(jobs):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(self.job(index), flags, 0o600), "wb") as handle:
                handle.write(job.model_dump_json().encode())

    def job(self, index: int) -> Path:
        """The job of a task."""
        return self.folder / f"{index}.job"

    def said(self, index: int) -> Path:
        """What its worker says."""
        return self.folder / f"{index}.said"

    def end(self, index: int) -> Path:
        """Is there when it is to end."""
        return self.folder / f"{index}.end"

    def take_job(self, index: int) -> CellJob:
        """Return the job of a task, and remove it: its keys are then in the worker's memory only."""
        text = self.job(index).read_bytes()
        self.job(index).unlink()
        return CellJob.model_validate_json(text)

    def touch_lease(self) -> None:
        """Say that the sweep lives."""
        (self.folder / LEASE).write_text(str(time.time_ns()))

    def lease(self) -> str | None:
        """Return a text that changes while the sweep lives; None if the folder is gone."""
        try:
            return (self.folder / LEASE).read_text()
        except OSError:
            return None

    def sizes(self) -> dict[str, int]:
        """Return the sizes of its files in bytes, by name."""
        found: dict[str, int] = {}
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(OSError):  # removed just now
                    found[entry.name] = entry.stat().st_size
        return found

    def last_message(self, index: int) -> str:
        """Return the last line that a worker printed beside what it said."""
        lines: list[str] = []
        with suppress(OSError), (self.folder / f"{index}.log").open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LINE_BYTES))
            lines = [line for line in log.read().decode(errors="replace").splitlines() if line]
        return lines[-1].strip()[-500:] if lines else "nothing"

    def forget(self, index: int) -> None:
        """Remove the files of a task; the folder goes with its last one."""
        for path in (self.job(index), self.said(index), self.end(index)):
            path.unlink(missing_ok=True)
        (self.folder / f"{index}.log").unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)


class SaidReader:
    """Reads on in what a worker says.

    Args:
        file: It need not be there yet.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.offset = 0
        """How far it was read, in bytes."""

    def news(self) -> Iterator[WorkerMessage]:
        """Yield what was said since the last time; half a line is left for the next time."""
        try:
            with self._file.open("rb") as handle:
                handle.seek(self.offset)
                data = handle.read(LINE_BYTES * 4)
        except OSError:
            return
        end = data.rfind(b"\n") + 1
        self.offset += end
        for line in data[:end].splitlines():
            message = read_message(line)
            if message is not None:
                yield message
