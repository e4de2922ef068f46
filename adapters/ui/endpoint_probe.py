"""Asks an endpoint a few small questions before an agent does: does it work as agents need it?

    GET  models                         does it answer, does it accept the key
    POST chat/completions               does it know the model, does it report the usage
    POST chat/completions, streamed     the same for a stream
    POST chat/completions, with a tool  can the model call one

The calls go to the endpoint itself and not through a proxy; they cost a few dozen tokens each. For an
agent that uses another API only the first question is asked: its cell shows the rest.
"""

import re
from typing import Any, Literal, NamedTuple, cast

import aiohttp
import orjson
from yarl import URL

from cab.adapters.ui.endpoint_scheme import scheme_fault
from cab.proxy.forwarding.failures import name_failure
from cab.proxy.forwarding.upstream import join
from cab.proxy.redaction import Redactor
from cab.scoring.ledger.records import Endpoint

State = Literal["yes", "no", "unknown"]
"""The answer to one question; `unknown` if it cannot be seen."""

ANSWER_LIMIT_S = 120.0
"""Time limit of one call; a reasoning model may take long for a single word."""

_CHAT: Endpoint = "chat.completions"
_GEMINI: Endpoint = "gemini.generateContent"
_MESSAGES: Endpoint = "messages"
_CONNECT_LIMIT_S = 10.0
_QUOTED_CHARS = 200
_QUOTED_BYTES = 4096
_MODELS_PATH, _CHAT_PATH = "/v1/models", "/v1/chat/completions"
_ASKS_FOR_KEY = re.compile(r"api[ _-]?key|authenticat|unauthori[sz]ed|credential", re.IGNORECASE)
"""In the message of an error of the server: some have an error of their own where a key is missing."""
_TOOL = {
    "type": "function",
    "function": {
        "name": "note",
        "description": "Writes a word down.",
        "parameters": {
            "type": "object",
            "properties": {"word": {"type": "string"}},
            "required": ["word"],
        },
    },
}


class EndpointFinding(NamedTuple):
    """The answer to one question."""

    name: str
    """What was asked, as a sentence."""
    state: State
    detail: str = ""
    """What was seen, or how to fix it."""


class EndpointProbe(NamedTuple):
    """All answers of an endpoint."""

    findings: list[EndpointFinding]
    """In the order of the questions; a question that makes no sense after an answer is left out."""

    @property
    def usable(self) -> bool:
        """Whether an agent can be run against it."""
        return not any(each.state == "no" and each.name in _VITAL for each in self.findings)


ANSWERS = "the endpoint answers"
KEY = "it accepts the key"
MODEL = "it knows the model"
USAGE = "it reports tokens in whole answers"
STREAM_USAGE = "it reports tokens in streams"
TOOLS = "the model can call tools"
_VITAL = {ANSWERS, KEY, MODEL}


