"""What calls cost by a table of one's own, worked out by hand."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from cab.scoring.errors import BadRecord
from cab.scoring.prices.rule import names_of, price_of
from cab.scoring.prices.sources import price_kind, weakest_kind
from cab.scoring.prices.table import PriceTable, PriceTableFile, read_price_table

TABLE = """
name = "acme"
version = "2026-11"

[models."claude-x"]
input = 3
output = 15
cache_read = 0.3
cache_write = 3.75
cache_write_1h = 6

[[models."claude-x".long_context]]
above_tokens = 200_000
input = 6
output = 22.5

[models."claude-x".service_tiers.batch]
input = 1.5
output = 7.5

[models."small-*"]
input = "0.10"
output = 0.4
reasoning = 0.8
request = 0.005
web_search = 0.01

[models.ours]
input = 0
output = 0

[models."sound"]
input = 2
output = 8
input_audio = 40
output_audio = 80
"""
MILLION = 10**6


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> PriceTable:
    file = tmp_path_factory.mktemp("prices") / "prices.toml"
    file.write_text(TABLE)
    return read_price_table(file)


def call(model: str, prompt: int | None, completion: int | None, **members: Any) -> dict[str, Any]:
    return {
        "endpoint": "messages",
        "usage_source": "upstream",
        "usage_status": "complete",
        "started_at": "2026-11-20T12:00:00.000000Z",
        "model_requested": model,
        "model_served": model,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        **members,
    }


def part(model: str | None, prompt: int, completion: int, **members: Any) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return {"type": "message", "model": model, "billed": True, **counts, **members}


HOUR = {"cache_creation": {"ephemeral_1h_input_tokens": 400}}
PRICED: list[tuple[dict[str, Any], Fraction]] = [
    # 1,000 x $3 + 200 x $15, for each million
    (call("claude-x", 1000, 200), Fraction(1000 * 3 + 200 * 15, MILLION)),
    # 1,000 read: 600 from the cache, 100 into it, 300 fresh
    (
        call("claude-x", 1000, 0, cache_read_tokens=600, cache_write_tokens=100),
        Fraction(300 * 3, MILLION) + Fraction(600 * 3, 10 * MILLION) + Fraction(375, MILLION),
    ),
    # 1,000 written to the cache, 400 of them for an hour
    (
        call("claude-x", 1000, 0, cache_write_tokens=1000, usage_raw=HOUR),
        Fraction(600 * 375, 100 * MILLION) + Fraction(400 * 6, MILLION),
    ),
    # at the size the short rates hold, over it the long ones for all tokens; those of the cache stay
    (call("claude-x", 200_000, 10), Fraction(200_000 * 3 + 150, MILLION)),
    (
        call("claude-x", 200_001, 10, cache_read_tokens=1),
        Fraction(200_000 * 6 + 225, MILLION) + Fraction(3, 10 * MILLION),
    ),
    (call("claude-x", 1000, 200, service_tier="batch"), Fraction(1500 + 1500, MILLION)),
    (call("claude-x", 1000, 0, usage_raw={"service_tier": "batch"}), Fraction(1500, MILLION)),
    (call("claude-x", 1000, 0, service_tier="standard"), Fraction(3000, MILLION)),
    # reasoning is dearer, each call has a fee, two searches were made
    (
        call(
            "small-1",
            1000,
            100,
            reasoning_tokens=60,
            usage_raw={"server_tool_use": {"web_search_requests": 2}},
        ),
        Fraction(100, MILLION)
        + Fraction(40 * 4 + 60 * 8, 10 * MILLION)
        + Fraction(5, 1000)
        + Fraction(2, 100),
    ),
    (call("ours", 1000, 200), Fraction(0)),
    # 30 of 100 tokens read and 10 of 20 written are sound
    (
        call(
            "sound",
            100,
            20,
            usage_raw={
                "prompt_tokens_details": {"audio_tokens": 30},
                "completion_tokens_details": {"audio_tokens": 10},
            },
        ),
        Fraction(70 * 2 + 30 * 40 + 10 * 8 + 10 * 80, MILLION),
    ),
    (
        call(
            "sound",
            100,
            0,
            usage_raw={"promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}]},
        ),
        Fraction(70 * 2 + 30 * 40, MILLION),
    ),
    # two passes over one model are one call of it, with one fee
    (
        call(
            "small-1",
            1500,
            150,
            usage_parts=[
                part("small-1", 1000, 100, type="compaction"),
                part("small-1", 500, 50),
            ],
        ),
        Fraction(150 + 60, MILLION) + Fraction(5, 1000),
    ),
    # each pass by its own model; the attempt that declined is free
    (
        call(
            "claude-x",
            1500,
            250,
            usage_parts=[
                part("claude-x", 1000, 200),
                part("small-1", 500, 50, type="compaction"),
                part("dear", 7, 0, billed=False),
            ],
        ),
        Fraction(3000 + 3000, MILLION) + Fraction(50 + 20, MILLION) + Fraction(5, 1000),
    ),
]
NOT_PRICED = [
    call("nobody-knows", 1000, 200),
    call("claude-x", None, 200),
    call("claude-x", 1000, 200, usage_status="partial"),
    call("claude-x", 1000, 200, usage_source="none"),
    call("claude-x", 1000, 200, service_tier="priority"),
    call("claude-x", 1000, 200, usage_raw={"speed": "fast"}),
    call("claude-x", 200_001, 200, service_tier="batch"),
    call("claude-x", 100, 0, cache_read_tokens=200),
    call("claude-x", 1000, 0, usage_raw={"server_tool_use": {"web_search_requests": 1}}),
    call("claude-x", 10, 1, usage_parts=[part("claude-x", 10, 1), part("nobody-knows", 1, 1)]),
    call("claude-x", 10, 1, usage_parts=[part("claude-x", 10, 1, billed=None)]),
    call(
        "claude-x",
        900,
        1,
        usage_raw=HOUR,
        usage_parts=[part("claude-x", 900, 1, cache_write_tokens=n) for n in (300, 300)],
    ),
    call("claude-x", 10, 1, clipped=["usage_parts"]),
    call(
        "sound",
        100,
        0,
        cache_read_tokens=50,
        usage_raw={"prompt_tokens_details": {"audio_tokens": 30}},
    ),
]


@pytest.mark.parametrize(("record", "usd"), PRICED)
def test_a_call_costs_what_a_hand_makes_of_the_table(
    table: PriceTable, record: dict[str, Any], usd: Fraction
) -> None:
    found = price_of(record, table)
    assert found is not None
    assert Fraction(found) == usd


@pytest.mark.parametrize("record", NOT_PRICED)
def test_what_the_table_or_the_counts_leave_open_has_no_price(
    table: PriceTable, record: dict[str, Any]
) -> None:
    assert price_of(record, table) is None


def test_a_models_own_name_wins_then_the_first_pattern() -> None:
    rates = {"*": 1, "gpt-*": 2, "gpt-5": 3}
    stated = {"models": {name: {"input": usd} for name, usd in rates.items()}}
    table = PriceTable(PriceTableFile.model_validate(stated), "config")
    prices = [price_of(call(model, 10**6, 0), table) for model in ("gpt-5", "gpt-4", "m")]
    assert prices == ["3", "1", "1"]
    assert price_of(call("gpt-5-2026-01-02", 10**6, 0, model_requested="gpt-5"), table) == "3"


@pytest.mark.parametrize(
    ("served", "requested", "names"),
    [
        (None, "gpt-5", ("gpt-5",)),
        ("gpt-5-2026-01-02", "gpt-5", ("gpt-5-2026-01-02", "gpt-5")),
        ("gpt-5@latest", "gpt-5", ("gpt-5@latest", "gpt-5")),
        ("gpt-5-mini", "gpt-5", ("gpt-5-mini",)),
        ("vendor/m", "auto", ("vendor/m",)),
        (7, "", ()),
    ],
)
def test_the_model_that_answered_decides(
    served: object, requested: object, names: tuple[str, ...]
) -> None:
    assert names_of(served, requested) == names


def test_the_source_names_table_version_and_what_it_holds(tmp_path: Path) -> None:
    """Nobody can change a rate and keep the source."""
    sources = []
    for number, text in enumerate([TABLE, TABLE, TABLE.replace("= 3\n", "= 4\n")]):
        file = tmp_path / f"{number}.toml"
        file.write_text(text)
        sources.append(read_price_table(file).source)
    assert sources[0] == sources[1] != sources[2]
    assert all(source.startswith("table:acme@2026-11+") for source in sources)


def test_the_source_tells_two_orders_of_patterns_apart() -> None:
    """The first pattern that fits decides, so their order is a part of what the source names."""
    rates = {"a*": {"input": 1}, "*b": {"input": 2}}
    orders = rates, dict(reversed(rates.items()))
    tables = [PriceTable(PriceTableFile.model_validate({"models": o}), "config") for o in orders]
    assert [price_of(call("ab", 10**6, 0), table) for table in tables] == ["1", "2"]
    assert tables[0].source != tables[1].source


def test_rates_are_the_decimals_that_were_written(tmp_path: Path) -> None:
    file = tmp_path / "my prices.toml"
    file.write_text('[models.m]\ninput = 0.1234567890123456789\noutput = "1e-7"\n')
    table = read_price_table(file)
    assert price_of(call("m", 10**6, 0), table) == "0.1234567890123456789"
    assert price_of(call("m", 0, 1), table) == "0.0000000000001"
    assert table.source.startswith("table:my-prices@")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[models.m]\ninput = -1\n", "models.m.input"),
        ("[models.m]\ninput = true\n", "models.m.input"),
        ("[models.m]\ninput = nan\n", "models.m.input"),
        ("[models.m]\ninputs = 1\n", "models.m.inputs"),
        ("[models]\n", "models"),
        ('name = "a b"\n[models.m]\ninput = 1\n', "name"),
        (
            "[[models.m.long_context]]\nabove_tokens = 1\n[[models.m.long_context]]\nabove_tokens = 1\n",
            "models.m",
        ),
        ("[models.m]\ninput = 1\n[models.m.service_tiers.default]\ninput = 2\n", "models.m"),
        ("[models.m\n", None),
    ],
)
def test_a_wrong_table_is_refused_by_its_key(tmp_path: Path, text: str, field: str | None) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(BadRecord, match=r"prices\.toml") as error:
        read_price_table(file)
    assert error.value.field == field


def test_a_sum_is_as_sure_as_its_weakest_part() -> None:
    sources = ["upstream", "table:acme@1+0", "genai-prices@0.2.3", "unnamed"]
    assert [price_kind(source) for source in sources] == [
        "endpoint",
        "table",
        "genai-prices",
        "unknown",
    ]
    assert [weakest_kind(sources[:n]) for n in range(4)] == [
        None,
        "endpoint",
        "table",
        "genai-prices",
    ]
    assert weakest_kind(["upstream"], unpriced=1) == "unknown"
