"""Command lines for container engines."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path, PurePosixPath

import pytest

from cab.adapters.sandboxes.commands import (
    ContainerRun,
    Mount,
    create_command,
    hold_commands,
    run_command,
    start_command,
)
from cab.adapters.sandboxes.limits import ResourceLimits

RUN = ContainerRun(
    engine="docker",
    rootless=False,
    name="cab-1",
    image="a/b:1",
    network="cab-1",
    user="1000:1000",
    mounts=(
        Mount(Path("/scratch/workdir"), PurePosixPath("/workspace")),
        Mount(Path("/scratch/home"), PurePosixPath("/home/agent")),
    ),
    workdir=PurePosixPath("/workspace"),
    settings={"HOME": "/home/agent"},
    inherited=("CAB_KEY", "OPENAI_API_KEY"),
    argv=("aider", "--message", "do it"),
    limits=ResourceLimits(
        cpu_s=60, file=1000, processes=100, open_files=50, memory=1 << 30, cpus=1.5
    ),
    labels={"cab.run": "cab-1"},
    limit_s=59.5,
)


def test_all_of_it() -> None:
    """As little as possible is given to the container, and no value of a secret is an argument."""
    assert create_command(RUN) == [
        *("create", "--name", "cab-1", "--label", "cab.run=cab-1", "--pull", "never"),
        *("--network", "cab-1", "--dns", "127.0.0.1"),
        *("--workdir", "/workspace", "--user", "1000:1000"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"),
        *("--tmpfs", "/tmp:rw,exec,nosuid,nodev,mode=1777"),
        *("--tmpfs", "/opt/cab:ro,noexec,nosuid,nodev,size=4k,mode=0555"),
        *("--log-driver", "none", "--stop-timeout", "1"),
        *("--memory", "1073741824b", "--memory-swap", "1073741824b", "--cpus", "1.5"),
        *("--pids-limit", "100", "--ulimit", "core=0:0", "--ulimit", "cpu=60:60"),
        *("--ulimit", "fsize=1000:1000", "--ulimit", "nofile=50:50"),
        *("--mount", "type=bind,src=/scratch/workdir,dst=/workspace"),
        *("--mount", "type=bind,src=/scratch/home,dst=/home/agent"),
        *("--env", "HOME=/home/agent", "--env", "CAB_KEY", "--env", "OPENAI_API_KEY"),
        *("--entrypoint", "aider", "a/b:1", "--message", "do it"),
    ]
    assert start_command("cab-1") == ["start", "--attach", "cab-1"]


def words_after(run: ContainerRun, option: str) -> list[str]:
    """Return the values of an option."""
    command = create_command(run)
    return [after for word, after in pairwise(command) if word == option]


def test_no_limits() -> None:
    """Limits that are off are not on the command line."""
    off = ResourceLimits(cpu_s=None, file=None, processes=None, open_files=None, memory=None)

    command = create_command(replace(RUN, limits=off))

    assert not {"--memory", "--cpus", "--pids-limit"} & set(command)
    assert words_after(replace(RUN, limits=off), "--ulimit") == ["core=0:0"]


@pytest.mark.parametrize(
    ("word", "added", "removed"),
    [
        ("root", "0:0", "1000:1000"),
        ("docker-socket", "type=bind,src=/var/run/docker.sock,dst=/var/run/docker.sock", None),
        ("writable-root", None, "--read-only"),
    ],
)
def test_deviations(word: str, added: str | None, removed: str | None) -> None:
    """A deviation changes what it names, and nothing else."""
    usual, changed = create_command(RUN), create_command(replace(RUN, allowed=frozenset({word})))

    assert set(changed) - set(usual) == ({added} if added else set())
    assert set(usual) - set(changed) == ({removed} if removed else set())
    assert {"--cap-drop", "no-new-privileges"} <= set(changed)


def test_podman() -> None:
    """Podman labels the folders; without root it keeps the user's id, or nothing could be written."""
    podman = replace(RUN, engine="podman")
    rootless = replace(podman, rootless=True)

    assert words_after(podman, "--volume") == [
        "/scratch/workdir:/workspace:Z",
        "/scratch/home:/home/agent:Z",
    ]
    assert words_after(podman, "--userns") == []
    assert words_after(rootless, "--userns") == ["keep-id"]
    assert words_after(replace(rootless, allowed=frozenset({"root"})), "--userns") == []
    socket = replace(podman, allowed=frozenset({"docker-socket"}))
    assert "/var/run/docker.sock:/var/run/docker.sock" in words_after(socket, "--volume")


def test_held_network() -> None:
    """What keeps a network of podman up is made ready, as closed as any, and never started."""
    create, init = hold_commands(replace(RUN, name="cab-1-network", engine="podman"))

    assert create == create_command(replace(RUN, name="cab-1-network", engine="podman"))
    assert init == ["init", "cab-1-network"]


def test_podmans_limits() -> None:
    """What podman cannot set is not asked for, also where nothing was: its own default would be too much."""
    podman = replace(RUN, engine="podman", ceilings={"nofile": 20, "nproc": 4096})

    assert words_after(podman, "--ulimit")[-2:] == ["nofile=20:20", "nproc=4096:4096"]
    assert words_after(podman, "--timeout") == ["60"]
    assert words_after(replace(podman, limit_s=None), "--timeout") == []
    assert words_after(RUN, "--timeout") == []  # docker has no such option


def test_a_check() -> None:
    """A check reaches nothing, not even a resolver, and what it must not change is mounted to be read."""
    pristine = Mount(Path("/s/pristine"), PurePosixPath("/check/pristine"), read_only=True)
    check = replace(RUN, network="none", mounts=(pristine,))

    assert run_command(check)[:2] == ["run", "--interactive"]
    assert words_after(check, "--dns") == []
    assert words_after(check, "--mount") == [
        "type=bind,src=/s/pristine,dst=/check/pristine,readonly"
    ]
    podman = replace(check, engine="podman")
    assert words_after(podman, "--volume") == ["/s/pristine:/check/pristine:ro,Z"]
