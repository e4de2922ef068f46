"""What a client or an endpoint sends cannot make a record that hurts another cell."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.scoring.ledger.bounds import MAX_RECORD_BYTES
from cab.scoring.ledger.verify import verify_ledger
from tests.tools.client import post
from tests.tools.proxy import REAL_KEY, chat_body, metered, records
from tests.tools.upstream import json_answer, scripted_upstream
from tests.tools.wires import BOTH

WIRES = BOTH

ADMIN = "the-admin-token-0123456789abcdef"
HUGE = "m" * 7_000_000
LARGE = "m" * 1_000_000
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def answer(**changes: Any) -> bytes:
    message = {"role": "assistant", "content": "hey"}
    choice = {"index": 0, "message": message, "finish_reason": changes.pop("finish", "stop")}
    whole = {"id": "a", "model": "m", "choices": [choice], "usage": USAGE}
    return json_answer({**whole, **changes})


def lines_of(folder: Path) -> list[bytes]:
    return [line for file in folder.glob("*.jsonl") for line in file.read_bytes().splitlines()]


async def test_one_cell_cannot_spoil_the_ledger_of_another(tmp_path: Path) -> None:
    """Texts of 7 MB, in a call and in a rejected one, and large answers leave the other cell as it is."""
    answers = (
        [answer(finish=LARGE, model=LARGE, id=LARGE, system_fingerprint=LARGE)],
        [answer(usage={**USAGE, "x": ["y" * 100] * 1000})],
        [answer()],
    )
    settings: dict[str, Any] = {"auth": "keys", "admin_token": ADMIN}
    async with scripted_upstream(*answers) as upstream:
        async with metered(upstream.url, tmp_path, **settings) as meter:
            mint = meter.proxy.mint_key
            bad, good = (f"Authorization: Bearer {mint(cell, 60)}" for cell in ("bad", "good"))
            chat, admin = "/v1/chat/completions", f"Authorization: Bearer {ADMIN}"
            agent = f"User-Agent: {'a' * 60_000}"
            await post(meter.url, chat, chat_body(model=HUGE), bad, agent)
            await post(meter.url, chat, chat_body(), bad)
            await post(meter.url, chat, chat_body(), good)
            assert (await post(meter.url, "/cab/cells/bad/seal", b"", admin)).status == 200
            assert (await post(meter.url, chat, chat_body(model=HUGE), bad, agent)).status == 409
            seen = await post(meter.url, "/cab/cells/good/seal", b"", admin)
            assert (seen.status, orjson.loads(seen.body)["total_tokens"]) == (200, 5)
            assert (await post(meter.url, "/cab/cells", b"", admin, method="GET")).status == 200
        assert upstream.received[0].json["model"] == HUGE
        async with metered(upstream.url, tmp_path, **settings) as meter:
            cells = orjson.loads(
                (await post(meter.url, "/cab/cells", b"", admin, method="GET")).body
            )
    assert [(c["cell_id"], c["total_tokens"]) for c in cells["cells"]] == [("bad", 10), ("good", 5)]
    assert max(map(len, lines_of(tmp_path / "ledger"))) < MAX_RECORD_BYTES
    assert verify_ledger(tmp_path / "ledger").holds
    first, second, plain, rejected = records(tmp_path / "ledger")
    assert first["clipped"] == [
        *("finish_reason", "model_requested", "model_served", "system_fingerprint"),
        *("upstream_id", "user_agent"),
    ]
    assert {len(first[name]) for name in first["clipped"]} == {256}
    assert (second["clipped"], second["usage_raw"], second["total_tokens"]) == (
        ["usage_raw"],
        None,
        5,
    )
    assert "clipped" not in plain
    assert rejected["clipped"] == ["model_requested", "user_agent"]
    assert first["request_hash"] == rejected["request_hash"] != plain["request_hash"]


@pytest.mark.parametrize("count", [2**53, 10**9 + 1, str(10**12), 1e15, 10**30])
async def test_no_count_breaks_a_sum(tmp_path: Path, count: object) -> None:
    """A count that no call can have is null and marked; list and seal of the cell work."""
    usage = {"prompt_tokens": count, "completion_tokens": 2}
    async with (
        scripted_upstream([json_answer(orjson.dumps({"usage": None}))], [big(usage)]) as upstream,
        metered(upstream.url, tmp_path, admin_token=ADMIN, cell="c") as meter,
    ):
        admin = f"Authorization: Bearer {ADMIN}"
        for _ in range(3):
            await meter.chat()
        listed = await post(meter.url, "/cab/cells", b"", admin, method="GET")
        sealed = await post(meter.url, "/cab/cells/c/seal", b"", admin)
        end = meter.ends()[-1]
    assert (listed.status, sealed.status) == (200, 200)
    assert orjson.loads(sealed.body)["total_tokens"] is None
    assert (end["prompt_tokens"], end["completion_tokens"], end["total_tokens"]) == (None, 2, None)
    assert (end["usage_status"], end["usage_source"]) == ("overflow", "upstream")
    assert float(end["usage_raw"]["prompt_tokens"]) == float(str(count))
    assert "than the 1000000000 tokens" in end["usage_note"]


def big(usage: dict[str, Any]) -> bytes:
    """Return an answer whose usage may hold a number that orjson cannot write."""
    text = str(usage).replace("'", '"')
    choice = '{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}'
    return json_answer(f'{{"id":"a","model":"m","choices":[{choice}],"usage":{text}}}'.encode())


async def test_no_header_blanks_a_record(tmp_path: Path) -> None:
    """Headers that are called like keys take nothing out of a record, nor does a strange credential."""
    names = "gpt-x prompt_tokens python-requests/2.31.0 gpt-4o-2024-08-06 completed"
    sent = [f"{name}: {names}" for name in ("X-My-Token", "X-Auth-Key", "Cookie", "x-api-key")]
    model = "gpt-4o-2024-08-06"
    async with (
        scripted_upstream([answer(model=model)]) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        agent = "User-Agent: python-requests/2.31.0"
        await post(meter.url, "/v1/chat/completions", chat_body(model="gpt-x"), *sent, agent)
        await post(meter.url, "/v1/chat/completions", chat_body(model=model), *sent, agent)
        ends = await meter.settled(2)
    assert [end["model_requested"] for end in ends] == ["gpt-x", model]
    for end in ends:
        assert (end["model_served"], end["usage_raw"]) == (model, USAGE)
        assert end["user_agent"] == "python-requests/2.31.0"


@pytest.mark.parametrize("at", [950, 1020, 1024, 1990, 2000])
async def test_the_real_key_is_not_in_a_cut_message(tmp_path: Path, at: int) -> None:
    """An error that repeats the key is redacted before it is cut, wherever the cut is."""
    texts = [f"{'x' * at}{form} end" for form in (REAL_KEY, REAL_KEY.upper())]
    texts += ["x" * at + REAL_KEY[:9] + "\n" + REAL_KEY[9:]]
    bodies = [json_answer({"error": {"message": text, "type": text}}, "401 No") for text in texts]
    kind = f"HTTP/1.1 200 OK\r\nContent-Type: a/{'y' * (at % 90)}{REAL_KEY}\r\n"
    odd = f"{kind}Content-Encoding: {'z' * (at % 35)}{REAL_KEY}\r\nContent-Length: 2\r\n\r\nhi"
    scripts = [[body] for body in (*bodies, odd.encode())]
    async with scripted_upstream(*scripts) as upstream, metered(upstream.url, tmp_path) as meter:
        for _ in scripts:
            await meter.chat()
        ends = await meter.settled(len(scripts))
    text = orjson.dumps(ends).lower()
    parts = (REAL_KEY[n : n + 8].lower().encode() for n in range(len(REAL_KEY) - 7))
    assert [part for part in parts if part in text] == []
    assert b"[redacted]" in text
