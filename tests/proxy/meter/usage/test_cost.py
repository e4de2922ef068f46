"""The price that an endpoint names."""

import pytest

from cab.proxy.meter.json_values import JsonObject
from cab.proxy.meter.usage import cost_usd


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (0.00012345, "0.00012345"),
        (1e-7, "0.0000001"),
        (0, "0"),
        (2, "2"),
        ("0.50", "0.50"),
        ({"total_cost": 0.006}, "0.006"),
        ({"input_cost": 1}, None),
        (None, None),
        (True, None),
        (-0.1, None),
        ("much", None),
        ("NaN", None),
        ("Infinity", None),
        (1e300, None),
        ("1e-900000", None),
        ("0e-900000", None),
        ("0." + "1" * 50, None),
        ([], None),
    ],
)
def test_the_cost_is_decimal_text(cost: object, text: str | None) -> None:
    """A price that the endpoint names is written in full; anything else is unknown."""
    assert cost_usd({"cost": cost}) == text


@pytest.mark.parametrize(
    ("ticks", "text"),
    [
        (1_466_250, "0.000146625"),
        (10_000_000_000, "1"),
        (1_000_000_000_000, "100"),
        (0, "0"),
        ("1176500", "0.00011765"),
        (-1, None),
        (True, None),
        ("x", None),
        ([], None),
    ],
)
def test_ten_thousand_million_ticks_are_a_dollar(ticks: object, text: str | None) -> None:
    """XAI names the price in ticks."""
    assert cost_usd({"cost_in_usd_ticks": ticks}) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({"cost": 0, "is_byok": True}, None),
        ({"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, None),
        ({"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.036}}, "0.036"),
        ({"cost": 0.0018, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.036}}, "0.0378"),
        ({"is_byok": True, "cost_details": {"upstream_inference_cost": 0.036}}, None),
        ({"cost": 0.036, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.036}}, "0.036"),
        ({"cost": 0.036, "cost_details": {"upstream_inference_cost": 0.036}}, "0.036"),
        ({"cost": 0, "is_byok": False}, "0"),
    ],
)  # fmt: skip
def test_with_a_key_of_ones_own_the_vendors_price_is_added(
    raw: JsonObject, text: str | None
) -> None:
    """OpenRouter's own charge is not what a call on the user's key cost; without one it is all."""
    assert cost_usd(raw) == text
