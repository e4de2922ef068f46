"""A command in the foreground: exit codes, signals and descriptors are what a shell would give it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
import os, sys
from cab.adapters.processes.foreground import CommandNotStarted, run_foreground, signals_held

with signals_held() as mask:
    try:
        code = run_foreground(sys.argv[1:], os.environ, mask)
    except CommandNotStarted as error:
        print(error, file=sys.stderr)
        code = error.code
sys.exit(code)
"""
LIMIT_S = 60


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 7", 7),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
        ("cat; echo three >&3", 0),  # its input, and a descriptor that the shell opened
        ("yes | head -n 1; kill -PIPE $$", 141),
    ],
)
def test_exit_code(script: str, code: int, tmp_path: Path) -> None:
    """The exit code is the command's, or 128 and its signal."""
    file = tmp_path / "three"
    outer = f'exec "$@" 3> {file}'
    words = ["sh", "-c", outer, "sh", sys.executable, "-c", RUN, "sh", "-c", script]
    done = subprocess.run(words, input="one", capture_output=True, text=True, check=False)
    assert done.returncode == code
    if code == 0:
        assert (done.stdout, file.read_text()) == ("one", "three\n")


def test_not_started(tmp_path: Path) -> None:
    """What is not there, or cannot be run, has a shell's exit code and one line; a script needs no first line."""
    script = tmp_path / "script"
    script.write_text("exit 9\n")
    for words, code, said in (
        (["no-such-command"], 127, "no-such-command: command not found"),
        ([""], 127, "'': command not found"),
        (["./no-such-file"], 127, "./no-such-file: no such file"),
        ([str(script)], 126, f"{script}: Permission denied"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", RUN, *words], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (code, f"{said}\n")
    script.chmod(0o755)
    assert subprocess.run([sys.executable, "-c", RUN, script], check=False).returncode == 9


def test_signals_passed_on() -> None:
    """A signal for our process alone reaches the command, and what it makes of that is its exit code."""
    script = "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 1 & wait; done"
    words = [sys.executable, "-c", RUN, "bash", "-c", script]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "caught\n"
        assert process.wait(LIMIT_S) == 3


def test_ignored_signals_stay_ignored() -> None:
    """What nohup ignores, the command ignores too, and nothing else; nothing is blocked in it."""
    words = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", sys.executable, "-c", RUN]
    shown = ["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"]
    out = subprocess.run([*words, *shown], capture_output=True, text=True, check=True).stdout
    found = dict(line.split() for line in out.splitlines())
    assert int(found["SigBlk:"], 16) == 0
    # glibc ignores its own two, 32 and 33, in whatever it spawns.
    assert int(found["SigIgn:"], 16) & ((1 << 31) - 1) == 1 << (signal.SIGHUP - 1)
