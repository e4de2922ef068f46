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
        ({"X-Amz-Security-Token": "t"}, "/v1", {"t"}),
        ({"User-Agent": "me"}, "/v1?alt=sse&key=a%2Bb&access_token=t", {"a+b", "a%2Bb", "t"}),
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


def test_a_cells_id_in_the_path_is_no_secret() -> None:
    """A key of ours in the path is one; with open attribution a cell's id stands there."""
    nothing = CIMultiDictProxy(CIMultiDict[str]())
    key = cell_keys.mint(parse_signing_keys(new_signing_key()), "c", 60, 1_800_000_000)
    assert key in sent_secrets(nothing, Target("/v1", key))
    assert "my-cell" not in sent_secrets(nothing, Target("/v1", "my-cell"))


def test_telling_names() -> None:
    """Headers and parameters are judged by their names."""
    for name in ("x-api-key", "Authorization", "Set-Cookie", "X-Vault-Token", "sessionSecret"):
        assert may_hold_secret(name)
    for name in ("User-Agent", "Accept", "Content-Type", "x-stainless-retry-count"):
        assert not may_hold_secret(name)
