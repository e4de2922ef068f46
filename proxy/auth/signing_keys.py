"""The operator's signing keys: where they come from, and which of them is which.

Several keys make rotation possible: put the new one first, keep the old one until the last key that
it signed has expired, then take it out.
"""

import os
import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cab.proxy.errors import BadConfig

ENVIRONMENT = "CAB_SIGNING_KEY"
FILE_NAME = "signing.key"
"""In the state folder."""
MIN_SIGNING_KEY_BYTES = 32
"""RFC 7518, section 3.2: an HS256 key is at least as long as the hash."""
_BARE_ID = "default"
_NAMED = re.compile(r"([A-Za-z0-9_.-]{1,64}):(.*)", re.DOTALL)


class SigningKey(NamedTuple):
    """A secret with the id that the header `kid` of its keys names."""

    id: str
    secret: str

    def __repr__(self) -> str:
        """Return the id only: this may be printed in a traceback."""
        return f"SigningKey({self.id!r})"


@dataclass(slots=True)
class KeyRing:
    """Signing keys, one or more: the first signs, all verify. A reload replaces them."""

    keys: tuple[SigningKey, ...]

    @property
    def signer(self) -> SigningKey:
        """The key that new cell keys are signed with."""
        return self.keys[0]

    def candidates(self, key_id: object) -> list[SigningKey]:
        """Return all keys, those with the given id first.

        All, because a bare secret has no id of its own and may get one later.
        """
        return sorted(self.keys, key=lambda key: key.id != key_id)

    def secrets(self) -> tuple[str, ...]:
        """Return the texts that nobody else may see."""
        return tuple(key.secret for key in self.keys)


def parse_signing_keys(text: str, origin: str = ENVIRONMENT) -> KeyRing:
    """Return the signing keys in a text: `id1:secret1,id2:secret2`, or one bare secret.

    Args:
        text: Keys, separated by commas or by the ends of lines.
        origin: Where the text stood, for errors; they never hold a part of it.

    Raises:
        BadConfig: There is none, one is short, or an id is there twice.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadConfig(f"{origin} is not valid UTF-8 text; give it as it was made") from error
    keys = _parse(text)
    if not keys or any(len(k.secret.encode()) < MIN_SIGNING_KEY_BYTES for k in keys):
        raise BadConfig(
            f"{origin} holds a key of fewer than {MIN_SIGNING_KEY_BYTES} bytes; "
            "make one with: python3 -c 'import secrets; print(secrets.token_hex(32))'"
        )
    if len({key.id for key in keys}) < len(keys):
        raise BadConfig(
            f"{origin} has two keys of one id; name them apart: id1:secret1,id2:secret2"
        )
    return KeyRing(keys)


def secret_texts(text: str) -> tuple[str, ...]:
    """Return what must not be written of a setting of signing keys, whether it can be used or not."""
    return (text, *(key.secret for key in _parse(text)))


def _parse(text: str) -> tuple[SigningKey, ...]:
    parts = (part.strip() for part in re.split(r"[,\n]", text))
    return tuple(_parse_one(part) for part in parts if part)


def _parse_one(text: str) -> SigningKey:
    match = _NAMED.fullmatch(text)
    return SigningKey(match[1], match[2]) if match else SigningKey(_BARE_ID, text)


def new_signing_key() -> str:
    """Return a fresh signing key: 64 hex digits from the system's random source."""
    return secrets.token_hex(32)


def load_signing_keys(file: Path) -> KeyRing:
    """Return the signing keys in a file, one `id:secret` per line, or one bare secret.

    Raises:
        BadConfig: The file cannot be read, or holds no usable keys.
    """
    try:
        return parse_signing_keys(file.read_text(), f"signing key {file}")
    except OSError as error:
        raise BadConfig(f"signing key {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadConfig(
            f"signing key {file} is not text; give a file of id:secret lines"
        ) from error


def load_or_create_signing_keys(file: Path, text: str | None = None) -> KeyRing:
    """Return the signing keys in a file, which is made, readable by its owner only, if missing.

    Args:
        file: The file.
        text: What a missing one gets; None: a fresh key.

    Raises:
        BadConfig: The file cannot be read or written, or holds no usable keys.
    """
    if not file.exists():
        _create(file, text or f"{secrets.token_hex(4)}:{new_signing_key()}\n")
    return load_signing_keys(file)


@contextmanager
def draft_of(file: Path, text: str) -> Generator[Path]:
    """Write a text beside a file, readable by its owner only, for as long as the context is open.

    Linked or renamed to the file's name it is there whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _create(file: Path, text: str) -> None:
    try:
        with draft_of(file, text) as draft:
            os.link(draft, file)
    except FileExistsError:
        pass  # another one was faster; its key counts
    except OSError as error:
        raise BadConfig(f"signing key {file} cannot be written: {error.strerror}") from error
