"""aider, headless, as on the published cells: whole message in, no streaming, no commits.

Differences from the published command line: the key is in the environment, because any process may
read an argument; the weak model is the main one, so that no other model is called; release notes are
off, because aider would open a browser for them.
"""

import re
from decimal import Decimal

from cab.adapters.agents.base import AgentFacts, Launch, Output, PyPIInstall, RunContext
from cab.adapters.agents.usage_reports import ReportedTokens, add_up
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport

_FLAGS = (
    "--yes-always",
    "--no-stream",
    "--no-check-update",
    "--no-analytics",
    "--no-show-model-warnings",
    "--no-suggest-shell-commands",
    "--no-auto-commits",
    "--no-pretty",
)
_PRICE_CACHE = ".aider/caches/model_prices_and_context_window.json"

# aider writes counts below 1000 as they are, below 10000 with one decimal, and above as whole k.
_COUNT = r"(\d{1,3}|\d{1,2}\.\dk|\d+k)"
_LINE = re.compile(
    rf"Tokens: {_COUNT} sent(?:, {_COUNT} cache write)?(?:, {_COUNT} cache hit)?, {_COUNT} received\."
    r"(?: Cost: \$\d+\.\d+ message, \$\d+\.\d+ session\.)?"
)


class Aider:
    """The aider CLI from PyPI."""

    facts = AgentFacts(
        name="aider",
        version="0.86.2",
        dialects=("chat.completions",),
        install=PyPIInstall("aider-chat", "aider", python_min=(3, 10), python_below=(3, 13)),
        scratch=(".aider*", ".aider*/**"),
        wants_git=True,
        token_report="stdout, rounded, without the calls that sum up a long conversation",
        image="codingagentbench/aider",
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line and environment of one message."""
        model = f"openai/{run.model}"
        argv = (
            str(run.executable),
            *_FLAGS,
            "--no-show-release-notes",
            *("--openai-api-base", run.v1_url),
            *("--model", model),
            *("--weak-model", model),
            "--subtree-only",
            *("--message", run.prompt),
        )
        env = {"OPENAI_API_KEY": run.key, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        # aider downloads a price list if this cache is missing or empty; one entry prevents that.
        return Launch(argv, env, {_PRICE_CACHE: '{"none": {}}\n'})

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum of all token lines in aider's terminal output; None if there is none.

        Raises:
            BadSelfReport: A line starts like a token line but is not one, or counts 0 tokens.
        """
        lines = [
            line.rstrip() for line in output.stdout.splitlines() if line.startswith("Tokens: ")
        ]
        if not lines:
            return None
        # A message of 0 tokens is one for which the endpoint gave no count.
        counts = [_read_line(line).nonzero("aider") for line in lines]
        return add_up(counts).report(exact=False)


def _read_line(line: str) -> ReportedTokens:
    match = _LINE.fullmatch(line)
    if match is None:
        raise BadSelfReport(f"aider's token line cannot be read: {line!r}")
    return ReportedTokens(_count(match[1]), _count(match[4]))


def _count(text: str) -> int:
    """Return the number that aider wrote, with its rounding.

    >>> _count("2.6k"), _count("31"), _count("12k")
    (2600, 31, 12000)
    """
    return int(Decimal(text.removesuffix("k")) * 1000) if text.endswith("k") else int(text)
