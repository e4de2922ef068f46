"""The recordings here are made up: texts of our own, with usage that is right or wrong on purpose."""

import base64
import gzip
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cab.proxy.tokens.encodings import count_text
from cab.proxy.tokens.model_families import FAMILIES

ROOT = Path(__file__).parents[2]
SAID, HEARD = "I know of no such river.", "Which river flows through the smallest town?"
GPT = FAMILIES["gpt"]
PROMPT = count_text(HEARD) + GPT.message + GPT.answer
COMPLETION = count_text(SAID)


def request(text: str = HEARD, **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}


def answer(prompt: int = PROMPT, completion: int = COMPLETION, **more: Any) -> dict[str, Any]:
    return {
        "model": "gpt-4o",
        "choices": [{"message": {"content": SAID}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, **more},
    }


def stream(prompt: int = PROMPT, completion: int = COMPLETION) -> str:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    choice = {"index": 0, "delta": {"content": SAID}, "finish_reason": "stop"}
    parts = [{"choices": [choice]}, {"choices": [], "usage": usage}]
    return "".join(f"data: {json.dumps(part)}\n\n" for part in parts) + "data: [DONE]\n\n"


def exchange(sent: Any, received: Any, *, code: int = 200, **headers: list[str]) -> dict[str, Any]:
    """A call as Python's VCR writes it."""
    return {
        "request": {"method": "POST", "uri": "https://h/v1/chat/completions", "body": sent},
        "response": {
            "status": {"code": code, "message": ""},
            "headers": {name.replace("_", "-"): value for name, value in headers.items()},
            "body": {"string": received},
        },
    }


def write_yaml(folder: Path, name: str, *exchanges: dict[str, Any]) -> None:
    (folder / name).write_text(yaml.safe_dump({"interactions": [*exchanges], "version": 1}))


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Returns what the script prints: the cells of each row by its first, or first two."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    script = importlib.import_module("count_error")

    def run(folder: Path, *options: str) -> dict[str, list[str]]:
        monkeypatch.setattr(sys, "argv", ["count_error.py", str(folder), *options])
        script.main()
        printed = capsys.readouterr().out
        assert HEARD not in printed
        rows = [[c.strip() for c in line.strip("|").split("|")] for line in printed.splitlines()]
        return {" ".join(row[:2]) if len(row) > 3 else row[0]: row for row in rows}

    return run


def test_every_form_of_recording_is_read(tmp_path: Path, report: Any) -> None:
    """Cassettes of both kinds, compressed and streamed and encoded, and JSON lines all count."""
    zipped = gzip.compress(json.dumps(answer()).encode())
    write_yaml(
        tmp_path,
        "python.yaml",
        exchange(json.dumps(request(seed=1)), json.dumps(answer())),
        exchange(json.dumps(request(seed=2)), zipped, Content_Encoding=["gzip"]),
        exchange(json.dumps(request(seed=3)), json.dumps(answer()), content_encoding=["br"]),
        exchange(json.dumps(request(seed=4, stream=True)), stream(), content_type=["text/event-stream"]),
    )  # fmt: skip
    parsed: dict[str, Any] = exchange(None, None)
    parsed["request"]["parsed_body"] = request(seed=5)
    parsed["response"]["parsed_body"] = answer()
    write_yaml(tmp_path, "parsed.yml", parsed)
    encoded = base64.b64encode(json.dumps(answer()).encode()).decode()
    ruby = exchange({"string": json.dumps(request(seed=6))}, None)
    ruby["response"] |= {"status": 200, "headers": None, "body": {"base64_string": encoded}}
    text = yaml.safe_dump({"http_interactions": [ruby]})
    (tmp_path / "ruby.yml").write_text(text + "recorded_with: !ruby/object:X {}\n")
    binary = base64.b64encode(json.dumps(answer()).encode()).decode()
    (tmp_path / "binary.yml").write_text(
        "interactions:\n"
        "- request: {uri: 'https://h/v1/chat/completions', method: POST, body: '"
        + json.dumps(request(seed=7))
        + f"'}}\n  response: {{status: 200, headers: !!python/object:a.B {{}}, body: {{string: !binary {binary}}}}}\n"
    )
    (tmp_path / "one.json").write_text(
        json.dumps(exchange(json.dumps(request(seed=8)), json.dumps(answer())))
    )
    lines = [
        {"endpoint": "chat.completions", "request": request(seed=9), "response": answer()},
        {"endpoint": "chat.completions", "request": request(seed=10), "response": stream()},
    ]
    packed = gzip.compress("\n".join(map(json.dumps, lines)).encode())
    (tmp_path / "lines.jsonl.gz").write_bytes(packed)
    rows = report(tmp_path, "--by-family")
    exact = ["10", "0.0%", "0.0%", "0.0%", "+0.0%"]
    assert rows["chat.completions all"] == ["chat.completions", "all", *exact, *exact]
    assert rows["chat.completions gpt"] == ["chat.completions", "gpt", *exact, *exact]


def test_errors_and_bias_are_relative_to_the_endpoint(tmp_path: Path, report: Any) -> None:
    """A call's error is relative to what the endpoint reported, and the bias is that of the sum."""
    lines = [
        {"endpoint": "chat.completions", "request": request(seed=n), "response": answer(*usage)}
        for n, usage in enumerate([(PROMPT, 2 * COMPLETION), (2 * PROMPT, 2 * COMPLETION), (PROMPT, 2 * COMPLETION)])
    ]  # fmt: skip
    file = tmp_path / "calls.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    row = report(file)["chat.completions all"]
    assert row[2:] == ["3", "0.0%", "50.0%", "50.0%", "-25.0%", "3", "50.0%", "50.0%", "50.0%", "-50.0%"]  # fmt: skip


IMAGE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}
CHAT = "chat.completions"
REASONED: dict[str, Any] = {"completion_tokens_details": {"reasoning_tokens": 9}}
DRAWN = {
    "candidates": [{"content": {"parts": [{"text": "see"}]}, "finishReason": "STOP"}],
    "usageMetadata": {
        "promptTokenCount": 2,
        "candidatesTokenCount": 1290,
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
    },
}
EMPTY = {"choices": [{"message": {"content": ""}}], "usage": {"completion_tokens": 1}}


