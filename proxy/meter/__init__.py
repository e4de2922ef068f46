"""The pure meter: bytes and times in, facts out. It knows no socket, no clock and no event loop.

The walk of a response chunk, and what each step decides:

    exchange                       has read the chunk, and sends what comes back
      -> CallMeter.feed            an ordinary answer in one piece is kept, and parsed at its end (ordinary)
       | ResponseMeter.feed        what leaves now, and what is held until END is on disk (response_meter)
        -> StreamFilter.pass_on    server-sent events: which bytes wait, which usage is taken out
         | PassThrough.pass_on     all else: the chunk leaves whole, a decoded copy is observed as
                                   events, a JSON array or one body (response/observer)
          -> Answer.add_event      facts: the dialect's `read_event` (dialects/)

`CallMeter.ordinary` says what an answer as most are says; of every other one, `CallMeter.outcome` does.

A fault in the last two steps never holds up bytes: they pass unread from then on. Before that comes
the request (request/), after it the outcome. Each rule has one place:

    what an endpoint's counts mean, how usage objects merge, what holds between counts    usage
    what counts as an error of the endpoint                                               error_body
    when an answer is complete, when its usage is final                                   dialects/
    what is taken out of a stream                                                         usage_filter
    which path speaks which dialect                                                       routes
"""

from cab.proxy.meter.call import CAPTURE_LIMIT_BYTES, CallMeter
from cab.proxy.meter.dialects.lookups import is_lookup
from cab.proxy.meter.dialects.paths import model_fault, path_fault, plain_path
from cab.proxy.meter.dialects.routes import Dialect, dialect_for, may_cost_unmetered
from cab.proxy.meter.error_body import EndpointError
from cab.proxy.meter.ordinary import OrdinaryAnswer
from cab.proxy.meter.outcome import Outcome
from cab.proxy.meter.request.request import RequestFacts
from cab.proxy.meter.response.pass_through import MeterOutput
from cab.proxy.meter.usage import Usage

__all__ = [
    "CAPTURE_LIMIT_BYTES",
    "CallMeter",
    "Dialect",
    "EndpointError",
    "MeterOutput",
    "OrdinaryAnswer",
    "Outcome",
    "RequestFacts",
    "Usage",
    "dialect_for",
    "is_lookup",
    "may_cost_unmetered",
    "model_fault",
    "path_fault",
    "plain_path",
]
