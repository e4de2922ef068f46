"""Reads prices from the suppliers."""

import json
import time
from pathlib import Path

SUPPLIERS = ("north", "south", "east", "west")
DATA = Path(__file__).parent / "prices.json"


def fetch_price(supplier: str, item: str) -> float:
    """Return what a supplier asks for an item; each supplier takes its time to answer."""
    time.sleep(0.05)
    return json.loads(DATA.read_text())[supplier][item]
