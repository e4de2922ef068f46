"""Package indexes are known by what the tools of this machine say, not by a list of names."""

import shutil
from collections.abc import Iterator

import pytest

from cab.adapters.doctor.package_indexes import (
    NPM_REGISTRY,
    PYTHON_INDEX,
    indexes_among,
    package_indexes,
)

NPM = shutil.which("npm")


@pytest.fixture(autouse=True)
def asked_again() -> Iterator[None]:
    package_indexes.cache_clear()
    yield
    package_indexes.cache_clear()


def test_hosts_of_the_settings_are_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip, uv and npm are set to use is an index, under a search domain too; another host is none."""
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:secret@pip.example.org:8443/simple")
    monkeypatch.setenv("UV_INDEX", "mine=https://uv.example.org/simple")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://npm.example.org/")
    expected = {
        "pip.example.org": PYTHON_INDEX,
        "uv.example.org.lan": PYTHON_INDEX,
    }
    if NPM:
        expected["npm.example.org"] = NPM_REGISTRY
    assert (
        indexes_among([*expected, "notpip.example.org", "example.org", "192.0.2.7:443"]) == expected
    )


def test_the_tools_own_indexes_are_known_without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is set, the index that a tool uses by default is known all the same."""
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "NPM_CONFIG_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    kinds = set(package_indexes().values())
    assert kinds == ({PYTHON_INDEX, NPM_REGISTRY} if NPM else {PYTHON_INDEX})
