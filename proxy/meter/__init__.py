"""The pure meter: bytes and times in, facts out. It knows no socket, no clock and no event loop.

    call -> request -> canonical, members
         -> reply -> gate (events), paths (bodies) -> listen -> dialect's answer -> usage
         -> outcome

`call.CallMeter` is what the server holds, `dialects.dialect_for` the route table. The reply's two
sides are kept apart: `gate` and `paths` decide which bytes leave and when, `listen` hears what they
say, and a fault in the second never touches the first.
"""

from cab.proxy.meter.call import CAPTURE_LIMIT_BYTES, CallMeter
from cab.proxy.meter.dialects.routes import Dialect, dialect_for
from cab.proxy.meter.error_body import EndpointError
from cab.proxy.meter.outcome import Outcome
from cab.proxy.meter.request.request import RequestFacts
from cab.proxy.meter.response.pass_through import Feed
from cab.proxy.meter.usage import Usage

__all__ = [
    "CAPTURE_LIMIT_BYTES",
    "CallMeter",
    "Dialect",
    "EndpointError",
    "Feed",
    "Outcome",
    "RequestFacts",
    "Usage",
    "dialect_for",
]
