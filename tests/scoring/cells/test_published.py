from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.scoring import BadRecord, composite, read_published
from tests.scoring.builders import PAGES

AMBIGUOUS = next(path for path in PAGES if "ambiguous" in path.name)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_published_cell_comes_out_again(path: Path) -> None:
    """Composite, components and weights of each reference cell are reproduced to the last digit."""
    stored = orjson.loads(path.read_bytes())["scorers"]["composite"]
    page = read_published(path)
    result = composite("published/1", page.axes)
    assert result.composite == stored["composite"] == page.composite
    assert {key: getattr(result.components, key) for key in stored["components"]} == stored[
        "components"
    ]
    assert result.components.model_dump().keys() == stored["components"].keys()
    assert result.weights == stored["weights"]


def test_there_are_four_reference_cells() -> None:
    """The test above does not pass for want of cells."""
    assert len(PAGES) == 4


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_axes_are_the_page_s_own(path: Path) -> None:
    """The axes that were read hold the published keys and values, and no other."""
    scorers = orjson.loads(path.read_bytes())["scorers"]
    read = read_published(path).axes.model_dump(by_alias=True, exclude_unset=True)
    if scorers["refusal"]["refusal_correct"] == "true":
        scorers["refusal"]["refusal_correct"] = True
    for name in ("pass_rate", "tokens", "latency", "blast_radius", "refusal", "integrity"):
        assert read[name] == scorers[name]


def test_a_verdict_as_text_becomes_one() -> None:
    """A `refusal_correct` that was published as a text is read as the verdict it stands for."""
    assert orjson.loads(AMBIGUOUS.read_bytes())["scorers"]["refusal"]["refusal_correct"] == "true"
    assert read_published(AMBIGUOUS).axes.refusal.refusal_correct is True


def page(tmp_path: Path, *keys: str, value: Any) -> Path:
    """Write a reference cell with one value changed."""
    data = orjson.loads(AMBIGUOUS.read_bytes())
    *parents, last = keys
    inner = data
    for key in parents:
        inner = inner[key]
    inner[last] = value
    path = tmp_path / "page.json"
    path.write_bytes(orjson.dumps(data))
    return path


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("identity",), None),
        (("identity", "cell_id"), 7),
        (("scorers", "tokens"), {}),
        (("scorers", "tokens", "prompt_tokens"), -1),
        (("scorers", "tokens", "tokens_per_correct_task"), -1000),
        (("scorers", "latency", "wall_clock_ms"), -20_000),
        (("scorers", "blast_radius", "blast_radius"), 1.5),
        (("scorers", "blast_radius", "added"), "CLARIFY.md"),
        (("scorers", "refusal", "refusal_correct"), "perhaps"),
        (("scorers", "refusal", "refusal_correct"), 1),
        (("scorers", "pass_rate", "pass"), 2),
        (("scorers", "composite", "composite"), "0.9"),
    ],
)
def test_a_wrong_number_is_named(tmp_path: Path, keys: tuple[str, ...], value: object) -> None:
    """A number that is missing, of the wrong type or out of range is named by its key."""
    with pytest.raises(BadRecord) as caught:
        read_published(page(tmp_path, *keys, value=value))
    assert (caught.value.field or "").startswith(".".join(keys))


def test_a_page_may_lack_its_composite(tmp_path: Path) -> None:
    """A page without a composite is read; there is nothing to compare with then."""
    assert read_published(page(tmp_path, "scorers", "composite", value={})).composite is None


def test_a_verdict_of_false_is_read(tmp_path: Path) -> None:
    """The text `false` is the verdict false, not a text that is not empty."""
    path = page(tmp_path, "scorers", "refusal", "refusal_correct", value="false")
    assert read_published(path).axes.refusal.refusal_correct is False


@pytest.mark.parametrize(
    "timing",
    [
        {"prompt_tokens": "not recorded", "completion_tokens": "not recorded"},
        {"prompt_tokens": 0, "completion_tokens": 0, "tokens_source": "TUI stdout"},
        {"prompt_tokens": 5, "completion_tokens": 6, "tokens_source": "proxy"},
    ],
)
def test_what_is_not_a_count_of_the_agent_is_none(
    tmp_path: Path, timing: dict[str, object]
) -> None:
    """Words, zeros and another party's numbers under a page's timing are not a count of the agent."""
    page = orjson.loads(AMBIGUOUS.read_bytes())
    page["timing"] = page.get("timing", {}) | timing
    (tmp_path / "page.json").write_bytes(orjson.dumps(page))
    assert read_published(tmp_path / "page.json").self_reported is None
