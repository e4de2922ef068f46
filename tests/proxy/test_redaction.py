import base64
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from cab.proxy.auth import cell_keys
from cab.proxy.auth.attribution import Target
from cab.proxy.auth.request_secrets import sent_secrets
from cab.proxy.auth.signing_keys import new_signing_key, parse_signing_keys
from cab.proxy.http.headers import may_hold_secret
from cab.proxy.redaction import REDACTED, Redactor, is_secret_name
from cab.proxy.redaction.key_shapes import (
    is_random,
    without_keys_in_name,
    without_keys_in_sentence,
)
from cab.proxy.redaction.redactor import WINDOW_CHARS
from cab.proxy.redaction.secret_forms import as_bytes, plain
from cab.scoring.printable import printable
from tests.tools.cases import cases


@pytest.mark.parametrize(
    "name",
    [
        "gpt-5.2-codex-2026-01-01",
        "xai-grok-4-fast-reasoning",
        "hf-internal-testing/tiny-random-Llama",
        "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        "my-sweep/aider/stepfun-ai/step-3.5-flash/polyglot/rust-error-handling#run2",
        "chatcmpl-01J9ZK3W4D6Q7R8S9T0V1W2X3Y",
        "fp_0123456789abcdef0123",
        "tool_calls",
    ],
)
def test_names_stay(name: str) -> None:
    """Names of models, cells, answers and finish reasons are no keys."""
    assert Redactor().name(name) == name
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "key",
    [
        "sk-0123456789abcdefghijABCDEFGHIJ0123456789",
        "sk-proj-ab_cd-0123456789abcdefgh",
        "sk-ant-api03-0123456789abcdefghij-AA",
        "sk-or-v1-0123456789abcdef0123456789abcdef",
        "gsk_0123456789abcdefghijABCDEFGHIJ",
        "hf_abcdefghijklmnopqrstuvwxyzABCDEF",
        "xai-0123456789abcdefghijABCDEFGHIJ",
        "nvapi-0123456789abcdefghijABCDEFGHIJ",
        "AIzaSyA0123456789abcdefghijklmnopqrstuv",
        cell_keys.mint(parse_signing_keys(new_signing_key()), "c", 60, 1_800_000_000),
    ],
    ids=lambda key: key[:8],  # the same in each process of the tests
)
def test_keys_are_known_by_their_shape(key: str) -> None:
    """The keys of the usual vendors, and ours, are redacted wherever a name may stand."""
    assert Redactor().name(f"a/{key} b") == f"a/{REDACTED} b"
    assert is_secret_name(key)


def test_values_are_searched_to_the_last_text() -> None:
    """Every text of a JSON value is looked at, those of members too; all else stays."""
    value = {"a secret-1": [1, None, "x secret-1"], "b": {"c": 1.5, "d": True}}
    redacted = {f"a {REDACTED}": [1, None, f"x {REDACTED}"], "b": {"c": 1.5, "d": True}}
    assert Redactor(["secret-1"]).value(value) == redacted


def test_what_can_be_a_secret() -> None:
    """Placeholders are not; a key is, also percent-encoded, and before any other that it begins with."""
    texts = [
        None,
        "",
        "none",
        "ollama",
        "1234567",
        "a+key/of-mine",
        "a+key/of-mine-too",
        " padded-key\n",
    ]
    assert Redactor(texts).secrets == (
        "a%2Bkey%2Fof-mine-too",
        "a%2Bkey%2Fof-mine",
        "a+key/of-mine-too",
        "a+key/of-mine",
        "padded-key",
    )


def test_secrets_of_a_proxy_and_of_a_call() -> None:
    """What a call knows is redacted beside what its proxy holds, the longest first."""
    held = Redactor(["secret-12", "secret/of-the-proxy"])
    both = held.with_secrets(["secret-123456", None, "short"])
    assert both.text("secret-123456 secret-12 secret%2Fof-the-proxy") == " ".join([REDACTED] * 3)
    assert held.text("secret-123456") == f"{REDACTED}3456"


