import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.proxy.demo.scenarios import FileEdit
from cab.proxy.demo.shell import (
    fenced,
    requested_fence,
    show_command,
    submit_command,
    write_command,
)

lines = st.sampled_from(
    ["plain", "", "END_OF_FILE", "END_OF_FILE_", "$HOME `id` \\n \"'", "tab\there", "ünï漢"]
)


def shell(command: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


@given(st.lists(lines, max_size=6))
@settings(max_examples=25, deadline=None)
def test_any_text_is_written_as_it_is(text: list[str]) -> None:
    """What the command writes is the text byte for byte, whatever the shell could read into it."""
    after = "\n".join(text) + "\n"
    with tempfile.TemporaryDirectory() as folder:
        shell(write_command(FileEdit(path="a dir/deep/it's.txt", after=after)), Path(folder))
        assert (Path(folder) / "a dir/deep/it's.txt").read_text() == after


def test_a_file_at_the_top_needs_no_folder(tmp_path: Path) -> None:
    """No folder is made for a file that lies at the top."""
    command = write_command(FileEdit(path="a.txt", after="x\n"))
    assert "mkdir" not in command
    shell(command, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_looking_shows_the_folder_and_the_files(tmp_path: Path) -> None:
    """The command to look lists the folder and prints each file."""
    (tmp_path / "a b.txt").write_text("inside\n")
    shown = shell(show_command(["a b.txt"]), tmp_path)
    assert shown.splitlines() == [".", "..", "a b.txt", "inside"]


def test_submitting_prints_the_marker_first(tmp_path: Path) -> None:
    """The command to submit prints what mini-swe-agent waits for as its first line."""
    assert shell(submit_command(), tmp_path) == "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT\n"


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        ([], None),
        (["Write ```python code```."], None),
        (["```bash\nls\n```"], "bash"),
        (["nothing", "```shell\nls\n```"], "shell"),
        (["```bash\nls\n```", "```mswea_bash_command\nls\n```"], "mswea_bash_command"),
        (["```bashful\n```"], None),
        (["Write a block. Specify the language after the ```. You receive the output."], "shell"),
    ],
)
def test_the_fence_that_a_prompt_teaches(texts: list[str], language: str | None) -> None:
    """The first fence for commands counts, mini-swe-agent's own before any other."""
    assert requested_fence(texts) == language


def test_a_fence_stands_on_lines_of_its_own() -> None:
    """A fenced command has its fences on lines of their own."""
    assert fenced("bash", "ls\npwd") == "```bash\nls\npwd\n```"
