"""The scripted agent as a program, against a real server that says what the test wants."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web

from cab.adapters.agents import scripted_agent
from cab.adapters.agents.scripted_agent import MAX_TURNS, inside, main, use_tool
from tests.tools.servers import serving

Answer = Callable[[dict[str, Any]], web.Response]


class Done(NamedTuple):
    """How the agent ended."""

    code: int
    stdout: str
    stderr: str


Agent = Callable[..., Awaitable[Done]]


@pytest.fixture
def agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Agent:
    """The agent, run in the test's folder, beside the server's loop."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    monkeypatch.setenv("OPENAI_MODEL", "m")

    async def run(url: str, *arguments: str) -> Done:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        code = await asyncio.to_thread(main, list(arguments))
        return Done(code, *capsys.readouterr())

    return run


@asynccontextmanager
async def model(answer: Answer) -> AsyncGenerator[str]:
    """Run a model server that gives the test's answers."""

    async def handle(request: web.BaseRequest) -> web.Response:
        return answer(json.loads(await request.read()))

    async with serving(handle) as url:
        yield f"{url}/v1"


def call(name: str, **arguments: str) -> dict[str, Any]:
    """Return a tool call."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": f"call_{name}", "type": "function", "function": function}


def whole(message: dict[str, Any], usage: tuple[int, int] | None = (10, 2)) -> web.Response:
    """Return an answer in one piece."""
    body: dict[str, Any] = {"choices": [{"message": {"role": "assistant", **message}}]}
    if usage:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return web.json_response(body)


def events(*chunks: dict[str, Any], done: bool = True) -> web.Response:
    """Return an answer as server-sent events."""
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return web.Response(text="".join([": hello\n\n", *lines, "data: [DONE]\n\n" if done else ""]))


def delta(**parts: object) -> dict[str, Any]:
    return {"choices": [{"delta": parts}], "usage": None}


USAGE = {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 2}}


async def test_works_until_done(agent: Agent, tmp_path: Path) -> None:
    """It lists, reads and writes as it is told, and stops at the first plain answer."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.txt").write_text("old")
    turns: Iterator[dict[str, Any]] = iter(
        [
            {"content": None, "tool_calls": [call("list_files")]},
            {"content": None, "tool_calls": [call("read_file", path="src/a.txt")]},
            {"tool_calls": [call("write_file", path="new/b.txt", content="neu"), call("fly")]},
            {"content": "All done."},
        ]
    )
    seen: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> web.Response:
        seen.append(body)
        return whole(next(turns))

    async with model(answer) as url:
        done = await agent(url, "Fix it")

    results = [each["content"] for each in seen[-1]["messages"] if each["role"] == "tool"]
    assert done.code == 0
    assert done.stdout.endswith("All done.\ntokens: 40 prompt, 8 completion, 4 calls\n")
    assert results == ["src/a.txt", "old", "wrote new/b.txt", "error: there is no tool fly"]
    assert (tmp_path / "new" / "b.txt").read_text() == "neu"
    assert seen[0]["messages"][1] == {"role": "user", "content": "Fix it"}
    assert [tool["function"]["name"] for tool in seen[0]["tools"]] == [
        "list_files",
        "read_file",
        "write_file",
    ]
    assert "stream" not in seen[0]


async def test_streamed(agent: Agent, tmp_path: Path) -> None:
    """Streamed answers are put together, tool calls in pieces too; usage is asked for."""
    first = events(
        delta(role="assistant", content=None),
        delta(tool_calls=[{"index": 0, "id": "c", "function": {"name": "write_file"}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"path": "a",'}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '"content": "b"}'}}]),
        USAGE,
    )
    answers = iter([first, events(delta(content="Al"), delta(content="so done."), USAGE)])
    seen: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> web.Response:
        seen.append(body)
        return next(answers)

    async with model(answer) as url:
        done = await agent(url, "--stream", "Fix it")

    assert done.code == 0
    assert "Also done.\ntokens: 20 prompt, 4 completion, 2 calls\n" in done.stdout
    assert (tmp_path / "a").read_text() == "b"
    assert seen[0]["stream"] is True
    assert seen[0]["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("stream", [True, False])
async def test_no_usage(agent: Agent, stream: bool) -> None:
    """Where the endpoint gives no usage, it says that it does not know."""
    reply = events(delta(content="Hi.")) if stream else whole({"content": "Hi."}, None)

    async with model(lambda _: reply) as url:
        done = await agent(url, *(["--stream"] if stream else []), "Hello")

    assert (done.code, done.stdout) == (0, "Hi.\ntokens: unknown, 1 calls\n")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (
            lambda: web.Response(status=401, text='{"error":\n"no"}'),
            'answered 401: {"error": "no"}',
        ),
        (lambda: web.Response(text="<html>"), "no answer from"),
        (lambda: web.json_response([]), "no answer from"),
        (lambda: web.json_response({"choices": []}), "no answer from"),
    ],
)
async def test_bad_answers(agent: Agent, reply: Callable[[], web.Response], said: str) -> None:
    """An answer that cannot be used ends the run with one line."""
    async with model(lambda _: reply()) as url:
        done = await agent(url, "Hello")

    assert done.code == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == "tokens: 0 prompt, 0 completion, 0 calls\n"


async def test_broken_stream(agent: Agent) -> None:
    """A stream that breaks off is no answer."""
    async with model(lambda _: events(delta(content="Hal"), done=False)) as url:
        done = await agent(url, "--stream", "Hello")

    assert done.code == 1
    assert "the stream broke off" in done.stderr


async def test_endless(agent: Agent) -> None:
    """It gives up on a model that never comes to an end."""
    async with model(lambda _: whole({"tool_calls": [call("list_files")]})) as url:
        done = await agent(url, "Hello")

    assert done.code == 1
    assert done.stderr == f"still not done after {MAX_TURNS} turns\n"
    assert f"{MAX_TURNS} calls" in done.stdout


def test_missing_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing variable is named, before anything is asked."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    assert main(["Hello"]) == 2
    assert "OPENAI_BASE_URL is not set" in capsys.readouterr().err


def test_as_a_program(tmp_path: Path) -> None:
    """It is a program that needs nothing of this package; a missing variable is named."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", scripted_agent.__file__, "Hello"],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr == "environment variable OPENAI_BASE_URL is not set\n"


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("read_file", '{"path": "gone"}', "No such file"),
        ("read_file", '{"path": "../outside"}', "is outside the folder"),
        ("read_file", '{"path": "/etc/passwd"}', "is outside the folder"),
        ("read_file", '{"path": "link/passwd"}', "is outside the folder"),
        ("write_file", '{"path": "."}', "error: "),
        ("read_file", "{}", "error: 'path'"),
        ("read_file", "no json", "error: "),
        ("read_file", "[]", "error: "),
        ("read_file", '{"path": 5}', "error: "),
        ("list_files", "", ""),
    ],
)
def test_tool_errors(tmp_path: Path, name: str, arguments: str, said: str) -> None:
    """A tool that fails tells the model, and never leaves the folder."""
    (tmp_path / "link").symlink_to("/etc")

    result = use_tool(tmp_path, {"function": {"name": name, "arguments": arguments}})

    assert said in result


def test_inside(tmp_path: Path) -> None:
    """A path below the folder is just that."""
    assert inside(tmp_path, "a/../b") == tmp_path.resolve() / "b"


def test_git_is_not_listed(tmp_path: Path) -> None:
    """What git keeps is of no interest to a model."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref")
    (tmp_path / "b").write_text("")

    assert use_tool(tmp_path, call("list_files")) == "b"