@given(
    st.text(st.characters(), max_size=30),
    st.lists(st.text(st.characters(), min_size=1, max_size=9)),
)
def test_what_is_redacted_is_gone_and_can_be_written(text: str, secrets: list[str]) -> None:
    """Any text comes out as UTF-8; one secret alone is nowhere in it any more."""
    assert isinstance(Redactor(secrets).name(text).encode(), bytes)
    for secret in secrets:
        alone = Redactor([secret])
        for form in alone.secrets:
            assert form not in alone.name(text + form) or form in REDACTED


@pytest.mark.parametrize(
    ("headers", "path_qs", "expected"),
    [
        ({"Authorization": "Bearer abc"}, "/v1", {"Bearer abc", "abc", "Bearer"}),
        ({"Authorization": "Basic dTpwYXNz"}, "/v1", {"u:pass", "pass", "dTpwYXNz"}),
        ({"Authorization": "Basic *"}, "/v1", {"*"}),
        ({"Authorization": 'Token token="x y"'}, "/v1", {"token", "x", "y"}),
        ({"Cookie": "a=b; c=d"}, "/v1", {"a", "b", "c", "d", "a=b; c=d"}),
        ({"Proxy-Authorization": "Basic dTpwYXNz"}, "/v1", {"pass"}),
        ({"X-Amz-Security-Token": "t0123456789"}, "/v1", {"t0123456789"}),
        (
            {"User-Agent": "me"},
            "/v1?alt=sse&key=a%2Bb&access_token=t012345678",
            {"a+b", "t012345678"},
        ),
    ],
)
def test_secrets_of_a_request_are_found(
    headers: dict[str, str], path_qs: str, expected: set[str]
) -> None:
    """Whatever may be a secret is found, whole and in parts; ordinary headers are not."""
    found = sent_secrets(CIMultiDictProxy(CIMultiDict(headers)), Target(path_qs, None))
    assert expected <= found
    assert "me" not in found
    assert "sse" not in found


@pytest.mark.parametrize("name", ["X-My-Token", "X-Key", "X-Auth", "X-Session-Secret"])
def test_a_header_that_is_called_like_a_key_makes_no_word_a_secret(name: str) -> None:
    """What such a header holds is a secret only if it looks random: a model's name does not."""
    headers = {name: "gpt-4o-2024-08-06 prompt_tokens python-requests/2.31.0"}
    assert sent_secrets(CIMultiDictProxy(CIMultiDict(headers)), Target("/v1", None)) == {""}


def test_a_client_cannot_blank_names() -> None:
    """A credential that reads like a name is taken out of sentences, and of nothing else."""
    redactor = Redactor(["held-by-the-proxy"]).with_secrets(
        ["gpt-4o-2024-08-06", "prompt_tokens", "python-requests/2.31.0", "key-0a1b2c3d4e5f"]
    )
    for name in ("gpt-4o-2024-08-06", "python-requests/2.31.0"):
        assert redactor.name(name) == redactor.header(name) == name
        assert redactor.sentence(f"no {name} here") == f"no {REDACTED} here"
    assert redactor.value({"prompt_tokens": 1}) == {"prompt_tokens": 1}
    assert redactor.value(["key-0a1b2c3d4e5f", "held-by-the-proxy"]) == [REDACTED, REDACTED]


REAL = "Canary.real/key+of=Endpoint-Ab12"


def forms_of_the_key() -> dict[str, str]:
    escaped = "".join(f"\\u{ord(char):04X}" for char in REAL)
    return {
        "as it is": REAL,
        "folded": REAL.lower(),
        "broken": f"{REAL[:9]}\r\n  {REAL[9:]}",
        "broken everywhere": "\n".join(REAL),
        "percent": quote(REAL, safe=""),
        "all percent": "".join(f"%{ord(char):02x}" for char in REAL),
        "percent twice": quote(quote(REAL, safe=""), safe=""),
        "JSON": escaped,
        "JSON in JSON": escaped.replace("\\", "\\\\"),
        "JSON, broken": f"{REAL[:9]}\\n{REAL[9:]}",
        "JSON, slash": REAL.replace("/", "\\/"),
        **{
            f"Base64 {before}, {name}": encode(b"x" * before + REAL.encode() + b"yz").decode()
            for before in range(3)
            for name, encode in [("usual", base64.b64encode), ("in URLs", base64.urlsafe_b64encode)]
        },
    }


