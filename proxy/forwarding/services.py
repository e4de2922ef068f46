"""What every call uses."""

from dataclasses import dataclass

from cab.proxy.accounting.admission import CellRegistry
from cab.proxy.clock import Clock
from cab.proxy.config import ProxySettings
from cab.proxy.forwarding.upstream import Upstreams
from cab.proxy.ledger.ledger import Ledger
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
