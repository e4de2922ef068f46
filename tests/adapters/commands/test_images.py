"""`cab images` with an engine that answers from a table, and without one: lists, errors, exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cab.adapters.cli import main
from tests.adapters.sandboxes.stub import Stub, stub_engine

ID = "a" * 64
DIGEST = f"sha256:{'b' * 64}"
ENDED_AS_IT_BUILDS = """
import os, signal, sys
from cab.adapters.cli import main

def started(event, values):
    if event == "subprocess.Popen" and "build" in values[1]:
        sys.setprofile(called)

def called(frame, event, _):
    # A task of asyncio's own begins to read what the build prints.
    if event == "call" and frame.f_code.co_name == "_read_stream":
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGTERM)

sys.addaudithook(started)
sys.exit(main())
"""


def inspected(name: str, image: str, **more: object) -> dict[str, object]:
    """What an engine says of an image; docker has no digest of one that was never pushed."""
    return {
        "Id": ID,
        "RepoTags": [name],
        "Created": "2026-03-01T00:00:00Z",
        "Size": 1_500_000_000,
        "Config": {"Labels": {"cab.image": image, "cab.version": "0.1.0"}},
        "RootFS": {"Layers": ["sha256:1", "sha256:2"]},
        **more,
    }


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    return stub_engine(tmp_path, monkeypatch, "podman")


def have(engine: Stub, *images: dict[str, object]) -> None:
    engine.answer("images", out="".join(f"{number}\n" for number in range(len(images))))
    engine.answer("image", "inspect", out=json.dumps(images))


def run(*words: str) -> int:
    return main(["images", *words, "--engine", "podman"])


def test_list(engine: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    """The list has each image by name, with the digest that the engine has, or else its id."""
    have(engine, inspected("localhost/z:1", "z"), inspected("localhost/a:1", "a", Digest=DIGEST))
    assert run("list", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["name"], row["digest"], row["id"]) for row in rows] == [
        ("localhost/a:1", DIGEST, f"sha256:{ID}"),
        ("localhost/z:1", None, f"sha256:{ID}"),
    ]
    assert engine.calls[-2][3:5] == ["--filter", "label=cab.image"]
    assert run("list") == 0
    assert "1,500" in capsys.readouterr().out


def test_an_image_that_goes_meanwhile(engine: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    """An engine that fails as an image was removed under it is asked again; the list has those that are there."""
    once = "state = here / 'failed'\nif not state.exists():\n    state.touch()\n    sys.exit(125)"
    have(engine, inspected("localhost/a:1", "a"))
    engine.answer("images", out="0\n1\n", run=once)
    engine.answer(
        *("image", "inspect"),
        code=125,
        out=json.dumps([inspected("localhost/a:1", "a")]),
        err="Error: 1: image not known\n",
    )
    assert run("list", "--json") == 0
    [row] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert row["name"] == "localhost/a:1"


def test_a_list_that_fails_each_time(engine: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    """Then the engine's reason is the error."""
    engine.answer("images", code=125, err="Error: no space left on device\n")
    assert run("list") == 2
    assert "podman cannot list its images: Error: no space left" in capsys.readouterr().err


def test_an_empty_list_says_what_to_do(engine: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    """Without images the list names the command that builds one; as JSON it is empty."""
    have(engine)
    assert run("list") == 0
    assert "cab images build NAME" in capsys.readouterr().out
    assert run("list", "--json") == 0
    assert capsys.readouterr().out == ""


def test_show_by_the_agents_name(engine: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    """An agent's name is enough where it has one image; with several, they are named."""
    have(engine, inspected("localhost/a:1", "a", Digest=DIGEST))
    assert run("show", "a") == 0
    assert DIGEST in capsys.readouterr().out
    have(engine, inspected("localhost/a:1", "a"), inspected("localhost/a:2", "a"))
    assert run("show", "a") == 2
    error = capsys.readouterr().err
    assert error == "cab: there are several images of a; name one of localhost/a:1, localhost/a:2\n"


def test_an_image_that_is_not_there(engine: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    """An agent without an image is an error that names the command that builds it."""
    have(engine)
    assert run("show", "aider") == 2
    expected = "cab: there is no image of aider; build it with: cab images build aider\n"
    assert capsys.readouterr().err == expected


def test_what_the_engine_says_cannot_be_read(
    engine: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    """An answer that is no list of images is one line."""
    engine.answer("images", out="1\n")
    engine.answer("image", "inspect", out='[{"Id": 1}]')
    assert run("list") == 2
    assert "the container engine's answer cannot be read" in capsys.readouterr().err


def test_a_step_that_fails(
    engine: Stub,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The reason is the last line of the step itself, not of the engine, and the log has everything."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    engine.answer("image", "inspect", out=json.dumps([inspected("base:1", "base")]))
    said = "#9 0.41 E: no space left\n#9 0.42 cab: apt-get failed\nError: building at STEP 2: exit status 1\n"
    engine.answer("build", code=1, err=said)
    assert run("build", "checks", "--base", "base:1") == 2
    error = capsys.readouterr().err
    assert " was not built: apt-get failed (full log: " in error
    log = Path(error.rpartition("full log: ")[2].strip().removesuffix(")"))
    assert said in log.read_text()


def test_a_build_that_is_ended(engine: Stub) -> None:
    """SIGTERM ends a build without a traceback, with the exit code of shells, whichever task runs when it comes."""
    engine.answer("image", "inspect", out=json.dumps([inspected("base:1", "base")]))
    engine.answer("build", run="import time; time.sleep(600)")
    words = ("images", "build", "checks", "--base", "base:1", "--engine", "podman")
    done = subprocess.run(
        (sys.executable, "-c", ENDED_AS_IT_BUILDS, *words),
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (143, "")


def test_a_build_without_an_engine(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without docker and podman the error says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["images", "build", "aider"]) == 2
    error = capsys.readouterr().err
    assert "no container engine (docker is not on the PATH; podman is not on the PATH)" in error
    assert "install podman" in error
    assert "--sandbox" not in error


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("aidr",), "did you mean 'aider'?"),
        (("goose",), "neither npm nor PyPI has it"),
        (("aider", "--build-file", "netrc=/x"), "is not a file for the build"),
        (("aider", "--wheels", "/no/such/folder"), "is not a folder; give one"),
        (("aider", "--binary", "/no/such/file"), "give an executable file"),
    ],
)
def test_what_is_wrong_is_said_before_an_engine_is_asked(
    words: tuple[str, ...], reason: str, engine: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong agent, file or folder is one line, and no engine is started."""
    assert run("build", *words) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert engine.calls == []
