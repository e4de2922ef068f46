"""A stub of a container engine on the PATH: it writes down what it is asked, and answers from a table."""

import os
import shlex
import sys
from pathlib import Path

import pytest

# A cell asks its engine two dozen times: a shell answers in a tenth of the time that an interpreter starts in.
_PROGRAM = """\
#!/bin/sh
here={folder}
words=
for word; do words="$words$word\x1f"; done
[ "$1" = --version ] || printf '%s\\036' "$words" >> "$here/calls"
. "$here/answers"
"""
_RUN = """\
import json, os, sys
from pathlib import Path
here = Path(__file__).parent
words = sys.argv[1:]
"""


class Stub:
    """The stub, as a test sees it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._answers: list[str] = []

    def answer(
        self,
        *begin: str,
        out: str = "",
        err: str = "",
        code: int = 0,
        run: str = "",
        save_environment: bool = False,
    ) -> None:
        """Answer commands that begin so, whatever was to be answered until now.

        Args:
            *begin: The first words of the command.
            out: What it prints.
            err: What it prints to standard error.
            code: Its exit code.
            run: A Python program that it becomes then; `here` is its folder, `words` its arguments.
            save_environment: Keep its environment, for `environment`.
        """
        lines = [f"printf %s {shlex.quote(err)} >&2", f"printf %s {shlex.quote(out)}"]
        if save_environment:
            lines.insert(0, 'env -0 > "$here/environment"')
        if run:
            program = self._folder / f"run-{len(self._answers)}.py"
            program.write_text(f"{_RUN}{run}\nsys.exit({code})\n")
            lines.append(f'exec {shlex.join([sys.executable, "-I", "-S", str(program)])} "$@"')
        pattern = shlex.quote("".join(f"{word}\x1f" for word in begin))
        self._answers.insert(0, "\n".join([f"{pattern}*)", *lines, f"exit {code};;\n"]))
        table = f'case "$words" in\n{"".join(self._answers)}esac\n'
        (self._folder / "answers").write_text(table)

    @property
    def calls(self) -> list[list[str]]:
        """All commands it was given, but for the question of its version."""
        file = self._folder / "calls"
        asked = file.read_text().split("\x1e")[:-1] if file.exists() else []
        return [words.split("\x1f")[:-1] for words in asked]

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which the command ran whose answer has `save_environment`."""
        pairs = (self._folder / "environment").read_text().split("\0")[:-1]
        return dict(pair.split("=", 1) for pair in pairs)


def stub_engine(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = "docker", version: str | None = None
) -> Stub:
    """Put a stub on the PATH, before everything else.

    Args:
        folder: Where it lives.
        monkeypatch: Puts the PATH back.
        name: Its name.
        version: What it says it is; None is the program of its name.
    """
    place = folder / f"stub-{name}"
    place.mkdir()
    program = place / name
    program.write_text(_PROGRAM.format(folder=shlex.quote(str(place))))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    stub = Stub(place)
    stub.answer("--version", out=version or f"{name} version 1.2.3")
    stub.answer("info", out="true" if name == "podman" else "[]")
    return stub
