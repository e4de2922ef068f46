"""Parts of pages on their own: marks, texts of others, names, time, blocks to paste, embeds."""

import os
import re
import shutil
import subprocess
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.adapters.agents.registry import ADAPTERS
from cab.adapters.output.places import evidence, without_places
from cab.adapters.report.cell.calls import PageCall, read_calls
from cab.adapters.report.cell.commands import paste_blocks
from cab.adapters.report.cell.embed import embed_snippets
from cab.adapters.report.cell.facts import ReportCell, read_report_cell
from cab.adapters.report.cell.identity import timing_rows
from cab.adapters.report.cell.recording import page_recording
from cab.adapters.report.cell.steps import trace_steps
from cab.adapters.report.cell.time_split import split_ms
from cab.adapters.report.cell.timeline import in_lanes, timeline
from cab.adapters.report.cell.tokens import own_sentence, source_rows
from cab.adapters.report.names import page_stem
from cab.adapters.report.render.frame import ASSETS
from cab.adapters.report.render.marks import MarkedText, weakest
from cab.adapters.report.render.numbers import duration
from cab.adapters.report.render.script_data import json_for_script
from cab.adapters.report.render.visible import visible
from cab.scoring import score_one
from cab.scoring.evidence.spans import Span
from cab.scoring.ids import CellId
from cab.scoring.ledger.money import dollars
from tests.adapters.report.attacks import ATTACKS
from tests.adapters.report.pagecells import call, cast, usual_calls, write_cell
from tests.scoring.builders import FIXTURES, line


def cell_of(folder: Path, **options: object) -> ReportCell:
    given = {"cell_id": CellId("local", "aider", "acme/m", "polyglot", "twin"), **options}
    write_cell(folder, **given)  # type: ignore[arg-type]
    return read_report_cell(score_one(folder))


def test_unknown_is_a_word_and_each_mark_is_read_out() -> None:
    """A number is never shown without its mark, and a missing one is never 0."""
    assert MarkedText(None).__html__() == '<span class="v n">not recorded</span>'
    assert 'class="v e"' in MarkedText("1", "estimated").__html__()
    assert "estimated</span>" in MarkedText("1", "estimated").__html__()
    assert weakest(["measured", "at least", "estimated"]) == "at least"
    assert weakest([]) == "measured"


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0 ms"), (0.02, "0.02 ms"), (9.5, "9.5 ms"), (906, "906 ms"), (8854, "8.85 s"), (203096, "203.1 s")],
)  # fmt: skip
def test_durations_as_people_read_them(ms: float, text: str) -> None:
    """Three digits or so, in ms or s."""
    assert (duration(ms) or "").replace("\u202f", " ") == text
    assert duration(None) is None


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "$0"), ("1.5", "$1.50"), ("0.0091", "$0.0091"), ("0.00000123", "$0.0000012"), ("1e999999", None), ("x", None), (None, None)],
)  # fmt: skip
def test_money_keeps_two_digits_that_say_something(amount: str | None, text: str | None) -> None:
    """A small price is not $0.00, and what is no amount is unknown."""
    assert dollars(amount) == text


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
def test_nothing_is_unseen(text: str) -> None:
    """What is shown has no character that is not seen, and JSON reads back as it was."""
    assert all(char.isprintable() or char in "\n\t" for char in visible(text))
    assert visible(visible(text)) == visible(text)
    written = str(json_for_script({text: text}))
    assert orjson.loads(written) == {text: text}
    assert not re.search(r"[<>&]|[^\x20-\x7e]", written)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/jo/.config/x and /Users/al/y", "~/.config/x and ~/y"),
        ("cd /root && ls '/root/a'", "cd ~ && ls '~/a'"),
        ("/var/tmp/x/cab-aider-p_t-9d97wvql/workdir/src/a.py", "<workspace>/src/a.py"),
        (r'{"a":"x\n/tmp/cab-a-1/workdir\n"}', r'{"a":"x\n<workspace>\n"}'),
        ("/tmp/cab-aider-x-1a2b3c4d/out", "<run>/out"),
        ("~/x/-tmp-cab-aider-p-i23b71af-workdir/m", "~/x/<workspace>/m"),
        ("HOME=/tmp/cab-a-1/home:", "HOME=<home>:"),
        ("/home/u/.codingagentbench-scratch/codingagentbench-a-b/workdir", "<workspace>"),
        ("https://h/home/jo and src/root/x", "https://h/home/jo and src/root/x"),
        ("/opt/venv/lib/cab/adapters/agents/scripted_agent.py", "<cab>/agents/scripted_agent.py"),
    ],
)
def test_places_of_a_machine(text: str, shown: str) -> None:
    """Folders of a user and of the run are named by what they are; other paths stay."""
    assert without_places(text) == shown
    assert evidence({"a": [text, 1, None]}) == {"a": [shown, 1, None]}


