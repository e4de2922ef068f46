"""What real clients spend under `cab meter`, without a word about it in their own code."""

import sys
from pathlib import Path

from tests.adapters.meter.metered import meter

SDKS = """
import anthropic, openai
from google import genai

asked = [{"role": "user", "content": "hello"}]
client = openai.OpenAI()
print(client.chat.completions.create(model="demo", messages=asked).usage.total_tokens)
for chunk in client.chat.completions.create(model="demo", messages=asked, stream=True):
    assert not chunk.usage
print(client.responses.create(model="demo", input="hello").usage.total_tokens)
message = anthropic.Anthropic().messages.create(model="demo", messages=asked, max_tokens=99)
print(message.usage.input_tokens + message.usage.output_tokens)
google = genai.Client()
answer = google.models.generate_content(model="demo", contents="hello")
print(answer.usage_metadata.total_token_count)
"""
NODE = """
const base = process.env.OPENAI_BASE_URL, key = process.env.OPENAI_API_KEY;
const body = JSON.stringify({model: "demo", messages: [{role: "user", content: "hello"}]});
const headers = {"content-type": "application/json", authorization: `Bearer ${key}`};
const answer = await fetch(`${base}/chat/completions`, {method: "POST", headers, body});
console.log((await answer.json()).usage.total_tokens);
"""


def test_sdks(tmp_path: Path) -> None:
    """The SDKs of three providers call where their variables lead, and all of it is counted."""
    done = meter(tmp_path, "--upstream", "demo", "--", sys.executable, "-c", SDKS)
    assert done.code == 0, done.err
    assert done.result is not None
    chat, responses, anthropic, google = map(int, done.out.split())
    assert done.result.calls == 5
    assert done.result.failed_calls == 0
    assert done.result.tokens.total == 2 * chat + responses + anthropic + google
    assert done.result.ledger == []
    assert "calls                 5  demo 5" in done.err


def test_node(tmp_path: Path) -> None:
    """A program of another language does too; its output is all that is on standard output."""
    words = ("node", "--input-type=module", "-e", NODE)
    done = meter(tmp_path, "--upstream", "demo", "--quiet", "--", *words)
    assert (done.code, done.err) == (0, "")
    assert done.result is not None
    assert int(done.out) == done.result.tokens.total
