"""Embeddings beyond the recorded one."""

from cab.proxy.meter import Usage
from tests.proxy.meter.drive import JSON, event, outcome_of

PATH = "/v1/embeddings"


def test_an_error_is_not_an_embedding() -> None:
    """A rejected request has an error and nothing delivered."""
    outcome = outcome_of(PATH, b'{"error":{"type":"t","message":"m"}}', JSON)
    assert outcome.error == ("t", "m")
    assert not outcome.delivered
    assert outcome.usage is None


def test_a_streaming_endpoint_is_understood() -> None:
    """Should an endpoint stream its vectors, usage still counts."""
    outcome = outcome_of(PATH, event(b'{"data":[{}],"usage":{"prompt_tokens":3}}'))
    assert outcome.usage == Usage(3, 0, 3)
    assert outcome.delivered
