import contextlib
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring import BadRecord, composite, read_published
from cab.scoring.imports import read_page
from cab.scoring.imports.pages import page_of_text
from tests.scoring.builders import PAGES
from tests.scoring.imports.files import written

TEXTS = [path.with_suffix(".page.txt") for path in PAGES]
AIDER = TEXTS[0]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_both_forms_of_a_page_are_the_same_cell(path: Path) -> None:
    """The text of a page gives the axes, the count and the composite that its JSON gives."""
    page, text = read_page(path), read_page(path.with_suffix(".page.txt"))
    assert text == page == read_published(path)
    made = composite("published/1", text.axes)
    assert made == composite("published/1", page.axes)
    assert made.composite == text.composite is not None


def test_there_is_a_text_of_each_reference_cell() -> None:
    """The test above does not pass for want of texts."""
    assert len(TEXTS) == 4
    assert all(path.is_file() for path in TEXTS)


def test_what_the_page_shows_of_tokens_is_the_agents_own_count() -> None:
    """aider's 1,200 and 1,600 tokens were read from its terminal, rounded, and scored as 0."""
    report = read_page(AIDER).self_reported
    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens, report.total_tokens) == (
        1200,
        1600,
        2800,
    )
    assert (report.source, report.exact) == ("tui_stdout", False)
    assert read_page(TEXTS[1]).self_reported is None


def test_line_ends_of_other_systems_are_read(tmp_path: Path) -> None:
    """A page that was saved with CR LF is the same page."""
    text = AIDER.read_bytes().replace(b"\n", b"\r\n")
    assert read_page(written(tmp_path / "p.txt", text)) == read_page(AIDER)


def test_what_stands_behind_the_scores_is_not_read(tmp_path: Path) -> None:
    """An agent's own text further down the page scores nothing."""
    later = b'\nScorer breakdown\ntokens prompt_tokens {"prompt_tokens":5}\n'
    assert read_page(written(tmp_path / "p.txt", AIDER.read_bytes() + later)) == read_page(AIDER)


@pytest.mark.parametrize(
    ("old", "new", "field", "line"),
    [
        ("\npass_rate pass,", "\npass_rates pass,", "scorers.pass_rate", None),
        ('{"pass":1,', '{"pass":,', None, 57),
        ('{"pass":1,', '{"pass":-1,', "scorers.pass_rate.pass", None),
        ("\ncell_id\n", "\ncell\n", "identity.cell_id", None),
        ("\n1,200\n", "\n1.2k\n", "timing.prompt_tokens", None),
        ("\n1,200\n", "\n-1,200\n", "timing.prompt_tokens", None),
        ("\nintegrity integrity,", "\ntokens integrity,", "scorers.tokens", 62),
        ("\nexit_code\n0", "\ncell_id\nx", "identity.cell_id", 36),
    ],
)
def test_a_broken_page_is_named(
    tmp_path: Path, old: str, new: str, field: str | None, line: int | None
) -> None:
    """What is missing, twice, of the wrong type or not JSON is named by field or by line."""
    text = AIDER.read_text()
    assert text.count(old) == 1
    path = written(tmp_path / "p.txt", text.replace(old, new).encode())
    with pytest.raises(BadRecord) as caught:
        read_page(path)
    assert caught.value.path == str(path)
    assert caught.value.field == field
    assert line is None or caught.value.line == line


def test_a_page_that_ends_in_the_middle_is_named(tmp_path: Path) -> None:
    """A page whose last line names a value has none for it."""
    head = AIDER.read_text().partition("\nScorer breakdown")[0]
    text = "Scorer breakdown\n\nRun identity\n\ncell_id"
    for broken in (f"{head}\nScorer breakdown", f"x\n{text}"):
        with pytest.raises(BadRecord):
            read_page(written(tmp_path / "p.txt", broken.encode()))


def test_a_page_is_text(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are not a page."""
    with pytest.raises(BadRecord, match="not valid UTF-8"):
        read_page(written(tmp_path / "p.txt", b"\xff\nScorer breakdown\n"))
    with pytest.raises(BadRecord, match="not a JSON object"):
        read_page(written(tmp_path / "p.json", [1]))


def test_a_cell_file_has_its_own_count(tmp_path: Path) -> None:
    """The tokens under a `cell.json`'s timing are the meter's; its agent's count stands apart."""
    data = orjson.loads(PAGES[0].read_bytes())
    own = {"prompt_tokens": 7, "completion_tokens": None, "total_tokens": None}
    data |= {"schema": "cab.cell/1", "self_reported": {**own, "source": "json", "exact": True}}
    report = read_page(written(tmp_path / "cell.json", data)).self_reported
    assert report is not None
    assert (report.prompt_tokens, report.source, report.exact) == (7, "json", True)
    for wrong in ({"prompt_tokens": -7}, 5):
        path = written(tmp_path / "cell.json", {**data, "self_reported": wrong})
        with pytest.raises(BadRecord, match="self_reported"):
            read_page(path)


def test_half_a_count_has_no_total(tmp_path: Path) -> None:
    """Where a page shows only one of the two counts, their sum is not known."""
    data = orjson.loads(PAGES[0].read_bytes())
    data["timing"] = {"prompt_tokens": "5"}
    report = read_page(written(tmp_path / "p.json", data)).self_reported
    assert report is not None
    assert (report.prompt_tokens, report.total_tokens, report.source) == (5, None, "self_reported")


@given(st.data())
def test_any_line_may_be_anything(draw: st.DataObject) -> None:
    """A page with one line replaced, doubled or dropped is read, or refused with a BadRecord."""
    lines = AIDER.read_text().split("\n")
    number = draw.draw(st.integers(0, len(lines) - 1))
    other = st.sampled_from(lines) | st.text()
    lines[number : number + 1] = draw.draw(st.lists(other, max_size=2))
    with contextlib.suppress(BadRecord):
        assert page_of_text("\n".join(lines).encode(errors="replace"), AIDER).cell_id is not None
