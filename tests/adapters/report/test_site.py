"""A site as files: what is rendered when, what a page holds, and what is never overwritten."""

import contextlib
import copy
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.adapters.errors import AdapterError
from cab.adapters.report.cell import messages
from cab.adapters.report.cell.facts import read_report_cell
from cab.adapters.report.cell.page import cell_page
from cab.adapters.report.cell_list import list_page
from cab.adapters.report.entries import entry_of
from cab.adapters.report.render.frame import PageFrame
from cab.adapters.report.render.marks import MarkedText
from cab.adapters.report.site import SiteBuilder, SiteReport
from cab.adapters.report.state import STATE_FILE, opened_site
from cab.scoring import score_one
from cab.scoring.errors import ScoringError
from cab.scoring.ids import CellId
from tests.adapters.report.pagecells import call, many_calls, write_capture, write_cell
from tests.scoring.builders import FIXTURES
from tests.scoring.capture.made import write_call

CELL = CellId("local", "aider", "acme/demo-2", "polyglot", "twin")


def build(
    site: Path, *paths: Path, errors: list[ScoringError] | None = None, **options: Any
) -> SiteReport:
    seen: list[ScoringError] = [] if errors is None else errors
    builder = SiteBuilder(
        site, **{"base_url": "", "on_error": seen.append, "on_cell": lambda _: None, **options}
    )
    made = builder.build(paths)
    assert errors is not None or not seen
    return made


def page_of(site: Path, part: str) -> str:
    (file,) = (site / "cells").glob(f"*{part}.html" if not part else f"*{part}*.html")
    return file.read_text("utf-8")


def test_messages_are_shown_only_if_asked_for(tmp_path: Path) -> None:
    """They lie beside the page, and go when they are not asked for any more; a deleted capture leaves none."""
    runs, site = tmp_path / "runs", tmp_path / "site"
    cell_id = CellId("local", "aider", "m", "polyglot", "twin")
    write_cell(runs / "1", cell_id=cell_id)
    write_capture(runs / "1", str(cell_id), "over\u202eheard </script> /home/somebody/x")
    build(site, runs)
    assert not list(site.rglob("*.messages.js"))
    assert "said-data" not in page_of(site, "")
    assert build(site, runs, with_messages=True).rendered == 1
    (script,) = site.rglob("*.messages.js")
    text = script.read_text("utf-8")
    assert "over[U+202E]heard \\u003c/script\\u003e ~/x" in text
    assert '"finish":"tool_calls"' in text
    assert build(site, runs, with_messages=True).rendered == 0
    shutil.rmtree(runs / "1" / "capture")
    assert build(site, runs, with_messages=True).rendered == 1
    assert not list(site.rglob("*.messages.js"))


def test_what_cannot_be_read_of_a_capture_is_counted(tmp_path: Path) -> None:
    """A page says so; the other messages are shown."""
    cell_id = CellId("local", "aider", "m", "polyglot", "twin")
    write_cell(tmp_path / "1", cell_id=cell_id)
    write_capture(tmp_path / "1", str(cell_id), "plain")
    (parts,) = tmp_path.rglob("*.parts")
    data = parts.read_bytes()
    parts.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
    build(tmp_path / "site", tmp_path / "1", with_messages=True)
    page = page_of(tmp_path / "site", "")
    assert "1 of the capture's lines and bodies cannot be read" in page.replace("&#39;", "'")


