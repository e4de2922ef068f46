"""Writes an agent's launch as a bash snippet that can be pasted: keys and folders stay variables.

The adapter gets placeholders instead of a key and a HOME; wherever it puts them, the snippet has the
variable. Everything else is quoted, so that the shell does not evaluate a prompt or a file.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from cab.adapters.agents.base import Launch, RunContext

KEY = "cab-key-placeholder"
HOME = "/cab-home-placeholder"
BASE_URL = "http://cab-endpoint-placeholder.invalid"
"""For an endpoint that is not given."""
MODEL = "cab-model-placeholder"
"""For a model that is not given."""

_VARIABLES = {KEY: "CAB_KEY", HOME: "HOME", BASE_URL: "BASE_URL", MODEL: "CAB_MODEL"}
# With these an agent would read the settings of the user.
_USER_SETTINGS = (
    *(f"XDG_{kind}_HOME" for kind in ("CONFIG", "DATA", "CACHE", "STATE")),
    *("CLAUDE_CONFIG_DIR", "CODEX_HOME", "COPILOT_HOME", "FACTORY_HOME_OVERRIDE"),
    *("GEMINI_CLI_HOME", "QWEN_HOME", "PI_CODING_AGENT_DIR", "CONTINUE_GLOBAL_DIR"),
    *("CLINE_DIR", "CLINE_DATA_DIR", "OPENHANDS_PERSISTENCE_DIR", "MSWEA_GLOBAL_CONFIG_DIR"),
    *(f"{agent}_CONFIG{end}" for agent in ("KILO", "OPENCODE") for end in ("", "_DIR", "_CONTENT")),
)
_PLACEHOLDER = re.compile("|".join(map(re.escape, _VARIABLES)))
_HEREDOC = re.compile(r"[\\$`]")
_REQUIRED = {
    KEY: ': "${CAB_KEY:?set CAB_KEY to the key of the endpoint}"',
    BASE_URL: 'BASE_URL="${CAB_ENDPOINT:?set CAB_ENDPOINT to the URL of the endpoint}"\n'
    'BASE_URL="${BASE_URL%/}" BASE_URL="${BASE_URL%/v1}"',
    MODEL: ': "${CAB_MODEL:?set CAB_MODEL to the model, as the endpoint names it}"',
}


def placeholder_run(
    executable: Path, endpoint: str | None, model: str | None, prompt: str
) -> RunContext:
    """Return a run with placeholders, whose launch is to be written as a snippet.

    Args:
        executable: The agent's.
        endpoint: Base URL, with or without /v1; None makes it a variable.
        model: As the endpoint names it; None makes it a variable.
        prompt: What the agent is asked to do.
    """
    base_url = None if endpoint is None else endpoint.rstrip("/").removesuffix("/v1")
    return RunContext(
        base_url=base_url or BASE_URL,
        key=KEY,
        model=model or MODEL,
        prompt=prompt,
        home=Path(HOME),
        executable=executable,
    )


def shell_snippet(launch: Launch, before: str | None = None, *, workdir: bool = False) -> str:
    """Return the bash that starts the agent in a HOME of its own.

    It needs `CAB_KEY`; the HOME is `AGENT_HOME` if that is set, a fresh folder otherwise.

    Args:
        launch: With placeholders; see `placeholder_run`.
        before: A line to run in the user's HOME, once all that has to be set is set.
        workdir: Whether the agent works in a folder below that HOME, unless `AGENT_WORKDIR` names one; else
            it works in the current folder, where some agents make a git repository.
    """
    return "\n".join(["(", *_lines(launch, before, workdir=workdir), ")"])


def with_variables(text: str) -> str:
    """Return a text of the launch with the variables' names instead of the placeholders.

    >>> with_variables(f"Bearer {KEY}")
    'Bearer $CAB_KEY'
    """
    return _PLACEHOLDER.sub(lambda match: f"${_VARIABLES[match[0]]}", text)


def _lines(launch: Launch, before: str | None, *, workdir: bool) -> Iterator[str]:
    every = [*launch.argv, *launch.env.values(), *launch.files, *launch.files.values()]
    yield from (line for name, line in _REQUIRED.items() if any(name in text for text in every))
    if before is not None:
        yield before
    yield 'export HOME="${AGENT_HOME:-$(mktemp -d)}"'
    yield f"unset {' '.join(_USER_SETTINGS)}"
    yield from _files(launch.files)
    for name, value in launch.env.items():
        yield f"export {name}={_word(value)}"
    if workdir:
        yield 'mkdir -p "$HOME"/work && cd "${AGENT_WORKDIR:-$HOME/work}" || exit'
    yield " ".join(_word(word) for word in launch.argv)


def _files(files: Mapping[str, str]) -> Iterator[str]:
    folders = sorted({str(Path(HOME, name).parent) for name in files} | {HOME})
    yield f"mkdir -p {' '.join(map(_word, folders))}"
    for name, content in files.items():
        end = _end_mark(content)
        yield f"cat > {_word(f'{HOME}/{name}')} <<{end}"
        yield from (_heredoc(content.removesuffix("\n")), end)


def _end_mark(content: str) -> str:
    mark = "EOF"
    while mark in content.split("\n"):
        mark += "_"
    return mark


def _heredoc(content: str) -> str:
    """Return a text for a here document in which variables are expanded."""
    literal = _HEREDOC.sub(r"\\\g<0>", content)
    return _PLACEHOLDER.sub(lambda match: f"${{{_VARIABLES[match[0]]}}}", literal)


def _word(text: str) -> str:
    parts, at = list[str](), 0
    for match in _PLACEHOLDER.finditer(text):
        parts += [_quoted(text[at : match.start()]), f'"${_VARIABLES[match[0]]}"']
        at = match.end()
    return "".join([*parts, _quoted(text[at:])]) or "''"


def _quoted(text: str) -> str:
    return shlex.quote(text) if text else ""