class _Answer(NamedTuple):
    status: int
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The object in the body; empty if there is none."""
        return _object(self.body)

    @property
    def refuses_key(self) -> bool:
        return self.status in {401, 403}


class _Unreachable(Exception):
    """No answer came."""


async def probe_endpoint(
    upstream: str, key: str | None, model: str, dialect: Endpoint = _CHAT
) -> EndpointProbe:
    """Return what an endpoint answers to a few small questions.

    Args:
        upstream: Its base URL, with or without `/v1`.
        key: Its key.
        model: Model, as the endpoint names it.
        dialect: What the agent will speak.
    """
    limits = aiohttp.ClientTimeout(total=ANSWER_LIMIT_S, sock_connect=_CONNECT_LIMIT_S)
    # A connection per question: one that the endpoint closed under us would look like its answer.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=limits) as session:
        questions = _Questions(session, URL(upstream), key, model, dialect)
        try:
            await questions.all()
        except _Unreachable as error:
            # After a first answer, only this question failed.
            fault = await scheme_fault(upstream) if questions.current == ANSWERS else None
            questions.found(questions.current, "no", fault or str(error))
        else:
            # Some servers that speak TLS answer a request without it.
            if not questions.probe.usable and (fault := await scheme_fault(upstream)):
                return EndpointProbe([EndpointFinding(ANSWERS, "no", fault)])
    return questions.probe


class _Questions:
    """The questions to one endpoint."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base: URL,
        key: str | None,
        model: str,
        dialect: Endpoint,
    ) -> None:
        self._session = session
        self._base = base
        self._headers = _key_headers(key, dialect) if key else {}
        self._model = model
        self._dialect: Endpoint = dialect
        self._mask = Redactor((key,))
        self.findings: list[EndpointFinding] = []
        self.current = ANSWERS

    def found(self, name: str, state: State, detail: str = "") -> None:
        """Note an answer."""
        self.findings.append(EndpointFinding(name, state, self._mask.text(detail)))

    @property
    def probe(self) -> EndpointProbe:
        """All answers so far."""
        return EndpointProbe(self.findings)

    async def all(self) -> None:
        """Ask all questions that make sense."""
        path = "/v1beta/models" if self._dialect == _GEMINI else _MODELS_PATH
        listed = await self._ask("GET", path)
        self.found(ANSWERS, "yes", f"{self._base.host}, status {listed.status} to GET {path}")
        if listed.refuses_key:
            self._key_refused(listed)
        elif self._dialect == _CHAT:
            await self._all_of_chat(listed)
        else:
            self.found(KEY, "unknown", f"the agent uses {self._dialect}: its cell will show it")

    async def _all_of_chat(self, listed: _Answer) -> None:
        self.current = MODEL
        whole = await self._chat()
        if whole.refuses_key:
            self._key_refused(whole)
            return
        if whole.status >= 500 and _ASKS_FOR_KEY.search(_message_of(whole)):
            self._key_refused(whole)
            return
        self._key_found(whole)
        if not self._model_found(whole, listed):
            return
        self._usage_found(USAGE, whole, _usage_of(whole.json))
        self.current = STREAM_USAGE
        streamed = await self._chat(stream=True, stream_options={"include_usage": True})
        self._usage_found(STREAM_USAGE, streamed, _usage_in(streamed.body))
        self.current = TOOLS
        self._tools_found(await self._chat("Note the word: tea. Use the tool.", tools=[_TOOL]))

    def _key_found(self, answer: _Answer) -> None:
        """Note whether the key was looked at: a wrong path has a 404 whatever the key."""
        if answer.status == 200 and _choices(answer.json):
            self.found(KEY, "yes", "" if self._headers else "it needs none: CAB_KEY is not set")
        elif answer.status in {400, 404, 422} and self._is_named_in(answer):
            self.found(KEY, "yes", "it says that the model is wrong, and not the key")
        else:
            self.found(KEY, "unknown", f"status {answer.status} says nothing about the key")

    def _is_named_in(self, answer: _Answer) -> bool:
        """Return whether an error's message names the model: as a word, as names may be short."""
        word = rf"(?<!\w){re.escape(self._model)}(?!\w)"
        return re.search(word, _message_of(answer)) is not None

    def _key_refused(self, answer: _Answer) -> None:
        fix = "fix CAB_KEY" if self._headers else "it needs a key; set CAB_KEY"
        self.found(KEY, "no", f"status {answer.status}{self._quoted(answer)}; {fix}")

    def _model_found(self, answer: _Answer, models: _Answer) -> bool:
        listed = _model_ids(models)
        if answer.status == 200 and _choices(answer.json):
            seen = (
                ""
                if not listed or self._model in listed
                else "the endpoint does not list it, but it answers"
            )
            self.found(MODEL, "yes", seen)
            return True
        others = f"; it lists {', '.join(listed[:5])}" if listed else ""
        what = f"status {answer.status}{self._quoted(answer)}"
        if answer.status == 200:
            what = "its answer is not a chat completion"
        if answer.status == 429 or answer.status >= 500:
            key = "" if self._headers else "; if it needs a key, set CAB_KEY"
            self.found(
                MODEL,
                "no",
                f"{what}; the endpoint is overloaded or has an error; try again later{key}",
            )
        elif answer.status == models.status == 404 and not self._is_named_in(answer):
            where = f"neither {_CHAT_PATH} nor {_MODELS_PATH} is there"
            self.found(MODEL, "no", f"{what}: {where}; fix the path of CAB_ENDPOINT")
        else:
            self.found(MODEL, "no", f"{what}; fix --model or CAB_ENDPOINT{others}")
        return False

    def _usage_found(self, name: str, answer: _Answer, usage: dict[str, Any]) -> None:
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if isinstance(prompt, int) and isinstance(completion, int):
            self.found(name, "yes", f"{prompt} prompt, {completion} completion")
        elif answer.status != 200:
            self.found(name, "no", f"status {answer.status}{self._quoted(answer)}")
        else:
            self.found(name, "no", "the proxy counts them with a tokenizer, and the record says so")

    def _tools_found(self, answer: _Answer) -> None:
        if answer.status != 200:
            self.found(TOOLS, "no", f"status {answer.status}{self._quoted(answer)}")
            return
        messages = _objects([choice.get("message") for choice in _choices(answer.json)])
        if any(message.get("tool_calls") for message in messages):
            self.found(TOOLS, "yes")
        else:
            self.found(TOOLS, "unknown", "tools were accepted, but this answer used none")

    def _quoted(self, answer: _Answer) -> str:
        """Return the message of an error answer, for the end of a line."""
        # Redacted before it is cut: a part of a key would not be found.
        text = self._mask.text(_message_of(answer))[:_QUOTED_CHARS]
        return f": {text}" if text else ""

    async def _chat(self, text: str = "Answer with one word: tea", **more: object) -> _Answer:
        body = {"model": self._model, "messages": [{"role": "user", "content": text}], **more}
        return await self._ask("POST", _CHAT_PATH, body)

    async def _ask(self, method: str, path: str, body: object = None) -> _Answer:
        url = join(self._base, path)
        try:
            async with self._session.request(
                method, url, json=body, headers=self._headers, allow_redirects=False
            ) as response:
                return _Answer(response.status, await response.read())
        except (aiohttp.ClientError, OSError) as error:
            failure = name_failure(error, url.host or "")
            raise _Unreachable(f"{failure}; fix CAB_ENDPOINT, or start the endpoint") from error