def test_so_many_messages_that_say_nothing_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page is bounded however little each of its messages, their parts and tools hold."""
    monkeypatch.setattr(messages, "MOST_CALL_CHARS", 10_000)
    cell_id = CellId("local", "aider", "m", "polyglot", "twin")
    write_cell(tmp_path / "1", cell_id=cell_id)
    many = {
        "c1": {"messages": [{"role": "user", "content": ""}] * 2000},
        "c2": {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 2000}]},
        "c3": {"messages": [], "tools": [{"type": "function", "function": {"name": "f"}}] * 2000},
    }
    for seq, (call_id, body) in enumerate(many.items(), 1):
        bodies = [orjson.dumps(body)], [b"{}"]
        write_call(tmp_path / "1/capture", call_id, *bodies, cell=str(cell_id), seq=seq)
    build(tmp_path / "site", tmp_path / "1", with_messages=True)
    (script,) = tmp_path.rglob("*.messages.js")
    text = script.read_text("utf-8")
    assert len(text) < 100_000
    assert re.search(r"1,[0-9]{3} more messages", text)
    assert re.search(r"1,[0-9]{3} more parts", text)
    assert re.search(r"1,[0-9]{3} more tools", text)


def test_a_second_run_renders_what_changed(tmp_path: Path) -> None:
    """Unchanged cells keep their pages; a changed one, and the links to it, are made anew; a gone one goes."""
    runs, site = tmp_path / "runs", tmp_path / "site"
    for run in (1, 2, 3):
        cell_id = CellId("local", "aider", "m", "polyglot", "twin", run)
        write_cell(runs / str(run), cell_id=cell_id)
    assert build(site, runs) == SiteReport(cells=3, rendered=3, removed=0)
    first = {file: file.stat().st_mtime_ns for file in site.rglob("*.html")}
    assert build(site, runs) == SiteReport(cells=3, rendered=0, removed=0)
    assert {file: file.stat().st_mtime_ns for file in site.rglob("*.html")} == first

    (runs / "2" / "stderr.txt").write_text("one more file")
    assert build(site, runs).rendered == 1
    third = CellId("local", "aider", "m", "polyglot", "twin", 3)
    again = write_cell(tmp_path / "again", cell_id=third, passed=False)
    assert again.scorers.pass_rate.passed == 0
    for file in (tmp_path / "again").iterdir():
        file.replace(runs / "3" / file.name)
    assert build(site, runs).rendered == 1
    assert '<td class="alarm">failed</td>' in page_of(site, "run1")

    for file in (runs / "3").iterdir():
        file.unlink()
    assert build(site, runs) == SiteReport(cells=2, rendered=0, removed=1)
    assert "failed</td>" not in page_of(site, "run1")
    assert len(list((site / "badges").iterdir())) == 4


def test_copies_are_one_cell_and_two_runs_of_an_id_are_two(tmp_path: Path) -> None:
    """A copied bundle is not a second cell; another run under the same id is, with a page of its own."""
    a, b, c = (tmp_path / name for name in "abc")
    write_cell(a / "x", cell_id=CELL)
    write_cell(b / "x", cell_id=CELL)
    timing = {
        "started_at": "2026-11-21T12:00:00.000000Z",
        "ended_at": "2026-11-21T12:00:03.000000Z",
    }
    data = orjson.loads((a / "x" / "cell.json").read_bytes())
    write_cell(c / "x", cell_id=CELL, calls=[])
    data["timing"] |= timing
    (c / "x" / "cell.json").write_bytes(orjson.dumps(data))
    site = tmp_path / "site"
    assert build(site, a, b, c).cells == 2
    assert build(site, a, b, c) == SiteReport(cells=2, rendered=0, removed=0)


def test_what_is_not_a_site_is_not_overwritten(tmp_path: Path) -> None:
    """A folder with other files is refused, whatever is in it."""
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(AdapterError, match="is not a site that cab report made"):
        build(tmp_path, FIXTURES)
    assert [file.name for file in tmp_path.iterdir()] == ["precious.txt"]


def test_other_code_makes_all_pages_anew(tmp_path: Path) -> None:
    """Pages know what made them: after a change of where the site is, or of the form, all are rendered."""
    site = tmp_path / "site"
    write_cell(tmp_path / "a", cell_id=CELL)
    build(site, tmp_path / "a")
    assert build(site, tmp_path / "a", base_url="https://h/").rendered == 1
    (site / STATE_FILE).write_text('{"schema":"cab.report-state/0"}\n')
    assert build(site, tmp_path / "a").rendered == 1


def test_a_broken_cell_does_not_hide_the_others(tmp_path: Path) -> None:
    """Each error is reported, and all other cells have their pages."""
    write_cell(tmp_path / "runs" / "a", cell_id=CELL)
    (tmp_path / "runs" / "b").mkdir()
    (tmp_path / "runs" / "b" / "cell.json").write_text("{")
    errors: list[ScoringError] = []
    assert build(tmp_path / "site", tmp_path / "runs", errors=errors).cells == 1
    assert ["not valid JSON" in str(error) for error in errors] == [True]


def test_a_page_of_100_calls_is_small(tmp_path: Path) -> None:
    """A page without recording stays under 150 KB up to 100 calls; above that the rows are data."""
    for count in (100, 500):
        cell_id = CellId("local", "aider", "m", "polyglot", f"calls{count}")
        write_cell(tmp_path / str(count), cell_id=cell_id, calls=many_calls(str(cell_id), count))
        changed = "".join(f"+    value_{n} = compute(<value>, {n})\n" for n in range(5000))
        patch = f"diff --git a/new.py b/new.py\n--- /dev/null\n+++ b/new.py\n@@ -0,0 +1,5000 @@\n{changed}"
        (tmp_path / str(count) / "changes.patch").write_text(patch * 3)
        (tmp_path / str(count) / "stdout.txt").write_text("I did <this>.\n" * 10_000)
    build(tmp_path / "site", tmp_path / "100", tmp_path / "500")
    small, large = page_of(tmp_path / "site", "calls100"), page_of(tmp_path / "site", "calls500")
    assert len(small.encode()) < 150_000
    assert "The rest is in changes.patch." in small
    assert len(re.findall(r'<tr data-step="\d+"><th scope="row" class="r"', small)) == 100
    assert 'data-columns="calls-data"' in large
    assert len(large.encode()) < 450_000


@pytest.mark.parametrize("file", sorted(FIXTURES.glob("*.json")), ids=lambda file: file.stem[:30])
def test_published_cells_render_with_their_own_figures(file: Path, tmp_path: Path) -> None:
    """A page of the published site keeps its figures; what it did not record says so, and is no 0."""
    build(tmp_path / "site", file)
    published, page = orjson.loads(file.read_bytes()), page_of(tmp_path / "site", "")
    identity, timing = published["identity"], published["timing"]
    shown = (identity["cell_id"], identity["container_image"], identity["image_digest"])
    assert all(text in page for text in (*shown, timing["started_at"], timing["ended_at"]))
    composite = published["scorers"]["composite"]["composite"]
    assert str(MarkedText(f"{composite:.3f}", "measured", "published/1").__html__()) in page
    stated = published["scorers"]["composite"]
    assert all(f"<code>{key}</code>" in page for key in stated)
    assert f"<code>{composite}</code>" in page
    spans = page.partition('id="spans"')[2].partition('id="calls"')[0]
    shown_spans = re.findall(r'<th scope="row"><code>(\w+)</code>', spans)
    assert shown_spans == [span["span_id"][:8] for span in published["spans"]]
    assert "There is no recording of this run." in page
    assert "an unknown number of model calls" in page
    assert "Per-call records were not captured" in page
    assert f"@{identity['image_digest']}" in page
    assert "sha256:sha256:" not in page
    assert not re.search(r"sk-(?!REDACTED)", page)


def test_places_of_the_machine_are_named_by_what_they_are(tmp_path: Path) -> None:
    """Neither the scratch folder nor the home of whoever ran the cell is on its page."""
    write_cell(tmp_path / "a", cell_id=CELL)
    build(tmp_path / "site", tmp_path / "a")
    page = page_of(tmp_path / "site", "")
    assert "in &lt;workspace&gt;/src and ~/src" in page
    assert "/home/somebody" not in page
    assert ".x.history" in page
    assert page.count("not in the patch: scratch of the agent") == 1
    assert "Not in this patch" not in page


def test_badges_say_what_the_page_says(tmp_path: Path) -> None:
    """Image and data of a badge agree; embeds lead to the page, from where the site is."""
    write_cell(tmp_path / "a", cell_id=CELL, passed=False)
    build(tmp_path / "site", tmp_path / "a", base_url="https://h.example/r/")
    (data,) = (tmp_path / "site" / "badges").glob("*.json")
    badge = orjson.loads(data.read_bytes())
    assert badge["schemaVersion"] == 1
    assert badge["message"].startswith("failed")
    assert f"{badge['label']}: {badge['message']}" in data.with_suffix(".svg").read_text()
    page = page_of(tmp_path / "site", "")
    assert f"](https://h.example/r/cells/{data.stem}.html)" in page
    assert f"(https://h.example/r/badges/{data.stem}.svg)" in page


ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    1e308,
    10**18,
    "",
    "x\x00\u202e",
    [None],
    {"": None},
    " " * 300,
)


def paths_in(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value of parsed JSON."""
    items: Any = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if isinstance(data, list)
        else ()
    )
    for key, value in items:
        yield (*path, key)
        yield from paths_in(value, (*path, key))


