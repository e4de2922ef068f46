"""The demo's own account of what it served: the truth that a meter's numbers are compared with."""

import hashlib
from collections import Counter, deque
from typing import Any, Literal, NamedTuple

from cab.proxy.demo.usage import DemoUsage
from cab.scoring.ledger.records import Endpoint

LISTED_CALLS = 10_000
"""Most calls that are listed one by one; the sums cover all."""

ServedOutcome = Literal["served", "cut", "refused"]
"""What became of a request; one that was cut off had its answer made, and got only a part of it."""


class ServedAttempt(NamedTuple):
    """One request for an answer, as it came over the wire."""

    id: str | None
    """Of the answer; None if there was none."""
    model: str | None
    """As asked for; None if the request could not be read."""
    stream: bool | None
    prompt_tokens: int | None
    """None if it was refused: then nothing was read."""
    completion_tokens: int | None
    """None if it was refused; of a call that was cut off, those of the whole answer."""
    finish_reason: str | None
    """`stop` or `tool_calls`, whatever the dialect's own word, or why it was stopped early over a
    WebSocket: `steered` or `interrupted`; None if it was refused."""
    key_fingerprint: str | None
    """First 12 hex digits of the key's SHA-256; None if there was no key."""
    endpoint: Endpoint
    path: str
    """Without the query, which may hold a key."""
    status: int
    outcome: ServedOutcome


class Account:
    """Sums and the list of attempts. A call counts from when its answer is made, read or not."""

    def __init__(self) -> None:
        self._counts: Counter[ServedOutcome] = Counter()
        self._prompt_tokens = 0
        self._completion_tokens = 0
        self._by_call: deque[ServedAttempt] = deque(maxlen=LISTED_CALLS)
        self._seen: Counter[bytes] = Counter()

    def repetition(self, body: bytes) -> int:
        """Return how often this body has come, this time included."""
        digest = hashlib.sha256(body).digest()
        self._seen[digest] += 1
        return self._seen[digest]

    def add(self, attempt: ServedAttempt) -> None:
        """Add a request; the sums of tokens are those of the calls that were served."""
        self._counts[attempt.outcome] += 1
        self._by_call.append(attempt)
        if attempt.outcome == "served":
            self._prompt_tokens += attempt.prompt_tokens or 0
            self._completion_tokens += attempt.completion_tokens or 0

    def snapshot(self) -> dict[str, Any]:
        """Return the account as a JSON object."""
        usage = DemoUsage(self._prompt_tokens, self._completion_tokens)
        return {
            "calls": self._counts["served"],
            "cut": self._counts["cut"],
            "refused": self._counts["refused"],
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            "by_call": [attempt._asdict() for attempt in self._by_call],
        }


def fingerprint(authorization: str | None) -> str | None:
    """Return what identifies a key without showing it; None if there is none."""
    key = (authorization or "").removeprefix("Bearer ").strip()
    return hashlib.sha256(key.encode()).hexdigest()[:12] if key else None
