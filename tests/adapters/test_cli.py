"""The command `cab`, as a program: what it prints and how it ends."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from cab.adapters.cli import COMMANDS, main, make_parser
from cab.adapters.ui.command import Command
from tests.adapters.light_task import light_task
from tests.adapters.toyagents import gone
from tests.scoring.builders import FIXTURES
from tests.tools.commands import run_command

CAB = [sys.executable, "-c", "import sys; from cab.adapters.cli import main; sys.exit(main())"]
TASK = "polyglot/python-error-handling"
RUN = ["run-cell", "--tui", "scripted", "--upstream", "demo", "--task", light_task()]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The environment of the command: no settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CAB_")}
    path = os.pathsep.join(sys.path)
    return {**kept, "PYTHONPATH": path, "XDG_DATA_HOME": str(tmp_path / "data")}


def cab(
    folder: Path, env: dict[str, str], *arguments: str, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run `cab` in a folder."""
    return run_command("cab", *arguments, cwd=folder, env={**env, **extra})


def test_run_cell(tmp_path: Path, env: dict[str, str]) -> None:
    """A first look needs no key and no network: table, bundle, and the two accounts."""
    done = cab(tmp_path, env, *RUN)

    assert (done.returncode, done.stderr) == (0, "")
    assert "model calls" in done.stdout
    bundle = f"runs/local/scripted/demo/{TASK}"
    assert f"bundle: {bundle}\n" in done.stdout
    assert "the model server served 3 calls, " in done.stdout
    assert done.stdout.rstrip().endswith(": equal")
    assert (tmp_path / bundle / "cell.json").is_file()


def test_run_cell_json(tmp_path: Path, env: dict[str, str]) -> None:
    """With --json it prints one object: the axes, the bundle, and the two accounts."""
    done = cab(tmp_path, env, *RUN, "--json", "--run", "3", "--sweep", "s", "--model", "a/b")

    result = orjson.loads(done.stdout)
    assert result["cell_id"] == f"s/scripted/a/b/{TASK}#run3"
    assert result["bundle"] == f"runs/s/scripted/a/b/{TASK}#run3"
    assert result["account"]["equal"] is True
    assert result["account"]["served"]["calls"] == result["tokens"]["model_calls"] == 3
    assert result["pass_rate"]["pass"] == 1


def test_variables_of_settings_configure_no_proxy_inside(
    tmp_path: Path, env: dict[str, str]
) -> None:
    """The proxy of a cell has the command's settings: CAB_ variables are for cab-proxy alone."""
    settings = {
        "CAB_UPSTREAM": "ftp://nowhere",
        "CAB_LEDGER": str(tmp_path / "elsewhere"),
        "CAB_PORT": "70000",
        "CAB_AUTH": "neither",
        "CAB_CELL": "s/a/m/f/other",
        "CAB_CONFIG": "none.toml",
        "CAB_UPSTREEM": "x",
    }

    done = cab(tmp_path, env, *RUN, "--json", **settings)

    assert done.returncode == 0, done.stderr
    assert orjson.loads(done.stdout)["tokens"]["model_calls"] == 3
    assert not (tmp_path / "elsewhere").exists()


def test_scored_again(tmp_path: Path, env: dict[str, str]) -> None:
    """`cab score` finds the stored scores to be what comes out again."""
    cab(tmp_path, env, *RUN)

    done = cab(tmp_path, env, "score", "runs", "--json")

    assert done.returncode == 0
    assert orjson.loads(done.stdout)["identical"] is True


NOTHING_THERE = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run-cel"], "'run-cel' is not one of: meter, run-cell, "),
        (["run-cel"], "did you mean 'run-cell'? See cab --help"),
        (["frobnicate"], "'frobnicate' is not one of: meter, "),
        (["--zzz"], "arguments are required: COMMAND"),
        ([*RUN, "--modle", "x"], "did you mean --model?"),
        ([*RUN, "--tui", "adier"], "no agent 'adier'; did you mean 'aider'?"),
        ([*RUN, "--task", "polyglot/pyton-error-handling"], "did you mean"),
        ([*RUN, "--tui", "aider"], "is not installed; run: cab adapters install aider"),
        ([*RUN, "--upstream", NOTHING_THERE], "no model; give --model NAME"),
        ([*RUN, "--upstream", NOTHING_THERE, "--model", "m"], "cannot be reached"),
        ([*RUN, "--upstream", "ftp://x", "--model", "m"], "is not an http(s) URL"),
        ([*RUN, "--model", "m", "--sweep", ".."], "would leave the folder"),
        ([*RUN, "--proxy", "http://x"], "--upstream cannot be used with --proxy"),
        ([*RUN, "--timeout-s", "soon"], "invalid float value: 'soon'"),
        ([*RUN, "--timeout-s", "-5"], "is not above 0"),
        ([*RUN, "--run", "0"], "runs are counted from 1"),
        ([*RUN, "--ledger", "/proc/version"], "cannot be used"),
        ([*RUN, "--runs", "/proc/nowhere"], "cannot be written"),
        (["run-cell", "--tui", "scripted"], "arguments are required: --task"),
        (
            ["run-cell", "--tui", "scripted", "--task", TASK, "--model", "m"],
            "no endpoint; set CAB_ENDPOINT",
        ),
        (
            ["run-cell", "--tui=scripted", "--task", TASK, "--model=m", "--proxy", NOTHING_THERE],
            "CAB_SIGNING_KEY is not set",
        ),
        (["adapters", "install", "zzz"], "no agent 'zzz'"),
        (["adapters", "instal", "aider"], "did you mean 'install'?"),
        (["adapters", "show", "zzz"], "no agent 'zzz'"),
        (["tasks", "show", "zzz"], "no task 'zzz'"),
        (["tasks", "show", "./zzz"], "does not exist"),
        (["score", "zzz"], "zzz"),
    ],
)
def test_one_line_exit_2(
    tmp_path: Path, env: dict[str, str], arguments: list[str], said: str
) -> None:
    """Whatever is wrong: one line that names it, exit code 2, no traceback, nothing written."""
    done = cab(tmp_path, env, *arguments)

    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_there_already(tmp_path: Path, env: dict[str, str]) -> None:
    """A complete cell is not overwritten without --force."""
    cab(tmp_path, env, *RUN)

    refused, forced = cab(tmp_path, env, *RUN), cab(tmp_path, env, *RUN, "--force")

    assert refused.returncode == 2
    assert "already holds this cell; give --run N" in refused.stderr
    assert forced.returncode == 0


