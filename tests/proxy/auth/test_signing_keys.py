import os
import stat
from pathlib import Path

import pytest

from cab.proxy.auth.signing_keys import (
    SigningKey,
    load_or_create_signing_keys,
    load_signing_keys,
    parse_signing_keys,
    secret_texts,
)
from cab.proxy.errors import BadConfig

# Not made anew at each run: they are part of the names of tests.
ONE, TWO = "0123456789abcdef" * 4, "fedcba9876543210" * 4


@pytest.mark.parametrize("text", [f"b:{TWO},a:{ONE}", f"\nb:{TWO}\n a:{ONE} \n"])
def test_several_keys_have_ids(text: str) -> None:
    """Keys stand between commas or on lines of their own; the first signs."""
    ring = parse_signing_keys(text)
    assert ring.keys == (SigningKey("b", TWO), SigningKey("a", ONE))
    assert ring.signer.id == "b"
    assert [key.id for key in ring.candidates("a")] == ["a", "b"]
    assert ring.secrets() == (TWO, ONE)


def test_one_bare_secret_needs_no_id() -> None:
    """A secret alone is a key ring of one."""
    assert parse_signing_keys(ONE).keys == (SigningKey("default", ONE),)


def test_secrets_are_not_shown() -> None:
    """What a traceback would print of a key ring holds ids only."""
    ring = parse_signing_keys(f"b:{TWO},a:{ONE}")
    assert repr(ring) == "KeyRing(keys=(SigningKey('b'), SigningKey('a')))"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds a key of fewer than 32 bytes"),
        ("canary-short", "holds a key of fewer than 32 bytes"),
        (f"a:{ONE},canary-short", "holds a key of fewer than 32 bytes"),
        (f"a:{ONE},b:{'x' * 31}", "holds a key of fewer than 32 bytes"),
        (f"a:{ONE},a:{TWO}", "two keys of one id"),
    ],
)
def test_unusable_keys_are_refused(text: str, said: str, tmp_path: Path) -> None:
    """A short key or an id that is there twice is refused, and no part of a key is shown."""
    file = tmp_path / "signing.key"
    file.write_text(text)
    with pytest.raises(BadConfig, match=said) as of_text:
        parse_signing_keys(text)
    with pytest.raises(BadConfig, match=said) as of_file:
        load_signing_keys(file)
    for caught in (of_text, of_file):
        assert "canary" not in str(caught.value)
        assert ONE not in str(caught.value)


def test_all_secret_texts_are_known() -> None:
    """What must be masked is known even of a setting that cannot be used."""
    assert secret_texts("a:short,b:other") == ("a:short,b:other", "short", "other")
    assert secret_texts("") == ("",)


def test_the_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    """The signing key is made on first use, readable by its owner only, and then kept."""
    file = tmp_path / "signing.key"
    first = load_or_create_signing_keys(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_or_create_signing_keys(file) == first
    assert list(tmp_path.iterdir()) == [file]


def test_of_two_that_make_the_file_one_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes second at the same moment reads the key of who came first."""
    file = tmp_path / "signing.key"
    first = load_or_create_signing_keys(file)
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert load_or_create_signing_keys(file) == first
    assert os.listdir(tmp_path) == ["signing.key"]  # noqa: PTH208 - Path.exists is out of order here


def test_a_key_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """A key file that cannot be made, is a folder, or is not text is named."""
    with pytest.raises(BadConfig, match="cannot be written: No such file"):
        load_or_create_signing_keys(tmp_path / "none" / "signing.key")
    with pytest.raises(BadConfig, match="cannot be read: Is a directory"):
        load_or_create_signing_keys(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(BadConfig, match="is not text"):
        load_signing_keys(tmp_path / "binary")
