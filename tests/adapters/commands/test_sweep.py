"""`cab sweep`, in this process but for the cells."""

import os
import shutil
import threading
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.adapters.cli import main
from cab.adapters.tasks.loader import load_task
from cab.scoring.capture import find_capture
from cab.scoring.ledger.verify import verify_ledger
from tests.adapters.light_task import light_task
from tests.adapters.tiny import serve, write_wheel
from tests.tools.ports import port_without_listener

TASK = "polyglot/python-error-handling"
LEAST = f"""
name = "s"
upstream = "demo"
models = ["demo"]
agents = ["scripted"]
tasks = ["{light_task()}"]
retry_wait_s = 0
"""
FIRST = f"s/scripted/demo/{TASK}#run1"


def sweep(text: str = "", least: str = LEAST) -> str:
    """Write a sweep file and return its name."""
    Path("sweep.toml").write_text(least + text)
    return "sweep.toml"


@pytest.fixture(scope="module")
def done_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of `sweep()` after it has run."""
    folder = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("CAB_")]:
            patch.delenv(name)
        patch.chdir(folder)
        assert main(["sweep", sweep()]) == 0
    return folder


@pytest.fixture
def done(done_once: Path, own_place: None) -> None:
    """Give the test's folder a copy of it."""
    del own_place
    shutil.copytree(done_once, ".", dirs_exist_ok=True)


def json_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the one object that was printed."""
    [line] = capsys.readouterr().out.splitlines()
    printed: dict[str, Any] = orjson.loads(line)
    return printed


def test_run_and_run_again(capsys: pytest.CaptureFixture[str]) -> None:
    """A sweep fills its slots and reports; run again, it runs nothing and reports the same.

    The bodies that it was told to keep are in the bundles, and nowhere else.
    """
    file = sweep('runs = 2\njobs = 2\ncapture = "bodies"\n')

    assert main(["sweep", file]) == 0
    printed = capsys.readouterr()
    assert main(["sweep", file]) == 0
    again = capsys.readouterr()

    lines = printed.out.splitlines()
    assert "2 of 2 cells have a result; bundles: sweeps/s/runs" in lines
    assert "+0.00 (2 of 2 equal)" in printed.out
    assert sorted(line[:4] for line in printed.err.splitlines()) == ["1/2 ", "2/2 "]
    assert again.out == printed.out
    assert again.err == ""
    assert verify_ledger(Path("sweeps/s/ledger")).holds
    [kept] = find_capture(Path("sweeps/s/runs", FIRST))
    assert (kept.cell_id, len(kept.calls)) == (FIRST, 3)
    assert find_capture(Path("sweeps/s/ledger")) == []
    assert Path("sweeps/s/report.md").read_text().startswith("# Sweep s\n\n| agent | model |")
    assert orjson.loads(Path("sweeps/s/report.json").read_bytes())["whole"] is True


@pytest.mark.usefixtures("done")
def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json the report is one object: groups, own counts, spend, cells, and what is not a result."""
    assert main(["sweep", sweep(), "--json"]) == 0

    report = json_of(capsys)
    [group], [counter] = report["groups"], report["self_reported"]
    assert (report["wanted"], report["complete"], report["whole"]) == (1, 1, True)
    assert group["key"] == counter["key"] == {"tui": "scripted", "model": "demo"}
    assert group["passed"] == 1
    assert counter["counts"]["total_tokens"]["relative_error"] == 0
    assert report["spend"]["tokens"] == group["tokens_per_cell"]["value"]
    assert report["spend"]["cost_usd"] is None
    assert report["cells"] == {FIRST: FIRST}
    assert (report["failed"], report["not_run"], report["apart"]) == ({}, {}, [])


MODELS = ("demo-a", "demo-b")
TABLE = """
name = "acme"
[models.demo-a]
input = 3
output = 15
cache_read = 0.3
[models."demo-*"]
input = "0.25"
output = 2
"""


def by_hand(model: str, call: dict[str, Any]) -> Fraction:
    """Return what a call costs in US dollars by the table above."""
    read, cached, written = (
        call["prompt_tokens"],
        call["cache_read_tokens"],
        call["completion_tokens"],
    )
    if model == "demo-a":
        return Fraction((read - cached) * 30 + cached * 3 + written * 150, 10**7)
    return Fraction(read * 25 + written * 200, 10**8)


