"""Codex, headless, with its events as JSON lines: a provider of the run's own, one model, Responses.

The built-in provider would try a web socket first and ask other hosts; one of the run's own does not.
"""

from typing import Final

import orjson

from cab.adapters.agents.base import AgentFacts, Launch, NpmInstall, Output, RunContext
from cab.adapters.agents.usage_reports import Object, ReportedTokens, count, json_lines, member
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport

_KEY = "CAB_CELL_KEY"
# The features that are off fetch lists of apps and plug-ins from other hosts. A search on the web would
# be the endpoint's, if it had one: no other agent is given that.
_CONFIG: Final = """\
model = {model}
model_provider = "cab"
check_for_update_on_startup = false
web_search = "disabled"

[analytics]
enabled = false

[otel]
exporter = "none"

[features]
apps = false
plugins = false
remote_plugin = false

[model_providers.cab]
name = "cab"
base_url = {base_url}
env_key = "{key_variable}"
wire_api = "responses"
"""


class Codex:
    """The Codex CLI from npm."""

    facts = AgentFacts(
        name="codex",
        version="0.169.0",
        dialects=("responses",),
        install=NpmInstall("@openai/codex", "codex"),
        wants_git=True,
        token_report="stdout (JSON events), exact",
        notes=(
            "It gives up at once on a 429 without Retry-After.",
            "Its count leaves out calls that failed, or whose answer was cut.",
        ),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line, environment and configuration of one prompt."""
        argv = (
            str(run.executable),
            "exec",
            "--json",
            "--dangerously-bypass-approvals-and-sandbox",
            "--skip-git-repo-check",
            "--",
            run.prompt,
        )
        config = _CONFIG.format(
            model=_quoted(run.model),
            base_url=_quoted(f"{run.base_url}/v1"),
            key_variable=_KEY,
        )
        return Launch(argv, {_KEY: run.key}, {".codex/config.toml": config})

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the usage of the turn that it prints last."""
        return read_report(output.stdout)


def _quoted(text: str) -> str:
    """Return a text as a TOML string; JSON's escapes are TOML's, but for one letter that TOML forbids.

    >>> _quoted("gpt-5")
    '"gpt-5"'
    """
    return orjson.dumps(text).decode().replace("\x7f", "\\u007F")


def read_report(text: str) -> SelfReport | None:
    """Return what the end of the turn says in codex's events; None if the turn did not end.

    Raises:
        BadSelfReport: A line cannot be read, the count is none, or there are several.
    """
    turns: list[Object] = []
    exact = True
    for event in json_lines(text, "codex"):
        # A call that is tried again: what the one before cost is lost.
        exact = exact and event.get("type") != "error"
        if event.get("type") == "turn.completed":
            turns.append(member(event, "usage", "codex"))
    if not turns:
        return None
    if len(turns) > 1:
        raise BadSelfReport(
            "codex ended several turns, and says nothing of how their counts relate"
        )
    return _tokens(turns[0]).report(exact=exact)


def _tokens(usage: Object) -> ReportedTokens:
    # Cached tokens are among the input already, tokens of reasoning among the output.
    keys = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")
    prompt, cached, completion, reasoning = (count(usage, key, "codex") for key in keys)
    if prompt == 0:
        raise BadSelfReport("codex counts 0 tokens for a turn, so the endpoint gave no count")
    if cached > prompt or reasoning > completion:
        raise BadSelfReport(f"codex's parts are more than the whole: {usage}")
    return ReportedTokens(prompt, completion)