def test_environment_is_used(tmp_path: Path, env: dict[str, str]) -> None:
    """CAB_ENDPOINT names the endpoint; with --proxy it is not looked at."""
    arguments = ["run-cell", "--tui", "scripted", "--task", light_task()]

    by_variable = cab(tmp_path, env, *arguments, CAB_ENDPOINT="demo")
    by_proxy = cab(
        tmp_path,
        env,
        *(*arguments, "--model", "m", "--proxy", NOTHING_THERE),
        CAB_ENDPOINT="demo",
        CAB_SIGNING_KEY="x" * 64,
    )

    assert by_variable.returncode == 0
    assert "cannot be reached" in by_proxy.stderr


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_interrupted(
    tmp_path: Path, env: dict[str, str], number: signal.Signals, code: int
) -> None:
    """Ctrl-C and SIGTERM end the agent, and then the command, without a traceback."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    arguments = ["run-cell", "--tui", "tests.adapters.toyagents:Waiting", *RUN[3:]]

    with subprocess.Popen(
        [*CAB, *arguments],
        cwd=tmp_path,
        env={**env, "TEST_READY": str(ready)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        agent = int(ready.read_text())
        process.send_signal(number)
        out, err = process.communicate(timeout=60)

    assert process.returncode == code
    assert (out, err) == ("", "")
    assert gone(agent)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`cab --help` names every command, the variables and the exit codes."""
    with pytest.raises(SystemExit) as caught:
        main(["--help"])

    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert all(name in text for name in (*COMMANDS, "CAB_ENDPOINT", "CAB_KEY", "exit codes"))


def test_no_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """`cab` alone shows the same help."""
    assert main([]) == 0
    assert "commands:" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command explains itself, in the words that `cab --help` has for it."""
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])

    assert caught.value.code == 0
    assert f"usage: cab {command}" in capsys.readouterr().out
    assert COMMANDS[command].help in " ".join(make_parser([command]).format_help().split())


def imported_by(*arguments: str) -> set[str]:
    """Return the modules that a command imports and bare Python does not."""
    code = (
        "import sys\nbefore = set(sys.modules)\nfrom cab.adapters.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write(' '.join(set(sys.modules) - before))\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=True,
        env=env,
        capture_output=True,
        text=True,
    )
    return set(done.stderr.split())


def test_help_is_light() -> None:
    """`cab --help` answers at once: it imports the standard library alone, and little of it.

    Measured, it takes 0.02 s of processor time more than bare Python. Time differs from machine to machine,
    the list of modules does not.
    """
    modules = imported_by("--help")
    roots = {name.partition(".")[0] for name in modules} - {"cab"}
    assert roots <= sys.stdlib_module_names
    assert not roots & {"asyncio", "email", "logging", "subprocess", "tomllib", "urllib"}
    assert len(modules) < 100


def test_only_the_proxys_command_reads_settings_from_the_environment() -> None:
    """`cab score` imports neither the library that reads settings from variables nor the proxy's server."""
    modules = imported_by("score", str(FIXTURES), "--json")
    assert "cab.scoring.score" in modules
    assert not {"pydantic_settings", "aiohttp", "shtab"} & modules


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        ("adapter", 2, "cab: the agent is gone\n"),
        ("proxy", 2, "cab: the port is taken\n"),
        ("scoring", 2, "cab: calls.jsonl:3: no JSON\n"),
        ("disk", 1, "cab: runs/cell.json: No space left on device\n"),
        ("disk behind", 1, "cab: the journal cannot be written\n"),
        ("unnamed", 2, "cab: the system: something broke\n"),
        ("interrupt", 130, ""),
    ],
)
def test_errors_are_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: str,
    code: int,
    said: str,
) -> None:
    """Whatever a command raises of its own is one line and an exit code."""
    monkeypatch.setitem(COMMANDS, "raising", Command("tests.adapters.commands.raising", "fails"))

    assert main(["raising", error]) == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("command", "said"),
    [("scor", "did you mean 'score'? See"), ("zzz", "keys, ledger, capture, completion; see")],
)
def test_unknown_command(capsys: pytest.CaptureFixture[str], command: str, said: str) -> None:
    """An unknown command is answered with the one that was probably meant."""
    with pytest.raises(SystemExit) as caught:
        main([command])

    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`cab --version` prints the version."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])

    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("cab ")


def test_reader_that_has_enough(tmp_path: Path, env: dict[str, str]) -> None:
    """A reader that goes away, such as `head`, is not an error."""
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        done = subprocess.run(
            [*CAB, "tasks", "list", "--json"],
            cwd=tmp_path,
            env=env,
            stdout=theirs.fileno(),
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert (done.returncode, done.stderr) == (0, "")
