"""Installs the harnesses that tests run, into a folder: `python -m tests.harnesses.install FOLDER`.

venv/          Harbor and mini-swe-agent beside CAB, on Python 3.12 or newer
node_modules/  promptfoo
"""

import subprocess
import sys
from pathlib import Path

from cab.adapters.agents.base import PyPIInstall
from cab.adapters.install.python import find_interpreter, versions_text

ROOT = Path(__file__).parents[2]
HARBOR = PyPIInstall("harbor", "harbor", python_min=(3, 12), python_below=(3, 15))
PROMPTFOO = "promptfoo@0.121.20"  # the last for Node 20
DATABASE = "@libsql/linux-x64-gnu"  # of the optional packages of promptfoo the one that it does not start without


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a program that must succeed and return what it printed."""
    return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout


def main(folder: Path) -> None:
    """Install all of them; what is there already stays."""
    folder.mkdir(parents=True, exist_ok=True)
    python = find_interpreter(HARBOR)
    if python is None:
        sys.exit(f"Harbor needs {versions_text(HARBOR)}: install it, or put it on the PATH")
    uv = Path(sys.executable).with_name("uv")
    if not (folder / "venv/bin/python").exists():
        run(uv, "venv", "-q", "--python", python.path, folder / "venv")
    packages = ("-e", f"{ROOT}", "--group", f"{ROOT / 'pyproject.toml'}:harnesses")
    run(uv, "pip", "install", "-q", "--python", folder / "venv/bin/python", *packages)
    if not (folder / "node_modules/promptfoo").exists():
        npm = ("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional")
        run(*npm, "--prefix", folder, PROMPTFOO)
        libsql = (folder / "node_modules/libsql/package.json").as_posix()
        version = run("node", "-p", f"require('{libsql}').optionalDependencies['{DATABASE}']")
        run(*npm, "--prefix", folder, f"{DATABASE}@{version.strip()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
