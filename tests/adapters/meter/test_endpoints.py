"""Which endpoints a metered command calls, and who gets which key."""

import json
import sys
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cab.adapters.agents.base import ApiAddress
from cab.adapters.errors import AdapterError
from cab.adapters.meter.clients import APIS, http_proxy_of, unproxied
from cab.adapters.meter.endpoints import found_endpoints, named_endpoint, passing_endpoints
from cab.adapters.meter.metering import MeteringPlan, child_environment
from tests.adapters.meter.metered import meter

KEY = "sk-of-the-operator-12345"
OPENAI_KEY, ANTHROPIC_KEY = "sk-openai-of-the-user-12345", "sk-ant-of-the-user-12345"
CLIENTS = """
import anthropic, openai, os

asked = [{"role": "user", "content": "hello"}]
if os.environ.get("OPENAI_BASE_URL"):
    openai.OpenAI().chat.completions.create(model="gpt-5", messages=asked)
anthropic.Anthropic().messages.create(model="claude-sonnet-4-5", messages=asked, max_tokens=9)
print(dict(os.environ))
"""
USAGE = {"prompt_tokens": 8, "completion_tokens": 32, "input_tokens": 8, "output_tokens": 32}


class _Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        names = ("authorization", "x-api-key")
        self.server.seen.append((self.path, *(self.headers.get(name) for name in names)))  # type: ignore[attr-defined]
        message = {"role": "assistant", "content": "hello"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {"id": "1", "model": asked["model"], "usage": USAGE, "choices": [choice]}
        answer |= {"type": "message", "role": "assistant", "content": [], "stop_reason": "end_turn"}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Generator[tuple[str, list[tuple[Any, ...]]]]:
    """An endpoint, and what it was sent: path, bearer token, x-api-key."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    seen: list[tuple[Any, ...]] = []
    server.seen = seen  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()
    thread.join()


def test_own_variables(tmp_path: Path, endpoint: tuple[str, list[tuple[Any, ...]]]) -> None:
    """Two providers' keys: each is sent to its own endpoint in its own header; the command sees neither."""
    url, seen = endpoint
    variables = {
        "OPENAI_BASE_URL": f"{url}/one/v1",
        "OPENAI_API_KEY": OPENAI_KEY,
        "ANTHROPIC_BASE_URL": f"{url}/two",
        "ANTHROPIC_API_KEY": ANTHROPIC_KEY,
        "MY_COPY": f"prefix {OPENAI_KEY}",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    words = ("--ledger", "ledger", "--", sys.executable, "-c", CLIENTS)
    done = meter(tmp_path, *words, **variables)
    assert done.code == 0, done.err
    assert seen == [
        ("/one/v1/chat/completions", f"Bearer {OPENAI_KEY}", None),
        ("/two/v1/messages", None, ANTHROPIC_KEY),
    ]
    assert done.result is not None
    assert (done.result.calls, done.result.tokens.total) == (2, 80)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for text in (done.out, done.err, kept.decode(errors="replace")):
        assert OPENAI_KEY not in text
        assert ANTHROPIC_KEY not in text
    assert done.result.ledger == [str(tmp_path / "ledger" / n) for n in ("openai", "anthropic")]


def test_passed_keys(tmp_path: Path, endpoint: tuple[str, list[tuple[Any, ...]]]) -> None:
    """With --pass-keys the command's own keys reach the endpoint, and its calls are counted all the same."""
    url, seen = endpoint
    variables = {"OPENAI_API_KEY": OPENAI_KEY, "ANTHROPIC_AUTH_TOKEN": "login-of-the-user"}
    words = ("--pass-keys", "--upstream", url, "--", sys.executable, "-c", CLIENTS)
    done = meter(tmp_path, *words, **variables)
    assert done.code == 0, done.err
    sent = {path: (bearer, key) for path, bearer, key in seen}
    assert sent["/v1/chat/completions"] == (f"Bearer {OPENAI_KEY}", None)
    assert sent["/v1/messages"] == ("Bearer login-of-the-user", None)
    assert done.result is not None
    assert done.result.calls == 2


def test_named_endpoint(tmp_path: Path, endpoint: tuple[str, list[tuple[Any, ...]]]) -> None:
    """CAB_ENDPOINT and CAB_KEY win over the command's own variables, whose keys do not reach it."""
    url, seen = endpoint
    variables = {
        "CAB_ENDPOINT": url,
        "CAB_KEY": "key-of-the-operator",
        "OPENAI_API_KEY": OPENAI_KEY,
        "OPENROUTER_API_KEY": "sk-or-of-the-user",
    }
    done = meter(tmp_path, "--provider", "openai", "--", sys.executable, "-c", CLIENTS, **variables)
    assert done.code == 0, done.err
    assert [set(each[1:]) - {None} for each in seen] == 2 * [{"Bearer key-of-the-operator"}]
    for secret in (OPENAI_KEY, "sk-or-of-the-user", "key-of-the-operator"):
        assert secret not in done.out
    assert done.result is not None
    gpt = next(each for each in done.result.models if each.model == "gpt-5")
    assert gpt.cost_usd is not None  # of the list of prices of the provider


def test_nested(tmp_path: Path, endpoint: tuple[str, list[tuple[Any, ...]]]) -> None:
    """A meter inside a meter calls through it: both count, the outer one all, and prices hold in both."""
    url, seen = endpoint
    variables = {"CAB_ENDPOINT": url, "CAB_KEY": "key-of-the-operator"}
    inner = ("-c", "import sys; from cab.adapters.cli import main; sys.exit(main())", "meter")
    client = (sys.executable, "-c", CLIENTS)
    script = tmp_path / "both.py"
    script.write_text(
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, *{[*inner, '--json', 'inner.json', '--', *client]!r}], check=True)\n"
        f"subprocess.run({list(client)!r}, check=True)\n"
    )
    words = ("--provider", "openai", "--", sys.executable, str(script))
    done = meter(tmp_path, *words, **variables)
    assert done.code == 0, done.err
    assert {each[1] for each in seen} == {"Bearer key-of-the-operator"}
    inside = json.loads((tmp_path / "inner.json").read_text())
    assert done.result is not None
    assert (inside["calls"], done.result.calls, len(seen)) == (2, 4, 4)
    assert 2 * inside["tokens"]["total"] == done.result.tokens.total
    priced = {each["model"]: each["cost_usd"] for each in inside["models"]}
    assert priced["gpt-5"] is not None