@pytest.mark.parametrize(
    ("call", "why", "prompts", "completions"),
    [
        ((CHAT, request() | {"messages": [IMAGE]}, answer()), "images, sounds or files", "1", "0"),
        ((CHAT, request(), answer(**REASONED)), "hidden reasoning", "0", "1"),
        ((CHAT, request(thinking={"type": "enabled"}), answer()), "hidden reasoning", "0", "1"),
        ((CHAT, request(plugins=["web"]), answer()), "tools that the endpoint defines or runs", "1", "1"),
        (("responses", {"input": "x", "previous_response_id": "r"}, {"status": "completed", "output": [], "usage": {"output_tokens": 1}}),
         "state that the endpoint keeps", "1", "0"),
        ((CHAT, request(context_management=[1]), answer()), "state that the endpoint keeps", "0", "1"),
        (("gemini.generateContent", {"contents": "x"}, DRAWN), "images, sounds or files", "0", "1"),
        ((CHAT, request(), EMPTY), "no prompt tokens reported", "1", "0"),
        ((CHAT, request(), {**EMPTY, "usage": {"prompt_tokens": 9, "completion_tokens": 1}}), "an answer without text", "0", "1"),
        ((CHAT, request(), answer(PROMPT, 0)), "no completion tokens reported", "0", "1"),
        (("messages", {"messages": []}, 'data: {"type":"message_start","message":{"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'),
         "usage reported before the end", "0", "1"),
        ((CHAT, request(), {"choices": []}), "calls without usage", "1", "1"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_said(
    call: tuple[str, Any, Any],
    why: str,
    prompts: str,
    completions: str,
    tmp_path: Path,
    report: Any,
) -> None:
    """Each side that cannot be compared is left out and counted under its reason."""
    file = tmp_path / "call.jsonl"
    endpoint, sent, received = call
    file.write_text(json.dumps({"endpoint": endpoint, "request": sent, "response": received}))
    assert report(file)[why] == [why, prompts, completions]


def test_what_is_not_a_recording_is_said(tmp_path: Path, report: Any) -> None:
    """Other requests, errors, repetitions and broken files are counted, and other files passed over."""
    other = exchange("{}", "{}")
    other["request"]["uri"] = "https://h/v1/models"
    call = exchange(json.dumps(request()), json.dumps(answer()))
    write_yaml(tmp_path, "a.yaml", other, call, call, exchange("{}", "{}", code=500))
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "broken.jsonl").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "odd.json").write_text('{"request": 1, "response": 2}')
    (tmp_path / "plain.json").write_text('{"interactions": [7]}')
    (tmp_path / "notes.txt").write_text("a")
    rows = report(tmp_path)
    assert rows["chat.completions all"][2] == "1"
    assert rows["other requests"][1:] == ["1", "1"]
    assert rows["the same call once more"][1:] == ["1", "1"]
    assert rows["errors, and calls without a body"][1:] == ["1", "1"]
    assert rows[".yaml files that cannot be read"][1:] == ["1", "1"]
    assert rows[".jsonl files that cannot be read"][1:] == ["1", "1"]
