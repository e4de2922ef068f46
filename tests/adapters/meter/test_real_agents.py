"""Real agents as their users start them, metered against the demo; their own settings stay as they are."""

import json
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
    "copilot": ("copilot", "--allow-all-tools", "--model", "demo", "--prompt", "Say hello."),
    "droid": ("droid", "exec", "--model", "cab/demo", "Say hello."),
    "kilo": ("kilo", "run", "--auto", "--model", "cab/demo", "Say hello."),
    "opencode": ("opencode", "run", "--model", "cab/demo", "Say hello."),
    "openhands": ("openhands", "--headless", "--always-approve", "--task", "Say hello."),
    "pi": ("pi", "--model", "cab/demo", "--print", "Say hello."),
    "qwen-code": ("qwen", "--model", "demo", "--prompt", "Say hello."),
}
DROID_MODEL = (
    '{"model": "mine", "displayName": "mine", "baseUrl": "http://127.0.0.1:9/v1", "apiKey": "x", '
    '"provider": "generic-chat-completion-api"}'
)
OWN_SETTINGS = {
    "claude-code": (".claude/settings.json", "{}"),
    "codex": (".codex/config.toml", 'model_provider = "openai"\n'),
    "copilot": (".copilot/settings.json", '{"banner": "never"}'),
    "droid": (".factory/settings.json", f'{{"customModels": [{DROID_MODEL}]}}'),
    "kilo": (".config/kilo/kilo.json", '{"share": "disabled"}'),
    "opencode": (
        ".config/opencode/opencode.json",
        '{"$schema": "https://opencode.ai/config.json", "share": "disabled"}',
    ),
    "openhands": (".openhands/cli_config.json", "{}"),
    "pi": (".pi/agent/auth.json", '{"cab": {"type": "api_key", "key": "of the user"}}'),
    "qwen-code": (".qwen/settings.json", '{"security": {"auth": {"selectedType": "qwen-oauth"}}}'),
}
WRITE_THEIR_SETTINGS = ("copilot", "kilo", "qwen-code")
"""Agents that add settings of their own to the file at any start."""
VARIABLES = {
    # Without these, Copilot and Droid want a login of their own.
    "copilot": {"COPILOT_OFFLINE": "true", "COPILOT_AUTO_UPDATE": "false"},
    "droid": {"FACTORY_API_KEY": "none", "FACTORY_AIRGAP_ENABLED": "1"},
    "openhands": {"LLM_MODEL": "openai/demo", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_agent(name: str, tmp_path: Path) -> None:
    """It answers, its calls are counted, and the settings in its user's HOME are neither used against us nor changed."""
    found = find_installed(installed(name).facts)
    assert found is not None
    path, text = OWN_SETTINGS[name]
    home, work, temporary = (tmp_path / each for each in ("home", "work", "temporary"))
    work.mkdir()
    temporary.mkdir()
    (home / path).parent.mkdir(parents=True)
    (home / path).write_text(text)
    variables = {
        "PATH": f"{found.executable.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "IS_SANDBOX": "1",
        "XDG_CONFIG_HOME": str(home / ".config"),
        "TMPDIR": str(temporary),
        **VARIABLES.get(name, {}),
    }
    done = meter(work, "--upstream", "demo", "--", *COMMANDS[name], given="", **variables)
    assert done.code == 0, done.err
    assert "This is the scripted demo model" in done.out
    assert done.result is not None
    assert done.result.agent == name
    assert done.result.calls >= 1
    assert done.result.tokens.total is not None
    now = (home / path).read_text()
    if name in WRITE_THEIR_SETTINGS:
        assert json.loads(text).items() <= json.loads(now).items()
    else:
        assert now == text
    assert not list(temporary.glob("cab-meter-*"))


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
