"""The keys of a command, hidden from what it starts; and where they can be seen all the same."""

import os
from pathlib import Path
from typing import NamedTuple

from cab.adapters.errors import AdapterError
from cab.adapters.sandboxes import deviations
from cab.proxy.auth.held_secrets import SECRET_VARIABLES, hide, read_key, shown_by_parents


class HeldKeys(NamedTuple):
    """What a command was given; nobody else can read it of this process."""

    endpoint: str | None
    """The endpoint's key."""
    signing: str | None
    """What a given proxy checks cell keys with."""
    exposed: tuple[str, ...]
    """Words of deviations: where agents can find the endpoint's key all the same."""


def hold_keys(file: Path | None, descriptor: int | None) -> HeldKeys:
    """Take the keys out of a file or descriptor, and out of the environment.

    Args:
        file: What `--key-file` names.
        descriptor: What `--key-fd` names.

    Raises:
        AdapterError: The key cannot be sent in a header; the message does not show it.
        BadConfig: It cannot be read.
    """
    given = read_key(file, descriptor)
    endpoint = given or os.environ.get("CAB_KEY") or None
    signing = os.environ.get("CAB_SIGNING_KEY") or None
    hide((endpoint, signing), SECRET_VARIABLES)
    if endpoint is not None and not endpoint.isprintable():
        where = "CAB_KEY" if given is None else "the file" if file else "what the descriptor gives"
        raise AdapterError(
            f"the key has a line end or another control character in it; fix {where}"
        )
    in_file = file is not None and file.is_file()
    return HeldKeys(endpoint, signing, (deviations.KEY_IN_FILE,) if in_file else ())


def key_exposure(key: str | None) -> tuple[str, ...]:
    """Return words of deviations: where else agents of this machine can find the endpoint's key.

    Args:
        key: The key that this process holds; None if it holds none.
    """
    if not key:
        return ()
    as_root = (deviations.KEY_READABLE,) if os.geteuid() == 0 else ()
    in_parent = (deviations.KEY_IN_PARENT,) if shown_by_parents(key) else ()
    return (*as_root, *in_parent)