@pytest.mark.slow
def test_dollars_per_solved_task(capsys: pytest.CaptureFixture[str]) -> None:
    """Two models whose endpoint states no price: each part can be recomputed by hand from the table."""
    Path("prices.toml").write_text(TABLE)
    models = LEAST.replace('["demo"]', f"[{', '.join(map(repr, MODELS))}]")
    assert main(["sweep", sweep('prices_file = "prices.toml"\n', models), "--json"]) == 0
    report = json_of(capsys)
    total = Fraction(0)
    assert len(report["groups"]) == 2
    for group in report["groups"]:
        model = group["key"]["model"]
        bundle = Path(f"sweeps/s/runs/s/scripted/{model}/{TASK}#run1")
        lines = map(orjson.loads, (bundle / "calls.jsonl").read_bytes().splitlines())
        calls = [
            line for line in lines if line["kind"] == "end" and line["usage_source"] == "upstream"
        ]
        assert [Fraction(call["cost_usd"]) for call in calls] == [
            by_hand(model, call) for call in calls
        ]
        assert all(call["price_source"].startswith("table:acme@") for call in calls)
        cost = sum(by_hand(model, call) for call in calls)
        cell = orjson.loads((bundle / "cell.json").read_bytes())
        assert Fraction(cell["scorers"]["cost"]["cost_usd"]) == cost
        assert (group["passed"], group["price_kind"]) == (1, "table")
        assert group["cost_usd_per_pass"]["value"] == float(cost)
        total += cost
    assert Fraction(report["spend"]["cost_usd"]) == total


