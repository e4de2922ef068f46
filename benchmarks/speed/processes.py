"""What Linux says of processes: processor time, memory, descriptors."""

import os
import re
import resource
import time
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_IDLE = {3, 4}
"""Places of idle and iowait in /proc/stat."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def tree(roots: list[int]) -> list[int]:
    """Return the processes and all that descend from them."""
    parents = {pid: int(fields[1]) for pid, fields in _stats().items()}
    found = list(roots)
    for pid in found:  # grows while it is read
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def cpu_s(pids: list[int]) -> float:
    """Return the processor seconds, user and system, that they and their ended children have used."""
    ended = (int(ticks) * _TICK_S for pid in pids for ticks in _stat(pid)[13:15])
    return sum(time.clock_gettime(_clock(pid)) for pid in pids) + sum(ended)


def memory_bytes(pids: list[int]) -> int:
    """Return the resident memory of all of them now; what they share counts for each."""
    pages = (Path(f"/proc/{pid}/statm").read_text().split()[1] for pid in pids)
    return sum(map(int, pages)) * _PAGE_BYTES


def peak_bytes(pids: list[int]) -> int:
    """Return the sum of the most that each of them ever held."""
    statuses = (Path(f"/proc/{pid}/status").read_text() for pid in pids)
    peaks = (re.search(r"VmHWM:\s+(\d+)", status) for status in statuses)
    return sum(int(peak[1]) * 1024 for peak in peaks if peak)


class Share:
    """How much of this machine's processors went to others since this was made."""

    def __init__(self) -> None:
        self._began_s, self._busy_s, self._own_s = time.monotonic(), _busy_s(), _own_s()

    def of_others(self) -> float:
        """Return the share of all processors that neither this process nor its ended children used."""
        others_s = _busy_s() - self._busy_s - (_own_s() - self._own_s)
        return others_s / (time.monotonic() - self._began_s) / (os.cpu_count() or 1)


def descriptors(pids: list[int]) -> int:
    """Return how many files and sockets they have open."""
    return sum(1 for pid in pids for _ in Path(f"/proc/{pid}/fd").iterdir())


def allow_many_files() -> None:
    """Raise the limit of open files as far as this user may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _busy_s() -> float:
    ticks = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    return sum(int(value) for at, value in enumerate(ticks) if at not in _IDLE) * _TICK_S


def _own_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def _clock(pid: int) -> int:
    """Return the clock of a process's processor time, as clock_getcpuclockid(3) does: in ns, not in ticks."""
    return ~pid << 3 | 2


def _stats() -> dict[int, list[str]]:
    stats = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            stats[int(folder.name)] = fields
    return stats


def _stat(pid: int) -> list[str]:
    """Return the fields of a process from its state on; none if it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()  # the name before it may hold anything
