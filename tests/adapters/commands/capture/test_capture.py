"""`cab capture`: lists, shows and deletes what was kept, of a bundle and of a ledger."""

import os
import shutil
import time
from pathlib import Path

import orjson
import pytest

from cab.adapters.cli import main
from cab.scoring.capture import cell_folder_name, find_capture
from tests.adapters.light_task import light_task
from tests.scoring.capture.made import write_call

TASK = "polyglot/python-error-handling"
CELL = f"local/scripted/demo/{TASK}"
RUN = ["run-cell", "--tui", "scripted", "--task", light_task(), "--upstream", "demo"]


def test_a_cell_keeps_its_bodies_in_its_bundle(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Only there; and without them its score and its verification are the same."""
    assert main([*RUN, "--capture", "bodies"]) == 0
    bundle = Path("runs", CELL)
    assert not list((bundle / "ledger/capture").glob("*"))
    capsysbinary.readouterr()

    assert main(["capture", "list", str(bundle), "--json"]) == 0
    [row] = map(orjson.loads, capsysbinary.readouterr().out.splitlines())
    assert (row["cell_id"], row["calls"], row["not_kept"]) == (CELL, 3, 0)
    assert main(["capture", "list", str(bundle), "--calls", "--json"]) == 0
    calls = [orjson.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    sealed = [orjson.loads(line) for line in (bundle / "calls.jsonl").read_bytes().splitlines()]
    ends = [line for line in sealed if line["kind"] == "end"]
    assert [call["call_id"] for call in calls] == [end["call_id"] for end in ends]

    first = calls[0]["call_id"]
    assert main(["capture", "show", str(bundle), first]) == 0
    said = orjson.loads(capsysbinary.readouterr().out)
    assert said["request"]["media_type"] == "application/json"
    assert main(["capture", "show", str(bundle), first, "--request"]) == 0
    body = capsysbinary.readouterr().out
    assert body.decode() == said["request"]["text"]
    assert len(body) == ends[0]["request_bytes"]
    assert orjson.loads(body)["model"] == "demo"

    verified = main(["ledger", "verify", str(bundle)])
    assert main(["capture", "delete", str(bundle), "--cell", CELL]) == 0
    assert find_capture(bundle) == []
    assert main(["ledger", "verify", str(bundle)]) == verified
    assert main(["score", str(bundle)]) == 0


def test_a_given_proxy_keeps_for_itself(capsys: pytest.CaptureFixture[str]) -> None:
    options = "--model m --capture bodies"
    words = ["run-cell", "--tui", "scripted", "--task", light_task(), *options.split()]
    assert main([*words, "--proxy", "http://127.0.0.1:1"]) == 2
    assert "start it with --capture bodies" in capsys.readouterr().err


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A ledger with what was kept of three cells, the first one the oldest, which share their prompts."""
    folder = tmp_path / "l"
    for days, cell in ((300, "a"), (200, "b"), (100, None)):
        written_s = time.time() - days * 86_400
        write_call(folder / "capture", f"c-{cell}", [b"shared" * 99], [b"own"], cell=cell)
        for file in (folder / "capture" / cell_folder_name(cell)).iterdir():
            os.utime(file, (written_s, written_s))
    return folder


def kept(ledger: Path) -> dict[str | None, bytes]:
    return {cell.cell_id: cell.body(cell.calls[0].request) for cell in find_capture(ledger)}


def test_deleting_a_cell_leaves_the_others_whole(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["capture", "delete", str(ledger), "--cell", "a"]) == 0
    assert kept(ledger) == {"b": b"shared" * 99, None: b"shared" * 99}
    assert main(["capture", "delete", str(ledger), "--no-cell"]) == 0
    assert kept(ledger) == {"b": b"shared" * 99}
    for words, reason in (
        (["--cell", "a"], "holds no bodies of cell a"),
        (["--no-cell"], "holds no bodies of calls without a cell"),
        (["--cell", ""], "--cell needs the id of a cell"),
    ):
        assert main(["capture", "delete", str(ledger), *words]) == 2
        assert reason in capsys.readouterr().err


def test_links_go_and_not_what_they_lead_to(ledger: Path) -> None:
    """Who shares the disk may leave links and files in the place of folders; they stop nothing."""
    capture = ledger / "capture"
    elsewhere = ledger / "elsewhere"
    (capture / cell_folder_name("a")).rename(elsewhere)
    (capture / cell_folder_name("a")).symlink_to(elsewhere)
    (capture / ".deleted-1").symlink_to(elsewhere)
    (capture / ".deleted-2").symlink_to("nowhere")
    (capture / ".deleted-3").write_text("a file")
    (capture / cell_folder_name("b") / "w9.jsonl").symlink_to("nowhere")
    assert set(kept(ledger)) == {"b", None}
    assert main(["capture", "list", str(ledger)]) == 1
    assert main(["capture", "delete", str(ledger), "--cell", "a"]) == 0
    assert main(["capture", "prune", str(ledger), "--max-bytes", "0"]) == 0
    assert list(capture.iterdir()) == []
    assert len(list(elsewhere.iterdir())) == 2


def test_the_oldest_go(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By age, and by size; a folder that a kill left half removed goes too."""
    shutil.copytree(ledger / "capture" / cell_folder_name("b"), ledger / "capture/.deleted-0123")
    assert main(["capture", "prune", str(ledger), "--older-than", "250d"]) == 0
    assert capsys.readouterr().out.startswith("deleted ")
    assert not (ledger / "capture/.deleted-0123").exists()
    size = sum(file.stat().st_size for file in (ledger / "capture").rglob("*.*"))
    assert set(kept(ledger)) >= {"b", None}
    assert main(["capture", "prune", str(ledger), "--max-bytes", str(size - 1)]) == 0
    assert set(kept(ledger)) == {None}
    assert main(["capture", "prune", str(ledger)]) == 2
    assert main(["capture", "prune", str(ledger), "--older-than", "soon"]) == 2


def test_a_bad_line_is_named(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (ledger / "capture" / cell_folder_name("a") / "w0.jsonl").open("ab") as file:
        file.write(b"\x1b[2Jnothing\n")
    assert main(["capture", "list", str(ledger)]) == 1
    captured = capsys.readouterr()
    assert "w0.jsonl:2: not valid JSON" in captured.err
    assert "\x1b" not in captured.err
    assert main(["capture", "show", str(ledger), "c-none"]) == 2
    assert main(["capture", "list", str(ledger / "none")]) == 2