def test_nothing_named() -> None:
    """Without any endpoint the error names what to set."""
    with pytest.raises(AdapterError, match="set CAB_ENDPOINT and CAB_KEY"):
        found_endpoints({})


def test_default_urls() -> None:
    """A key alone leads to its provider's public endpoint; a token is sent as one."""
    [openai] = found_endpoints({"OPENAI_API_KEY": "k"})
    assert (openai.upstream, openai.key_header) == ("https://api.openai.com/v1", None)
    [token] = found_endpoints({"ANTHROPIC_AUTH_TOKEN": "t"})
    assert token.key_header is None
    [key] = found_endpoints({"ANTHROPIC_API_KEY": "k"})
    assert key.key_header == "x-api-key"
    assert [each.name for each in passing_endpoints(None, None, {})] == [
        api.name for api in APIS if api.is_common
    ]
    assert named_endpoint("https://api.anthropic.com", "k", None, {}).key_header == "x-api-key"


def test_short_keys_and_other_secrets() -> None:
    """A key of a local endpoint may be a common word: what else has that value stays, as does all of the user's."""
    [endpoint] = found_endpoints(
        {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": "http://127.0.0.1:1"}
    )
    variables = {"MODE": "none", "PGPASSWORD": "of the user", "CAB_ADMIN_TOKEN": "t", "MINE": KEY}
    plan = MeteringPlan(["true"], [endpoint], "a/b/c/d/e", Path("unused"), 1.0, {})
    child = child_environment(
        plan, {"openai": ApiAddress("http://x", "k")}, variables, ["none", KEY]
    )
    assert child["MODE"] == "none"
    assert child["PGPASSWORD"] == "of the user"
    assert child.keys().isdisjoint({"CAB_ADMIN_TOKEN", "MINE"})


def test_through_an_http_proxy() -> None:
    """Endpoints are called through the HTTP proxy that the command would have used, those here are not."""
    variables = {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "near.example"}
    assert http_proxy_of("https://far.example/v1", variables) == "http://p:1"
    assert http_proxy_of("http://far.example/v1", variables) is None
    assert http_proxy_of("https://near.example/v1", variables) is None
    assert http_proxy_of("https://127.0.0.1/v1", variables) is None
    assert http_proxy_of("demo", variables) is None
    [route] = named_endpoint("https://far.example", "k", None, {}).settings(variables)["routes"]
    assert route["http_proxy"] == "http://p:1"


def test_http_proxy() -> None:
    """Calls to the meter do not go through an HTTP proxy; what was exempt before stays so."""
    assert dict(unproxied({})) == {}
    found = dict(unproxied({"https_proxy": "http://p", "no_proxy": "corp.example"}))
    assert found["no_proxy"] == found["NO_PROXY"] == "corp.example,127.0.0.1,localhost"
    assert dict(unproxied({"ALL_PROXY": "http://p", "NO_PROXY": "*"})) == {}


def test_documented() -> None:
    """docs/meter.md names every variable and every public endpoint."""
    page = Path("docs/meter.md").read_text()
    for api in APIS:
        for word in (*api.urls, *api.keys, api.default_url):
            assert f"`{word}`" in page
