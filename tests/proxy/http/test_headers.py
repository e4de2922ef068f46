import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from cab.proxy.http.headers import (
    credential,
    replace_credentials,
    request_headers,
    response_headers,
)
from cab.scoring.ledger.records import Endpoint


def headers(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


def test_hop_by_hop_headers_stay_here_and_duplicates_pass() -> None:
    """What is meant for one connection is dropped, also when Connection names it; the rest passes."""
    sent = headers(
        ("Host", "proxy"),
        ("X-A", "1"),
        ("x-a", "2"),
        ("Connection", "close, X-Secret-Hop"),
        ("X-Secret-Hop", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Expect", "100-continue"),
        ("Content-Length", "3"),
        ("X-Cab-Cell", "c"),
        ("Content-Type", "application/json"),
    )
    passed = list(request_headers(sent).items())
    assert passed == [("X-A", "1"), ("x-a", "2"), ("Content-Type", "application/json")]


def test_the_answers_headers_pass_with_their_length() -> None:
    """Of the endpoint's headers only the hop-by-hop ones are dropped."""
    sent = headers(
        ("Keep-Alive", "5"), ("Content-Length", "3"), ("Set-Cookie", "a"), ("Set-Cookie", "b")
    )
    passed = list(response_headers(sent).items())
    assert passed == [("Content-Length", "3"), ("Set-Cookie", "a"), ("Set-Cookie", "b")]


@pytest.mark.parametrize(
    ("pairs", "key"),
    [
        ([("Authorization", "Bearer abc")], "abc"),
        ([("authorization", "bearer  abc ")], "abc"),
        ([("Authorization", "Basic abc")], "Basic abc"),
        ([("x-api-key", "k")], "k"),
        ([("x-goog-api-key", "g")], "g"),
        ([("api-key", "a")], "a"),
        ([], None),
    ],
)
def test_the_clients_key_is_found(pairs: list[tuple[str, str]], key: str | None) -> None:
    """The client's key is found in every header that SDKs use."""
    assert credential(headers(*pairs)) == key


@pytest.mark.parametrize(
    ("sent", "endpoint", "expected"),
    [
        ({"Authorization": "Bearer old"}, "chat.completions", {"Authorization": "Bearer real"}),
        ({"x-api-key": "old"}, "messages", {"x-api-key": "real"}),
        ({"Authorization": "Bearer old"}, "messages", {"Authorization": "Bearer real"}),
        ({"x-goog-api-key": "old"}, "gemini.generateContent", {"x-goog-api-key": "real"}),
        ({"api-key": "old"}, "chat.completions", {"api-key": "real"}),
        ({}, "chat.completions", {"Authorization": "Bearer real"}),
        ({}, "messages", {"x-api-key": "real"}),
        ({}, "gemini.generateContent", {"x-goog-api-key": "real"}),
        ({}, "other", {"Authorization": "Bearer real"}),
        (
            {"x-api-key": "o", "Authorization": "Bearer o"},
            "messages",
            {"Authorization": "Bearer real"},
        ),
    ],
)
def test_the_real_key_takes_the_place_of_the_sent_one(
    sent: dict[str, str], endpoint: Endpoint, expected: dict[str, str]
) -> None:
    """The endpoint's key goes out in the header the client used, or in the dialect's own."""
    outgoing = CIMultiDict(sent)
    replace_credentials(outgoing, endpoint, "real")
    assert dict(outgoing) == expected


def test_without_a_real_key_no_key_goes_out() -> None:
    """A cell's key never reaches an endpoint that wants none."""
    outgoing = CIMultiDict({"Authorization": "Bearer cell", "x-api-key": "cell", "X-A": "1"})
    replace_credentials(outgoing, "chat.completions", None)
    assert dict(outgoing) == {"X-A": "1"}
