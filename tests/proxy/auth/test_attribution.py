from pathlib import Path

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth import cell_keys
from cab.proxy.auth.attribution import Caller, Identifier, Target, split_target
from cab.proxy.auth.revocations import Revocations
from cab.proxy.auth.signing_keys import new_signing_key, parse_signing_keys
from cab.proxy.errors import BadKey

RING = parse_signing_keys(new_signing_key())
NOW_S = 1_800_000_000
KEY = cell_keys.mint(RING, "cell-a", 60, NOW_S, KeyLimits(max_calls=3))
HELD = Caller("cell-a", None, cell_keys.verify(RING, KEY, NOW_S))
PLAIN = Target("/v1/chat/completions", None)


def identifier(
    *, keys_required: bool = False, open_attribution: bool = False, folder: Path = Path("none")
) -> Identifier:
    return Identifier(RING, Revocations(folder), keys_required, open_attribution, "default")


def sent(**headers: str) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict({k.replace("_", "-"): v for k, v in headers.items()}))


@pytest.mark.parametrize(
    ("raw", "path", "key"),
    [
        ("/v1/chat/completions?a=1", "/v1/chat/completions?a=1", None),
        ("/cell/KEY/v1/models", "/v1/models", "KEY"),
        ("/cell/s%2Faider%2Fm%23run2/v1/x?y", "/v1/x?y", "s/aider/m#run2"),
        ("/cell/KEY", "", "KEY"),
        ("/cells/x", "/cells/x", None),
    ],
)
def test_a_key_in_the_path_is_taken_out(raw: str, path: str, key: str | None) -> None:
    """`/cell/<key>` is taken from the path and the rest stays as it was."""
    assert split_target(raw) == (path, key)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Token {KEY}"},
        {"Authorization": f"bearer  Bearer {KEY} "},
        {"Authorization": "Bearer sk-other", "x_api_key": KEY},
        {"api_key": KEY},
    ],
)
def test_a_cell_key_counts_in_odd_places(headers: dict[str, str]) -> None:
    """Another scheme, or another key beside it, does not hide a cell's key."""
    assert identifier().identify(sent(**headers), PLAIN, NOW_S) == HELD


def test_a_cell_key_in_the_query_names_its_cell() -> None:
    """Gemini's clients may put their key into the query."""
    target = split_target(f"/v1beta/models/m:generateContent?alt=sse&key={KEY}")
    assert identifier(keys_required=True).identify(sent(), target, NOW_S) == HELD
    foreign = split_target("/v1beta/models?key=AIza-x")
    assert identifier().identify(sent(), foreign, NOW_S) == Caller("default", "AIza-x")


def test_a_revoked_key_is_refused(tmp_path: Path) -> None:
    """A key that was revoked while the proxy runs names no cell from then on."""
    rules = identifier(folder=tmp_path)
    assert rules.identify(sent(x_api_key=KEY), PLAIN, NOW_S) == HELD
    assert HELD.key
    Revocations(tmp_path).revoke_key(HELD.key.key_id, NOW_S)
    with pytest.raises(BadKey, match="revoked"):
        rules.identify(sent(x_api_key=KEY), PLAIN, NOW_S)


@pytest.mark.parametrize("name", ["Authorization", "x_api_key", "x_goog_api_key"])
def test_a_cell_key_in_any_header_names_its_cell(name: str) -> None:
    """A cell's key counts wherever a client puts its API key, before all other ways."""
    value = f"Bearer {KEY}" if name == "Authorization" else KEY
    rules = identifier(open_attribution=True)
    caller = rules.identify(sent(**{name: value, "X_Cab_Cell": "other"}), PLAIN, NOW_S)
    assert caller == HELD


def test_a_cell_key_in_the_path_names_its_cell() -> None:
    """A client that can set only a base URL is attributed by the path."""
    caller = identifier(keys_required=True).identify(
        sent(Authorization="Bearer x"), Target("/v1/x", KEY), NOW_S
    )
    assert caller == HELD


def test_a_foreign_key_falls_back_to_the_default_cell() -> None:
    """Without keys, a call with somebody else's key belongs to --cell."""
    caller = identifier().identify(sent(Authorization="Bearer sk-x", X_Cab_Cell="b"), PLAIN, NOW_S)
    assert caller == Caller("default", "sk-x")


def test_the_header_counts_only_where_configured() -> None:
    """X-Cab-Cell and a cell id in the path are believed with open attribution only."""
    rules = identifier(open_attribution=True)
    assert rules.identify(sent(X_Cab_Cell="b"), PLAIN, NOW_S) == Caller("b", None)
    assert rules.identify(sent(X_Cab_Cell="b"), Target("/v1/x", "c"), NOW_S) == Caller("c", None)
    with pytest.raises(BadKey, match="path holds no valid cell key"):
        identifier().identify(sent(), Target("/v1/x", "c"), NOW_S)


def test_with_keys_required_anything_else_is_refused() -> None:
    """With auth = keys, a foreign key, no key, and an expired key are refused."""
    rules = identifier(keys_required=True, open_attribution=True)
    with pytest.raises(BadKey, match="needs a cell's key"):
        rules.identify(sent(Authorization="Bearer sk-x", X_Cab_Cell="b"), PLAIN, NOW_S)
    with pytest.raises(BadKey, match="needs a cell's key"):
        rules.identify(sent(), PLAIN, NOW_S)
    with pytest.raises(BadKey, match="expired"):
        rules.identify(sent(Authorization=f"Bearer {KEY}"), PLAIN, NOW_S + 60)


def test_a_broken_cell_key_is_refused_even_when_open() -> None:
    """A key that claims to be ours and does not hold is an error, never a fallback."""
    stale = cell_keys.mint(parse_signing_keys(new_signing_key()), "cell-a", 60, NOW_S)
    with pytest.raises(BadKey):
        identifier().identify(sent(Authorization=f"Bearer {stale}"), PLAIN, NOW_S)
