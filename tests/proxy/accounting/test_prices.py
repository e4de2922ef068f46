"""Prices of calls as the proxy stores them: the endpoint's own, the operator's table, the public list."""

from pathlib import Path
from typing import Any

import pytest

from cab.proxy.accounting.prices import EndpointPrices, with_prices_read
from cab.proxy.app import ProxySecrets
from cab.proxy.config import ProxySettings, parse_settings
from cab.proxy.control.metrics.labels import known_models
from cab.proxy.errors import BadConfig
from cab.scoring.prices.library import library_prices
from cab.scoring.prices.table import PriceTable, PriceTableFile
from tests.tools.proxy import metered
from tests.tools.upstream import Step, json_answer, scripted_upstream

USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
TABLE: dict[str, Any] = {"name": "acme", "models": {"own": {"input": 1, "output": 2}}}
GENAI = library_prices().source


def answer(model: str, **members: Any) -> list[Step]:
    choice = {"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}
    return [
        json_answer({"id": "a", "model": model, "choices": [choice], "usage": USAGE, **members})
    ]


@pytest.mark.parametrize(
    ("model", "members", "settings", "cost", "source"),
    [
        ("own", {"usage": {**USAGE, "cost": 0.5}}, {}, "0.5", "upstream"),
        ("own", {}, {}, "0.0012", "table:acme@"),
        ("own", {"service_tier": "flex"}, {"provider": "openai"}, None, None),
        # 1,000 x $1.25 + 100 x $10 for each million
        ("gpt-5", {}, {"provider": "openai"}, "0.00225", GENAI),
        ("gpt-5", {"service_tier": "flex"}, {"provider": "openai"}, "0.001125", GENAI),
        ("gpt-5", {}, {}, None, None),
        ("gpt-5", {}, {"provider": "none"}, None, None),
        ("gpt-5", {}, {"provider": "nobody"}, None, None),
        ("nobody-knows", {}, {"provider": "openai"}, None, None),
    ],
)
async def test_the_first_that_knows_the_model_says_what_a_call_costs(
    model: str,
    members: dict[str, Any],
    settings: dict[str, Any],
    cost: str | None,
    source: str | None,
    tmp_path: Path,
) -> None:
    async with (
        scripted_upstream(answer(model, **members)) as upstream,
        metered(upstream.url, tmp_path, prices=TABLE, **settings) as meter,
    ):
        assert (await meter.chat(model=model)).status == 200
        [end] = await meter.settled(1)
    assert end["cost_usd"] == cost
    assert (end["price_source"] or "").startswith(source or "")
    assert (end["price_source"] is None) == (source is None)
    assert end["service_tier"] == members.get("service_tier")
    assert end["provider"] == (
        None if settings.get("provider") == "none" else settings.get("provider")
    )


async def test_a_route_has_a_provider_of_its_own(tmp_path: Path) -> None:
    async with scripted_upstream(answer("gpt-5")) as upstream:
        routes = [{"models": ["gpt-*"], "upstream": upstream.url, "provider": "openai"}]
        async with metered("http://127.0.0.1:1", tmp_path, routes=routes) as meter:
            await meter.chat(model="gpt-5")
            [end] = await meter.settled(1)
    assert (end["provider"], end["cost_usd"], end["price_source"]) == ("openai", "0.00225", GENAI)


@pytest.mark.parametrize(
    ("provider", "url", "loads"),
    [
        (None, "https://api.openai.com/v1", True),
        (None, "http://10.0.0.7:8000", False),
        ("openai", "http://10.0.0.7:8000", True),
        ("none", "https://api.openai.com/v1", False),
    ],
)
async def test_the_public_list_is_asked_only_where_it_may_know(
    provider: str | None, url: str, loads: bool
) -> None:
    table = PriceTable(PriceTableFile.model_validate(TABLE), "config")
    prices = EndpointPrices(table, provider, url)
    record: dict[str, Any] = {
        "call_id": "c",
        "endpoint": "chat.completions",
        "started_at": "2026-11-20T12:00:00.000000Z",
        "model_requested": "gpt-5",
        "model_served": "gpt-5",
        "usage_source": "upstream",
        "usage_status": "complete",
        **USAGE,
        "cost_usd": None,
        "price_source": None,
    }
    assert prices.is_waiting(record) is loads
    assert not prices.is_waiting({**record, "cost_usd": "1"})
    assert not prices.is_waiting({**record, "usage_source": "none"})
    assert not prices.is_waiting({**record, "model_served": "own", "model_requested": "own"})
    prices.put(record)
    assert not record["cost_usd"]
    if loads:
        await prices.load()
        prices.put(record)
        assert record["cost_usd"] == "0.00225"
        assert record["provider"] == "openai"
    assert not prices.is_waiting({**record, "cost_usd": None})


async def test_a_reload_reads_the_prices_once_more(tmp_path: Path) -> None:
    """The next call has the new ones, on the same connections; a file that cannot be used changes nothing."""
    file = tmp_path / "acme.toml"
    file.write_text("[models.own]\ninput = 1\noutput = 2\n")
    async with (
        scripted_upstream(answer("own") * 3) as upstream,
        metered(upstream.url, tmp_path, prices_file=file, signing_key="k" * 32) as meter,
    ):
        services = meter.proxy._parts.services
        wanted = services.settings.model_copy(
            update={"prices": PriceTableFile(), "prices_file": file}
        )
        endpoint = services.upstreams.default
        secrets: ProxySecrets = {"signing_key": "k" * 32, "upstream_key": endpoint.key}
        assert known_models(services.settings) == ["own"]
        await meter.chat(model="own")
        file.write_text("[models.own]\ninput = 10\noutput = 20\n[models.new]\ninput = 1\n")
        done = await meter.proxy.reload(wanted, secrets)
        assert (done.changed, done.needs_restart) == (("prices",), ())
        await meter.chat(model="own")
        file.write_text("[models.own]\ninputs = 1\n")
        with pytest.raises(BadConfig, match=r"prices_file: .*acme\.toml"):
            await meter.proxy.reload(wanted, secrets)
        await meter.chat(model="own")
        ends = await meter.settled(3)
        assert known_models(services.settings) == ["own", "new"]
        assert services.upstreams.default is endpoint
    assert [end["cost_usd"] for end in ends] == ["0.0012", "0.012", "0.012"]
    assert {end["price_source"].partition("@")[0] for end in ends} == {"table:acme"}


def test_a_table_that_cannot_be_used_is_refused_at_the_start(tmp_path: Path) -> None:
    settings = ProxySettings(upstream="http://h", prices_file=tmp_path / "none.toml")
    with pytest.raises(BadConfig, match=r"prices_file: .*none\.toml: No such file"):
        with_prices_read(settings)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"prices": {"models": {"m": {"inputs": 1}}}}, "prices.models.m.inputs: unknown setting; did you mean 'input'?"),
        ({"prices": TABLE, "prices_file": "p.toml"}, "prices_file: prices is set too; keep one of the two"),
    ],
)  # fmt: skip
def test_wrong_prices_are_named(values: dict[str, Any], fault: str) -> None:
    with pytest.raises(BadConfig) as error:
        parse_settings({"upstream": "demo", **values}, "cab.toml")
    assert str(error.value) == f"cab.toml: {fault}"
