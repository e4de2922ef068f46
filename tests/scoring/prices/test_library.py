"""Calls cost by the public list what its own library says they cost, to the last digit."""

import subprocess
import sys
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage
from genai_prices.data import providers
from genai_prices.types import ModelInfo, Provider
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.scoring.prices.library import library_prices, may_be_listed
from cab.scoring.prices.rule import price_of

AT = "2026-11-20T12:00:00.000000Z"
MODELS = [(provider, model) for provider in providers for model in provider.models]
COUNTS = st.integers(0, 3_000_000)


def call(provider: Provider, model: str, **members: Any) -> dict[str, Any]:
    return {
        "endpoint": "chat.completions",
        "usage_source": "upstream",
        "usage_status": "complete",
        "started_at": AT,
        "provider": provider.id,
        "model_requested": model,
        "model_served": None,
        **members,
    }


def theirs(provider: Provider, model: ModelInfo, usage: Usage, context: dict[str, str]) -> Decimal:
    at = datetime.fromisoformat(AT)
    return model.calc_price(
        usage, provider, genai_request_timestamp=at, price_context=context
    ).total_price


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(MODELS),
    st.tuples(COUNTS, COUNTS, COUNTS, COUNTS),
    st.tuples(COUNTS, COUNTS),
    st.sampled_from([None, "default", "flex", "priority", "batch"]),
)
def test_a_call_costs_what_the_library_says(
    which: tuple[Provider, ModelInfo],
    read: tuple[int, int, int, int],
    written: tuple[int, int],
    tier: str | None,
) -> None:
    provider, model = which
    fresh, cached, short, hour = read
    prompt, completion = sum(read), sum(written)
    found = price_of(
        call(
            provider,
            model.id,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cache_read_tokens=cached,
            cache_write_tokens=short + hour,
            reasoning_tokens=written[0],
            service_tier=tier,
            usage_raw={"cache_creation": {"ephemeral_1h_input_tokens": hour}},
        ),
        library_prices(),
    )
    same = provider.find_model(model.id, all_providers=providers)
    if found is None or same is None:
        return
    context = {} if tier is None else {"service_tier": tier}
    if tier == "batch":
        context = {"processing": "batch"}
    usage = Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cache_read_tokens=cached,
        cache_write_tokens=short + hour,
        cache_write_1h_tokens=hour,
        output_reasoning_tokens=written[0],
    )
    assert Decimal(found) == theirs(provider, same, usage, context)
    assert fresh >= 0


def test_every_model_that_is_charged_by_tokens_has_a_price() -> None:
    """But for those few that are charged by hours or citations as well, which no usage object states."""
    counts = {"prompt_tokens": 1000, "completion_tokens": 0, "usage_raw": {}}
    unpriced = 0
    for provider, model in MODELS:
        found = provider.find_model(model.id, all_providers=providers)
        if (
            found is not None
            and found.get_prices(datetime.fromisoformat(AT)).input_mtok is not None
        ):
            unpriced += price_of(call(provider, model.id, **counts), library_prices()) is None
    assert unpriced < 10


@pytest.mark.parametrize(
    ("provider", "model", "members"),
    [
        (None, "gpt-4o", {}),
        ("nobody", "gpt-4o", {}),
        ("openai", "gpt-of-our-own", {}),
        ("openai", "gpt-5", {"service_tier": "scale"}),
        ("openai", "gpt-5", {"service_tier": "flex", "started_at": "2025-11-01T00:00:00.000000Z"}),
        ("openai", "gpt-5", {"model_served": "another-model"}),
        ("openai", "gpt-5", {"usage_status": "partial"}),
        ("openai", "gpt-5", {"completion_tokens": None}),
        ("openai", "gpt-5", {"clipped": ["usage_raw"]}),
        ("openai", "x" * 257, {}),
    ],
)
def test_what_nobody_knows_has_no_price(
    provider: str | None, model: str, members: dict[str, Any]
) -> None:
    """By its name alone a model of one's own would cost what a vendor asks."""
    counted = {"prompt_tokens": 1000, "completion_tokens": 10, **members}
    record = call(MODELS[0][0], model, **counted) | {"provider": provider}
    assert price_of(record, library_prices()) is None


def test_a_dated_name_is_that_of_the_model_that_was_asked_for() -> None:
    openai = next(p for p, _ in MODELS if p.id == "openai")
    counts = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    asked = call(openai, "gpt-5", **counts)
    dated = asked | {"model_served": "gpt-5-2031-02-03"}
    assert price_of(asked, library_prices()) == price_of(dated, library_prices()) == "1.25"


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://api.anthropic.com", "anthropic"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://gateway.example/v1", None),
    ],
)
def test_a_provider_is_known_by_its_url(url: str, provider: str | None) -> None:
    assert library_prices().provider_at(url) == provider
    assert may_be_listed(url)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000", "http://[::1]:8000/v1", "http://vllm:8000", "http://gpu.local/v1"],
)
def test_an_endpoint_of_ones_own_needs_no_list(url: str) -> None:
    assert not may_be_listed(url)


def test_the_list_is_loaded_on_first_use_only() -> None:
    """It takes a second and 100 MB, and brings an HTTP client along."""
    code = (
        "import sys, cab.proxy.app, cab.proxy.accounting.prices, cab.scoring.prices.library as library\n"
        "assert not {'genai_prices', 'httpx2'} & {*sys.modules}\n"
        "library.library_prices()\n"
        "import genai_prices.data_snapshot as snapshot, threading\n"
        "assert snapshot._custom_snapshot is None and threading.active_count() == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
