"""Which hosts are package indexes: by what pip, uv and npm name as theirs on this machine, and by default."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from shutil import which
from urllib.parse import urlsplit

PYTHON_INDEX = "the Python package index"
NPM_REGISTRY = "the npm registry"

_LIMIT_S = 30.0
_PIPS_OWN = "from pip._internal.models.index import PyPI as p; print('//' + p.netloc, '//' + p.file_storage_domain)"
_UV_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")
_NO_SETTINGS = ("--userconfig", os.devnull, "--globalconfig", os.devnull)
_QUIET = ("--logs-max=0", "--no-update-notifier")
_URL = re.compile(r"(?:https?:)?//[^\s'\"]+")


def indexes_among(names: Iterable[str]) -> dict[str, str]:
    """Return those of some host names that are package indexes, and of which kind.

    Args:
        names: As they were looked up; a search domain of the machine may stand behind them.
    """
    found: dict[str, str] = {}
    for name in names:
        for host, kind in package_indexes().items():
            if name == host or name.startswith(f"{host}."):
                found[name] = kind
    return found


@cache
def package_indexes() -> dict[str, str]:
    """Return the hosts of package indexes: name -> kind. A tool that is not there names none."""
    kinds = ((PYTHON_INDEX, _python_texts()), (NPM_REGISTRY, _npm_texts()))
    hosts: dict[str, str] = {}
    for kind, texts in kinds:
        for url in _URL.finditer(" ".join(texts)):
            host = urlsplit(url[0]).hostname
            if host and not host.replace(".", "").isdigit():
                hosts.setdefault(host, kind)
    return hosts


def _python_texts() -> Iterator[str]:
    yield from (os.environ.get(name, "") for name in _UV_VARIABLES)
    # An environment that uv made has no pip; the Python that it was made of mostly has.
    for python in dict.fromkeys((sys.executable, str(Path(sys.base_prefix) / "bin" / "python3"))):
        yield _printed(python, "-c", _PIPS_OWN)
        listed = _printed(python, "-m", "pip", "config", "list").splitlines()
        yield from (line for line in listed if "index-url" in line)


def _npm_texts() -> Iterator[str]:
    npm = which("npm")
    if npm is not None:
        ask = (npm, "config", "get", "registry", *_QUIET)
        yield _printed(*ask)
        yield _printed(*ask, *_NO_SETTINGS, without="npm_config_registry")


def _printed(*command: str, without: str = "") -> str:
    environment = {name: text for name, text in os.environ.items() if name.lower() != without}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
