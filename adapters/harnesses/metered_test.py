"""The cell of one test, and how clients find it."""

import os
import time
from dataclasses import dataclass, field
from typing import Any

from cab.adapters.harnesses.control_thread import ControlThread
from cab.adapters.meter.clients import APIS, client_variables, unproxied

_SETTLE_S = 1.0
"""A client has its answer, as when a stream says that it is done, before the call has ended."""
_POLL_S = 0.005


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
        which a part is unknown is None, as where a call is still under way after 1 s.
        """
        end_s = time.monotonic() + _SETTLE_S
        while True:
            totals = self.control.totals(self.cell_id) or {}
            if not totals.get("calls_in_flight"):
                return totals
            if time.monotonic() >= end_s:
                return {name: None if _is_sum(name) else value for name, value in totals.items()}
            time.sleep(_POLL_S)

    def environment(self) -> dict[str, str]:
        """Return the variables in which clients of model APIs find the endpoint and its key."""
        found = dict(unproxied(os.environ))
        for api in APIS:
            if api.is_common:
                found |= client_variables(api, self.url, self.key, os.environ)
        return found


def _is_sum(name: str) -> bool:
    return name.endswith("_tokens") or name == "cost_usd"
