"""`cab check`."""

import os
import signal
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.adapters.cli import main
from cab.adapters.commands.check import verdict_of
from cab.adapters.ui.endpoint_probe import EndpointFinding, EndpointProbe
from cab.scoring.score import score_one
from tests.adapters.light_task import light_task
from tests.adapters.toyagents import alive
from tests.tools.ports import port_without_listener

TASK = "polyglot/python-error-handling"
CHECK = ["check", "--task", light_task()]
CELL = f"provisional/scripted/m/{TASK}"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the test's own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def endpoint(demo_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A user's endpoint and key."""
    monkeypatch.setenv("CAB_ENDPOINT", f"{demo_url}/v1")
    monkeypatch.setenv("CAB_KEY", "sk-canary-0123456789")
    return f"{demo_url}/v1"


def json_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the one object that was printed."""
    [line] = capsys.readouterr().out.splitlines()
    printed: dict[str, Any] = orjson.loads(line)
    return printed


def test_one_line(endpoint: str, temporary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It asks, runs one provisional cell, says in words what came of it, and keeps nothing."""
    assert main(["check", "--model", "m"]) == 0

    out = capsys.readouterr().out
    lines = out.splitlines()
    assert CELL in [line.rstrip() for line in lines]
    assert any(line.startswith("ready: 3 model calls metered, 2,603 tokens") for line in lines)
    assert "counted by the endpoint; the task passed" in out
    assert "provisional, not a result; nothing was kept; --keep DIR keeps it" in lines
    assert f"  cab adapters show aider --endpoint {endpoint} --model m " in out
    assert lines[-1] == f"  cab run-cell --tui aider --model m --task {TASK}"
    assert "canary" not in out
    assert list(temporary.iterdir()) == []
    assert [path.name for path in Path.cwd().iterdir()] == ["temporary"]


@pytest.mark.usefixtures("endpoint")
def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json it prints one object: verdict, answers and the cell."""
    assert main([*CHECK, "--model", "m", "--json"]) == 0

    printed = json_of(capsys)
    assert printed["ready"] is True
    assert printed["probe"][0]["name"] == "the endpoint answers"
    assert (printed["cell"]["cell_id"], printed["cell"]["path"]) == (CELL, None)
    assert printed["cell"]["tokens"]["model_calls"] == 3


@pytest.mark.usefixtures("endpoint")
def test_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """With --keep the bundle stays, marked as provisional by its id; a second check replaces it."""
    assert main([*CHECK, "--model", "m", "--keep", "checked"]) == 0
    assert main([*CHECK, "--model", "m", "--keep", "checked"]) == 0

    assert f"provisional, not a result; bundle: checked/{CELL}" in capsys.readouterr().out
    cell = orjson.loads(Path(f"checked/{CELL}/cell.json").read_bytes())
    assert cell["identity"]["sweep_id"] == "provisional"


@pytest.mark.usefixtures("endpoint")
def test_a_model_named_by_a_path(capsys: pytest.CaptureFixture[str]) -> None:
    """Its name goes to the endpoint as it is; in the cell's id and folder it is encoded."""
    assert main([*CHECK, "--model", "/models/llama 3", "--keep", "checked"]) == 0

    bundle = f"checked/provisional/scripted/%2Fmodels/llama 3/{TASK}"
    assert f"provisional, not a result; bundle: {bundle}" in capsys.readouterr().out
    assert score_one(Path(bundle)).axes.tokens.model_calls == 3
    calls = [orjson.loads(line) for line in Path(bundle, "calls.jsonl").read_bytes().splitlines()]
    assert {call["model_requested"] for call in calls} == {"/models/llama 3"}
    assert {call["cell_id"] for call in calls} == {bundle.removeprefix("checked/")}


def test_demo(capsys: pytest.CaptureFixture[str]) -> None:
    """The built-in model server needs neither endpoint nor model."""
    assert main([*CHECK, "--upstream", "demo"]) == 0

    out = capsys.readouterr().out
    assert "cab adapters show aider --endpoint URL --model MODEL " in out
    assert f"--model demo --upstream demo --task {light_task()}" in out


@pytest.mark.usefixtures("endpoint")
def test_no_call(capsys: pytest.CaptureFixture[str]) -> None:
    """An agent that makes no call shows nothing of the endpoint."""
    agent = "tests.adapters.toyagents:Ticket"

    assert main([*CHECK, "--model", "m", "--tui", agent]) == 1
    out = capsys.readouterr().out
    assert "not ready: no model call of the agent succeeded (it made no call)" in out
    assert "continue with" not in out


def test_unreachable(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing answers no cell is run, and the verdict says why."""
    with port_without_listener() as port:
        monkeypatch.setenv("CAB_ENDPOINT", f"http://127.0.0.1:{port}")

        assert main([*CHECK, "--model", "m"]) == 1
        out = capsys.readouterr().out
        assert "not ready: the endpoint answers: no (127.0.0.1: the endpoint refused" in out
        assert main([*CHECK, "--model", "m", "--json"]) == 1
    assert json_of(capsys)["cell"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no endpoint; set CAB_ENDPOINT"),
        (["--upstream", "http://h"], "no model; give --model NAME"),
        (["--upstream", "h", "--model", "m"], "is not an http(s) URL"),
        (["--upstream", "demo", "--tui", "scriptd"], "did you mean 'scripted'?"),
        (["--upstream", "demo", "--task", "x"], "no task 'x'"),
        (["--upstream", "demo", "--tui", "aider"], "run: cab adapters install aider"),
        (["--upstream", "demo", "--timeout-s", "0"], "is not above 0"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong with the command line is reported before the endpoint is asked."""
    assert main([*CHECK, *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize("key", ["canary-0123\r", "canary\n0123", "canary\x7f0123", "canary\udcff"])
def test_key_with_control_characters(
    key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key that cannot stand in a header is refused in one line that does not show it."""
    monkeypatch.setenv("CAB_KEY", key)

    assert main([*CHECK, "--model", "m"]) == 2
    printed = capsys.readouterr()
    [line] = printed.err.splitlines()
    assert "fix CAB_KEY" in line
    assert "canary" not in printed.out + printed.err


def test_verdict_without_a_cell() -> None:
    """The first answer that is a no names the verdict."""
    probe = EndpointProbe(
        [EndpointFinding("a", "yes"), EndpointFinding("b", "no", "why"), EndpointFinding("c", "no")]
    )

    assert verdict_of(probe, None) == (False, "not ready: b: no (why)")


@pytest.mark.usefixtures("endpoint")
def test_not_counted() -> None:
    """An endpoint whose calls have no token count is not ready. Counts of our tokenizer are enough, and the verdict says so."""
    main([*CHECK, "--model", "m", "--keep", "checked"])
    scored = score_one(Path(f"checked/{CELL}"))
    tokens = scored.axes.tokens
    gap = tokens.model_copy(update={"total_tokens": None, "unmeasured_calls": 2})
    ours = tokens.model_copy(update={"by_source": {"tokenizer": tokens.by_source["upstream"]}})

    verdicts = [
        verdict_of(
            EndpointProbe([]), replace(scored, axes=scored.axes.model_copy(update={"tokens": each}))
        )
        for each in (gap, ours)
    ]

    assert verdicts[0] == (False, "not ready: 2 of 3 calls have no token count")
    assert verdicts[1].ready
    assert "counted by our tokenizer" in verdicts[1].words


@pytest.mark.usefixtures("endpoint")
def test_asked_to_stop(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM ends the agent first, then the command; nothing is left."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    monkeypatch.setenv("TEST_READY", str(ready))
    agents: list[int] = []

    def stop() -> None:
        agents.append(int(ready.read_text()))
        os.kill(os.getpid(), signal.SIGTERM)

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(SystemExit) as caught:
        main([*CHECK, "--model", "m", "--tui", "tests.adapters.toyagents:Waiting"])
    stopper.join()

    assert caught.value.code == 143
    assert not alive(agents[0])
    assert list(temporary.iterdir()) == []
