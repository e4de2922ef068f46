"""A tiny agent that can be installed: a wheel written by hand, in a folder that is the index."""

import base64
import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from cab.adapters.agents.base import AgentFacts, Launch, Output, PyPIInstall, RunContext

HERE = sys.version_info[:2]
FACTS = AgentFacts(
    name="tiny",
    version="1.2.3",
    dialects=("chat.completions",),
    install=PyPIInstall("cab-tiny-agent", "tiny", HERE, (HERE[0], HERE[1] + 1)),
)


class Tiny:
    """Its adapter."""

    facts = FACTS

    def launch(self, run: RunContext) -> Launch:
        return Launch((str(run.executable),))

    def self_report(self, output: Output) -> None:
        del output


def write_wheel(folder: Path, version: str = "1.2.3", name: str = "cab-tiny-agent") -> None:
    """Write a wheel by hand: one module and one console script."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}.py": "def main():\n    print('tiny', 42)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\ntiny = {module}:main\n",
    }
    lines = [f"{path},sha256={_digest(text)},{len(text)}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,"])
    with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


def _digest(text: str) -> str:
    raw = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def serve(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder the only index of pip and uv, and keep what they install inside `folder`."""
    index = folder / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(folder / "cache"))
    for prefix in ("PIP", "UV"):
        monkeypatch.setenv(f"{prefix}_FIND_LINKS", str(index))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    return index
