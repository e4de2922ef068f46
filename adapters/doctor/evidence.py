"""What one run of an agent against a fake endpoint showed; sent by the examining process as JSON."""

from pydantic import BaseModel, ConfigDict, Field

from cab.adapters.doctor.leaks.finder import Leak
from cab.scoring.cells.cell import SelfReport


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ObservedAttempt(_Model):
    """One request to a metered endpoint, as the ledger has it."""

    endpoint: str
    model: str | None
    status: int | None
    end_reason: str
    started_ms: float
    """Since the first request of the run."""
    ended_ms: float | None
    """Since the first request of the run; None where its duration is not known."""


class LedgerEvidence(_Model):
    """What ledger and endpoint have of the requests of one run."""

    attempts: tuple[ObservedAttempt, ...]
    prompt_tokens: int | None
    """Sum over the ledger; None where a count is missing."""
    completion_tokens: int | None
    """Sum over the ledger; None where a count is missing."""
    differences: tuple[str, ...]
    """Where ledger and endpoint's account do not agree, a sentence each."""
    past_the_proxy: int
    """Requests that reached the endpoint without the proxy's key."""
    other_keys: int
    """Requests in the ledger that are not the cell's; the proxy accepts none without a key."""
    other_requests: int
    """Requests through the proxy that are not model calls, such as a list of models."""


class Evidence(LedgerEvidence):
    """One probe of one agent."""

    probe: str
    model: str
    """The model that all calls should ask for."""
    dialect: str
    """The endpoint that all calls should go to."""
    exit_code: int | None
    """None where the agent was stopped."""
    timed_out: bool
    duration_ms: float
    """From the agent's start to its end."""
    passed: bool
    """Whether the task's hidden checks passed."""
    own: SelfReport | None
    """What the agent says of its own tokens."""
    own_promised: bool
    """Whether its adapter calls that exact, so that it must exist."""
    unreadable: str | None
    """Why its report could not be read; None if it could, or there is none."""
    leaks: tuple[Leak, ...]
    """Secrets in places where they must not be."""
    hosts: dict[str, int]
    """Names that were looked up, and addresses that were tried -> how often."""
    indexes: dict[str, str] = Field(default_factory=dict[str, str])
    """Those of `hosts` that are package indexes, and of which kind."""
    isolated: bool
    """Whether the agent had namespaces of its own; otherwise `hosts` and `elsewhere` are not known."""
    undeclared: tuple[str, ...]
    """Files that it left in the workspace and that neither task nor adapter declares."""
    elsewhere: tuple[str, ...] | None
    """Files that it wrote outside its folders; None where that is not known."""
    not_covered: tuple[str, ...]
    """Folders outside its own that could not be watched, each with the reason."""
    left_running: int
    """Processes that it left running, and that the runner ended."""
    outlived: int
    """Processes that still ran after that: they had left the run's session and dropped its mark."""

    @property
    def failed(self) -> tuple[ObservedAttempt, ...]:
        """Requests that failed."""
        return tuple(each for each in self.attempts if not _is_good(each))

    @property
    def pause_ms(self) -> float | None:
        """Time from the first failure to the next request; None if there was none, or it is not known."""
        ended = next((each.ended_ms for each in self.failed), None)
        if ended is None:
            return None
        later = [each.started_ms for each in self.attempts if each.started_ms >= ended]
        return min(later) - ended if later else None


def _is_good(attempt: ObservedAttempt) -> bool:
    # An agent that hangs up has its answer; the proxy reads on for the usage.
    return attempt.end_reason in ("completed", "client_gone") and (attempt.status or 0) < 400
