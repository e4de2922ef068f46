"""Profiles of one's own, from TOML files."""

import tomllib
from pathlib import Path

from cab.scoring.errors import BadRecord
from cab.scoring.files import StrPath, check_regular, naming, validated
from cab.scoring.profiles.builtin import PROFILES
from cab.scoring.profiles.model import PROFILE_SCHEMA, Profile

MAX_BYTES = 1 << 20
"""A profile has a handful of terms; a larger file is not a profile."""


def read_profile(path: StrPath) -> Profile:
    """Return the profile that a TOML file holds.

    Raises:
        BadRecord: The file cannot be read, is not TOML, a key is missing, unknown or out of range,
            or it takes the name of a profile that comes with CAB. It names the file and the key.
    """
    path = Path(path)
    if check_regular(path) > MAX_BYTES:
        raise BadRecord(str(path), None, f"is over {MAX_BYTES} bytes; a profile is smaller")
    with naming(path):
        raw = path.read_bytes()
    try:
        data = tomllib.loads(raw.decode())
    except ValueError as error:
        raise BadRecord(str(path), None, f"not valid TOML: {error}") from error
    if "schema" not in data:
        raise BadRecord(str(path), None, f"is missing; write {PROFILE_SCHEMA!r}", field="schema")
    profile = validated(Profile, data, path)
    if profile.name in PROFILES:
        taken = f"{profile.name!r} comes with CAB; give yours another name or version"
        raise BadRecord(str(path), None, taken, field="name")
    return profile