def test_names_of_files_are_bounded_and_differ() -> None:
    """Ids that give the same slug, and ids of any length, have names of their own."""
    ids = [f"s/a/{model}/f/t" for model in ("m/x", "m-x", "m x", "m" * 5000, "m" * 5001, "..")]
    stems = [page_stem(each) for each in ids]
    assert len(set(stems)) == len(stems)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,100}", stem) for stem in stems)
    assert page_stem(ids[0], "2026") != page_stem(ids[0])


def read(folder: Path, *lines: dict[str, object]) -> list[PageCall]:
    (folder / "calls.jsonl").write_bytes(b"".join(line(fields) for fields in lines))
    return read_calls(folder / "calls.jsonl", "2026-11-20T12:00:00.000000Z")


def test_each_moment_of_a_run_counts_once(tmp_path: Path) -> None:
    """Overlapping calls do not make a run longer: the parts of the bar add up to the wall clock."""
    calls = read(tmp_path, *usual_calls("s/a/m/f/t"))
    parts = split_ms(calls, 3000)
    assert sum(parts.values()) == pytest.approx(3000)
    # Call 4 waits while call 3 is answered, until 1400 ms.
    assert parts["failed"] == pytest.approx(90.5)
    assert parts["wait"] == pytest.approx(400 / 3 + 500 / 3)
    assert parts["agent"] == pytest.approx(3000 - 400 - 90.5 - 900)
    assert split_ms([], 10) == {"model": 0, "wait": 0, "failed": 0, "agent": 10}


def test_overlapping_calls_lie_in_lanes(tmp_path: Path) -> None:
    """The third call ends after the fourth began."""
    steps = trace_steps(cell_of(tmp_path / "a"))
    assert [(bar.call.seq, bar.lane) for bar in in_lanes(steps)] == [(1, 0), (2, 0), (3, 0), (4, 1)]


def test_numbers_of_calls_do_not_lie_on_one_another(tmp_path: Path) -> None:
    """Of calls within a moment the first one has its number; later ones have theirs."""
    name = str(CellId("local", "aider", "acme/m", "polyglot", "twin"))
    times = enumerate((100, 110, 120, 1000), 1)
    calls = [line for seq, at_ms in times for line in call(seq, at_ms, 5.0, name)]
    chart = timeline(trace_steps(cell_of(tmp_path / "a", calls=calls)), 3000)
    assert re.findall(r'class="number"[^>]*>(\d+)<', chart) == ["1", "4"]


def test_a_metered_run_without_calls_has_measured_zeros(tmp_path: Path) -> None:
    """Nobody failed to count: the meter saw that there was nothing."""
    cell = cell_of(tmp_path / "a", calls=[])
    assert cell.token_mark == "measured"
    (metered, _) = source_rows(cell)
    assert [figure.text for figure in metered.figures] == ["0", None, "0", None, "0", None]
    assert own_sentence(cell) == "The agent says “244”; the meter saw no call."
    source = {row.key: row.value for row in timing_rows(cell)}["tokens source"]
    assert source == "none: there were no calls"


def test_a_call_without_its_end_is_unfinished(tmp_path: Path) -> None:
    """Of a call of which only the beginning was recorded nothing is made up."""
    (one,) = read(tmp_path, call(1, 0, 10.0, "s/a/m/f/t")[0])
    assert (one.finish, one.latency_ms, one.ok, one.mark) == (
        "unfinished",
        None,
        False,
        "not recorded",
    )


@pytest.mark.parametrize("term", ["dumb", "xterm-256color"])
def test_a_recording_says_whether_there_was_a_terminal(tmp_path: Path, term: str) -> None:
    """Agents without a terminal have TERM=dumb; broken lines and other events are left out."""
    data = cast("a", "b", term=term) + b'[9,"i","x"]\n[1,"o"]\n{"x":1}\nnot json'
    found = page_recording(cell_of(tmp_path / "a", recording=data))
    assert found is not None
    assert (found.has_terminal, found.events, found.end_s) == (term != "dumb", 2, 0.2)
    for useless in (b"", b"[]\n", cast()):
        (tmp_path / "a" / "recording.cast").write_bytes(useless)
        assert page_recording(read_report_cell(score_one(tmp_path / "a"))) is None


