"""Completion scripts in the shells themselves, where a person presses TAB."""

import os
import pty
import shutil
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cab.adapters.cli import main

DUMP_KEY = b"\x18"  # Ctrl-X


def needs(shell: str) -> pytest.MarkDecorator:
    missing = shutil.which(shell) is None and not os.environ.get("CI")
    return pytest.mark.skipif(missing, reason=f"{shell} is not installed")


@pytest.fixture
def script_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str, str], Path]:
    """Write the script for a shell and a program, and return its file."""

    def written(shell: str, program: str) -> Path:
        assert main(["completion", shell, program]) == 0
        file = tmp_path / (f"_{program}" if shell == "zsh" else f"{program}.{shell}")
        file.write_text(capsys.readouterr().out)
        return file

    return written


@contextmanager
def interactive(words: list[str], folder: Path) -> Generator[Callable[[str], str]]:
    """Run a shell on a terminal; give what makes of some typed text the line that it has then."""
    lines = folder / "lines"
    os.mkfifo(lines)
    pid, terminal = pty.fork()
    if pid == 0:
        environment = {"PATH": os.environ["PATH"], "TERM": "vt100", "HOME": str(folder)}
        os.chdir(folder)
        os.execvpe(words[0], words, environment)

    def typed(text: str) -> str:
        # Ctrl-U: begin a line of its own.
        os.write(terminal, b"\x15" + text.encode() + DUMP_KEY)
        return lines.read_text().removesuffix("\n")

    try:
        yield typed
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


def start_bash(folder: Path, *scripts: Path) -> list[str]:
    rc = folder / "bashrc"
    dump = f"""bind -x '"\\C-x": printf "%s\\n" "$READLINE_LINE" > {folder}/lines'"""
    sources = "".join(f"source {script}\n" for script in scripts)
    rc.write_text(f"bind 'set bell-style none'\n{sources}{dump}\n")
    return ["bash", "--noprofile", "--rcfile", str(rc), "-i"]


def start_zsh(folder: Path, *scripts: Path) -> list[str]:
    (folder / ".zshrc").write_text(
        f"fpath=({scripts[0].parent} $fpath)\n"
        f"autoload -Uz compinit; compinit -u -d {folder}/zcompdump\n"
        f"dump() {{ print -r -- $BUFFER > {folder}/lines }}\n"
        "zle -N dump; bindkey '^X' dump\n"
    )
    return ["zsh", "-o", "no_global_rcs", "-i"]


@pytest.mark.parametrize(
    ("shell", "start"),
    [pytest.param("bash", start_bash), pytest.param("zsh", start_zsh, marks=needs("zsh"))],
)
def test_tab(
    shell: str,
    start: Callable[..., list[str]],
    script_of: Callable[[str, str], Path],
    tmp_path: Path,
) -> None:
    """TAB completes commands, options, agents, tasks, choices and files, of both programs."""
    scripts = [script_of(shell, program) for program in ("cab", "cab-proxy")]
    (tmp_path / "my-ledger").mkdir()

    with interactive(start(tmp_path, *scripts), tmp_path) as typed:
        assert typed("cab led\t") == "cab ledger "
        assert typed("cab ledger ver\t") == "cab ledger verify "
        assert typed("cab run-cell --tui aid\t") == "cab run-cell --tui aider "
        assert typed("cab run-cell --agent aider --task polyglot/python-e\t") == (
            "cab run-cell --agent aider --task polyglot/python-error-handling "
        )
        assert typed("cab run-cell --sandb\t") == "cab run-cell --sandbox "
        assert typed("cab run-cell --sandbox do\t") == "cab run-cell --sandbox docker "
        assert typed("cab run-cell --ledger my-l\t").startswith("cab run-cell --ledger my-ledger")
        assert typed("cab-proxy --on-dis\t") == "cab-proxy --on-disconnect "
        assert typed("cab-proxy --allow-open --auth k\t") == "cab-proxy --allow-open --auth keys "


@needs("fish")
def test_fish(script_of: Callable[[str, str], Path], tmp_path: Path) -> None:
    """fish offers the same, each with its text."""
    sources = "; ".join(f"source {script_of('fish', each)}" for each in ("cab", "cab-proxy"))
    (tmp_path / "my-ledger").mkdir()

    def offered(line: str) -> list[str]:
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"{sources}; complete -C '{line}'"],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        return [each.partition("\t")[0] for each in done.stdout.splitlines()]

    assert offered("cab led") == ["ledger"]
    assert offered("cab ledger ver") == ["verify"]
    assert offered("cab run-cell --agent aid") == ["aider"]
    assert offered("cab run-cell --task polyglot/python-e") == ["polyglot/python-error-handling"]
    assert offered("cab run-cell --sandb") == ["--sandbox"]
    assert offered("cab run-cell --sandbox ") == ["local", "docker"]
    assert offered("cab run-cell --ledger my-l") == ["my-ledger/"]
    assert offered("cab-proxy --on-dis") == ["--on-disconnect"]
    assert offered("cab-proxy --allow-open --auth k") == ["keys"]


@pytest.mark.parametrize(
    ("words", "said"),
    [(["completion", "tcsh"], "'tcsh' is not one of: bash, zsh, fish"), (["completion"], "SHELL")],
)
def test_other_shells(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A shell that is not supported is answered with those that are."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err