def _key_headers(key: str, dialect: Endpoint) -> dict[str, str]:
    """Return how a dialect sends a key."""
    if dialect == _MESSAGES:
        return {"x-api-key": key, "anthropic-version": "2023-06-01"}
    return {"x-goog-api-key": key} if dialect == _GEMINI else {"Authorization": f"Bearer {key}"}


def _object(data: bytes) -> dict[str, Any]:
    try:
        found: object = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _objects(found: object) -> list[dict[str, Any]]:
    items = cast("list[object]", found) if isinstance(found, list) else []
    return [cast("dict[str, Any]", each) for each in items if isinstance(each, dict)]


def _choices(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return _objects(answer.get("choices"))


def _model_ids(answer: _Answer) -> list[str]:
    return [str(each["id"]) for each in _objects(answer.json.get("data")) if "id" in each]


def _usage_of(answer: dict[str, Any]) -> dict[str, Any]:
    usage = answer.get("usage")
    return cast("dict[str, Any]", usage) if isinstance(usage, dict) else {}


def _usage_in(stream: bytes) -> dict[str, Any]:
    """Return the last usage of a stream."""
    last: dict[str, Any] = {}
    for line in stream.splitlines():
        if line.startswith(b"data:"):
            last = _usage_of(_object(line.removeprefix(b"data:").strip())) or last
    return last


def _message_of(answer: _Answer) -> str:
    """Return the message of an error answer on one line; an answer that is no JSON is one."""
    if not answer.json:
        text = answer.body[:_QUOTED_BYTES].decode(errors="replace")
        return "" if "<" in text else " ".join(text.split())
    error = answer.json.get("error") or answer.json.get("message") or answer.json.get("detail")
    message = cast("dict[str, Any]", error).get("message") if isinstance(error, dict) else error
    return " ".join(str(message).split()) if message else ""
