"""Calls for OpenTelemetry, as they end: spans and metrics over OTLP, from the ledger's records.

opening   the one way in
target    where they go, by settings and the standard variables `OTEL_*`
metrics   histograms of calls, under the names of the conventions
encoding  requests as protobuf or JSON
delivery  one request over HTTP, and what its answer means
export    follows the ledger and hands over what is new, beside all calls
"""
