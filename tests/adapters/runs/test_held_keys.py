"""The endpoint's key, sought by the agent's code while it runs in the hidden checks."""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.adapters.errors import AdapterError
from cab.adapters.runs.held_keys import hold_keys, key_exposure
from tests.tools import unprivileged

KEY = "sk-real-canary-0123456789"
SEEKER = """
import os
from pathlib import Path

found = []
for entry in Path("/proc").iterdir():
    for name in ("environ", "cmdline"):
        try:
            if bytes.fromhex("KEY") in (entry / name).read_bytes():
                found.append(name + " " + (entry / "comm").read_text().strip())
        except OSError:
            pass
memories = 0
parent = os.getppid()
while parent > 1:
    try:
        open(f"/proc/{parent}/mem", "rb").close()
        words = Path(f"/proc/{parent}/cmdline").read_text().split("\\0")
        memories += "python" in words[0] and "cab.adapters.cli" in words[3]
    except OSError:
        pass
    parent = int(Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1])
print("found:", *found, "memories:", memories)
""".replace("KEY", KEY.encode().hex())
TASK = """
schema = "cab.task/1"
id = "own/seeker"
category = "own"
prompt = "Seek."
expected_changes = ["answer"]
[check]
command = ["{python}", "check.py"]
"""


@pytest.fixture
def folder() -> Generator[Path]:
    with unprivileged.open_folder() as folder:
        task = folder / "task"
        (task / "workspace").mkdir(parents=True)
        (task / "checks").mkdir()
        (task / "checks" / "check.py").write_text(SEEKER)
        (task / "task.toml").write_text(TASK)
        yield folder


def cell(folder: Path, words: list[str], **variables: str) -> tuple[str, set[str]]:
    """Run a cell as a user who is not root; return what its check printed, and its deviations."""
    done = unprivileged.run(words, folder, **variables)
    row: dict[str, Any] = orjson.loads(done.stdout)
    facts = orjson.loads((folder / row["bundle"] / "cell.json").read_bytes())
    return facts["scorers"]["pass_rate"]["stdout_tail"].strip(), set(row["deviations"])


def command(*more: str) -> list[str]:
    return unprivileged.cab(
        *("run-cell", "--tui", "scripted", "--upstream", "demo", "--task", "./task", "--json"),
        *("--runs", "runs", *more),
    )


def test_a_key_in_the_environment_is_not_found(folder: Path) -> None:
    """Code that reads all processes in its own check finds no key, and cannot open cab's memory."""
    printed, deviations = cell(folder, command(), CAB_KEY=KEY, ANOTHER=f"Bearer {KEY}")

    assert printed == "found: memories: 0"
    assert not {"key-readable", "key-in-parent", "key-in-file"} & deviations


@pytest.mark.slow
def test_a_shell_that_still_shows_it_is_recorded(folder: Path) -> None:
    """What cab was started from may still show the key: the cell says so."""
    shell = ["sh", "-c", '"$@"; exit $?', "sh", *command()]

    printed, deviations = cell(folder, shell, CAB_KEY=KEY)

    assert printed == "found: environ sh memories: 0"
    assert "key-in-parent" in deviations


def test_a_key_from_a_descriptor_is_nowhere(folder: Path) -> None:
    """A key that comes through a pipe is in no environment, not even a parent's."""
    with_pipe = 'printf %s "$(cat key)" | { exec 3<&0; "$@"; }'
    (folder / "key").write_text(KEY)
    (folder / "key").chmod(0o644)

    printed, deviations = cell(folder, ["sh", "-c", with_pipe, "sh", *command("--key-fd", "3")])

    assert printed == "found: memories: 0"
    assert "key-in-parent" not in deviations


@pytest.mark.slow
def test_a_key_from_a_file_is_recorded(folder: Path) -> None:
    """A file that the user of cab can read can be read by a local agent too: the cell says so."""
    (folder / "key").write_text(f"{KEY}\n")
    (folder / "key").chmod(0o644)

    printed, deviations = cell(folder, command("--key-file", "key"))

    assert printed == "found: memories: 0"
    assert "key-in-file" in deviations


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root")
def test_root_is_not_protected_and_that_is_said() -> None:
    """Nothing keeps a key from a process of root."""
    assert "key-readable" in key_exposure(KEY)
    assert key_exposure(None) == ()


def test_keys_are_taken_out_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file wins over CAB_KEY; both keys go from the environment; a key that cannot be sent is refused."""
    monkeypatch.setenv("CAB_KEY", "from the environment")
    monkeypatch.setenv("CAB_SIGNING_KEY", "s" * 40)
    (tmp_path / "key").write_text("from the file\n")

    assert hold_keys(tmp_path / "key", None)[:2] == ("from the file", "s" * 40)
    assert not {"CAB_KEY", "CAB_SIGNING_KEY"} & os.environ.keys()
    (tmp_path / "key").write_text("two\nlines")
    with pytest.raises(AdapterError, match="fix the file"):
        hold_keys(tmp_path / "key", None)
