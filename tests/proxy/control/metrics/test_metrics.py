"""`/cab/metrics` of a proxy of one process, over real sockets."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cab.proxy.control.metrics.labels import MOST_MODELS, OTHER, ModelLabels
from cab.proxy.control.metrics.table import METRICS
from tests.proxy.control.metrics.reading import Scraped, compared, scraped, value
from tests.proxy.control.serving import ADMIN, COMPLETION, USAGE, Api, api, code_of
from tests.tools.client import post
from tests.tools.proxy import chat_body, metered
from tests.tools.upstream import json_answer, scripted_upstream
from tests.tools.wires import DIRECT

WIRES = (DIRECT,)  # what is counted are records, and they are the same on both
TOKEN = "metrics-token-of-the-tests"
COSTLY = json_answer({**COMPLETION, "usage": {**USAGE, "cost": 0.1}})


async def read(served: Api) -> Scraped:
    seen = await served.ask("GET", "metrics")
    assert seen.status == 200, seen
    return scraped(seen.body.decode())


@asynccontextmanager
async def behind(folder: Path, *answers: bytes, **settings: Any) -> AsyncGenerator[Api]:
    """Run a proxy whose endpoint gives these answers one after the other, and the last one from then on."""
    async with (
        scripted_upstream(*([answer] for answer in answers)) as upstream,
        metered(upstream.url, folder, admin_token=ADMIN, **settings) as meter,
    ):
        yield Api(meter)


async def chat(served: Api, **body: Any) -> int:
    key = f"Authorization: Bearer {served.key()}"
    seen = await post(served.meter.url, "/v1/chat/completions", chat_body(**body), key)
    return seen.status


async def test_counters_are_the_ledger_number_for_number(tmp_path: Path) -> None:
    """Calls that went well, failed, were refused, streamed or asked for no completion: each sum is the ledger's."""
    failed = json_answer({"error": {"message": "no", "type": "x"}}, "500 Internal Server Error")
    limited = json_answer({"error": {"message": "slow"}}, "429 Too Many Requests")
    script = (COSTLY, failed, limited, COSTLY, json_answer(COMPLETION))
    async with behind(tmp_path, *script, auth="keys", metrics_models=["m", "o-*"]) as served:
        for model in ("m", "o-1", "o-2", "invented", "m"):
            await chat(served, model=model)
        bound = f"Authorization: Bearer {served.meter.proxy.mint_key('s/a/m/f/u', 60, None)}"
        await asyncio.gather(*(chat(served, stream=True) for _ in range(10)))
        await post(served.meter.url, "/v1/models", b"", bound, method="GET")
        await served.ask("POST", "cells/s%2Fa%2Fm%2Ff%2Fu/open")
        samples = await read(served)
        ends = served.meter.ends()

    compared(samples, ends)
    models = {dict(labels).get("model") for name, labels in samples if name == "cab_calls_total"}
    assert models == {"m", "o-*", OTHER}
    assert value(samples, "cab_call_errors_total", class_="server_error") == 1
    assert value(samples, "cab_call_errors_total", class_="rate_limited") == 1
    assert value(samples, "cab_calls_in_flight") == 0
    assert value(samples, "cab_ledger_sync_seconds_count") > 0  # type: ignore[operator]
    assert value(samples, "cab_tokens_total", kind="reasoning") is None, "nobody counted them"


async def test_who_may_read_them(tmp_path: Path) -> None:
    """The admin's token and the metrics token read them; a cell's keys, nothing, or another token do not."""
    async with api(tmp_path, metrics_token=TOKEN, auth="keys") as served:
        keys = served.meter.proxy.mint_keys("s/a/m/f/t", 60)
        for token, status in (
            *((ADMIN, 200), (TOKEN, 200), (keys.call, 401), (keys.seal, 401)),
            ("another-token-of-16", 401),
        ):
            assert (await served.ask("GET", "metrics", token=token)).status == status
        assert (await served.ask("GET", "cells", token=TOKEN)).status == 401
        bare = await post(served.meter.url, "/cab/metrics", b"", method="GET")
        assert code_of(bare) == (401, "metrics_token_required")


async def test_the_control_address_needs_no_token(tmp_path: Path) -> None:
    """At its own address a scraper needs none; an agent's key, a web page and the agents' port get nothing."""
    async with api(tmp_path, admin=None, control_port=0, auth="keys") as served:
        apart, key = served.meter.proxy.control_url, served.key()
        ask = "/cab/metrics", b""
        assert (await post(apart, *ask, method="GET")).status == 200
        for header in (f"Authorization: Bearer {key}", "Origin: http://evil.example"):
            assert (await post(apart, *ask, header, method="GET")).status == 403
        assert (await post(served.meter.url, *ask, method="GET")).status == 404


async def test_refused_requests_are_counted(tmp_path: Path) -> None:
    """What has no record is counted by the code of its answer."""
    async with api(tmp_path, auth="keys") as served:
        for _ in range(3):
            await post(served.meter.url, "/v1/chat/completions", chat_body())
        samples = await read(served)
    assert value(samples, "cab_refused_requests_total", code="invalid_api_key") == 3


async def test_a_token_file_and_the_open_format(tmp_path: Path) -> None:
    """The token may stand in a file; a scraper that asks for OpenMetrics gets that."""
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    async with api(tmp_path, metrics_token_file=file) as served:
        headers = f"Authorization: Bearer {TOKEN}", "Accept: application/openmetrics-text"
        seen = await post(served.meter.url, "/cab/metrics", b"", *headers, method="GET")
    assert seen.status == 200
    assert seen.body.endswith(b"# EOF\n")
    assert (seen.header("Content-Type") or "").startswith("application/openmetrics-text")


async def test_models_of_keys_have_labels(tmp_path: Path) -> None:
    """The models that a key allows are names of the operator too."""
    from cab.proxy.accounting.limits import KeyLimits  # noqa: PLC0415

    async with api(tmp_path, auth="keys") as served:
        limits = KeyLimits(models=("m",))
        key = f"Authorization: Bearer {served.meter.proxy.mint_key('s/a/m/f/t', 60, limits)}"
        await post(served.meter.url, "/v1/chat/completions", chat_body(), key)
        samples = await read(served)
    assert value(samples, "cab_calls_total", model="m") == 1


@pytest.mark.parametrize(
    ("model", "label"),
    [
        *(("gpt-5", "gpt-5"), ("gpt-6", "gpt-*"), ("org/x", "org/[xy]"), ("o", OTHER)),
        *((None, OTHER), ("gpt-5\n", "gpt-*"), ("x" * 10_000, OTHER)),
    ],
)
def test_labels(model: str | None, label: str) -> None:
    """A name is its own label, else the pattern that fits it; a pattern for all names tells nothing."""
    assert ModelLabels(["*", "gpt-*", "gpt-5", "org/[xy]"]).of(model) == label


def test_labels_are_few() -> None:
    """However many names there are, the label has a bounded number of values."""
    labels = ModelLabels(f"m{n}" for n in range(1000))
    labels.learn(["late"])
    found = {labels.of(f"m{n}") for n in range(5000)} | {labels.of("late")}
    assert len(found) == MOST_MODELS + 1


def test_each_metric_is_named_as_prometheus_wants_it() -> None:
    """Counters end in `_total`, times in `_seconds`."""
    for name, metric in METRICS.items():
        assert name.endswith("_total") == (metric.kind == "counter"), name
        assert name.endswith("_seconds") or metric.kind != "histogram", name
        assert metric.text.endswith("."), name
