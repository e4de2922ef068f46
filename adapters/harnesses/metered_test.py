"""The cell of one test, and how clients find it."""

from dataclasses import dataclass, field
from typing import Any

from cab.adapters.harnesses.control_thread import ControlThread


@dataclass(frozen=True, slots=True)
class MeteredTest:
    """The cell of one test: what the fixture `cab_cell` gives."""

    cell_id: str
    url: str
    """Base URL for clients of Anthropic's and Google's APIs."""
    key: str = field(repr=False)
    """The API key of its calls."""
    control: ControlThread = field(repr=False)

    @property
    def base_url(self) -> str:
        """Base URL for clients of OpenAI's API: with `/v1`."""
        return f"{self.url}/v1"

    def totals(self) -> dict[str, Any]:
        """Return the sums over its calls so far, in the words of the control API.

        Among them are `calls`, `prompt_tokens`, `completion_tokens`, `total_tokens` and `cost_usd`. A sum of
        which a part is unknown is None.
        """
        return self.control.totals(self.cell_id) or {}

    def environment(self) -> dict[str, str | None]:
        """Return what clients read of an endpoint and its key; None is a variable that they must not see."""
        return {
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_API_BASE": self.base_url,
            "OPENAI_API_KEY": self.key,
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": self.key,
            "ANTHROPIC_AUTH_TOKEN": None,  # sent beside the key, it would be of another account
            "GOOGLE_GEMINI_BASE_URL": self.url,
            "GEMINI_API_KEY": self.key,
            "GOOGLE_API_KEY": self.key,
        }