def test_any_value_anywhere_in_a_published_page(tmp_path: Path) -> None:
    """A page with an odd value is shown, or it is an error that names the file: nothing else happens."""
    page = orjson.loads(next(FIXTURES.glob("aider*.json")).read_bytes())
    shown = 0
    for number, path in enumerate(paths_in(page)):
        data = copy.deepcopy(page)
        place = data
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = ODD[number % len(ODD)]
        file = tmp_path / "page.json"
        file.write_bytes(orjson.dumps(data))
        with contextlib.suppress(ScoringError):
            cell = read_report_cell(score_one(file))
            list_page([entry_of(cell, "stem")])
            shown += bool(cell_page(cell, "stem", "", PageFrame(root="../")).html.encode())
    assert shown > 100


def test_a_run_that_was_stopped_can_be_repeated(tmp_path: Path) -> None:
    """The folder is known as a site from the first file on, and leftovers of the stopped run go."""
    site = tmp_path / "site"
    write_cell(tmp_path / "a", cell_id=CELL)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(site, tmp_path / "a", on_cell=stop)
    (site / "cells" / "gone-0a1b2c.html").write_text("half")
    (site / "cells" / "mine.txt").write_text("not a page")
    assert build(site, tmp_path / "a") == SiteReport(cells=1, rendered=1, removed=1)
    assert sorted(file.suffix for file in (site / "cells").iterdir()) == [".html", ".txt"]


