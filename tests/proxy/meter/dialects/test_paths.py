"""How paths are compared, and which of them endpoints read in different ways."""

import time
from collections.abc import Callable

import pytest

from cab.proxy.meter import dialect_for, may_cost_unmetered, path_fault
from cab.proxy.meter.dialects.paths import model_in_path, plain_path

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    "path",
    [
        "/v1//chat/completions",
        "/v1/chat//completions",
        "/v1/chat/completions/.",
        "/v1/./chat/completions//",
        "/v1/%63hat/completions",
        "/v1/chat/completions;v=1",
        "/v1/chat;a/completions",
        "/V1/Chat/Completions",
        "/v1/models//chat/completions",
    ],
)
def test_a_path_is_metered_however_it_is_written(path: str) -> None:
    """What an endpoint may take for a metered path is metered, under its own name."""
    assert path_fault(path) is None
    dialect = dialect_for("POST", path)
    assert dialect is not None
    assert dialect.name == "chat.completions"


@pytest.mark.parametrize("method", ["GET", "PUT", "QUERY", "DELETE", "PATCH"])
def test_whatever_has_a_body_may_ask_for_a_completion(method: str) -> None:
    """Some endpoints do not look at the method; a list of stored completions has no body."""
    assert dialect_for(method, CHAT, has_body=True) is not None
    assert dialect_for(method, CHAT) is None
    assert may_cost_unmetered(method, "/invocations", has_body=True)
    assert not may_cost_unmetered(method, "/invocations")


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/v1/chat/x/../completions", "a segment `..`"),
        ("/v1/..;/chat/completions", "a segment `..`"),
        ("/v1/models/a%2F..%2Fb", "a segment `..`"),
        ("/v1/chat/completions/%2e", "the encoded character %2e"),
        ("/v1/%2E%2e/chat", "the encoded character %2E"),
        ("/v1/chat\\completions", "a backslash"),
        ("/v1/chat%5Ccompletions", "the encoded character %5C"),
        ("/v1/chat/completions%00", "the encoded character %00"),
        ("/v1/chat%252Fcompletions", "the encoded character %252F"),
        ("/v1/chat%2Fcompletions", "an encoded slash outside the name of a model"),
        ("/v1/models/m%2Fn/x%2Fy", "an encoded slash outside the name of a model"),
    ],
)
def test_what_endpoints_read_in_different_ways_is_a_fault(path: str, fault: str) -> None:
    """A path that one endpoint may take for another path is named with its fault."""
    assert path_fault(path) == fault


@pytest.mark.parametrize(
    "path",
    [
        "/v1//chat/completions",
        "/v1/models/meta%2Fllama-3",
        "/v1beta/models/org/x:generateContent",
        "/v1beta/models/org%2Fx:generateContent?q=%2F..%2e",
        "/openai/deployments/org%2Fm/chat/completions",
        "/v1/files/a%20b",
        "/v1/a..b/...",
    ],
)
def test_what_real_clients_send_has_no_fault(path: str) -> None:
    """Double slashes, and slashes in the names of models, are ordinary."""
    assert path_fault(path) is None


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1beta/models/org/x:generateContent", "org/x"),
        ("/v1beta/models/m:streamgeneratecontent", "m"),
        ("/v1beta/models/:generateContent", None),
        ("/v1beta/models/m:countTokens", None),
        ("/v1/p/endpoints/7:rawPredict", "7"),
        ("/v1beta/models/a/models/b:generateContent", "b"),
        ("/openai/deployments/prod/chat/completions", "prod"),
        ("/openai/deployments/prod", None),
    ],
)
def test_a_path_names_its_model(path: str, model: str | None) -> None:
    """The model stands before the method's colon, or behind `deployments`."""
    assert model_in_path(path) == model


def _work_s(read: Callable[[str], object], path: str) -> float:
    started = time.thread_time()
    for _ in range(5):
        read(path)
    return time.thread_time() - started


@pytest.mark.parametrize(
    "piece", ["/models/", ":a", "/deployments/", ";", "/.", "/uploads/", "%2f", "/threads/"]
)
@pytest.mark.parametrize(
    "read", [plain_path, path_fault, model_in_path, lambda path: dialect_for("POST", path)]
)
def test_reading_a_path_takes_time_in_proportion_to_its_length(
    read: Callable[[str], object], piece: str
) -> None:
    """A path ten times as long takes some ten times the work, and not a hundred times."""
    short, long = f"/v1/models{piece * 2_000}:x", f"/v1/models{piece * 20_000}:x"
    # A loaded machine makes a single measurement worse: one of four in proportion will do.
    assert any(_work_s(read, long) < 30 * _work_s(read, short) + 0.002 for _ in range(4))
