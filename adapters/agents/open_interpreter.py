"""open-interpreter, headless: one line on stdin, code is run without asking, no telemetry."""

from pathlib import Path

from cab.adapters.agents.base import AgentFacts, Launch, Output, PyPIInstall, RunContext
from cab.scoring.cells.cell import SelfReport

# It reads the prompt from a terminal or from stdin, and agents get an empty stdin.
_PIPE = 'printf "%s\\n" "$1" | { shift; exec "$0" "$@"; }'
_LINE_SEPARATOR = "\u2028"
_TOKENIZERS = "lib/python3.11/site-packages/litellm/litellm_core_utils/tokenizers"


class OpenInterpreter:
    """The open-interpreter CLI from PyPI."""

    facts = AgentFacts(
        name="open-interpreter",
        version="0.4.3",
        dialects=("chat.completions",),
        install=PyPIInstall(
            "open-interpreter",
            "interpreter",
            python_min=(3, 11),
            python_below=(3, 12),
            # It imports pkg_resources, which later versions do not have.
            extra=("setuptools<81",),
        ),
        notes=(
            "It reads one line: the lines of a longer prompt reach the model with U+2028 between them.",
            "It closes the connection during an answer, once it has the code to run.",
            "It cuts conversations to 8000 tokens where litellm does not know the model.",
        ),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line and environment of one prompt."""
        argv = (
            "/bin/sh",
            "-c",
            _PIPE,
            str(run.executable),
            _LINE_SEPARATOR.join(run.prompt.splitlines()),
            "--stdin",
            "--plain",
            "--auto_run",
            f"--api_base={run.v1_url}",
            f"--model=openai/{run.model}",
        )
        env = {
            "OPENAI_API_KEY": run.key,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "DISABLE_TELEMETRY": "true",
            **_tokenizers(run.executable),
        }
        return Launch(argv, env)

    def self_report(self, output: Output) -> SelfReport | None:
        """Return None: it does not report tokens."""
        del output
        return None


def _tokenizers(executable: Path) -> dict[str, str]:
    """Return the folder of the tokenizers in its environment; otherwise it would download them."""
    # In a shell snippet the executable is a bare name, without an environment.
    if not executable.is_absolute():
        return {}
    return {"TIKTOKEN_CACHE_DIR": str(executable.parent.parent / _TOKENIZERS)}
