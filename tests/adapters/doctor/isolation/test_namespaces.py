"""Whether agents can have namespaces of their own here, found out with real ones."""

import os
import shutil
from pathlib import Path

import pytest

from cab.adapters.doctor.isolation.namespaces import why_not_isolated


def test_a_step_after_the_first_that_fails_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Namespaces are of no use where the folder of the daemons cannot be covered: the reason says so."""
    if why_not_isolated() is not None:
        pytest.skip("no namespaces here")
    mount = tmp_path / "mount"
    refusal = '[ "$2" != tmpfs ] || { echo "no tmpfs here" >&2; exit 1; }'
    mount.write_text(f'#!/bin/sh\n{refusal}\nexec {shutil.which("mount")} "$@"\n')
    mount.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert why_not_isolated() == "/run: no tmpfs here"


def test_without_unshare_its_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing is named with its package."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert why_not_isolated() == "unshare is missing (Debian: util-linux)"
