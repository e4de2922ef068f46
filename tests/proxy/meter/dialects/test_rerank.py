"""Reranking."""

import orjson
import pytest

from cab.proxy.meter import Usage
from tests.proxy.meter.drive import JSON, outcome_of


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 40, "total_tokens": 40}, Usage(40, 0, 40)),
        ({"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}, Usage(9, 0, 9)),
        ({"prompt_tokens": 0, "total_tokens": 815}, Usage(815, 0, 815)),
        ({"total_tokens": 12, "search_units": 1, "cost": 0.001}, Usage(12, 0, 12)),
    ],
)
def test_each_usage(usage: dict[str, object], counts: Usage) -> None:
    """All tokens of a reranking are read, none is written."""
    body = orjson.dumps({"model": "r", "results": [{"index": 0}], "usage": usage})
    outcome = outcome_of("/v1/rerank", body, JSON)
    assert outcome.usage == counts
    assert (outcome.model_served, outcome.delivered, outcome.complete) == ("r", True, True)


@pytest.mark.parametrize(
    ("meta", "counts"),
    [
        ({"tokens": {"input_tokens": 30, "output_tokens": 0}}, Usage(30, 0, 30)),
        ({"tokens": {"input_tokens": 30, "output_tokens": 2}}, Usage(30, 2, 32)),
        (
            {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 30}},
            Usage(30, 0, 30),
        ),
        (
            {"billed_units": {"input_tokens": 28}, "tokens": {"input_tokens": 30}},
            Usage(30, 0, 30),
        ),
        ({"billed_units": {"input_tokens": 28, "output_tokens": 1}}, Usage(28, 1, 29)),
        ({"billed_units": {"total_tokens": 28}}, Usage(28, 0, 28)),
    ],
)
@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/embeddings"])
def test_usage_in_coheres_meta(path: str, meta: dict[str, object], counts: Usage) -> None:
    """What the model read and wrote, else what was billed of it."""
    answer = {"results": [{"index": 0}], "data": [{"embedding": [1]}]}
    body = orjson.dumps({**answer, "meta": {"api_version": {"version": "2"}, **meta}})
    outcome = outcome_of(path, body, JSON)
    assert (outcome.usage, outcome.usage_status) == (counts, "complete")
    assert outcome.usage_raw == meta


def test_search_units_are_not_tokens() -> None:
    """Cohere bills units; what was read is then unknown."""
    body = b'{"results":[{"index":0}],"meta":{"billed_units":{"search_units":1}}}'
    outcome = outcome_of("/v2/rerank", body, JSON)
    assert outcome.usage is None
    assert outcome.delivered


@pytest.mark.parametrize(
    ("path", "item"),
    [
        ("/v1/rerank", b'{"score":0.9,"document":"tea","index":1,"meta_info":{"id":"x"}}'),
        ("/rerank", b'{"index":0,"score":0.9}'),
        ("/embeddings", b'{"index":0,"embedding":[[0.1,0.2]]}'),
    ],
)
def test_a_bare_list_is_an_answer(path: str, item: bytes) -> None:
    """SGLang, text-embeddings-inference and llama.cpp send one; what was read is unknown, and half a list is cut."""
    outcome = outcome_of(path, b"[%s,%s]" % (item, item), JSON)
    assert (outcome.usage, outcome.delivered, outcome.complete) == (None, True, True)
    assert outcome.error is None
    assert not outcome_of(path, b"[%s," % item, JSON).complete
    assert outcome_of(path, b'[{"error":{"message":"no"}}]', JSON).error is not None


def test_an_error_is_not_a_reranking() -> None:
    """A rejected request has an error and nothing delivered."""
    outcome = outcome_of("/v1/rerank", b'{"message":"no such model"}', JSON)
    assert outcome.error is not None
    assert not outcome.delivered
