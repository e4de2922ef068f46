"""Real agents as their users start them, metered against the demo; their own settings stay as they are."""

import os
import re
import shlex
from pathlib import Path

import pytest

from cab.adapters.install.install import find_installed
from tests.adapters.meter.metered import meter
from tests.adapters.test_agents_real import installed

pytestmark = pytest.mark.agents

COMMANDS = {
    "claude-code": ("claude", "--print", "--model", "demo", "Say hello."),
    "codex": ("codex", "exec", "--skip-git-repo-check", "--model", "demo", "Say hello."),
    "opencode": ("opencode", "run", "--model", "cab/demo", "Say hello."),
}
OWN_SETTINGS = {
    "claude-code": (".claude/settings.json", "{}"),
    "codex": (".codex/config.toml", 'model_provider = "openai"\n'),
    "opencode": (
        ".config/opencode/opencode.json",
        '{"$schema": "https://opencode.ai/config.json", "share": "disabled"}',
    ),
}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_agent(name: str, tmp_path: Path) -> None:
    """It answers, its calls are counted, and the settings in its user's HOME are neither used against us nor changed."""
    found = find_installed(installed(name).facts)
    assert found is not None
    path, text = OWN_SETTINGS[name]
    home, work = tmp_path / "home", tmp_path / "work"
    work.mkdir()
    (home / path).parent.mkdir(parents=True)
    (home / path).write_text(text)
    variables = {
        "PATH": f"{found.executable.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "IS_SANDBOX": "1",
        "XDG_CONFIG_HOME": str(home / ".config"),
    }
    done = meter(work, "--upstream", "demo", "--", *COMMANDS[name], given="", **variables)
    assert done.code == 0, done.err
    assert "This is the scripted demo model" in done.out
    assert done.result is not None
    assert done.result.agent == name
    assert done.result.calls >= 1
    assert done.result.tokens.total is not None
    assert (home / path).read_text() == text


def test_the_first_command_of_the_readme(tmp_path: Path) -> None:
    """What it prints is what the README shows, but for the size of the agent's prompt and the times."""
    found = find_installed(installed("claude-code").facts)
    assert found is not None
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    [command] = re.findall(r"^    cab meter -- (.+)$", readme, re.MULTILINE)
    shown = next(block for block in readme.split("```\n") if block.startswith("calls "))
    path = f"{found.executable.parent}:{os.environ['PATH']}"
    variables = {"PATH": path, "HOME": str(tmp_path), "IS_SANDBOX": "1"}
    words = shlex.split(command)
    done = meter(tmp_path, "--upstream", "demo", "--", *words, given="", **variables)
    assert done.code == 0, done.err
    timeless = re.compile(r"^(prompt|model time) .*$", re.MULTILINE)
    assert timeless.sub(r"\1", done.err).strip() == timeless.sub(r"\1", shown).strip()
