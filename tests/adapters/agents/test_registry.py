"""Where adapters are found."""

import sys
from pathlib import Path

import pytest

from cab.adapters.agents.base import Adapter
from cab.adapters.agents.registry import ADAPTERS, load_adapter
from cab.adapters.errors import UnknownAdapter


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_short_names(name: str) -> None:
    """Each short name leads to an adapter that goes by that name."""
    adapter = load_adapter(name)

    assert isinstance(adapter, Adapter)
    assert adapter.facts.name == name


def test_dotted_path() -> None:
    """An adapter of somebody's own is found by its dotted path."""
    assert load_adapter("tests.adapters.toyagents:Nosy").facts.name == "nosy"


def test_a_module_beside_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the current folder is found, though the command was not started with `python -m`."""
    (tmp_path / "an_agent_beside_us.py").write_text("from tests.adapters.toyagents import Nosy\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    assert load_adapter("an_agent_beside_us:Nosy").facts.name == "nosy"


def test_close_match() -> None:
    """A typing error is answered with the name that was probably meant."""
    with pytest.raises(UnknownAdapter, match=r"did you mean 'aider'\?") as caught:
        load_adapter("adier")

    assert caught.value.near == "aider"
    assert caught.value.name == "adier"
    assert set(caught.value.known) == set(ADAPTERS)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("zzz", f"known agents: {', '.join(sorted(ADAPTERS))};"),
        ("goose", "neither npm nor PyPI has it"),
        ("nowhere:Agent", "ModuleNotFoundError"),
        ("tests.adapters.toyagents:Nobody", "AttributeError"),
        ("tests.adapters.toyagents:Broken", "RuntimeError: boom"),
        ("tests.adapters.toyagents:Incomplete", "it lacks facts, launch or self_report"),
        (":Agent", "known agents"),
        ("module:", "known agents"),
    ],
)
def test_unknown(name: str, why: str) -> None:
    """A path that leads to no adapter says why, in one line."""
    with pytest.raises(UnknownAdapter) as caught:
        load_adapter(name)

    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