@pytest.mark.parametrize("form", forms_of_the_key())
def test_the_real_key_is_found_in_every_form(form: str) -> None:
    """Broken, folded, escaped or in Base64: nothing of eight characters of it is left, nor where it is cut."""
    text, redactor = forms_of_the_key()[form], Redactor([REAL])
    flat = plain(as_bytes(text))
    for take in (redactor.text, redactor.sentence, redactor.name):
        assert REDACTED in take(f"before {text} behind")
        assert take("no key at all") == "no key at all"
        left = plain(as_bytes(take(f"before {text} behind").replace(REDACTED, "|")))
        assert not any(flat[at : at + 12] in left for at in range(len(flat) - 11))
    for size in range(len(text) // 2, len(text)):
        left = plain(as_bytes(redactor.sentence("x " + text[:size]).replace(REDACTED, "|")))
        assert not any(flat[at : at + 12] in left for at in range(len(flat) - 11))


@pytest.mark.parametrize("shrinking", [REAL, "s" * 300])
def test_a_key_at_the_end_of_what_is_searched_is_not_shown(shrinking: str) -> None:
    """Of a long text only the beginning is searched; a key that begins there and ends behind is gone too."""
    redactor = Redactor([REAL, shrinking])
    for shift in range(1, len(REAL)):
        start = WINDOW_CHARS - shift
        text = f"{shrinking}," * (start // (len(shrinking) + 1))
        text = text.ljust(start, "-") + REAL + "x" * 100
        for take in (redactor.name, redactor.sentence):
            left = take(text)
            assert len(left) <= WINDOW_CHARS + len(REDACTED)
            assert REAL[:12] not in left


TEXTS = [
    "sk-a.",
    "eyJ-",
    "eyJ-a.",
    "://a",
    "Bearer ",
    "AIza-",
    "%25",
    "\\",
    "\\u00",
    "a.",
    REAL[:8],
]
TEXTS += ["sk-" + "a" * 15 + ".", " ", "=", "\x1b[", "é"]


@pytest.mark.parametrize("piece", TEXTS)
def test_work_grows_no_faster_than_a_text(piece: str) -> None:
    """Ten times the text takes at most fifteen times as long, whatever the text, also without a window."""
    redactor = Redactor([REAL, piece * 50])
    whole: list[Callable[[str], object]] = [
        redactor.text,
        without_keys_in_name,
        without_keys_in_sentence,
        is_random,
        printable,
    ]
    for work in whole:
        assert growth(work, *(piece * (size // len(piece)) for size in (20_000, 200_000))) < 15


def growth(work: Callable[[str], object], short: str, long: str) -> float:
    """Return how many times the processor time of the short text the long one takes, at best."""

    def seconds(text: str) -> float:
        began = time.thread_time()  # not of what other threads of this process do
        work(text)
        return time.thread_time() - began

    # What disturbs one round does not disturb all; what grows as the square does in each.
    rounds = [(seconds(short), seconds(long)) for _ in range(5)]
    return min(after / max(before, 1e-5) for before, after in rounds)


@pytest.mark.parametrize("piece", TEXTS)
def test_what_is_longer_than_the_window_makes_no_more_work(piece: str) -> None:
    """A name or a sentence of ten megabytes takes no longer than one of twice the window: both are cut."""
    redactor, sizes = Redactor([REAL, piece * 50]), (2 * WINDOW_CHARS, 10_000_000)
    for work in (redactor.name, redactor.sentence, redactor.header):
        assert growth(work, *(piece * (size // len(piece)) for size in sizes)) < 15


def test_a_head_of_many_keys_makes_little_work() -> None:
    """110 headers of 60 KB give a bounded number of bounded texts."""
    for name in ("X-Token-{}", "Authorization", "Cookie"):
        for value in ("a;" * 30_000, "Basic " + "YTpi" * 15_000, "eyJ-" * 15_000, "a1" * 30_000):
            headers = CIMultiDict((name.format(n), value) for n in range(110))
            found = sent_secrets(CIMultiDictProxy(headers), Target("/v1", None))
            assert len(found) <= 64
            assert max(map(len, found)) <= 4096


def test_a_cells_id_in_the_path_is_no_secret() -> None:
    """A key of ours in the path is one; with open attribution a cell's id stands there."""
    nothing = CIMultiDictProxy(CIMultiDict[str]())
    key = cell_keys.mint(parse_signing_keys(new_signing_key()), "c", 60, 1_800_000_000)
    assert key in sent_secrets(nothing, Target("/v1", key))
    assert "my-cell" not in sent_secrets(nothing, Target("/v1", "my-cell"))


@given(st.lists(st.sampled_from(["agent/1.0", "sk-abcdef123456", "x " * 99, "k-9f8e7d6c5b4a"])))
def test_what_is_remembered_is_what_was_redacted(texts: list[str]) -> None:
    """Names and headers have memories of their own, which do not grow without end."""
    redactor = Redactor(["k-9f8e7d6c5b4a"])
    for text in texts:
        assert redactor.header(text) == Redactor(["k-9f8e7d6c5b4a"]).header(text)
        assert redactor.name(text) == Redactor(["k-9f8e7d6c5b4a"]).name(text)


def test_memories_are_bounded() -> None:
    """However many names and headers come."""
    redactor = Redactor()
    for number in range(1000):
        redactor.header(f"agent/{number}")
        redactor.name(f"name-{number}")
    assert max(len(redactor._headers), len(redactor._names)) <= 256


def test_telling_names() -> None:
    """Headers and parameters are judged by their names."""
    for name in ("x-api-key", "Authorization", "Set-Cookie", "X-Vault-Token", "sessionSecret"):
        assert may_hold_secret(name)
    for name in ("User-Agent", "Accept", "Content-Type", "x-stainless-retry-count"):
        assert not may_hold_secret(name)


@given(
    st.sampled_from(["", "chatcmpl-", "sk-", "https://u:p@h/", "é", "a%62c", " "]),
    st.sampled_from(["key-9f8e7d6c5b4a", "KEY-9F8E7D6C5B4A", "a2V5LTlmOGU3ZDZjNWI0YQ", "x" * 20]),
    st.text(max_size=5),
)
def test_an_id_is_redacted_as_a_name_is(before: str, middle: str, behind: str) -> None:
    """Only that it is not remembered."""
    redactor, text = Redactor(["key-9f8e7d6c5b4a"]), before + middle + behind
    assert redactor.identifier(text) == redactor.name(text)
    assert redactor.leaves(frozenset((text, "word"))) == (redactor.name(text) == text)


def test_a_header_is_redacted_each_time() -> None:
    redactor = Redactor().with_secrets(["key-9f8e7d6c5b4a"])
    assert {redactor.header("agent key-9f8e7d6c5b4a") for _ in range(2)} == {"agent [redacted]"}


@cases("prefix", ["sk", "pk", "rk", "gsk", "xai", "nvapi", "hf", "ghp", "gho", "AIza"])
@cases("before", ["", "a ", "a.", "-", "é-", "令牌", "\n"])
@cases("mark", ["-", "_"])
def test_a_vendors_key_is_found_in_a_name_wherever_it_stands(
    prefix: str, before: str, mark: str
) -> None:
    key = f"{prefix}{mark}{'a1B2' * 10}"
    assert Redactor().name(before + key) == before + REDACTED
    assert Redactor().sentence(f"{before}{key}无效") == f"{before}{REDACTED}无效"
