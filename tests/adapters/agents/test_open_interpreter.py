"""open-interpreter: its command line; it says nothing of tokens."""

import subprocess
from dataclasses import replace
from pathlib import Path

from cab.adapters.agents.open_interpreter import OpenInterpreter
from tests.adapters.agents.recorded import MODEL, URL, run_of

FLAGS = ("--stdin", "--plain", "--auto_run", f"--api_base={URL}/v1", f"--model=openai/{MODEL}")


def started(prompt: str, folder: Path, code: str = "exit 0") -> tuple[bytes, int]:
    """Return what the program is told on stdin and by arguments, and the exit code of it all."""
    program = folder / "interpreter"
    program.write_text(f'#!/bin/sh\ncat\nprintf "%s|" "$@"\n{code}\n')
    program.chmod(0o755)
    launch = OpenInterpreter().launch(replace(run_of(prompt), executable=program))
    done = subprocess.run(launch.argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.stdout, done.returncode


def test_prompt_on_stdin(tmp_path: Path) -> None:
    """The prompt, whatever is in it, arrives on stdin as one line."""
    said, code = started("Mend $HOME's `x` \\n 100%s -e\nand\ttest", tmp_path)

    text = "Mend $HOME's `x` \\n 100%s -e\u2028and\ttest\n"
    assert said.decode() == text + "|".join(FLAGS) + "|"
    assert code == 0


def test_prompt_is_no_option(tmp_path: Path) -> None:
    """A prompt that looks like an option is a prompt."""
    assert started("-e x", tmp_path)[0].startswith(b"-e x\n--stdin")


def test_exit_code(tmp_path: Path) -> None:
    """The exit code is the program's own."""
    assert started("Fix it", tmp_path, "exit 7")[1] == 7


def test_no_other_hosts() -> None:
    """Telemetry is off, and no price list is downloaded."""
    launch = OpenInterpreter().launch(run_of())

    assert launch.env["DISABLE_TELEMETRY"] == "true"
    assert launch.env["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"


def test_own_tokenizers() -> None:
    """The tokenizers are those that lie in its own environment; a bare name has none."""
    agent = OpenInterpreter()
    installed = agent.launch(replace(run_of(), executable=Path("/agents/oi/bin/interpreter")))
    bare = agent.launch(replace(run_of(), executable=Path("interpreter")))

    cache = installed.env["TIKTOKEN_CACHE_DIR"]
    assert cache.startswith("/agents/oi/lib/python3.11/site-packages/litellm/")
    assert "TIKTOKEN_CACHE_DIR" not in bare.env
