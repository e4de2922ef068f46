"""Reads recorded calls: VCR cassettes (Python's and Ruby's, YAML or JSON) and JSON lines."""

import base64
import gzip
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml

PATHS = {
    "chat.completions": "/v1/chat/completions",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "gemini.generateContent": "/v1beta/models/unknown:generateContent",
}
"""Where a JSON line's call goes if it has no `path` of its own."""


class Recorded(NamedTuple):
    """One request and its answer, as they were on the wire."""

    path: str
    request: bytes
    response: bytes
    status: int
    content_type: str
    content_encoding: str


class _Loader(yaml.CSafeLoader):
    """Reads cassettes without making any object that they name."""


_Loader.add_constructor("!binary", _Loader.construct_yaml_binary)  # Ruby's spelling
_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
_Loader.add_multi_constructor("!ruby/", lambda *_: None)


def recordings(folders: list[Path], unread: Counter[str]) -> Iterator[Recorded]:
    """Yield the recorded calls below folders.

    Args:
        folders: Folders, or files.
        unread: Takes the number of files that are not recordings, by what they are instead.
    """
    for folder in folders:
        files = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
        for file in files:
            if file.is_file():
                yield from _in_file(file, unread)


def _in_file(file: Path, unread: Counter[str]) -> Iterator[Recorded]:
    name = file.name.removesuffix(".gz")
    suffix = Path(name).suffix
    if suffix not in {".yaml", ".yml", ".json", ".jsonl"}:
        return
    data = gzip.decompress(file.read_bytes()) if name != file.name else file.read_bytes()
    try:
        if suffix == ".jsonl":
            yield from map(_from_line, data.splitlines())
            return
        cassette = yaml.load(data, _Loader) if suffix != ".json" else json.loads(data)
    except (yaml.YAMLError, ValueError, KeyError):
        unread[f"{suffix} files that cannot be read"] += 1
        return
    for exchange in _exchanges(cassette):
        recorded = _from_cassette(exchange)
        if recorded is not None:
            yield recorded


def _from_line(line: bytes) -> Recorded:
    call = json.loads(line)
    answer = call["response"]
    stream = isinstance(answer, str) and answer.lstrip().startswith(("data:", "event:", ":"))
    return Recorded(
        path=call.get("path") or PATHS[call["endpoint"]],
        request=_bytes(call["request"]),
        response=_bytes(answer),
        status=call.get("status", 200),
        content_type="text/event-stream" if stream else "application/json",
        content_encoding="",
    )


def _exchanges(cassette: object) -> list[Any]:
    if not isinstance(cassette, dict):
        return []
    for name in ("interactions", "http_interactions"):
        if isinstance(cassette.get(name), list):
            return cassette[name]
    return [cassette]


def _from_cassette(exchange: object) -> Recorded | None:
    if not isinstance(exchange, dict) or not {"request", "response"} <= exchange.keys():
        return None
    request, response = exchange["request"], exchange["response"]
    if not (isinstance(request, dict) and isinstance(response, dict)):
        return None
    status = response.get("status")
    return Recorded(
        path=urlsplit(str(request.get("uri") or request.get("url") or "")).path,
        request=_body(request),
        response=_body(response),
        status=int((status.get("code") if isinstance(status, dict) else status) or 0),
        content_type=_header(response, "content-type"),
        content_encoding=_header(response, "content-encoding"),
    )


def _body(message: Mapping[str, Any]) -> bytes:
    if message.get("parsed_body") is not None:
        return _bytes(message["parsed_body"])
    body = message.get("body")
    if isinstance(body, dict):
        if body.get("base64_string"):
            return base64.b64decode(body["base64_string"])
        body = body.get("string")
    return b"" if body is None else _bytes(body)


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "surrogatepass")


def _header(message: Mapping[str, Any], name: str) -> str:
    headers = message.get("headers")
    for key, value in headers.items() if isinstance(headers, dict) else ():
        if str(key).lower() == name:
            return str(value[0] if isinstance(value, list) and value else value or "")
    return ""