@pytest.fixture
def stub_path(tmp_path: Path) -> Path:
    """Programs named cab and docker that write down their arguments, one a line."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("cab", "docker", "aider"):
        program = folder / name
        program.write_text('#!/bin/sh\nprintf "%s\\n" "$0" "$@" >> "$OUT"\n')
        program.chmod(0o755)
    return folder


def paste(text: str, stub_path: Path) -> list[str]:
    """Paste a block into bash and return what was called, word by word."""
    out = stub_path / "out"
    bash = shutil.which("bash")
    assert bash is not None
    environment = {
        "PATH": f"{stub_path}:{os.environ['PATH']}",
        "OUT": str(out),
        "HOME": str(stub_path),
    }
    wanted = {"CAB_ENDPOINT": "http://127.0.0.1:1/v1", "CAB_KEY": "k", "CAB_MODEL": "my model"}
    done = subprocess.run(
        [bash, "-c", text], env=environment, cwd=stub_path, capture_output=True, check=False
    )
    assert done.returncode != 0
    assert b"set CAB_ENDPOINT" in done.stderr or b"set CAB_KEY" in done.stderr
    assert not out.exists()
    subprocess.run([bash, "-c", text], env=environment | wanted, cwd=stub_path, check=True)
    return out.read_text().splitlines()


def test_blocks_run_as_they_stand(tmp_path: Path, stub_path: Path) -> None:
    """Each says what it needs, calls what it says, and holds no key; the image has one `sha256:`."""
    cell = cell_of(tmp_path / "a", image="codingagentbench/aider:v0.86.0")
    blocks = {block.name: block.text for block in paste_blocks(cell)}
    assert list(blocks) == ["image", "cell", "own", "wiring", "check"]
    assert blocks["image"].count("sha256:") == 2
    for name, text in blocks.items():
        called = paste(text, stub_path)
        assert "--model" in called, name
        (stub_path / "out").unlink()


def test_the_wiring_installs_an_agent_that_is_not_there(tmp_path: Path, stub_path: Path) -> None:
    """It is found where `cab adapters install` says that it is, whatever the folder is called."""
    cell = cell_of(tmp_path / "a")
    (wiring,) = (block.text for block in paste_blocks(cell) if block.name == "wiring")
    agents = stub_path / "of agents"
    agents.mkdir()
    said = f"echo 'aider 1.2 installed: {agents}/aider'"
    (stub_path / "cab").write_text(f'#!/bin/sh\n{said}\nmv "{stub_path}/kept" "{agents}/aider"\n')
    (stub_path / "aider").rename(stub_path / "kept")
    assert paste(wiring, stub_path)[0] == f"{agents}/aider"


def test_blocks_of_a_published_cell_use_its_image(stub_path: Path) -> None:
    """Published images bring the command along."""
    (file,) = FIXTURES.glob("aider*.json")
    blocks = {each.name: each.text for each in paste_blocks(read_report_cell(score_one(file)))}
    called = paste(blocks["image"], stub_path)
    assert called[called.index("run-cell") :][:3] == ["run-cell", "--tui", "aider"]
    assert "sha256:sha256" not in blocks["image"]
    assert "wiring" in blocks


LIMITS = {"cpu_s": 60, "file": 8 << 30, "open_files": 16_384, "memory": 8 << 30, "processes": 8192}


def as_run(**attrs: Any) -> list[Span]:
    """Return the spans of a run that recorded how it was started."""
    of_run = {key: attrs.pop(key) for key in ("timeout_s", "plugin_stack") if key in attrs}
    return [
        Span(
            span_id=kind,
            parent_id=None,
            kind=kind,
            name="n",
            start_ms=0.0,
            duration_ms=1.0,
            attrs=more,
        )
        for kind, more in (("adapter_run", of_run), ("container", attrs))
    ]


@pytest.mark.parametrize("sandbox", ["docker", "inside"])
def test_an_image_of_no_registry_is_built_and_has_no_digest(
    tmp_path: Path, stub_path: Path, sandbox: str
) -> None:
    """Its digest would be found nowhere else; what the cell was started with beside defaults stands there."""
    spans = as_run(timeout_s=30.0, plugin_stack=["house"], limits=LIMITS)
    local = "localhost/cab-agent-aider:0.86.2"
    cell = cell_of(tmp_path / "a", image=local, sandbox=sandbox, spans=spans)
    (block,) = (each.text for each in paste_blocks(cell) if each.name == "image")
    assert "sha256" not in block
    called = paste(block, stub_path)
    build = called.index("images")
    assert called[build : build + 5] == ["images", "build", "aider", "--agent-version", "0.86.2"]
    assert called.index(local) > build
    run = called[called.index("run-cell") :]
    assert run[:7] == ["run-cell", "--tui", "aider", "--model", "acme/m", "--task", "polyglot/twin"]
    assert [run[run.index(word) + 1] for word in ("--timeout-s", "--plugin")] == ["30", "house"]
    limits = ["cpu-s=60", "disk=off"] if sandbox == "docker" else ["cpu-s=60"]
    assert [word for word in run if "=" in word] == limits
    assert ("--deviate" in run) is (sandbox == "docker")


def test_a_cell_inside_an_image_of_a_registry_is_run_by_its_digest(
    tmp_path: Path, stub_path: Path
) -> None:
    """The engine gets one digest, and the cell inside the same name, which it could not see itself."""
    cell = cell_of(tmp_path / "a", image="r.invalid/x/aider:1", sandbox="inside")
    (block,) = (each.text for each in paste_blocks(cell) if each.name == "image")
    reference = f"r.invalid/x/aider:1@sha256:{'ab' * 32}"
    called = paste(block, stub_path)
    assert called.count(reference) == 2
    assert f"CAB_IMAGE={reference}" in called
    assert "sha256:sha256" not in block


def test_an_image_of_somebodys_own_is_not_made_up(tmp_path: Path, stub_path: Path) -> None:
    """Of an image that `cab images build` does not make, the block says that it was built by hand."""
    cell = cell_of(tmp_path / "a", image="localhost/mine:1")
    (block,) = (each.text for each in paste_blocks(cell) if each.name == "image")
    assert "built by hand" in block
    assert "build" not in paste(block, stub_path)


@pytest.mark.parametrize("name", ["shell", "script", "bidi"])
def test_hostile_names_stay_words(tmp_path: Path, stub_path: Path, name: str) -> None:
    """An agent, a model or a task cannot run anything in the shell of who pastes its block."""
    part = "".join(c for c in ATTACKS[name] if c.isprintable()).replace("/", "|").replace("#", "|")
    cell = cell_of(tmp_path / "a", cell_id=CellId("s", part, part, part, part), text=ATTACKS[name])
    for block in paste_blocks(cell):
        called = paste(visible(block.text), stub_path)
        assert called[called.index("--task") + 1] == f"{part}/{part}"
        (stub_path / "out").unlink()
    assert not (stub_path / "pwned").exists()


def test_the_name_of_an_agent_imports_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell whose agent is a dotted path gets no wiring: that module is not imported."""
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    cell = cell_of(tmp_path / "a", cell_id=CellId("s", "evil_module:Agent", "m", "f", "t"))
    assert [block.name for block in paste_blocks(cell)] == ["cell", "own", "check"]
    assert "evil_module:Agent" not in ADAPTERS


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
def test_embeds_hold_one_link_and_one_image(tmp_path: Path, text: str) -> None:
    """Names of agents and models are words in an embed: they close nothing and open nothing."""
    part = "".join(c for c in text if c.isprintable()).replace("/", "|").replace("#", "|")[:120]
    cell = cell_of(tmp_path / "a", cell_id=CellId("s", part, part, part, part))
    found = embed_snippets(cell, "stem", "https://h/")
    bare = re.sub(r"\\.", "", found.markdown)
    assert re.fullmatch(
        r"\[!\[[^\[\]<>`]*\]\(https://h/badges/stem\.svg\)\]\(https://h/cells/stem\.html\)", bare
    )
    assert found.html.count("<") == 3
    assert found.html.count('"') == 6
    assert visible(part)[:20] in unescape(found.html)


def test_the_player_is_the_one_that_its_note_names() -> None:
    """The vendored files have the digests that stand beside them, and bring their licence."""
    folder = ASSETS / "asciinema-player"
    note = (folder / "VERSION.md").read_text()
    for name in ("asciinema-player.min.js", "asciinema-player.css"):
        assert f"`{sha256((folder / name).read_bytes()).hexdigest()}`" in note
    assert "Apache License" in (folder / "LICENSE").read_text()
