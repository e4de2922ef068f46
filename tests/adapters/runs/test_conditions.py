"""The machine that a cell ran on, as its files under /proc and /sys say."""

import os
from pathlib import Path

import pytest

from cab.adapters.runs.conditions import read_conditions, read_process_limit
from cab.adapters.sandboxes.limits import ResourceLimits
from cab.scoring.cells.cell import Conditions
from tests.adapters.tasks.checktasks import write

MACHINE = {
    "proc/meminfo": "MemTotal: 2000 kB\nMemAvailable: 1500 kB\nHugePages_Total: 0\n",
    "proc/loadavg": "1.25 0.8 0.7 1/99 42\n",
    "proc/self/cgroup": "0::/outer/inner\n",
}
CPUS = float(len(os.sched_getaffinity(0)))


def read(root: Path, files: dict[str, str], *, in_container: bool = False) -> Conditions:
    write(root, files)
    limits = ResourceLimits(memory=1 << 10, cpus=0.25)
    return read_conditions(limits, in_container=in_container, root=root)


def test_the_least_limit_of_all_groups_counts(tmp_path: Path) -> None:
    """A group that is around ours limits us as well; `max` is no limit."""
    groups = {
        "sys/fs/cgroup/outer/inner/memory.max": "max\n",
        "sys/fs/cgroup/outer/memory.max": "1024000\n",
        "sys/fs/cgroup/outer/cpu.max": "50000 100000\n",
        "sys/fs/cgroup/outer/inner/cpu.max": "max 100000\n",
    }
    found = read(tmp_path, MACHINE | groups)
    assert found == Conditions(
        cpus=0.5,
        memory_bytes=2_048_000,
        memory_limit_bytes=1_024_000,
        memory_available_bytes=1_536_000,
        load_before=1.25,
    )


def test_version_1_of_control_groups(tmp_path: Path) -> None:
    """Older machines have a tree of groups for each controller."""
    groups = {
        "proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/a\n",
        "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "512000\n",
        "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "25000\n",
        "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
    }
    found = read(tmp_path, MACHINE | groups)
    assert (found.cpus, found.memory_limit_bytes) == (0.25, 512_000)


def test_a_container_has_limits_of_its_own(tmp_path: Path) -> None:
    """It is not in our group: what was asked for it counts."""
    found = read(tmp_path, MACHINE, in_container=True)
    assert (found.cpus, found.memory_limit_bytes) == (0.25, 1 << 10)


def test_what_cannot_be_read_is_not_known(tmp_path: Path) -> None:
    """Without its files nothing is known of memory and load."""
    assert read(tmp_path, {"proc/meminfo": "odd\n"}) == Conditions(cpus=CPUS)


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({"sys/fs/cgroup/pids.max": "max\n"}, None),
        ({"sys/fs/cgroup/pids.max": "2048\n"}, 2048),
        ({"sys/fs/cgroup/pids/pids.max": "100\n"}, 100),
        (
            {
                "proc/self/cgroup": "3:pids:/a/b\n",
                "sys/fs/cgroup/pids/a/pids.max": "70\n",
                "sys/fs/cgroup/pids/a/b/pids.max": "80\n",
            },
            70,
        ),
    ],
)
def test_the_limit_of_processes_is_the_lowest_above_us(
    tmp_path: Path, files: dict[str, str], limit: int | None
) -> None:
    """Of both versions of control groups, and also where a container sees only its own group."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert read_process_limit(tmp_path) == limit