def test_a_budget_in_money_needs_prices(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a price of the model it cannot be kept: the first cell is stopped, and the sweep ends."""
    main(["sweep", sweep('runs = 2\n[budget]\nusd = "5"\n')])
    out = capsys.readouterr()
    assert "$5.00 cannot be kept: 1 counted call has no price" in out.out + out.err


@pytest.mark.usefixtures("done")
def test_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    """With --markdown it is a page; --report prints it again without running anything."""
    file = sweep()
    assert main(["sweep", file, "--markdown"]) == 0
    page = capsys.readouterr().out
    assert main(["sweep", file, "--report", "--markdown"]) == 0

    assert capsys.readouterr().out == page
    assert page == Path("sweeps/s/report.md").read_text()
    assert "\n- 1 of 1 cells have a result" in page


def test_dry_run(capsys: pytest.CaptureFixture[str], done_once: Path) -> None:
    """It lists the cells and what is to be done with them, and writes nothing."""
    file = sweep("runs = 2\n")

    assert main(["sweep", file, "--dry-run", "--json"]) == 0
    before = json_of(capsys)
    assert not Path("sweeps").exists()
    shutil.copytree(done_once / "sweeps", "sweeps")
    assert main(["sweep", file, "--dry-run"]) == 0
    table = capsys.readouterr()

    assert before["cells"][0] == {"cell_id": FIRST, "state": "to run"}
    assert [line.split()[-1] for line in table.out.splitlines() if "#run" in line] == [
        "done",
        "run",
    ]
    assert table.err == "2 cells, 1 of them done; 1 at a time\n"


def test_dry_run_names_what_is_not_installed(capsys: pytest.CaptureFixture[str]) -> None:
    """An agent that is not there is listed with its cells, and said to be missing."""
    file = sweep('agents = ["aider"]\n', LEAST.replace('agents = ["scripted"]\n', ""))

    assert main(["sweep", file, "--dry-run"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("1 cell, 0 of them done")
    assert "aider" in said[1]
    assert "is not installed; run: cab adapters install aider, or give --install" in said[1]


def test_only_and_exclude(capsys: pytest.CaptureFixture[str]) -> None:
    """What is not chosen is not run, and is not a failure either."""
    file = sweep('models = ["demo", "b", "c"]\n', LEAST.replace('models = ["demo"]\n', ""))

    assert main(["sweep", file, "--only", "*/[bc]/*", "--exclude", "*/b/*", "--json"]) == 0

    report = json_of(capsys)
    assert list(report["cells"]) == [f"s/scripted/c/{TASK}#run1"]
    assert (report["wanted"], report["not_run"]) == (1, {})

    assert main(["sweep", file, "--only", "*/b/*", "--report", "--json"]) == 1
    report = json_of(capsys)
    assert (report["wanted"], report["complete"], len(report["cells"])) == (1, 0, 1)


def test_all_problems(capsys: pytest.CaptureFixture[str]) -> None:
    """All that is wrong is listed, a line each, before anything starts."""
    text = LEAST.replace('"scripted"', '"aider", "scriptd"').replace(light_task(), "pol/yglot")
    file = sweep("", text.replace('upstream = "demo"\n', ""))

    assert main(["sweep", file]) == 2

    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:3] for line in lines] == [
        ["cab", "sweep.toml", "agents"],
        ["cab", "sweep.toml", "tasks"],
        ["cab", "sweep.toml", "upstream"],
        ["cab", "sweep.toml", lines[3].split(": ")[2]],
    ]
    assert "is not installed; run: cab adapters install aider, or give --install" in lines[3]
    assert not Path("sweeps").exists()


def test_wrong_file(capsys: pytest.CaptureFixture[str]) -> None:
    """An error of the file names it and the key."""
    assert main(["sweep", sweep("jbos = 2\n")]) == 2
    assert capsys.readouterr().err == (
        "cab: sweep.toml: jbos: is not a key of a sweep file; did you mean 'jobs'?\n"
    )


def test_endpoint_of_the_environment(
    demo_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without `upstream` in the file CAB_ENDPOINT is taken, and CAB_KEY as its key."""
    monkeypatch.setenv("CAB_ENDPOINT", demo_url)
    monkeypatch.setenv("CAB_KEY", "sk-canary-0123456789")

    assert main(["sweep", sweep("", LEAST.replace('upstream = "demo"\n', "")), "--json"]) == 0

    assert json_of(capsys)["complete"] == 1
    written = [path.read_bytes() for path in Path("sweeps").rglob("*") if path.is_file()]
    assert not any(b"sk-canary" in data for data in written)


def test_unreachable(capsys: pytest.CaptureFixture[str]) -> None:
    """An endpoint that is not there is reported before any cell starts."""
    with port_without_listener() as port:
        url = f"http://127.0.0.1:{port}"
        assert main(["sweep", sweep("", LEAST.replace('"demo"\nmodels', f'"{url}"\nmodels'))]) == 2
    assert "cannot be reached" in capsys.readouterr().err
    assert not Path("sweeps/s/runs").exists()


@pytest.mark.slow
def test_infrastructure(capsys: pytest.CaptureFixture[str]) -> None:
    """What the infrastructure fails is retried, reported with its reason, and leaves the others alone."""
    agents = '"scripted", "tests.adapters.toyagents:Missing"'
    file = sweep("retries = 1\n", LEAST.replace('"scripted"', agents))

    assert main(["sweep", file, "--json"]) == 1
    report = json_of(capsys)
    assert main(["sweep", file, "--dry-run"]) == 0
    listed = capsys.readouterr().out
    assert main(["sweep", file, "--report"]) == 1
    printed = capsys.readouterr().out

    [(slot, reason)] = report["failed"].items()
    assert slot == f"s/missing/demo/{TASK}#run1"
    assert reason.startswith("NotStarted: ")
    assert [each["verdict"] for each in report["apart"]] == ["infrastructure"] * 2
    assert report["groups"][0]["pass_rate"]["value"] == 1
    assert "to run again: infrastructure" in listed
    assert f"failed by the infrastructure: {slot}: NotStarted" in printed
    assert "attempts without a result, infrastructure: 2, with 0 calls in the ledger" in printed


class Down(BaseHTTPRequestHandler):
    """An endpoint that listens and has no time."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        del format, args


@pytest.mark.slow
def test_endpoint_is_down(capsys: pytest.CaptureFixture[str]) -> None:
    """Cells of which no call succeeded are the endpoint's failures; so many in a row end the sweep."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Down) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        url = f"http://127.0.0.1:{server.server_port}"
        text = LEAST.replace('"demo"\nmodels', f'"{url}"\nmodels')
        code = main(["sweep", sweep("runs = 3\nretries = 0\ngive_up_after = 2\n", text), "--json"])
        server.shutdown()
        serving.join()

    report = json_of(capsys)
    third = f"{FIRST[:-1]}3"
    assert code == 1
    assert report["failed"] == {
        f"{FIRST[:-1]}{number}": "no model call succeeded: endpoint 1" for number in (1, 2)
    }
    assert report["not_run"] == {third: "the infrastructure failed 2 cells in a row"}
    assert [each["calls"] for each in report["apart"]] == [1, 1]
    # What the agent said is kept for whoever looks into it.
    assert Path(f"sweeps/s/failed/{FIRST}/stderr.txt").exists()
    assert not list(Path("sweeps/s/runs").rglob("cell.json"))


def test_budget(capsys: pytest.CaptureFixture[str]) -> None:
    """When the budget is spent, the cells that are left are named as not run, and not scored."""
    file = sweep("runs = 3\n[budget]\ncalls = 3\n")

    assert main(["sweep", file, "--json"]) == 1

    report = json_of(capsys)
    reason = "the budget is spent: 3 of 3 calls are made"
    assert report["not_run"] == {f"{FIRST[:-1]}{n}": reason for n in (2, 3)}
    assert (report["complete"], report["groups"][0]["cells"]) == (1, 1)


def test_cut_off_by_the_budget(capsys: pytest.CaptureFixture[str]) -> None:
    """A cell that the sweep's budget cuts off in its middle has no score either."""
    file = sweep("[budget]\ncalls = 2\n")

    assert main(["sweep", file, "--json"]) == 1
    report = json_of(capsys)
    assert main(["sweep", file]) == 1
    printed = capsys.readouterr().out

    assert report["not_run"] == {FIRST: "the rest of the sweep's budget was not enough for it"}
    assert (report["groups"], report["spend"]["calls"]) == ([], 2)
    assert f"not run: {FIRST}: " in printed


def test_allowance_of_a_cell(capsys: pytest.CaptureFixture[str]) -> None:
    """An agent that reaches its own allowance is scored for what it did until then."""
    assert main(["sweep", sweep("[limits]\ncalls = 1\n"), "--json"]) == 0

    report = json_of(capsys)
    assert report["groups"][0]["pass_rate"]["value"] == 0


def test_missing_program(capsys: pytest.CaptureFixture[str]) -> None:
    """A task that cannot be run here is named with what it needs."""
    task = load_task(TASK)
    shutil.copytree(task.root, "needy")
    need = '[[needs]]\ncommand = "no-such-program"\nget = "install it"\n\n[check]'
    text = Path("needy/task.toml").read_text().replace("[check]", need)
    Path("needy/task.toml").write_text(text.replace(task.id, "own/needy"))

    assert main(["sweep", sweep("", LEAST.replace(light_task(), "./needy")), "--json"]) == 1

    report = json_of(capsys)
    [(slot, why)] = report["not_run"].items()
    assert slot == "s/scripted/demo/own/needy#run1"
    assert "needs no-such-program, which is not on PATH; install it" in why


def test_no_cell(capsys: pytest.CaptureFixture[str]) -> None:
    """A glob that chooses no cell is a typing error."""
    assert main(["sweep", sweep(), "--only", "*/aider/*"]) == 2
    assert "--only '*/aider/*' matches no cell" in capsys.readouterr().err


@pytest.mark.usefixtures("done")
def test_changed_file(capsys: pytest.CaptureFixture[str]) -> None:
    """A sweep goes on with a longer matrix, and says so; other conditions need a word of its user."""
    assert main(["sweep", sweep("runs = 2\n"), "--json"]) == 0
    grown = capsys.readouterr().err
    assert main(["sweep", sweep("runs = 1\ntimeout_s = 60\n")]) == 2
    refused = capsys.readouterr().err
    assert main(["sweep", sweep("runs = 1\ntimeout_s = 60\n"), "--accept-changes"]) == 0
    accepted = capsys.readouterr().err

    assert "the sweep file has changed: runs: 1 -> 2" in grown
    assert "started under other conditions (timeout_s: 600.0 -> 60.0)" in refused
    assert "has changed: timeout_s: 600.0 -> 60.0" in accepted
    assert (
        "1 cell is no longer part of the sweep; what was run stays, and is not reported" in accepted
    )


@pytest.mark.usefixtures("done")
def test_newer_agent(capsys: pytest.CaptureFixture[str]) -> None:
    """Another version of an agent is another condition."""
    newer = LEAST.replace('"scripted"', '"tests.adapters.sweeps.agents:Newer"')

    assert main(["sweep", sweep("", newer)]) == 2
    assert "agent scripted: 1 -> 2" in capsys.readouterr().err


@pytest.mark.usefixtures("done")
@pytest.mark.parametrize("lost", ["bundle", "cell.json", "before.json", "calls.jsonl"])
def test_lost_result(capsys: pytest.CaptureFixture[str], lost: str) -> None:
    """A result that was taken away or damaged is not counted, and is run again under a new number."""
    bundle = Path(f"sweeps/s/runs/{FIRST}")
    shutil.rmtree(bundle) if lost == "bundle" else (bundle / lost).write_bytes(b"")
    capsys.readouterr()

    assert main(["sweep", sweep(), "--report", "--json"]) == 1
    report = json_of(capsys)
    assert (report["complete"], report["cells"]) == (0, {})
    assert report["not_run"][FIRST].endswith("; it will be run again")
    assert main(["sweep", sweep(), "--json"]) == 0

    printed = capsys.readouterr()
    said, line = printed.err.splitlines()
    assert said.startswith(f"{FIRST} is run again: its ")
    assert line.startswith("1/1 ")
    assert orjson.loads(printed.out)["cells"] == {FIRST: f"{FIRST[:-1]}2"}
    assert (Path(f"sweeps/s/failed/{FIRST}").exists()) is (lost != "bundle")


@pytest.mark.usefixtures("done")
@pytest.mark.slow
def test_lost_ledger(capsys: pytest.CaptureFixture[str]) -> None:
    """Calls that are no longer in the ledger are taken from the bundles; without them nothing is known."""
    shutil.rmtree("sweeps/s/ledger")
    capsys.readouterr()
    assert main(["sweep", sweep(), "--report", "--json"]) == 0
    assert json_of(capsys)["spend"]["calls"] == 3

    Path(f"sweeps/s/runs/{FIRST}/calls.jsonl").write_bytes(b"")
    file = sweep("runs = 2\n[budget]\ncalls = 9\n")
    assert main(["sweep", file, "--report", "--json"]) == 1
    spend = json_of(capsys)["spend"]
    assert (spend["calls"], spend["tokens"], spend["cost_usd"]) == (None, None, None)
    assert (spend["known_calls"], spend["lost_cells"]) == (0, 1)
    assert main(["sweep", file]) == 2
    assert (
        "what is left of the budget is not known; bring the ledger back" in capsys.readouterr().err
    )
    main(["sweep", file, "--accept-changes"])
    assert (
        "spent over all attempts: not known: the calls of 1 cell are lost"
        in capsys.readouterr().out
    )


@pytest.mark.usefixtures("done")
@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.slow
def test_longer_after_a_retry(capsys: pytest.CaptureFixture[str], *, killed: bool) -> None:
    """A retry under the number of a run that is added later fills its own slot and no other."""
    shutil.rmtree(f"sweeps/s/runs/{FIRST}")
    assert main(["sweep", sweep()]) == 0
    if killed:
        journal = Path("sweeps/s/journal.jsonl")
        lines = journal.read_bytes().splitlines(keepends=True)
        last = max(at for at, line in enumerate(lines) if orjson.loads(line)["kind"] == "begin")
        journal.write_bytes(b"".join(lines[: last + 1]))
    capsys.readouterr()

    assert main(["sweep", sweep("runs = 2\n"), "--json"]) == 0

    second, third = f"{FIRST[:-1]}2", f"{FIRST[:-1]}3"
    assert json_of(capsys)["cells"] == {FIRST: second, second: third}


@pytest.mark.usefixtures("done")
def test_lost_journal(capsys: pytest.CaptureFixture[str]) -> None:
    """Without its journal a sweep knows its results by their bundles."""
    Path("sweeps/s/journal.jsonl").unlink()
    capsys.readouterr()

    assert main(["sweep", sweep(), "--json"]) == 0
    assert json_of(capsys)["cells"] == {FIRST: FIRST}


def test_ledger_elsewhere() -> None:
    """The ledger and the folder may lie elsewhere; paths start from the file."""
    Path("deep").mkdir()
    Path("deep/sweep.toml").write_text(LEAST + 'folder = "out"\nledger = "../led"\n')

    assert main(["sweep", "deep/sweep.toml"]) == 0
    assert Path(f"deep/out/runs/{FIRST}/cell.json").exists()
    assert verify_ledger(Path("led")).holds


@pytest.mark.slow
def test_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--install installs what is missing; what cannot be installed is reported before anything starts."""
    index = serve(tmp_path, monkeypatch)
    file = sweep("retries = 1\n", LEAST.replace('"scripted"', '"tests.adapters.tiny:Tiny"'))
    assert main(["sweep", file, "--install"]) == 2
    assert not Path("sweeps").exists()

    write_wheel(index)
    assert main(["sweep", file, "--install", "--json"]) == 0
