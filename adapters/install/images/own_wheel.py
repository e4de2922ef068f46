"""The installed `cab` as a wheel, so that an image has the same code: from a checkout or an installed wheel.

No build tool and no network is needed: a wheel is an archive of the installed files and of their metadata.
"""

import base64
import hashlib
import os
import re
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from importlib.util import find_spec
from pathlib import Path

from cab.adapters.errors import AdapterError

DISTRIBUTION = "coding-agent-bench"
"""Name of our own distribution."""

_ROOMS = ("cab.scoring", "cab.proxy", "cab.adapters")
_METADATA = ("METADATA", "entry_points.txt")
_WHEEL = "Wheel-Version: 1.0\nGenerator: cab\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_TIME = (
    1980,
    1,
    1,
    0,
    0,
    0,
)  # the earliest that an archive can state: the same files make the same bytes
_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^]]*\])?[^;]*(;.*)?")


def cab_version() -> str:
    """Return the version of `cab`."""
    return _own().version


def write_own_wheel(folder: Path) -> Path:
    """Write a wheel of the installed `cab` and return its path; the same files give the same bytes.

    Args:
        folder: Where it goes.

    Raises:
        AdapterError: The installed package cannot be read.
    """
    own = _own()
    stem = f"{DISTRIBUTION.replace('-', '_')}-{own.version}"
    files = {**dict(_modules()), **_metadata(own, f"{stem}.dist-info")}
    record = f"{stem}.dist-info/RECORD"
    lines = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in sorted(files.items())]
    files[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _TIME)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, files[name])
    return wheel


def own_versions() -> list[str]:
    """Return what `cab` needs, directly or not, as `name==version` lines: the versions that run here."""
    found: dict[str, str] = {}
    waiting = [DISTRIBUTION]
    while waiting:
        for name in _needed_by(waiting.pop()):
            try:
                version = distribution(name).version
            except PackageNotFoundError:
                continue  # an extra, or for another system
            if name not in found:
                found[name] = version
                waiting.append(name)
    return [f"{name}=={found[name]}" for name in sorted(found)]


def _own() -> Distribution:
    """Return what is installed of us: in a checkout, what a build left behind has our name too."""
    for each in distributions(name=DISTRIBUTION):
        if each.read_text(_METADATA[0]) is not None:
            return each
    raise AdapterError(f"{DISTRIBUTION} is not installed; install it with pip")


def _needed_by(name: str) -> Iterator[str]:
    for line in distribution(name).requires or ():
        match = _REQUIREMENT.fullmatch(line)
        if match is not None and "extra" not in (match[2] or ""):
            yield re.sub(r"[-_.]+", "-", match[1]).lower()


def _modules() -> Iterator[tuple[str, bytes]]:
    """Yield the files of our rooms; in an editable install they are links into the checkout."""
    for room in _ROOMS:
        spec = find_spec(room)
        if spec is None or not spec.submodule_search_locations:
            raise AdapterError(f"{room} is not installed as files; install cab from its wheel")
        for top in spec.submodule_search_locations:
            root = Path(top)
            for folder, folders, names in os.walk(root):
                folders[:] = sorted(each for each in folders if each != "__pycache__")
                for name in names:
                    path = Path(folder, name)
                    inner = path.relative_to(root).as_posix()
                    if not name.endswith(".pyc") and path.is_file():
                        yield f"{room.replace('.', '/')}/{inner}", path.read_bytes()


def _metadata(own: Distribution, info: str) -> dict[str, bytes]:
    files = {f"{info}/WHEEL": _WHEEL.encode()}
    for name in _METADATA:
        text = own.read_text(name)
        if text is None:
            raise AdapterError(f"the installed {DISTRIBUTION} has no {name}; install it again")
        files[f"{info}/{name}"] = text.encode()
    for path in own.files or ():
        inner = path.as_posix().partition(".dist-info/")[2]
        if inner.startswith("licenses/"):
            files[f"{info}/{inner}"] = path.read_binary()
    return files


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
