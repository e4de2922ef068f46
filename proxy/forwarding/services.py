"""What every call uses."""

from dataclasses import dataclass, field

from cab.proxy.accounting.admission import CellRegistry
from cab.proxy.clock import Clock
from cab.proxy.config import ProxySettings
from cab.proxy.forwarding.upstream import Upstreams
from cab.proxy.http.replay.endpoint import Replay
from cab.proxy.ledger.capture.body_capture import BodyCapture
from cab.proxy.ledger.ledger import Ledger
from cab.proxy.logs import ThinnedLog
from cab.proxy.tokens.usage import Counter


@dataclass(slots=True)
class ProxyServices:
    """What every call uses."""

    settings: ProxySettings
    """A reload replaces them: what is read here applies from the next call on."""
    clock: Clock
    ledger: Ledger
    upstreams: Upstreams
    counter: Counter
    registry: CellRegistry
    capture: BodyCapture | None = None
    """Keeps the bodies of calls; None if they are not kept."""
    replay: Replay | None = None
    """Answers calls as was recorded; None if there is an endpoint."""
    warnings: ThinnedLog = field(default_factory=ThinnedLog)
    """Where it is logged that a call was refused or failed."""
