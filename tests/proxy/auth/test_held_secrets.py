"""Secrets that a process was given, sought by another process of the same user."""

import os
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from cab.proxy.auth.held_secrets import MOST_BYTES, read_key
from cab.proxy.errors import BadConfig
from tests.tools import unprivileged

KEY = "sk-canary-0123456789"
ADMIN = "admin-canary-0123456789"
PROXY = "import sys; from cab.proxy.cli.main import main; sys.exit(main())"
READ = "import sys; sys.stdout.write(repr(open(sys.argv[1], 'rb').read()))"


@pytest.fixture
def folder() -> Generator[Path]:
    with unprivileged.open_folder() as folder:
        yield folder


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_proxy_shows_no_secret(workers: str, folder: Path) -> None:
    """Nobody but root can read the proxy's environment, memory and files; the secrets are not in it."""
    words = [unprivileged.python(), "-P", "-c", PROXY, "--upstream", "demo", "--port", "0"]
    with subprocess.Popen(
        [*words, "--ledger", str(folder / "ledger"), "--workers", workers],
        env=unprivileged.environment(CAB_KEY=KEY, CAB_ADMIN_TOKEN=ADMIN, SHORT="ok"),
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        **unprivileged.identity(),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("cab-proxy listens on")
        pids = [process.pid, *children_of(process.pid)]
        try:
            reads = [denied(pid, part) for pid in pids for part in ("environ", "mem", "fd/0")]
            environments = [environment_of(pid) for pid in pids]
        finally:
            process.send_signal(signal.SIGTERM)

    assert len(pids) == (1 if workers == "1" else 3)
    assert all(reads)
    assert all(b"canary" not in each for each in environments)


def children_of(pid: int) -> list[int]:
    listing = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in listing for child in each.read_text().split()]


def denied(pid: int, part: str) -> bool:
    """Whether another process of the same user may not read a part of a process."""
    done = subprocess.run(
        [unprivileged.python(), "-P", "-c", READ, f"/proc/{pid}/{part}"],
        env=unprivileged.environment(),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        **unprivileged.identity(),
    )
    return "PermissionError" in done.stderr


def environment_of(pid: int) -> bytes:
    """Return what root sees; nobody else sees anything."""
    return Path(f"/proc/{pid}/environ").read_bytes() if os.geteuid() == 0 else b""


def test_read_key(tmp_path: Path) -> None:
    """A key is read from a file or a descriptor, without the white space around it."""
    file = tmp_path / "key"
    file.write_text(f"  {KEY}\n")

    assert read_key(file, None) == KEY
    assert read_key(None, os.open(file, os.O_RDONLY)) == KEY
    assert read_key(None, None) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b" \n", "is empty; give the key alone"),
        (b"\xff", "is not valid UTF-8; give the key alone"),
        (b"k" * (MOST_BYTES + 1), f"is over {MOST_BYTES} bytes long; give the key alone"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_unusable_file(content: bytes | None, reason: str, tmp_path: Path) -> None:
    """A file that holds no key is named, and what it holds is not shown."""
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(BadConfig) as caught:
        read_key(file, None)

    assert str(caught.value) == f"--key-file {file} {reason}"


@pytest.mark.parametrize("number", [1, 2, 987])
def test_unusable_descriptor(number: int) -> None:
    """A descriptor that is not open, or is for output, is named."""
    with pytest.raises(BadConfig, match=f"--key-fd {number} "):
        read_key(None, number)
