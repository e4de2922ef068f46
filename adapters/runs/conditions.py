"""What of the machine moves the result of a cell: processors, memory and its limit, load."""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from cab.adapters.sandboxes.limits import ResourceLimits
from cab.scoring.cells.cell import Conditions

_KIB = 1024
_TOTAL, _AVAILABLE = "MemTotal", "MemAvailable"
_NO_LIMIT = "max"
_V1_NO_LIMIT = 1 << 60  # version 1 of control groups writes a huge number


def read_conditions(
    limits: ResourceLimits, *, in_container: bool, root: Path = Path("/")
) -> Conditions:
    """Return the conditions before an agent is started; what cannot be read is None.

    Args:
        limits: Its resource limits.
        in_container: Whether it runs in a container, outside our control group.
        root: Where /proc and /sys are.
    """
    memory, groups = _memory(root), list(_groups(root))
    machine_cpus = float(usable_cpus())
    if in_container:
        cpu_limits = [limits.cpus]
        memory_limits = [limits.memory]
        machine_cpus = float(os.cpu_count() or 0) or machine_cpus
    else:
        cpu_limits = [_cpu_quota(group) for group in groups]
        memory_limits = [_memory_limit(group) for group in groups]
    total = memory.get(_TOTAL)
    return Conditions(
        cpus=min([machine_cpus, *(each for each in cpu_limits if each is not None)]),
        memory_bytes=total,
        memory_limit_bytes=min(
            (each for each in [total, *memory_limits] if each is not None), default=None
        ),
        memory_available_bytes=memory.get(_AVAILABLE),
        load_before=read_load(root),
    )


def read_load(root: Path = Path("/")) -> float | None:
    """Return the load of the machine over the last minute; None if it cannot be read."""
    if sys.platform != "linux":
        return os.getloadavg()[0]
    with suppress(OSError, ValueError, IndexError):
        return float((root / "proc/loadavg").read_text().split()[0])
    return None


def usable_cpus() -> int:
    """Return how many processors this process may use."""
    if sys.platform != "linux":  # nothing there keeps a process to some of them
        return os.cpu_count() or 1
    return len(os.sched_getaffinity(0))


def read_process_limit(root: Path = Path("/")) -> int | None:
    """Return how many processes and threads our control groups allow; None without a limit that can be read.

    Args:
        root: Where /proc and /sys are.
    """
    found = [_number(group / "pids.max") for group in (*_groups(root), *_mounted(root, "pids"))]
    return min((each for each in found if each is not None), default=None)


def _mounted(root: Path, controller: str) -> Iterator[Path]:
    """Yield where a container that does not see the path of its own group has it mounted."""
    yield root / "sys/fs/cgroup"
    yield root / "sys/fs/cgroup" / controller


def _number(file: Path) -> int | None:
    with suppress(OSError, ValueError):  # "max" is no number
        return int(file.read_text())
    return None


def _memory(root: Path) -> dict[str, int]:
    if sys.platform != "linux":
        import psutil  # noqa: PLC0415 - on Linux it need not be there

        of_machine = psutil.virtual_memory()
        return {_TOTAL: of_machine.total, _AVAILABLE: of_machine.available}
    found: dict[str, int] = {}
    with suppress(OSError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            number, _, unit = rest.strip().partition(" ")
            if number.isdigit() and unit == "kB":
                found[name] = int(number) * _KIB
    return found


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of our control groups, and of those that they are in: each may limit us."""
    lines: list[str] = []
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        mount = root / "sys/fs/cgroup" / controllers
        inner = PurePosixPath(path.lstrip("/"))
        for group in (inner, *inner.parents):
            yield mount / group


def _cpu_quota(group: Path) -> float | None:
    with suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text().split()
        return None if quota == _NO_LIMIT else int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota = (group / "cpu.cfs_quota_us").read_text()
        return (
            int(quota) / int((group / "cpu.cfs_period_us").read_text()) if int(quota) > 0 else None
        )
    return None


def _memory_limit(group: Path) -> int | None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            limit = int((group / name).read_text())  # "max" is no number
            return limit if limit < _V1_NO_LIMIT else None
    return None