@pytest.mark.parametrize(
    "tail", [b"", b"\xff{", b'{"digest":"x","entries":[{"stem":1}]}\n', b"[]\n"]
)
def test_a_damaged_state_makes_all_pages_anew(tmp_path: Path, tail: bytes) -> None:
    """What cannot be read of the last run is forgotten, and pages of cells that are gone go all the same."""
    site, state = tmp_path / "site", tmp_path / "site" / STATE_FILE
    for name in "ab":
        write_cell(tmp_path / name, cell_id=CellId("local", "aider", "m", "polyglot", name))
    build(site, tmp_path / "a", tmp_path / "b")
    state.write_bytes(state.read_bytes()[: 500 if tail else 0] + tail)
    assert build(site, tmp_path / "a") == SiteReport(cells=1, rendered=1, removed=1)


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"<!doctype html>\n<html><body>ha"])
def test_a_damaged_page_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    """Whatever is left of pages, also of one that gets other siblings: the next run makes them whole."""
    site = tmp_path / "site"
    for name in "ab":
        write_cell(tmp_path / name, cell_id=CellId("local", name, "m", "polyglot", "t"))
    build(site, tmp_path / "a")
    whole = {file: file.read_bytes() for file in site.rglob("*.html")}
    for file in whole:
        file.write_bytes(damage)
    build(site, tmp_path / "a", tmp_path / "b")
    for file in whole:
        file.write_bytes(damage)
    assert build(site, tmp_path / "a").rendered == 1
    assert {file: file.read_bytes() for file in site.rglob("*.html")} == whole


def test_a_composite_has_one_mark_on_all_pages(tmp_path: Path) -> None:
    """Of a cell that failed no estimated token counts: neither its page nor the list says estimated."""
    estimated = {"usage_source": "tokenizer"}
    for name, passed in (("good", True), ("bad", False)):
        cell_id = CellId("local", "aider", "m", "polyglot", name)
        calls = call(1, 100, 400.0, str(cell_id), **estimated)
        write_cell(tmp_path / name, cell_id=cell_id, calls=calls, passed=passed)
        cell = read_report_cell(score_one(tmp_path / name))
        made = entry_of(cell, "stem")
        assert made.token_mark == "estimated"
        assert made.composite_mark == ("estimated" if passed else "measured")
        column = orjson.loads(re.findall(r'"cells-data">(.*?)</script>', list_page([made]))[0])
        assert column["columns"][-1]["mark"] == ["e" if passed else "m"]


def test_a_cell_with_a_long_id_counts(tmp_path: Path) -> None:
    """The overview and the comparisons hold every cell that `cab score` holds."""
    cell_id = CellId("local", "aider" * 10, "acme/" + "m" * 120, "polyglot", "t" * 120)
    write_cell(tmp_path / "1", cell_id=cell_id)
    build(tmp_path / "site", tmp_path / "1")
    text = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert "1 of 1 cells passed" in text
    assert "list of cells</a>: their ids" not in text


def test_two_runs_do_not_write_one_site(tmp_path: Path) -> None:
    """The second one ends at once, and says why."""
    write_cell(tmp_path / "a", cell_id=CELL)
    with (
        opened_site(tmp_path / "site"),
        pytest.raises(AdapterError, match="another cab report writes"),
    ):
        build(tmp_path / "site", tmp_path / "a")


def test_two_records_of_one_run_are_told(tmp_path: Path) -> None:
    """No result hides another one silently, and the second is there once the first is gone."""
    site, (a, b, c) = tmp_path / "site", (tmp_path / name for name in "abc")
    write_cell(a, cell_id=CELL)
    write_cell(b, cell_id=CELL, passed=False)
    write_cell(c, cell_id=CELL)
    (c / "stderr.txt").write_text("more")  # the same result: a copy
    for _ in range(2):
        errors: list[ScoringError] = []
        assert build(site, a, b, c, errors=errors).cells == 1
        assert ["another record of the same run" in str(error) for error in errors] == [True]
    assert build(site, b).cells == 1
    assert "failed" in (site / "cells.html").read_text()


def test_files_of_one_name_are_runs_of_their_own(tmp_path: Path) -> None:
    """Other harnesses name all their files alike; two runs of one id are two cells."""
    for run, outcome in (("1", True), ("2", False)):
        row = {"testcase": "bob", "testdir": "tmp/run-1/bob", "model": "m"}
        file = tmp_path / run / ".aider.results.json"
        file.parent.mkdir()
        file.write_bytes(orjson.dumps({**row, "tests_outcomes": [outcome]}))
    assert build(tmp_path / "site", tmp_path / "1", tmp_path / "2").cells == 2
