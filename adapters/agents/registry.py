"""Where adapters are found: built in, brought by another package, or given by their dotted path."""

import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path

from cab.adapters.agents.base import Adapter, AgentFacts
from cab.adapters.entry_points import Extensions, find_extensions
from cab.adapters.errors import UnknownAdapter

GROUP = "cab.adapters"
"""Group of the entry points by which other packages bring adapters: a name to `module:Class`."""

ADAPTERS = {
    "aider": "cab.adapters.agents.aider:Aider",
    "claude-code": "cab.adapters.agents.claude_code:ClaudeCode",
    "cline": "cab.adapters.agents.cline:Cline",
    "codex": "cab.adapters.agents.codex:Codex",
    "continue": "cab.adapters.agents.continue_cli:Continue",
    "copilot": "cab.adapters.agents.copilot:Copilot",
    "droid": "cab.adapters.agents.droid:Droid",
    "gemini-cli": "cab.adapters.agents.gemini_cli:GeminiCli",
    "gptme": "cab.adapters.agents.gptme:Gptme",
    "kilo": "cab.adapters.agents.kilo:Kilo",
    "mini-swe-agent": "cab.adapters.agents.mini_swe_agent:MiniSweAgent",
    "open-interpreter": "cab.adapters.agents.open_interpreter:OpenInterpreter",
    "opencode": "cab.adapters.agents.opencode:Opencode",
    "openhands": "cab.adapters.agents.openhands:Openhands",
    "pi": "cab.adapters.agents.pi:Pi",
    "qwen-code": "cab.adapters.agents.qwen_code:QwenCode",
    "scripted": "cab.adapters.agents.scripted:Scripted",
}
"""Short name to `module:Class`; imported only when it is used."""

PROGRAMS = {
    "aider": "aider",
    "claude": "claude-code",
    "cline": "cline",
    "cn": "continue",
    "codex": "codex",
    "copilot": "copilot",
    "droid": "droid",
    "gemini": "gemini-cli",
    "gptme": "gptme",
    "interpreter": "open-interpreter",
    "kilo": "kilo",
    "mini": "mini-swe-agent",
    "opencode": "opencode",
    "openhands": "openhands",
    "pi": "pi",
    "qwen": "qwen-code",
}
"""Program -> adapter of the agent that it starts."""

OWN_SETTINGS_ONLY = frozenset({"cline", "continue"})
"""Agents that take an endpoint from files in the user's HOME alone."""

LEFT_OUT = {
    "crush": "its npm package, @charmland/crush, downloads the program from GitHub while it is installed",
    "goose": "neither npm nor PyPI has it: goose there is another tool, and goose-ai a stranger's stub",
    "plandex": "neither npm nor PyPI has it, and it works only with a server of its own, in Docker",
    "swe-agent": "PyPI's sweagent 0.0.1 is of 2024 and has no command; later ones are not published",
}
"""Agents that cannot be had from PyPI or npm, each with the reason."""


def found_adapters() -> Extensions:
    """Return the adapters that other installed packages bring; none of them is imported."""
    return find_extensions(GROUP, ADAPTERS)


def load_adapter(name: str) -> Adapter:
    """Return the adapter that a short name or a dotted path stands for.

    Args:
        name: A key of `ADAPTERS`, the name of an entry point of the group `cab.adapters`, or
            `package.module:Class` for an adapter of your own.

    Raises:
        UnknownAdapter: No such name, or the path leads to no adapter.
    """
    if name in ADAPTERS:
        return _load(name, ADAPTERS[name])
    if ":" in name:
        _look_here_too()
        return _load(name, name)
    found = found_adapters()
    if name not in found.usable:
        reasons = [f"{each.origin}: {each.reason}" for each in found.unusable if each.name == name]
        reason = LEFT_OUT.get(name) or "; ".join(reasons) or None
        raise UnknownAdapter(name, [*ADAPTERS, *found.usable], reason)
    adapter = _load(name, found.usable[name].path)
    if adapter.facts.name != name:  # by that its cells are named, and the folder that it is in
        why = f"its facts name it {adapter.facts.name!r}; the entry point must have that name"
        raise UnknownAdapter(name, ADAPTERS, why)
    return adapter


def _load(name: str, path: str) -> Adapter:
    module_name, _, class_name = path.partition(":")
    if not (module_name and class_name):
        why = None if path == name else f"{path!r} is not module:Class"
        raise UnknownAdapter(name, ADAPTERS, why)
    try:
        # What it prints is no part of our own output, which may be JSON.
        with redirect_stdout(sys.stderr):
            adapter: object = getattr(import_module(module_name), class_name)()
            facts: object = getattr(adapter, "facts", None)
    # Somebody else's module may fail in any way, and end or interrupt the program too.
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        raise UnknownAdapter(name, ADAPTERS, f"{type(error).__name__}: {error}") from error
    if not (isinstance(adapter, Adapter) and isinstance(facts, AgentFacts)):
        raise UnknownAdapter(name, ADAPTERS, "it lacks facts, launch or self_report")
    return adapter


def _look_here_too() -> None:
    """Find modules in the current folder too, as with `python -m`; last, so that they hide none."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
